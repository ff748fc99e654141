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
from esp.flows.erasure import erased_among
from esp.flows.outcomes import outcome_of, refused_outcome, unrenderable_outcome
from esp.flows.pacing import Gate
from esp.flows.recording import RECORD_AT, Recorder
from esp.model.attempt import Attempt, Failure
from esp.model.contact import ExclusionReason
from esp.ports.outbox import ClaimedBatch, OutboxRow, Postponed
from esp.verdict.judge import judge_attempt

PATIENCE: Final = 2.0  # seconds a batch waits for a provider that wants to be left alone; beyond that it is given back
_AFTER_FAILURE: Final = 15.0  # seconds until a batch is tried again that failed through a fault of ours
_ERASED: Final = ExclusionReason.ERASED.value
_CHECK_EVERY: Final = 1.0  # seconds after which suppressions are looked up again (I3)

log = structlog.get_logger()


class BatchRun:
    """One claimed batch on its way. ``lease_ends`` is monotonic seconds; whoever renews the lease moves it."""

    def __init__(self, engine: Engine, batch: ClaimedBatch, lease_ends: float) -> None:
        self.batch = batch
        self.halted = False
        self.recorder = Recorder(engine, batch, lease_ends, self.halt)
        self._engine, self._app, self._clock = engine, engine.app, engine.app.clock
        self._refused: dict[int, str] = {}
        self._erased: dict[int, str] = {}
        self._checked = 0.0
        self._waiting: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Load, send, record. What is not sent stays in the database, ready for whoever claims the batch next."""
        recording = asyncio.create_task(self.recorder.write_regularly())
        ready_in = _AFTER_FAILURE
        try:
            rows = await self._load()
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
        self.halted = True
        for task in self._waiting:
            task.cancel()

    async def _load(self) -> Sequence[OutboxRow]:
        self._checked = self._clock.monotonic()
        load = self._app.store.outbox.load(self.batch, self._clock.now())
        rows = await self._engine.stopwatch.timed("load", load)
        self._refused = {row.delivery_id: row.refused for row in rows if row.refused}
        # However an address came back into the house, whoever had it erased is not written to again.
        gone = await erased_among(self._app, self.batch.workspace_id, [row.email_key for row in rows])
        self._erased = {row.delivery_id: _ERASED for row in rows if row.email_key in gone}
        return rows

    async def _send_all(self, queue: deque[OutboxRow], gate: Gate, prepared: PreparedPlan) -> None:
        while queue and not self.halted:
            row = queue.popleft()
            if not await self._turn(row, gate, prepared):
                if not self.halted:
                    due_at = self._clock.now() + timedelta(seconds=gate.closed_for)
                    self.recorder.postpone(Postponed(row, due_at))
                continue
            try:
                reason = await self._refusal(row)
            except BaseException:
                gate.abandon()  # or every time the database is away would cost the provider some of its places
                raise
            if reason:
                gate.abandon()
                self.recorder.add(refused_outcome(row, reason, self._clock.now()))
            else:
                await self._send(row, gate, prepared)
            await self.recorder.write(at_least=RECORD_AT)

    async def _turn(self, row: OutboxRow, gate: Gate, prepared: PreparedPlan) -> bool:
        """Wait for every rate and for a place at the provider; False where this message is not to go now."""
        task = asyncio.current_task()
        assert task is not None
        self._waiting.add(task)
        try:
            if gate.closed_for <= PATIENCE:
                for meter in self._engine.meters(prepared.plan, row.provider):
                    await meter.token()
            entered = await gate.enter(PATIENCE)
        except asyncio.CancelledError:
            if not self.halted or task.uncancel():
                raise
            return False
        finally:
            self._waiting.discard(task)
        if entered and self.halted:
            gate.abandon()
        return entered and not self.halted

    async def _refusal(self, row: OutboxRow) -> str:
        """Why this person must not get it, as it is now; what was looked up with the batch grows old with it."""
        if self._clock.monotonic() - self._checked > _CHECK_EVERY:
            self._checked = self._clock.monotonic()
            self._refused = await self._app.store.outbox.refused(self.batch, self._clock.now())
        return self._refused.get(row.delivery_id, "") or self._erased.get(row.delivery_id, "")

    async def _send(self, row: OutboxRow, gate: Gate, prepared: PreparedPlan) -> None:
        try:
            attempt = await self._engine.stopwatch.timed("send", self._attempt(row, gate, prepared))
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
