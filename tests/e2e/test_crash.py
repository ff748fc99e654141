"""kill -9 of sending processes in the middle of a broadcast: nobody is lost, second copies only where marked."""

import asyncio
import os
import signal
from pathlib import Path

import pytest
from sqlalchemy import select

from esp.adapters.sql.database import Database
from esp.adapters.sql.schema import deliveries, events
from esp.entry.workers import WorkerPool
from tests.receiver import Receiver, receiving
from tests.sending import seed, states, totals
from tests.sending_app import app_for, settings_for, until_closed

COUNT = 1000


@pytest.mark.timeout(300)  # starts Python processes, which takes seconds each on a busy machine
@pytest.mark.parametrize("kills", [3])
async def test_killed_workers_lose_nobody_and_hide_no_second_copy(
    database: Database, database_url: str, tmp_path: Path, kills: int
) -> None:
    addresses = [f"p{number:04}@a.example" for number in range(COUNT)]
    sending = await seed(database, addresses, batch_size=100)
    # A receiver that takes its time before it answers the dot, so that every kill finds messages in that window.
    async with receiving(Receiver(delay=0.01)) as receiver:
        settings = settings_for(database_url, tmp_path, receiver)
        async with app_for(settings) as app:
            stop, pool = asyncio.Event(), WorkerPool(app, 2)
            running = asyncio.create_task(pool.run(stop))
            for number in range(kills):
                await receiver.wait_for((number + 1) * COUNT // (kills + 2))
                os.kill(pool.pids[0], signal.SIGKILL)
            found = await until_closed(app, sending.campaign_id, sending.workspace_id)
            stop.set()
            await running
    assert found == {"delivered": COUNT}
    assert await totals(database, sending.campaign_id) | {"deferred": 0} == {"delivered": COUNT, "deferred": 0}
    assert set(receiver.taken) == set(addresses)
    async with database.read() as connection:
        marked = set((await connection.execute(
            select(deliveries.c.address).where(deliveries.c.maybe_duplicate.is_(True)))).scalars())
        delivered = list((await connection.execute(
            select(events.c.delivery_id).where(events.c.type == "delivered"))).scalars())
    assert sorted(delivered) == sorted(sending.deliveries)  # one fact each
    twice = {address for address, copies in receiver.taken.items() if copies > 1}
    assert twice <= marked
    assert max(receiver.taken.values()) <= 2
    # Only what was on the wire at a kill is in doubt, not the batches around it.
    assert 0 < len(marked) <= kills * 10
    assert all(len(ids) == 1 for ids in receiver.message_ids.values())


async def test_a_stopped_pool_drains_and_leaves_no_doubt(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    addresses = [f"p{number:04}@a.example" for number in range(600)]
    sending = await seed(database, addresses, batch_size=100)
    async with receiving(Receiver(delay=0.01)) as receiver:
        settings = settings_for(database_url, tmp_path, receiver)
        async with app_for(settings) as app:
            for count in (100, 600):
                stop, pool = asyncio.Event(), WorkerPool(app, 1)
                running = asyncio.create_task(pool.run(stop))
                await receiver.wait_for(count)
                stop.set()
                await running
                assert not list((settings.server.data_dir / "outcomes").glob("*.journal"))
    assert receiver.taken == dict.fromkeys(addresses, 1)
    assert await states(database, sending.campaign_id) == {"delivered": 600}
