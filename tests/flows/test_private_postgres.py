"""The server that a measuring command starts for itself: it answers, counts its CPU, and leaves nothing behind."""

import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from esp.adapters.sql.database import Database
from esp.adapters.sql.migrate import migrate
from esp.cli.private_postgres import private_postgres
from esp.errors import DependencyError

_DIES = """
import os, signal
from esp.cli.private_postgres import private_postgres
with private_postgres() as server:
    print((server.folder / "db/postmaster.pid").read_text().split()[0], server.folder, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def _gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


async def test_a_private_server_holds_a_database_of_ours_and_goes() -> None:
    with private_postgres(["wal_compression=on"]) as server:
        assert server.folder is not None
        database = Database(server.url)
        await migrate(database)
        await database.check()
        await database.close()
        assert server.cpu_seconds > 0
        pid = int((server.folder / "db/postmaster.pid").read_text().split()[0])
    assert _gone(pid)
    assert not server.folder.exists()


def test_the_server_ends_with_a_command_that_is_killed() -> None:
    ended = subprocess.run([sys.executable, "-c", _DIES], stdout=subprocess.PIPE, check=False)
    pid, folder = ended.stdout.decode().split()
    assert ended.returncode == -9
    deadline = time.monotonic() + 60
    while not _gone(int(pid)):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    shutil.rmtree(folder)  # its files stay in the temporary folder, as those of anybody who was killed


def test_a_server_that_does_not_start_says_why() -> None:
    with pytest.raises(DependencyError, match="no_such_setting"), private_postgres(["no_such_setting=1"]):
        pass
