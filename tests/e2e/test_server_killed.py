"""kill -9 of the whole server, parent and sending processes, in the middle of a broadcast, and its restart."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest
from sqlalchemy import select

from esp.adapters.sql.database import Database
from esp.adapters.sql.schema import deliveries
from tests.receiver import Receiver, receiving
from tests.sending import seed
from tests.sending_app import app_for, settings_for, until_closed

COUNT = 1000


async def start(config: Path) -> asyncio.subprocess.Process:
    """``merpati serve --role worker`` in a process group of its own."""
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "esp", "serve", "--role", "worker", "--config", str(config),
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL, start_new_session=True,
        cwd=Path(__file__).parents[2],
    )


@pytest.mark.timeout(300)  # starts Python processes, which takes seconds each on a busy machine
async def test_a_killed_server_goes_on_where_it_was(database: Database, database_url: str, tmp_path: Path) -> None:
    addresses = [f"p{number:04}@a.example" for number in range(COUNT)]
    sending = await seed(database, addresses, batch_size=100)
    async with receiving(Receiver(delay=0.01)) as receiver:
        settings = settings_for(database_url, tmp_path, receiver)
        config = tmp_path / "merpati.toml"
        config.write_text(
            f'[server]\ndata_dir = "{tmp_path / "data"}"\nworkers = 2\n[database]\nurl = "{database_url}"\n'
            f'[delivery]\nsmart_host = "127.0.0.1:{receiver.port}"\nretry_delays = ["1s"]\nhello_name = "m.example"\n'
        )
        async with app_for(settings) as app:
            process = await start(config)
            await receiver.wait_for(COUNT // 3)
            os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
            process = await start(config)
            await receiver.wait_for(COUNT * 2 // 3)
            os.kill(process.pid, signal.SIGKILL)  # the parent alone: its children see it gone, and drain
            await process.wait()
            process = await start(config)
            found = await until_closed(app, sending.campaign_id, sending.workspace_id)
            process.terminate()
            assert await process.wait() == 0
    assert found == {"delivered": COUNT}
    assert set(receiver.taken) == set(addresses)
    async with database.read() as connection:
        marked = set((await connection.execute(
            select(deliveries.c.address).where(deliveries.c.maybe_duplicate.is_(True)))).scalars())
    assert {address for address, copies in receiver.taken.items() if copies > 1} <= marked
    assert len(marked) <= 20  # what two processes had on the wire
