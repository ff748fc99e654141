"""No 250 leaves before its message is synced: read off the system calls of the process, on both databases."""

import asyncio
import re
import smtplib
import sys
from pathlib import Path

from tests.relay_house import MAIL

_MESSAGES = 12
# SQLite syncs in our process; PostgreSQL says COMMIT once it has synced (synchronous_commit is on).
_SYNCED = {"sqlite": re.compile(r"(?:fdatasync|fsync)(?:\(\d+\)| resumed>\)) += 0"),
           "postgresql": re.compile(r"recv\w*\(.*COMMIT|<\.\.\. recv\w* resumed>.*COMMIT|read\(.*COMMIT")}
_TOLD = re.compile(r"(?:sendto|sendmsg|write|writev)\(\d+, .*250 2\.0\.0 Kept as")


async def test_every_250_follows_a_sync_of_its_own(database_url: str, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    process = await asyncio.create_subprocess_exec(
        "strace", "-f", "-qq", "-s", "200", "-o", str(trace),
        "-e", "trace=fsync,fdatasync,sendto,sendmsg,write,writev,recvfrom,recvmsg,read",
        sys.executable, "-m", "tests.relay_process", database_url, str(tmp_path),
        cwd=Path(__file__).parents[2], stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdin is not None
    async with asyncio.timeout(300):
        port = int(await process.stdout.readline())

        def send() -> None:
            with smtplib.SMTP("127.0.0.1", port, local_hostname="app.example", timeout=120) as client:
                for _ in range(_MESSAGES):
                    client.sendmail("app@toko.example", ["ani@rumah.example"], MAIL)

        await asyncio.to_thread(send)
        process.stdin.close()
        assert await process.wait() == 0
    synced, told = _SYNCED["sqlite" if database_url.startswith("sqlite") else "postgresql"], 0
    durable = False
    lines = trace.read_text(errors="replace").splitlines()
    first = next(number for number, line in enumerate(lines) if "220 merpati.example" in line)
    for line in lines[first:]:
        if synced.search(line):
            durable = True
        elif _TOLD.search(line):
            assert durable, line
            durable, told = False, told + 1
    assert told == _MESSAGES
