"""The way of a message out: a batch is loaded; each waits its turn, is signed and sent; what became of it is recorded.

Read from the top: this is the page of code that tells the story of ARCHITECTURE.md, "The way of a message out".
"""

import asyncio
import random
from collections import defaultdict, deque
from collections.abc import Sequence
from datetime import timedelta
from typing import Final

import structlog

from esp.errors import LeaseLostError, MerpatiError
from esp.flows.engine import Engine, PreparedPlan
from esp.flows.outcomes import outcome_of, refused_outcome, unrenderable_outcome
from esp.flows.pacing import Gate
from esp.flows.recording import RECORD_AT, Recorder
from esp.flows.refusals import Refusals
from esp.flows.turns import Turns
from esp.model.attempt import Attempt, Failure
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
                reason = await self._refusals.reason(row)
            except BaseException:
                gate.abandon()  # or every time the database is away would cost the provider some of its places
                raise
            if reason:
                gate.abandon()
                self.recorder.add(refused_outcome(row, reason, self._clock.now()))
            else:
                await self._send(row, gate, prepared)
            await self.recorder.write(at_least=RECORD_AT)

    async def _send(self, row: OutboxRow, gate: Gate, prepared: PreparedPlan) -> None:
        try:
            attempt = await self._engine.stopwatch.timed("send", self._attempt(row, gate, prepared), sampled=True)
        except LeaseLostError:
            gate.abandon()
            return self.halt()
        except (MerpatiError, ValueError) as problem:
            gate.abandon()
            log.error("message not made", delivery=row.delivery_id, campaign=self.batch.campaign_id, exc_info=problem)
            return self.recorder.add(unrenderable_outcome(row, problem, self._clock.now()))
        except BaseException:
            gate.abandon()
            raise
        verdict = judge_attempt(attempt, smart_host=bool(self._app.settings.delivery.smart_host))
        gate.leave(verdict)
        jitter = random.random()  # noqa: S311 - spreads retries, guards nothing
        settings = self._app.settings.delivery
        self.recorder.add(
            outcome_of(row, attempt, verdict, self._clock.now(), settings, jitter, gate.shape.first_retry)
        )

    async def _attempt(self, row: OutboxRow, gate: Gate, prepared: PreparedPlan) -> Attempt:
        """One try, on a kept session where there is one; a kept one that was closed meanwhile costs no attempt."""
        for fresh in (False, True):
            connected = await self._engine.connections.open(row.domain, fresh)
            if isinstance(connected, Attempt):
                return connected
            try:
                # As late as possible: what waits for its turn is a row, and not 20 KB of signed text.
                message = self._engine.render(prepared, row, self._clock.now())
                attempt = await connected.session.send(message, lambda: self.recorder.before_dot(row))
            except BaseException:
                await connected.session.close()
                raise
            await self._engine.connections.give_back(connected, gate.shape.messages_per_connection)
            if not (connected.reused and attempt.failure is Failure.CLOSED and not attempt.dot_sent):
                break
        return attempt


def _by_provider(rows: Sequence[OutboxRow]) -> dict[str, deque[OutboxRow]]:
    queues: dict[str, deque[OutboxRow]] = defaultdict(deque)
    for row in rows:
        queues[row.provider].append(row)
    return queues
