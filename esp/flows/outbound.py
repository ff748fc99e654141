"""The way of a message out: a batch is loaded; each waits its turn, is signed and sent; what became of it is recorded.

Read from the top: this is the page of code that tells the story of ARCHITECTURE.md, "The way of a message out".
"""

import asyncio
import random
from collections import defaultdict, deque
from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from typing import Final

import structlog

from esp.errors import LeaseLostError, MerpatiError
from esp.flows.connections import Berth
from esp.flows.engine import Engine, PreparedPlan
from esp.flows.outcomes import outcome_of, refused_outcome, unrenderable_outcome
from esp.flows.pacing import Gate
from esp.flows.recording import Recorder
from esp.flows.refusals import Refusals
from esp.flows.turns import Turns
from esp.model.attempt import Attempt
from esp.model.content import OutgoingMessage
from esp.ports.outbox import ClaimedBatch, OutboxRow, Postponed
from esp.verdict.judge import judge_attempt

_AFTER_FAILURE: Final = 15.0  # seconds until a batch is tried again that failed through a fault of ours

log = structlog.get_logger()


class BatchRun:
    """One claimed batch on its way. ``lease_ends`` is monotonic seconds; whoever renews the lease moves it."""

    def __init__(self, engine: Engine, batch: ClaimedBatch, lease_ends: float) -> None:
        self.batch = batch
        self._engine, self._app, self._clock = engine, engine.app, engine.app.clock
        self._refusals, self._turns = Refusals(engine.app, batch), Turns(engine)
        self.recorder = Recorder(engine, batch, lease_ends, self._turns.halt)

    async def run(self) -> None:
        """Load, send, record. What is not sent stays in the database, ready for whoever claims the batch next."""
        recording = asyncio.create_task(self.recorder.write_regularly())
        ready_in = _AFTER_FAILURE
        try:
            rows = await self._engine.stopwatch.timed("load", self._refusals.load())
            prepared = await self._engine.plan(self.batch)
            async with asyncio.TaskGroup() as senders:
                for provider, queue in _by_provider(rows).items():
                    gate = self._engine.gate(provider)
                    for _ in range(min(len(queue), gate.pace.maximum)):
                        senders.create_task(self._send_all(queue, gate, prepared))
            ready_in = 0.0
        finally:
            await self.recorder.finish(ready_in)
            await recording

    def halt(self) -> None:
        """Begin no further message. Those on the wire go on to their answer; those that wait for a turn give up."""
        self._turns.halt()

    async def _send_all(self, queue: deque[OutboxRow], gate: Gate, prepared: PreparedPlan) -> None:
        while queue and not self._turns.halted:
            row = queue.popleft()
            if not await self._turns.take(row, gate, prepared.plan):
                if not self._turns.halted:
                    due_at = self._clock.now() + timedelta(seconds=gate.closed_for)
                    self.recorder.postpone(Postponed(row, due_at))
                continue
            try:
                await self._stay(row, queue, gate, prepared)
            finally:
                gate.abandon()  # or every time the database is away would cost the provider some of its places
            if self.recorder.full:
                await self.recorder.write()

    async def _stay(self, row: OutboxRow, queue: deque[OutboxRow], gate: Gate, prepared: PreparedPlan) -> None:
        """Send ``row`` from a place at its provider, and from the same place those behind it that may follow."""
        since, announced = self._clock.monotonic(), False
        berth = Berth(self._engine.connections, gate.shape.messages_per_connection)
        try:
            if (failed := await berth.board(row.domain)) is not None:
                if not await self._refused(row):
                    self._ended(row, failed, gate)
                return
            message = await self._message(row, prepared)
            while True:
                if announced and (self._turns.halted or (self._refusals.aged and await self._refused(row))):
                    return  # its envelope was said, and nothing more of it will be
                upcoming = following = None
                room = queue and not self.recorder.full and berth.takes(row.domain, queue[0].domain)
                if room and self._turns.go_on(queue[0], gate, prepared.plan, since):
                    upcoming = queue.popleft()
                    following = await self._message(upcoming, prepared)
                if message is not None:
                    mark = partial(self.recorder.before_dot, row)
                    attempt = await self._engine.stopwatch.timed(
                        "send", berth.send(row.domain, message, mark, following), sampled=True
                    )
                    self._ended(row, attempt, gate)
                announced = message is not None and following is not None
                if upcoming is None:
                    return
                if not berth.afloat:
                    queue.appendleft(upcoming)
                    return
                row, message = upcoming, following
        except LeaseLostError:
            self.halt()
        finally:
            await berth.leave()

    async def _refused(self, row: OutboxRow) -> bool:
        """Whether nothing may be sent to this person any more; then that is what becomes of the delivery."""
        reason = await self._refusals.reason(row)
        if reason:
            self.recorder.add(refused_outcome(row, reason, self._clock.now()))
        return bool(reason)

    async def _message(self, row: OutboxRow, prepared: PreparedPlan) -> OutgoingMessage | None:
        """The signed message, or None for a person who must not get it or whose message cannot be made."""
        if await self._refused(row):
            return None
        try:
            # As late as possible: what waits for its turn is a row, and not 20 KB of signed text.
            return self._engine.render(prepared, row, self._clock.now())
        except (MerpatiError, ValueError) as problem:
            log.error("message not made", delivery=row.delivery_id, campaign=self.batch.campaign_id, exc_info=problem)
            self.recorder.add(unrenderable_outcome(row, problem, self._clock.now()))
            return None

    def _ended(self, row: OutboxRow, attempt: Attempt, gate: Gate) -> None:
        """The attempt becomes a verdict, from which the gate learns, and an outcome."""
        settings = self._app.settings.delivery
        verdict = judge_attempt(attempt, smart_host=bool(settings.smart_host))
        gate.learn(verdict)
        jitter = random.random()  # noqa: S311 - spreads retries, guards nothing
        self.recorder.add(
            outcome_of(row, attempt, verdict, self._clock.now(), settings, jitter, gate.shape.first_retry)
        )


def _by_provider(rows: Sequence[OutboxRow]) -> dict[str, deque[OutboxRow]]:
    queues: dict[str, deque[OutboxRow]] = defaultdict(deque)
    for row in rows:
        queues[row.provider].append(row)
    return queues
