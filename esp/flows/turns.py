"""Waiting for one's turn: every rate that counts, then a place at the provider; and giving up when told to halt."""

import asyncio
from typing import Final

from esp.flows.engine import Engine
from esp.flows.pacing import Gate
from esp.flows.plan import SendingPlan
from esp.ports.outbox import OutboxRow

PATIENCE: Final = 2.0  # seconds a batch waits for a provider that wants to be left alone; beyond that it is given back


class Turns:
    """The turns of one batch's messages, until it is ``halted``."""

    def __init__(self, engine: Engine) -> None:
        self.halted = False
        self._engine = engine
        self._waiting: set[asyncio.Task[None]] = set()

    def halt(self) -> None:
        """Give nobody a turn any more; those that wait for one give up."""
        self.halted = True
        for task in self._waiting:
            task.cancel()

    async def take(self, row: OutboxRow, gate: Gate, plan: SendingPlan) -> bool:
        """Wait for every rate and for a place at the provider; False where this message is not to go now."""
        task = asyncio.current_task()
        assert task is not None
        self._waiting.add(task)
        try:
            if gate.closed_for <= PATIENCE:
                for meter in self._engine.meters(plan, row.provider):
                    await meter.token()
            entered = await gate.enter(PATIENCE, first=bool(row.raw))  # single messages: somebody waits for them
        except asyncio.CancelledError:
            if not self.halted or task.uncancel():
                raise
            return False
        finally:
            self._waiting.discard(task)
        if entered and self.halted:
            gate.abandon()
        return entered and not self.halted

    def go_on(self, row: OutboxRow, gate: Gate, plan: SendingPlan, since: float) -> bool:
        """``take`` for whoever has had a place since ``since`` (monotonic): the same place again, without waiting."""
        if self.halted or not gate.stay(since):
            return False
        return all(meter.token_now() for meter in self._engine.meters(plan, row.provider))
