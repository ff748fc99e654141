"""kill -9 of the whole server, its parent or one sending process, again and again, in the middle of a broadcast.

Everything is done as a person would: the campaign by the commands, the server by ``merpati serve``, the kills by the
system. What came of it is then counted from three sides that do not know of each other: the CSV file, the receiver, and
the rows of the database. The long form (20,000 people) is part of ``make test-crash``.
"""

import asyncio
import csv
import json
import os
import random
import signal
import sys
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO
from zlib import crc32

import pytest
from sqlalchemy import select
from typer.testing import CliRunner

from esp.adapters.sql.database import Database
from esp.adapters.sql.schema import campaigns, deliveries, events
from esp.cli import app as merpati
from tests.receiver import Receiver, receiving
from tests.sending import states, totals
from tests.services import free_port

ROOT = Path(__file__).parents[2]
LETTER = "# Hello {{ contact.first_name | default('friend') }} in {{ contact.city }}\n\n[Look](https://toko.example/1).\n"
KINDS = ("server", "worker", "parent")


@dataclass
class Broadcast:
    """A campaign that is started and has no server yet."""

    campaign_id: int
    addresses: frozenset[str]
    port: int
    records: dict[str, str]


@dataclass
class Killed:
    """What was killed, how many messages were in at that moment, and how many connections were open to the receiver."""

    log: list[tuple[str, int, int]] = field(default_factory=list)

    @property
    def in_flight(self) -> int:
        """The most messages that can have been between dot and reply at all kills together."""
        return sum(connections for _, _, connections in self.log)


@pytest.fixture
def count(request: pytest.FixtureRequest) -> int:
    return int(getattr(request, "param", 600))


@pytest.fixture
def broadcast(database_url: str, tmp_path: Path, count: int, monkeypatch: pytest.MonkeyPatch) -> Broadcast:
    """An owner, a domain, a list of ``count`` imported people and a campaign to them, all by the commands."""
    port = free_port()
    for name, value in {
        "SERVER__DATA_DIR": str(tmp_path / "data"), "SERVER__PORT": "0", "SERVER__WORKERS": "2", "MX__ENABLED": "false",
        "SUBMISSION__ENABLED": "false",
        "DATABASE__URL": database_url, "DELIVERY__SMART_HOST": f"127.0.0.1:{port}", "LOG__LEVEL": "error",
        "DELIVERY__HELLO_NAME": "mail.toko.example", "DELIVERY__RETRY_DELAYS": '["1s"]',
    }.items():
        monkeypatch.setenv(f"MERPATI_{name}", value)
    monkeypatch.chdir(tmp_path)

    def run(*words: str) -> Any:
        result = CliRunner().invoke(merpati, list(words))
        assert result.exit_code == 0, (words, result.output, result.exception)
        return json.loads(result.stdout.splitlines()[-1]) if "--json" in words else None

    run("user", "add", "owner@toko.example", "--workspace", "Toko")
    published = run("domain", "add", "toko.example", "--json")["records"]
    run("list", "create", "News")
    run("contacts", "generate", "people.csv", "--count", str(count), "--domain", "a.example", "--domain", "b.example")
    assert run("import", "people.csv", "--list", "news", "--json")["created"] == count
    Path("letter.md").write_text(LETTER)
    campaign = run("campaign", "create", "--from", "letter.md", "--subject", "News", "--list", "news", "--json")["id"]
    run("send", str(campaign), "--yes")
    with Path("people.csv").open(newline="", encoding="utf-8") as file:
        addresses = frozenset(row["email"] for row in csv.DictReader(file))
    keys = {row["name"]: row["value"] for row in published if "._domainkey." in row["name"]}
    return Broadcast(campaign, addresses, port, keys)


def unknown(address: str) -> bool:
    """About one in fifty does not exist at the receiver."""
    return crc32(address.encode()) % 50 == 0


def answer(address: str, time: int) -> str:
    """A refusal for good, a refusal for now the first time (one in thirty), or none."""
    if unknown(address):
        return "550 5.1.1 no such user"
    return "451 4.7.1 greylisted, come back" if time == 1 and crc32(address.encode()) % 30 == 1 else "250 2.1.5 ok"


def log() -> BinaryIO:
    """Where every server of the test writes what is wrong."""
    return Path("server.log").open("a+b")


async def start() -> asyncio.subprocess.Process:
    """``merpati serve``, every role, in a process group of its own."""
    with log() as file:
        return await asyncio.create_subprocess_exec(
            sys.executable, "-c", "from esp.cli import main; main()", "serve", start_new_session=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=asyncio.subprocess.DEVNULL, stderr=file,
        )


def workers_of(pid: int) -> list[int]:
    """The sending processes of the server ``pid`` that live now."""
    children = map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
    return [child for child in children if b"worker_main" in Path(f"/proc/{child}/cmdline").read_bytes()]


async def kill(kind: str, server: asyncio.subprocess.Process, dice: random.Random) -> asyncio.subprocess.Process:
    """Kill what ``kind`` says; the server that runs afterwards."""
    if kind == "worker":
        for pid in dice.sample(workers_of(server.pid), 1):
            os.kill(pid, signal.SIGKILL)
        return server
    if kind == "server":
        os.killpg(server.pid, signal.SIGKILL)
    else:
        os.kill(server.pid, signal.SIGKILL)  # the parent alone: its children see it gone, and drain
    await server.wait()
    return await start()


async def send_through(kinds: list[str], broadcast: Broadcast, receiver: Receiver, database: Database) -> Killed:
    """Run the server until the campaign is sent; ``kinds`` are killed on the way, at random moments."""
    killed, dice = Killed(), random.Random(len(broadcast.addresses))
    expected = sum(not unknown(address) for address in broadcast.addresses)
    moments = sorted(dice.uniform(0.01, 0.97) for _ in kinds)
    server = await start()
    try:
        for kind, moment in zip(kinds, moments, strict=True):
            await receiver.wait_for(int(moment * expected))
            await asyncio.sleep(dice.random() / 20)  # any moment, not only just after a dot
            killed.log.append((kind, len(receiver.messages), receiver.open))
            server = await kill(kind, server, dice)
        await until_sent(database, broadcast.campaign_id)
        server.terminate()
        assert await server.wait() == 0
    finally:
        with suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGKILL)
        await server.wait()
    return killed


async def until_sent(database: Database, campaign_id: int) -> None:
    while True:
        async with database.read() as connection:
            state = (await connection.execute(select(campaigns.c.state).where(campaigns.c.id == campaign_id))).scalar()
        if state == "sent":
            return
        await asyncio.sleep(0.2)  # it happens in another process


async def account_for_everybody(
    database: Database, broadcast: Broadcast, receiver: Receiver, killed: Killed
) -> dict[str, Any]:
    """Compare the file, the receiver and the rows; figures for a person to read."""
    campaign = broadcast.campaign_id
    async with database.read() as connection:
        rows = (await connection.execute(select(deliveries).where(deliveries.c.campaign_id == campaign))).all()
        delivered = (await connection.execute(
            select(events.c.delivery_id).where(events.c.campaign_id == campaign, events.c.type == "delivered")
        )).scalars().all()
    dead = {address for address in broadcast.addresses if unknown(address)}
    marked = {row.address for row in rows if row.maybe_duplicate}
    twice = {address for address, copies in receiver.taken.items() if copies > 1}
    figures = {
        "audience": len(broadcast.addresses), "states": dict(Counter(row.state for row in rows)),
        "received": receiver.taken.total(), "people reached": len(receiver.taken), "received twice": len(twice),
        "marked": len(marked), "in flight at kills": killed.in_flight, "kills": killed.log,
    }
    print(json.dumps(figures))
    assert sorted(row.address for row in rows) == sorted(broadcast.addresses)  # everybody has a row, and one only
    assert {row.address for row in rows if row.state == "bounced"} == dead
    assert {row.address for row in rows if row.state == "delivered"} == broadcast.addresses - dead
    assert set(receiver.taken) == broadcast.addresses - dead
    assert twice <= marked
    assert len(marked) <= killed.in_flight
    assert max(receiver.taken.values()) <= 1 + len(killed.log)
    assert all(len(ids) == 1 for ids in receiver.message_ids.values())  # a second copy can be known as one
    assert sorted(delivered) == sorted(row.id for row in rows if row.state == "delivered")  # one fact each
    assert await states(database, campaign) == {"delivered": len(broadcast.addresses - dead), "bounced": len(dead)}
    counted = await totals(database, campaign)
    assert (counted["delivered"], counted["bounced"]) == (len(broadcast.addresses - dead), len(dead))
    return figures


async def _survives(kinds: list[str], broadcast: Broadcast, database_url: str) -> None:
    began = time.monotonic()
    database = Database(database_url)
    # A receiver that takes its time before it answers the dot, so that every kill finds messages in that window.
    async with receiving(
        Receiver(on_rcpt=answer, delay=0.01, records=broadcast.records), port=broadcast.port
    ) as receiver:
        try:
            killed = await send_through(kinds, broadcast, receiver, database)
            await account_for_everybody(database, broadcast, receiver, killed)
            with log() as file:
                file.seek(0)
                said = file.read().decode()
            assert "Traceback" not in said, said  # a worker that finds its parent dead drains without a complaint
            print(f"sent and counted in {time.monotonic() - began:.0f} s")
        finally:
            await database.close()
    print(f"verified {len(receiver.messages)} messages; {time.monotonic() - began:.0f} s in all")


@pytest.mark.timeout(600)  # starts Python processes, which takes seconds each on a busy machine
async def test_a_killed_server_goes_on_where_it_was(broadcast: Broadcast, database_url: str) -> None:
    await _survives(list(KINDS), broadcast, database_url)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("count", [20_000], indirect=True)
@pytest.mark.parametrize("kinds", [["server"] * 6, ["worker"] * 6, [*KINDS, *KINDS]], ids=["server", "worker", "mixed"])
async def test_twenty_thousand_people_survive_a_crash_again_and_again(
    kinds: list[str], broadcast: Broadcast, database_url: str
) -> None:
    await _survives(kinds, broadcast, database_url)
