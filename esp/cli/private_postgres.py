"""A PostgreSQL server for one command, from Debian's programs, in a temporary folder and on a Unix socket only."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from esp.errors import DependencyError

#: What ``--database`` says where a server is to be started for the command.
PRIVATE: Final = "postgresql"

_START_SECONDS: Final = 60
_STOP_SECONDS: Final = 60
# The shell ends the server with itself: its standard input closes when we die, however we die. SIGINT is PostgreSQL's
# fast shutdown, which does not wait for clients.
_WATCH: Final = '"$@" & server=$!; read -r _; kill -INT $server; wait $server'


@dataclass(frozen=True, slots=True)
class PrivatePostgres:
    """``url`` is an empty database of the server's; ``folder`` holds its files. Without a folder it is somebody
    else's, whose processes are not looked at."""

    url: str
    folder: Path | None = None

    @property
    def cpu_seconds(self) -> float:
        """What the server's processes used of a CPU until now, those that have ended included."""
        if self.folder is None:
            return 0.0
        leader = int((self.folder / "db/postmaster.pid").read_text().split("\n", 1)[0])
        used = 0.0
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                pid, _, rest = stat.read_text().partition(" ")
            except OSError:
                continue  # ended meanwhile
            values = rest.rpartition(")")[2].split()
            if int(pid) == leader:
                used += sum(map(int, values[11:15]))
            elif int(values[1]) == leader:
                used += sum(map(int, values[11:13]))
        return used / os.sysconf("SC_CLK_TCK")


@contextmanager
def private_postgres(settings: Sequence[str] = ()) -> Iterator[PrivatePostgres]:
    """Start a server, with ``settings`` such as ``wal_compression=on``, and remove it afterwards.

    It syncs as a real one does: what is measured with it is what an operator gets. Raises DependencyError where
    PostgreSQL is not installed or does not start.
    """
    programs = _programs()
    folder = Path(tempfile.mkdtemp(prefix="merpati-pg-"))
    try:
        if os.getuid() == 0:
            shutil.chown(folder, "nobody", "nogroup")
        made = subprocess.run(  # noqa: S603 - a program of Debian's, with arguments of ours
            [programs / "initdb", "-D", folder / "db", "-U", "merpati", "-A", "trust", "-E", "UTF8",
             "--locale=C.UTF-8", "-N"],
            capture_output=True, cwd="/", **_as_nobody(),
        )  # fmt: skip
        if made.returncode:
            raise DependencyError(f"PostgreSQL's initdb failed: {made.stderr.decode(errors='replace')[-500:]}")
        with _running(programs, folder, settings):
            yield PrivatePostgres(f"postgresql://merpati@/merpati?host={folder}", folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _running(programs: Path, folder: Path, settings: Sequence[str]) -> Iterator[None]:
    options = ("listen_addresses=", "max_connections=200", "timezone=UTC", *settings)
    log = folder / "log"
    with log.open("wb") as out:
        watcher = subprocess.Popen(  # noqa: S603 - likewise
            ["/bin/sh", "-c", _WATCH, "sh", programs / "postgres", "-D", folder / "db", "-k", folder,
             *(word for option in options for word in ("-c", option))],
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=out, cwd="/", start_new_session=True,
            **_as_nobody(),
        )  # fmt: skip
    try:
        deadline = time.monotonic() + _START_SECONDS
        while not _asked(programs, folder, "SELECT 1"):
            said = log.read_text(errors="replace")
            ended = "FATAL" in said and not (folder / "db/postmaster.pid").exists()
            if ended or time.monotonic() > deadline:
                raise DependencyError(f"PostgreSQL did not start: {said[-500:]}")
            time.sleep(0.1)
        if not _asked(programs, folder, "CREATE DATABASE merpati"):
            raise DependencyError("PostgreSQL started, but made no database.")
        yield
    finally:
        assert watcher.stdin is not None
        watcher.stdin.close()
        try:
            watcher.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(watcher.pid, signal.SIGKILL)
            watcher.wait()


def _asked(programs: Path, folder: Path, statement: str) -> bool:
    return subprocess.run(  # noqa: S603 - likewise
        [programs / "psql", "-h", folder, "-U", "merpati", "-d", "postgres", "-qAtc", statement],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/",
    ).returncode == 0  # fmt: skip


def _as_nobody() -> dict[str, Any]:
    """initdb and postgres refuse to run as root."""
    return {"user": "nobody", "group": "nogroup", "extra_groups": []} if os.getuid() == 0 else {}


def _programs() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[4]))
    if found:
        return found[-1].parent
    on_path = shutil.which("initdb")
    if on_path is None:
        raise DependencyError("PostgreSQL is not installed here: install Debian's package postgresql, or name the"
                              " URL of an empty database.")
    return Path(on_path).resolve().parent
