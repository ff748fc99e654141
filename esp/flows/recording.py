"""Outcomes of one batch on their way into the database: gathered, written in bulk, guarded by the lease."""

import asyncio
import contextlib
import random
from collections.abc import Callable
from typing import Final

import structlog

from esp.errors import LeaseLostError
from esp.flows.engine import Engine
from esp.flows.outcomes import doubtful_outcome
from esp.ports.outbox import ClaimedBatch, OutboxRow, Outcome, Postponed

RECORD_EVERY: Final = 0.5  # seconds
RECORD_AT: Final = 500  # outcomes

log = structlog.get_logger()


class Recorder:
    """The outcomes of ``batch``. ``lease_ends`` is monotonic; ``lost`` is called when the batch is no more ours."""

    def __init__(self, engine: Engine, batch: ClaimedBatch, lease_ends: float, lost: Callable[[], None]) -> None:
        self.lease_ends = lease_ends
        self._engine, self._batch, self._lost = engine, batch, lost
        self._clock, self._outbox = engine.app.clock, engine.app.store.outbox
        self._outcomes: list[Outcome] = []
        self._postponed: list[Postponed] = []
        self._doubtful: dict[int, OutboxRow] = {}
        self._writing = asyncio.Lock()
        self._over = asyncio.Event()

    def before_dot(self, row: OutboxRow) -> None:
        """The last moment to find out that somebody else may have the batch; then the doubt begins, and is noted."""
        if self._clock.monotonic() >= self.lease_ends:
            raise LeaseLostError(f"The lease on batch {self._batch.id} ran out before the message was sent.")
        self._engine.journal.dot(self._batch, row.delivery_id)
        self._doubtful[row.delivery_id] = row

    def add(self, outcome: Outcome) -> None:
        """One more outcome; noted in the journal where the message had gone as far as the dot."""
        if self._doubtful.pop(outcome.row.delivery_id, None) is not None:
            self._engine.journal.answered(self._batch, outcome)
        self._outcomes.append(outcome)

    def postpone(self, postponed: Postponed) -> None:
        """A delivery that is to be tried later, without having been tried now."""
        self._postponed.append(postponed)

    @property
    def full(self) -> bool:
        """So much is known that nobody should send more before it is written."""
        return len(self._outcomes) >= RECORD_AT

    async def write(self, finished: bool = False, ready_in: float = 0.0) -> None:
        """Write what is known in one transaction; where the batch is not ours any more nothing is written."""
        if not (self._outcomes or self._postponed or finished):
            return
        async with self._writing:
            outcomes, self._outcomes = self._outcomes, []
            postponed, self._postponed = self._postponed, []
            record = self._outbox.record(
                self._batch, outcomes, self._clock.now(), postponed=postponed, finished=finished, ready_in=ready_in
            )
            try:
                await self._engine.stopwatch.timed("record", record)
            except LeaseLostError as lost:
                log.warning("batch lost", batch=self._batch.id, campaign=self._batch.campaign_id, problem=str(lost))
                self._lost()
            except BaseException:
                self._outcomes, self._postponed = outcomes + self._outcomes, postponed + self._postponed
                raise
            self._engine.journal.settled(outcome.row.delivery_id for outcome in outcomes)

    async def write_regularly(self) -> None:
        """Until ``finish``: nothing that is known stays unwritten for long, however slowly the batch goes."""
        while not self._over.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(RECORD_EVERY):
                    await self._over.wait()
            try:
                await self.write()
            except Exception as problem:
                log.error("outcomes not recorded yet", batch=self._batch.id, exc_info=problem)

    async def finish(self, ready_in: float = 0.0) -> None:
        """Write the rest and end the lease; what is still open may be claimed again after ``ready_in`` seconds.

        While the database is away this waits, also past the end of the lease: nobody else can have taken the batch
        where nobody can write, and where somebody did, ``write`` finds that out. What is unwritten when this process is
        ended stays in the journal, from which the next start takes it.
        """
        self._over.set()
        now, settings = self._clock.now(), self._engine.app.settings.delivery
        for row in list(self._doubtful.values()):  # we were stopped between the dot and its answer
            self.add(doubtful_outcome(row, now, settings, random.random()))  # noqa: S311 - spreads, guards nothing
        while True:
            try:
                return await self.write(finished=True, ready_in=ready_in)
            except Exception as problem:
                log.error("batch not finished yet", batch=self._batch.id, exc_info=problem)
                await asyncio.sleep(1.0)
