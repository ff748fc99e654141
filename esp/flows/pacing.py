"""Waiting for a turn: a gate for each provider (connections, learnt pace) and meters (rates shared by processes)."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

from esp.model.quantities import Rate
from esp.model.verdict import Verdict
from esp.ports.coordination import Coordination
from esp.throttle.pace import Admit, Pace
from esp.throttle.shaping import Shape

SLICE: Final = 0.25  # seconds for which a place is kept while others wait for it
BLOCK: Final = 50  # tokens taken at once: a call of Redis for every message would cost a fifth of an RSA signature


class Gate:
    """Lets as many messages at once into one provider as its Pace allows, in the order of asking."""

    def __init__(self, shape: Shape, workers: int, monotonic: Callable[[], float]) -> None:
        self.shape = shape
        # The shape's bound is for the whole server; each process keeps its share, and one connection at the least.
        self.pace = Pace(maximum=max(1, shape.connections // max(1, workers)))
        self.in_flight = 0
        self._monotonic = monotonic
        self._waiting: deque[asyncio.Future[bool]] = deque()

    @property
    def closed_for(self) -> float:
        """Seconds for which the provider is left alone; 0 where it may be sent to."""
        return max(0.0, self.pace.resume_at - self._monotonic())

    @property
    def busy(self) -> bool:
        """Somebody is in, or waits for a place."""
        return self.in_flight > 0 or bool(self._waiting)

    async def enter(self, patience: float, first: bool = False) -> bool:
        """Wait for a place; False, without one, where the provider is left alone for longer than ``patience`` seconds.

        ``first``: before all others. Every ``enter`` that is True is followed by one ``leave`` or ``abandon``.
        """
        while self.closed_for <= patience:
            decision = self.pace.admit(self.in_flight, self._monotonic())
            if isinstance(decision, Admit):
                self.in_flight += 1
                return True
            # A future and one timer: nearly every message waits here, and asyncio.timeout costs thrice as much.
            loop = asyncio.get_running_loop()
            turn = loop.create_future()
            (self._waiting.appendleft if first else self._waiting.append)(turn)
            timer = loop.call_later(decision.seconds, _time_is_up, turn)
            called = False
            try:
                called = await turn
            finally:
                timer.cancel()
                if not called and turn in self._waiting:
                    self._waiting.remove(turn)
        return False

    def learn(self, verdict: Verdict) -> None:
        """A message has ended: learn from how. Its place is kept, for the next message or until ``abandon``."""
        self.pace.settle(verdict, self._monotonic())
        if self._waiting and not self.closed_for:
            self._call(self.pace.connections - self.in_flight)

    def stay(self, since: float) -> bool:
        """Whether whoever is in since ``since`` (monotonic) may send one more message from the same place, now.

        While others wait a place is kept for a moment only: connections are worth keeping, but campaigns take turns.
        """
        now = self._monotonic()
        if self._waiting and now - since > SLICE:
            return False
        return isinstance(self.pace.admit(self.in_flight - 1, now), Admit)

    def leave(self, verdict: Verdict) -> None:
        """A message has ended, and with it the stay: learn from how, and let the next ones in."""
        self.pace.settle(verdict, self._monotonic())
        self.abandon()

    def abandon(self) -> None:
        """Leave without having tried anything."""
        self.in_flight -= 1
        self._call(len(self._waiting) if self.closed_for else max(1, self.pace.connections - self.in_flight))

    def _call(self, room: int) -> None:
        while self._waiting and room > 0:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(True)
                room -= 1


def _time_is_up(turn: asyncio.Future[bool]) -> None:
    if not turn.done():
        turn.set_result(False)


class Meter:
    """One rate shared by all processes, used from a block of tokens held here."""

    def __init__(self, key: str, rate: Rate, coordination: Coordination) -> None:
        self.rate = rate
        self._key, self._coordination = key, coordination
        # Half a second's worth: bigger blocks would let one process sit on what another could use.
        self._block = max(1, min(BLOCK, int(rate.per_second / 2)))
        self._tokens = 0
        self._turn = asyncio.Lock()

    @property
    def busy(self) -> bool:
        """Tokens are held, or waited for."""
        return self._tokens > 0 or self._turn.locked()

    def token_now(self) -> bool:
        """Use one token, if one is here."""
        if self._tokens == 0:
            return False
        self._tokens -= 1
        return True

    async def token(self) -> None:
        """Use one token, waiting for it as long as it takes."""
        if self._tokens == 0:
            async with self._turn:
                while self._tokens == 0:
                    grant = await self._coordination.take(self._key, self.rate, self._block)
                    self._tokens = grant.tokens
                    if not grant.tokens:
                        await asyncio.sleep(max(grant.wait, 0.001))
        self._tokens -= 1

    async def close(self) -> None:
        """Give back what was not used."""
        if self._tokens:
            tokens, self._tokens = self._tokens, 0
            await self._coordination.give_back(self._key, self.rate, tokens)
