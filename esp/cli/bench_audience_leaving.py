"""How soon nobody is mailed any more who pressed "unsubscribe": for ``merpati bench audience``, amid a campaign.

Everything is the ordinary road: the walk, a worker that sends to a receiver of ours at a bounded rate, the door that
takes the one-click POST of RFC 8058. Those who leave are in a batch that the worker holds already, which is the hardest
place: whoever is not yet claimed is looked up when their batch is.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

from aiohttp import ClientSession, web

from esp import wiring
from esp.app import App
from esp.entry.scheduler import Job
from esp.entry.scheduler import run as run_jobs
from esp.entry.worker import Worker
from esp.errors import InputError, MerpatiError
from esp.flows.campaigns import act, create
from esp.flows.refusals import Refusals
from esp.flows.walk import walk_some
from esp.model.campaign import CampaignAction
from esp.ports.campaigns import CampaignEdit, VariantEdit
from esp.ports.outbox import ClaimedBatch, OutboxRow
from esp.settings import Settings
from esp.wire.tokens import Purpose
from tracking import jobs as tracking_jobs
from tracking.edge.door import build_edge

_PEOPLE: Final = 5
_TRIES: Final = 5
_RATE: Final = "20/s"  # so slow that a batch of the usual size is under way for ten seconds
_PATIENCE: Final = 30.0
_FORM: Final = {"Content-Type": "application/x-www-form-urlencoded"}


@dataclass
class _Receiver:
    """A mail server that takes everything; for each address the moment at which it was named."""

    named: dict[str, float] = field(default_factory=dict)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answers = {b"EHLO": b"250-sink.example\r\n250 PIPELINING", b"DATA": b"354 Go on", b"QUIT": b"221 Bye"}
        try:
            writer.write(b"220 sink.example ESMTP\r\n")
            while line := await reader.readline():
                word = line[:4].upper()
                if word == b"RCPT":
                    self.named[line.partition(b"<")[2].partition(b">")[0].decode()] = time.monotonic()
                writer.write(answers.get(word, b"250 2.0.0 Fine") + b"\r\n")
                if word == b"DATA":
                    await reader.readuntil(b"\r\n.\r\n")
                    writer.write(b"250 2.0.0 Kept\r\n")
                if word == b"QUIT":
                    break
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


async def start_patiently(app: App, workspace_id: int, campaign_id: int) -> None:
    """Start a campaign, on a machine so busy that its content may not be made within the time there is for it."""
    for _ in range(_TRIES):
        try:
            await act(app, workspace_id, campaign_id, CampaignAction.START)
            return
        except InputError:
            await asyncio.sleep(1.0)
    await act(app, workspace_id, campaign_id, CampaignAction.START)


async def measure_leaving(app: App, settings: Settings, workspace_id: int, list_id: int) -> float:
    """Seconds from the POST until the worker would not send to that person any more: the slowest of some.

    Raises MerpatiError where somebody is mailed after that moment.
    """
    receiver = _Receiver()
    server = await asyncio.start_server(receiver.serve, "127.0.0.1", 0, limit=1 << 20)
    host = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    delivery = settings.delivery.model_copy(update={"smart_host": host, "audience_backlog": 20_000})
    sender = await wiring.build(settings.model_copy(update={"delivery": delivery}), migrate=False)
    domain = (await app.store.domains.all(workspace_id))[0]
    campaign = await create(app, workspace_id, CampaignEdit(
        name="Leaving", variants=(VariantEdit("Hello", "<p>Hello</p>"),), include_lists=(list_id,),
        domain_id=domain.id, from_name="Bench", from_address=f"news@{domain.name}", throttle=_RATE))
    try:
        async with _sending(sender) as owner, _door(sender) as browser:
            await start_patiently(sender, workspace_id, campaign.id)
            batch, people = await _held(sender, owner)
            taken: dict[str, tuple[float, float]] = {}
            for person in reversed(people):
                if len(taken) < _PEOPLE and person.address not in receiver.named:
                    taken[person.address] = await _leave(sender, browser, receiver, batch, person)
            await act(sender, workspace_id, campaign.id, CampaignAction.PAUSE)
    finally:
        await sender.close()
        server.close()
        await server.wait_closed()
    if not taken:
        raise MerpatiError("Everybody in the batch was written to before they could leave.")
    for address, (_, known) in taken.items():
        if receiver.named.get(address, 0.0) > known:
            raise MerpatiError(f"{address} was written to after the unsubscription held.")
    return round(max(seconds for seconds, _ in taken.values()), 3)


@asynccontextmanager
async def _sending(app: App) -> AsyncIterator[str]:
    """The walk, a worker and the fold of the door's journal in this process; yields the worker's name."""
    stop = asyncio.Event()
    engine = wiring.build_engine(app)
    try:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(Worker(engine).run(stop))
            tasks.create_task(run_jobs(app, [Job("walk", 0.5, walk_some, "walk")], stop))
            tasks.create_task(tracking_jobs.keep_folding(app, stop))  # what the door kept while the database was slow
            try:
                yield engine.journal.owner
            finally:
                stop.set()
    finally:
        await engine.close()
        engine.journal.close()


@asynccontextmanager
async def _door(app: App) -> AsyncIterator[ClientSession]:
    root = web.Application()
    build_edge(app).mount(root)
    runner = web.AppRunner(root, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    name, port = runner.addresses[0][:2]
    try:
        async with ClientSession(f"http://{name}:{port}") as browser:
            yield browser
    finally:
        await runner.cleanup()


async def _held(app: App, owner: str) -> tuple[ClaimedBatch, list[OutboxRow]]:
    """A batch that the worker is sending, with enough people who still wait in it."""
    ends = time.monotonic() + _PATIENCE
    while time.monotonic() < ends:
        for batch in await app.store.outbox.leased_to(owner):
            people = [row for row in await app.store.outbox.load(batch, app.clock.now()) if not row.refused]
            if len(people) > 2 * _PEOPLE:
                return batch, people
        await asyncio.sleep(0.05)
    raise MerpatiError("The worker took no batch.")


async def _leave(
    app: App, browser: ClientSession, receiver: _Receiver, batch: ClaimedBatch, person: OutboxRow,
) -> tuple[float, float]:
    """Seconds until a worker that asked a moment before the POST knows; and that moment."""
    refusals = Refusals(app, batch)
    await refusals.load()
    token = app.tokens.sign(Purpose.UNSUBSCRIBE, batch.workspace_id, batch.campaign_id, person.delivery_id)
    began = time.monotonic()
    async with browser.post(f"/u/{token}", data="List-Unsubscribe=One-Click", headers=_FORM) as answer:
        if answer.status != 200:
            raise MerpatiError(f"The one-click POST was answered {answer.status}.")
    while not await refusals.reason(person) and not await _settled(app, batch, person):
        if time.monotonic() - began > _PATIENCE:
            raise MerpatiError("The unsubscription did not take effect.")
        await asyncio.sleep(0.02)
    known = time.monotonic()
    if (written := receiver.named.get(person.address, 0.0)) > began:
        known = written  # the worker was faster
    return known - began, known


async def _settled(app: App, batch: ClaimedBatch, person: OutboxRow) -> bool:
    """The worker came to this person meanwhile: wrote to them, or not."""
    rows = await app.store.outbox.load(batch, app.clock.now())
    return person.delivery_id not in {row.delivery_id for row in rows}
