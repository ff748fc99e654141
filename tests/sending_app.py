"""The engine on a database of a test's own, sending to a receiver of a test's own as its smart host."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from esp import wiring
from esp.app import App
from esp.entry.worker import Worker
from esp.ports.network import DnsError, MxHost
from esp.settings import Settings, load
from tests.receiver import Receiver


def settings_for(database_url: str, folder: Path, receiver: Receiver, **delivery: Any) -> Settings:
    """Settings that send everything to ``receiver``, and try again soon."""
    return load(
        server={"data_dir": str(folder / "data")}, database={"url": database_url},
        redis={"url": delivery.pop("redis_url", "")},
        delivery={"smart_host": f"127.0.0.1:{receiver.port}", "hello_name": "merpati.example",
                  "retry_delays": ["1s", "2s"], **delivery},
    )


@dataclass
class HostsFile:
    """A resolver that knows each domain's one address."""

    addresses_of: dict[str, str]

    async def mx(self, domain: str) -> tuple[MxHost, ...]:
        if domain not in self.addresses_of:
            raise DnsError(f"{domain} does not exist", permanent=True)
        return (MxHost(10, domain),)

    async def addresses(self, host: str) -> tuple[str, ...]:
        return (self.addresses_of[host],)

    async def txt(self, name: str) -> tuple[str, ...]:
        return ()

    async def cname(self, name: str) -> str | None:
        return None

    async def close(self) -> None:
        return None


@asynccontextmanager
async def app_for(settings: Settings) -> AsyncIterator[App]:
    """A migrated application."""
    app = await wiring.build(settings)
    try:
        yield app
    finally:
        await app.close()


@asynccontextmanager
async def working(app: App, workers: int = 1) -> AsyncIterator[Worker]:
    """A worker in this process for as long as the block lasts; drained at its end."""
    stop = asyncio.Event()
    engine = wiring.build_engine(app, workers)
    worker = Worker(engine)
    task = asyncio.create_task(worker.run(stop))
    try:
        yield worker
    finally:
        stop.set()
        with suppress(asyncio.CancelledError):
            await task
        await engine.close()
        engine.journal.close()


async def until_closed(app: App, campaign_id: int, workspace_id: int) -> dict[str, int]:
    """Wait until no delivery of the campaign is open; its deliveries by state."""
    while True:
        states = await app.store.campaigns.states(workspace_id, campaign_id)
        if not states.get("queued") and not states.get("deferred"):
            return states
        await asyncio.sleep(0.05)
