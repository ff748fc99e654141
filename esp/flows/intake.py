"""One commit for many: messages that arrive together are kept by one transaction and one sync, each answered after it.

There is no timer: while one transaction is written the next messages gather, so an idle server answers at once and a
busy one writes as many at a time as come in while the disk works.
"""

import asyncio
from collections import deque
from contextlib import suppress
from typing import Final

from esp.app import App
from esp.model.relay import Accepted, Refused
from esp.ports.relay import NewRelayMessage

_MESSAGES: Final = 200
_OCTETS: Final = 32 * 1024 * 1024

_Waiter = tuple[NewRelayMessage, asyncio.Future[Accepted | Refused]]


class Intake:
    """The queue before the database. One a process; ``close`` waits for what is under way."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._waiting: deque[_Waiter] = deque()
        self._writing: asyncio.Task[None] | None = None

    async def keep(self, message: NewRelayMessage) -> Accepted | Refused:
        """Returns once the message is committed and synced. Raises DependencyError (StorageFullError) where it is not.

        A caller that is cancelled meanwhile cancels nothing: the message may be kept, and nobody was told so.
        """
        answer: asyncio.Future[Accepted | Refused] = asyncio.get_running_loop().create_future()
        self._waiting.append((message, answer))
        if self._writing is None:
            self._writing = asyncio.create_task(self._write())
        return await answer

    async def close(self) -> None:
        """Wait until everything that was handed over is answered."""
        while self._writing is not None:
            with suppress(Exception):
                await asyncio.shield(self._writing)

    async def _write(self) -> None:
        try:
            while self._waiting:
                some, octets = list[_Waiter](), 0
                while self._waiting and len(some) < _MESSAGES and octets < _OCTETS:
                    waiter = self._waiting.popleft()
                    if not waiter[1].cancelled():
                        some.append(waiter)
                        octets += len(waiter[0].raw)
                await self._keep(some)
        finally:
            self._writing = None

    async def _keep(self, some: list[_Waiter]) -> None:
        try:
            await self._together(some)
        except Exception as problem:
            # One of them may be what no database takes. Alone, the first says whether it is that or the database.
            if len(some) == 1:
                return _fail(some, problem)
            try:
                await self._together(some[:1])
            except Exception as again:
                return _fail(some, again)
            for waiter in some[1:]:
                await self._keep([waiter])

    async def _together(self, some: list[_Waiter]) -> None:
        if not some:
            return
        results = await self._app.store.relay.keep([message for message, _ in some], self._app.clock.now())
        for (_, answer), result in zip(some, results, strict=True):
            if not answer.done():
                answer.set_result(result)
        await self._app.coordination.wake("outbox")


def _fail(some: list[_Waiter], problem: Exception) -> None:
    for _, answer in some:
        if not answer.done():
            answer.set_exception(problem)
