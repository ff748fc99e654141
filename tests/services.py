"""PostgreSQL and Redis started for the tests from Debian's packages, on sockets and ports of their own."""

import itertools
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self


class ServiceMissingError(RuntimeError):
    """A program the tests need is not installed; ``make test`` installs it."""


def free_port(host: str = "127.0.0.1") -> int:
    """A port that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def _drop_root() -> dict[str, Any]:
    """initdb and postgres refuse to run as root."""
    return {"user": "nobody", "group": "nogroup", "extra_groups": []} if os.getuid() == 0 else {}


def _postgres_bin() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[4]))
    if found:
        return found[-1].parent
    on_path = shutil.which("initdb")
    if on_path is None:
        raise ServiceMissingError("PostgreSQL is not installed; run `make test-needs`")
    return Path(on_path).parent


@dataclass(slots=True)
class PostgresServer:
    """A cluster in a temporary folder that listens on a Unix socket only."""

    folder: Path
    process: subprocess.Popen[bytes]
    _numbers: Any = field(default_factory=lambda: itertools.count(1))

    @classmethod
    def start(cls) -> Self:
        folder = Path(tempfile.mkdtemp(prefix="merpati-pg-"))
        if os.getuid() == 0:
            shutil.chown(folder, "nobody", "nogroup")
        binaries = _postgres_bin()
        subprocess.run(
            [
                binaries / "initdb",
                "-D",
                folder / "db",
                "-U",
                "merpati",
                "-A",
                "trust",
                "-E",
                "UTF8",
                "--locale=C.UTF-8",
                "-N",
            ],
            check=True,
            stdout=subprocess.DEVNULL,
            cwd="/",
            **_drop_root(),
        )
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                [
                    binaries / "postgres",
                    "-D",
                    folder / "db",
                    "-k",
                    folder,
                    "-c",
                    "listen_addresses=",
                    "-c",
                    "fsync=off",
                    "-c",
                    "max_connections=200",
                    "-c",
                    "timezone=UTC",
                ],
                stdout=subprocess.DEVNULL,
                stderr=log,
                cwd="/",
                **_drop_root(),
            )
        server = cls(folder, process)
        deadline = time.monotonic() + 60
        while server._psql("postgres", "SELECT 1", check=False).returncode != 0:
            if time.monotonic() > deadline or process.poll() is not None:
                raise RuntimeError(f"PostgreSQL did not start: {(folder / 'log').read_text()[-2000:]}")
            time.sleep(0.1)
        return server

    def _psql(self, database: str, statement: str, check: bool = True) -> "subprocess.CompletedProcess[bytes]":
        return subprocess.run(
            [_postgres_bin() / "psql", "-h", self.folder, "-U", "merpati", "-d", database, "-qAtc", statement],
            check=check,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd="/",
        )

    def create_database(self) -> str:
        name = f"test_{os.getpid()}_{next(self._numbers)}"
        self._psql("postgres", f"CREATE DATABASE {name}")
        return name

    def drop_database(self, name: str) -> None:
        self._psql("postgres", f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def url(self, name: str) -> str:
        return f"postgresql://merpati@/{name}?host={self.folder}"

    def stop(self) -> None:
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


@dataclass(slots=True)
class RedisServer:
    """A Redis server without persistence on a free loopback port."""

    process: subprocess.Popen[bytes]
    port: int

    @classmethod
    def start(cls, port: int = 0) -> Self:
        """``port`` 0 takes a free one; a given one brings a stopped server back, empty."""
        binary = shutil.which("redis-server")
        if binary is None:
            raise ServiceMissingError("Redis is not installed; run `make test-needs`")
        port = port or free_port()
        process = subprocess.Popen(
            [binary, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"],
            stdout=subprocess.DEVNULL,
            cwd="/",
        )
        deadline = time.monotonic() + 30
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                return cls(process, port)
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(20)
