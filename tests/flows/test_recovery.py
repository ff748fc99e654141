"""After a worker's death: answers become outcomes, dots become doubts, the rest goes on; guarded by the fence."""

import asyncio
import os
from datetime import timedelta
from pathlib import Path

import orjson
import pytest
from sqlalchemy import select, update

from esp import wiring
from esp.adapters.journal import FileJournal
from esp.adapters.sql.database import Database
from esp.adapters.sql.schema import batches, deliveries
from esp.app import App
from esp.entry import worker
from esp.entry.worker import Worker
from esp.flows.recovery import recover
from esp.model.delivery import EventType
from esp.ports.outbox import ClaimedBatch, Outcome
from tests.receiver import Receiver
from tests.sending import event_types, seed, states
from tests.sending_app import app_for, settings_for

PEOPLE = [f"p{number}@a.example" for number in range(5)]


async def die_in_the_middle(app: App) -> tuple[FileJournal, ClaimedBatch]:
    """A worker with five deliveries: one answered, one with its dot out, three untouched; killed."""
    journal, batch = await work(app)
    die(journal)
    return journal, batch


def die(journal: FileJournal) -> None:
    journal._map.close()
    os.close(journal._lock)


async def work(app: App) -> tuple[FileJournal, ClaimedBatch]:
    """The same, still alive."""
    journal = FileJournal.open(app.settings.server.data_dir / "outcomes", "node")
    batch = await app.store.outbox.claim(journal.owner, 60, app.clock.now())
    assert batch is not None
    rows = await app.store.outbox.load(batch, app.clock.now())
    journal.dot(batch, rows[0].delivery_id)
    journal.answered(batch, Outcome(rows[0], EventType.DELIVERED, app.clock.now(), code=250))
    journal.dot(batch, rows[1].delivery_id)
    return journal, batch


async def test_what_the_dead_worker_knew_is_recorded(database: Database, database_url: str, tmp_path: Path) -> None:
    sending = await seed(database, PEOPLE)
    async with app_for(settings_for(database_url, tmp_path, Receiver(port=9))) as app:
        await die_in_the_middle(app)
        engine = wiring.build_engine(app)
        assert await recover(app, engine.journal) == 2
        assert await recover(app, engine.journal) == 0
        engine.journal.close()
        await engine.close()
    assert await states(database, sending.campaign_id) == {"delivered": 1, "deferred": 1, "queued": 3}
    assert await event_types(database, sending.deliveries[0]) == ["delivered"]
    async with database.read() as connection:
        rows = (await connection.execute(select(deliveries).order_by(deliveries.c.id))).all()
        batch = (await connection.execute(select(batches).order_by(batches.c.id))).first()
    assert [row.maybe_duplicate for row in rows] == [False, True, False, False, False]
    assert rows[1].reason == "ambiguous"
    assert batch is not None
    assert (batch.state, batch.owner) == ("ready", "")  # at once, and not only when the lease has run out


async def test_after_a_power_cut_everything_the_worker_held_is_doubtful(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    await seed(database, PEOPLE)
    async with app_for(settings_for(database_url, tmp_path, Receiver(port=9))) as app:
        journal, _ = await die_in_the_middle(app)
        path = next((app.settings.server.data_dir / "outcomes").glob("*.journal"))
        path.write_bytes(orjson.dumps({"owner": journal.owner, "boot": "before the power cut"}) + b"\n")
        engine = wiring.build_engine(app)
        await recover(app, engine.journal)
        engine.journal.close()
        await engine.close()
    async with database.read() as connection:
        rows = (await connection.execute(select(deliveries))).all()
    assert all(row.maybe_duplicate for row in rows)


async def test_a_batch_that_somebody_took_over_meanwhile_is_theirs(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    sending = await seed(database, PEOPLE)
    async with app_for(settings_for(database_url, tmp_path, Receiver(port=9))) as app:
        await die_in_the_middle(app)
        async with database.write() as connection:
            await connection.execute(update(batches).values(owner="another node", fence=batches.c.fence + 1))
        engine = wiring.build_engine(app)
        assert await recover(app, engine.journal) == 0
        engine.journal.close()
        await engine.close()
    assert await states(database, sending.campaign_id) == {"queued": 5}


async def test_nobody_claims_before_another_has_cleared_up(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    """A server that was away for longer than a lease comes back with several workers: one reads the notes first."""
    await seed(database, PEOPLE)
    async with app_for(settings_for(database_url, tmp_path, Receiver(port=9))) as app:
        await die_in_the_middle(app)
        async with database.write() as connection:
            await connection.execute(update(batches).values(lease_until=app.clock.now() - timedelta(seconds=1)))
        heir = FileJournal.open(app.settings.server.data_dir / "outcomes", "node")
        (found,) = heir.dead() or ()
        engine = wiring.build_engine(app)
        stop = asyncio.Event()
        other = asyncio.create_task(Worker(engine).run(stop))
        await asyncio.sleep(0.5)  # long enough to claim, if it did
        async with database.read() as connection:
            assert (await connection.execute(select(batches.c.owner))).scalars().all() == [found.owner]
        stop.set()
        heir.bury(found)
        await other
        heir.close()
        engine.journal.close()
        await engine.close()


async def test_a_living_worker_clears_up_after_one_beside_it(
    database: Database, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "_CLEAR_UP_EVERY", 0.05)
    sending = await seed(database, PEOPLE)
    async with app_for(settings_for(database_url, tmp_path, Receiver(port=9))) as app:
        engine = wiring.build_engine(app)
        stop = asyncio.Event()
        journal, _ = await work(app)
        living = asyncio.create_task(Worker(engine).run(stop))
        await asyncio.sleep(0.2)  # its first look finds nobody dead
        die(journal)
        async with asyncio.timeout(60):
            while (await states(database, sending.campaign_id)).get("delivered") != 1:
                await app.coordination.wait("outbox", 0.2)
        stop.set()
        await living
        engine.journal.close()
        await engine.close()
