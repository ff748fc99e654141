"""A database that is away for a moment costs neither outcomes, nor places at a provider, nor leases."""

import asyncio
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from esp import wiring
from esp.adapters.sql.database import Database
from esp.adapters.sql.outbox import SqlOutbox
from esp.deliver.service import Sending
from esp.errors import LeaseLostError
from esp.flows import engine as engine_module
from esp.flows import outbound, refusals
from esp.flows.connections import Connected, Connections
from esp.flows.recording import Recorder
from esp.model.delivery import EventType
from esp.ports.clock import SystemClock
from esp.ports.outbox import Outcome
from tests.receiver import Receiver, receiving
from tests.sending import seed, states
from tests.sending_app import HostsFile, app_for, settings_for, until_closed, working

PEOPLE = [f"p{number}@a.example" for number in range(40)]


def away(_: Any) -> OperationalError:
    return OperationalError("SELECT", {}, ConnectionRefusedError())


async def test_a_look_that_fails_costs_the_provider_no_place(
    sqlite_database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sending = await seed(sqlite_database, PEOPLE)
    monkeypatch.setattr(refusals, "_CHECK_EVERY", -1.0)
    monkeypatch.setattr(outbound, "_AFTER_FAILURE", 0.1)
    look, failures = SqlOutbox.refused, [True] * 12

    async def failing(self: SqlOutbox, *arguments: Any) -> dict[int, str]:
        if failures and failures.pop():
            raise away(self)
        return await look(self, *arguments)

    monkeypatch.setattr(SqlOutbox, "refused", failing)
    async with receiving(Receiver()) as receiver:
        settings = settings_for(f"sqlite:///{tmp_path / 'test.db'}", tmp_path, receiver)
        async with app_for(settings) as app, working(app) as worker:
            await until_closed(app, sending.campaign_id, sending.workspace_id)
            await worker.idle()
            assert worker._engine.gate("a.example").in_flight == 0
    assert not failures
    assert receiver.taken == dict.fromkeys(PEOPLE, 1)


async def test_what_is_known_is_written_when_the_database_is_back_after_the_lease_has_ended(
    sqlite_database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sending = await seed(sqlite_database, PEOPLE[:1])
    record, failures = SqlOutbox.record, [True, True]

    async def failing(self: SqlOutbox, *arguments: Any, **more: Any) -> None:
        if failures and failures.pop():
            raise away(self)
        await record(self, *arguments, **more)

    monkeypatch.setattr(SqlOutbox, "record", failing)
    async with app_for(settings_for(f"sqlite:///{tmp_path / 'test.db'}", tmp_path, Receiver(port=9))) as app:
        engine = wiring.build_engine(app)
        batch = await app.store.outbox.claim(engine.journal.owner, 60, app.clock.now())
        assert batch is not None
        (row,) = await app.store.outbox.load(batch, app.clock.now())
        recorder = Recorder(engine, batch, app.clock.monotonic() + 60, lambda: None)
        recorder.before_dot(row)
        recorder.add(Outcome(row, EventType.DELIVERED, app.clock.now(), code=250))
        recorder.lease_ends = app.clock.monotonic()
        await recorder.finish()
        await engine.close()
        engine.journal.close()
    assert await states(sqlite_database, sending.campaign_id) == {"delivered": 1}


async def test_no_dot_goes_out_after_the_lease_has_ended(sqlite_database: Database, tmp_path: Path) -> None:
    await seed(sqlite_database, PEOPLE[:1])
    async with app_for(settings_for(f"sqlite:///{tmp_path / 'test.db'}", tmp_path, Receiver(port=9))) as app:
        engine = wiring.build_engine(app)
        batch = await app.store.outbox.claim(engine.journal.owner, 60, app.clock.now())
        assert batch is not None
        (row,) = await app.store.outbox.load(batch, app.clock.now())
        recorder = Recorder(engine, batch, app.clock.monotonic(), lambda: None)
        with pytest.raises(LeaseLostError):
            recorder.before_dot(row)
        await recorder.finish()
        await engine.close()
        engine.journal.close()
    assert (await states(sqlite_database, batch.campaign_id)) == {"queued": 1}, "and nothing is in doubt"


@dataclass
class Mute:
    """A session with a server that does not answer QUIT before it is told to."""

    answers: asyncio.Event
    usable: bool = True
    sent: int = 1
    closed: list[int] = field(default_factory=list)

    async def close(self) -> None:
        await self.answers.wait()
        self.closed.append(1)


async def test_servers_that_do_not_answer_quit_hold_up_no_lease() -> None:
    @dataclass
    class Clock(SystemClock):
        passed: float = 0.0

        def monotonic(self) -> float:
            return self.passed

    clock, answers = Clock(), asyncio.Event()
    connections = Connections(None, HostsFile({}), Sending("here.example"), None, clock)  # type: ignore[arg-type]
    sessions = [Mute(answers) for _ in range(3)]
    for number, session in enumerate(sessions):
        await connections.give_back(Connected(session, ("192.0.2.1", number), False), 100)  # type: ignore[arg-type]
    clock.passed = 60.0
    connections.sweep()  # nothing to wait for: who looks after leases goes on
    answers.set()
    await connections.close()
    assert [session.closed for session in sessions] == [[1]] * 3


async def test_providers_that_nobody_sends_to_are_forgotten_and_closed_ones_are_not(
    sqlite_database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_module, "_MOST_GATES", 100)
    settings = settings_for(f"sqlite:///{tmp_path / 'test.db'}", tmp_path, Receiver(port=9), smart_host="")
    async with app_for(settings) as app:
        engine = wiring.build_engine(app)
        busy, closed = engine.gate("busy.example"), engine.gate("closed.example")
        assert await busy.enter(1.0)
        closed.pace.resume_at = app.clock.monotonic() + 600
        for number in range(5_000):
            engine.gate(f"d{number}.example")
        assert len(engine._gates) <= 101
        assert engine.gate("busy.example") is busy
        assert engine.closed_providers(2.0) == {"closed.example"}
        busy.abandon()
        await engine.close()
        engine.journal.close()
