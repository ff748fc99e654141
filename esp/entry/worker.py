"""One sending process: claims batches, runs several at once, renews leases, heeds pauses, drains at the end."""

import asyncio
import contextlib
from collections import Counter
from typing import Final

import structlog

from esp.flows.engine import Engine
from esp.flows.outbound import BatchRun
from esp.flows.recovery import recover
from esp.flows.turns import PATIENCE
from esp.ports.outbox import ClaimedBatch

_MOST_BATCHES: Final = 64
# Of one campaign for one provider; the second is loaded while the first one's last messages are still on the wire.
# A campaign that is throttled holds its batches for long, so others get batches of their own for the same provider.
_BATCHES_A_PROVIDER: Final = 2
_BATCHES_A_CAMPAIGN: Final = 32
_WATCH_EVERY: Final = 0.5  # seconds between looks at what is paused or cancelled
_CLEAR_UP_EVERY: Final = 5.0
_LOOK_EVERY: Final = 1.0  # seconds between looks for work that no wake-up announced
_LEASE_MARGIN: Final = 0.9  # of the lease counts: the clocks of two machines differ, and a dot takes a moment

log = structlog.get_logger()


class Worker:
    """Runs batches until told to stop. One ``Engine``, one event loop, one process."""

    def __init__(self, engine: Engine) -> None:
        self._engine, self._app = engine, engine.app
        self._lease = self._app.settings.delivery.lease.total_seconds()
        self._runs: dict[asyncio.Task[None], BatchRun] = {}
        self._room = asyncio.Event()
        self.batches_done = 0

    async def idle(self) -> None:
        """Wait until no batch is under way."""
        while self._runs:
            await asyncio.wait(set(self._runs))

    async def run(self, stop: asyncio.Event) -> None:
        """Work until ``stop`` is set; then let what is on the wire end, record it, and give back the rest."""
        await recover(self._app, self._engine.journal)
        watch = asyncio.gather(self._watch(), self._clear_up())
        try:
            await self._claim_until(stop)
        finally:
            for run in self._runs.values():
                run.halt()
            if self._runs:
                await asyncio.wait(self._runs)
            watch.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watch

    async def _claim_until(self, stop: asyncio.Event) -> None:
        stopping = asyncio.create_task(stop.wait())
        try:
            while not stop.is_set():
                asked = self._app.clock.monotonic()
                batch = await self._claim()
                if batch is not None:
                    self._begin(batch, asked)
                    continue
                self._room.clear()
                wake = asyncio.create_task(self._app.coordination.wait("outbox", _LOOK_EVERY))
                room = asyncio.create_task(self._room.wait())
                await asyncio.wait((stopping, wake, room), return_when=asyncio.FIRST_COMPLETED)
                for task in (wake, room):
                    task.cancel()
                await asyncio.gather(wake, room, return_exceptions=True)
        finally:
            stopping.cancel()
            await asyncio.gather(stopping, return_exceptions=True)

    async def _claim(self) -> ClaimedBatch | None:
        """The next batch for which there is room, or None; a database that is away is no reason to end."""
        if len(self._runs) >= _MOST_BATCHES:
            return None
        held = [run.batch for run in self._runs.values()]
        pairs = Counter((batch.campaign_id, batch.provider) for batch in held)
        campaigns = Counter(batch.campaign_id for batch in held)
        closed = self._engine.closed_providers(PATIENCE)
        if self._app.settings.delivery.smart_host and closed:
            return None
        claim = self._app.store.outbox.claim(
            self._engine.journal.owner, self._lease, self._app.clock.now(), closed,
            [pair for pair, count in pairs.items() if count >= _BATCHES_A_PROVIDER],
            [campaign for campaign, count in campaigns.items() if count >= _BATCHES_A_CAMPAIGN],
        )
        try:
            return await self._engine.stopwatch.timed("claim", claim)
        except Exception as problem:
            log.error("no batch claimed", exc_info=problem)
            return None

    def _begin(self, batch: ClaimedBatch, asked: float) -> None:
        if batch.taken_from:
            log.warning("batch taken over", batch=batch.id, campaign=batch.campaign_id, taken_from=batch.taken_from)
        run = BatchRun(self._engine, batch, asked + self._lease * _LEASE_MARGIN)
        task = asyncio.create_task(run.run())
        self._runs[task] = run
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        run = self._runs.pop(task)
        self.batches_done += 1
        self._room.set()
        if not task.cancelled() and (problem := task.exception()) is not None:
            log.error("batch failed", batch=run.batch.id, campaign=run.batch.campaign_id, exc_info=problem)

    async def _watch(self) -> None:
        """Stop what is paused or cancelled within a second, renew leases, close idle sessions."""
        renewed = self._app.clock.monotonic()
        while True:
            await asyncio.sleep(_WATCH_EVERY)
            try:
                await self._heed_pauses()
                if self._app.clock.monotonic() - renewed >= self._lease / 3:
                    asked = self._app.clock.monotonic()
                    await self._renew(asked)
                    renewed = asked  # only now: one that failed is tried again in half a second, not in a third lease
                self._engine.connections.sweep()
            except Exception as problem:
                log.error("leases and pauses not looked after", exc_info=problem)

    async def _clear_up(self) -> None:
        """After workers beside us that died: before their successors have started, and before their leases end."""
        while True:
            await asyncio.sleep(_CLEAR_UP_EVERY)
            try:
                await recover(self._app, self._engine.journal, wait=False)
            except Exception as problem:
                log.error("dead workers not cleared up after", exc_info=problem)

    async def _heed_pauses(self) -> None:
        if not self._runs:
            return
        sending = await self._app.store.outbox.sending_campaigns()
        for run in self._runs.values():
            if run.batch.campaign_id not in sending:
                run.halt()

    async def _renew(self, asked: float) -> None:
        runs = list(self._runs.values())
        held = await self._app.store.outbox.renew([run.batch for run in runs], self._lease, self._app.clock.now())
        for run in runs:
            if run.batch.id in held:
                run.recorder.lease_ends = asked + self._lease * _LEASE_MARGIN
            else:
                run.halt()
