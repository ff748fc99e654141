"""A child's side: the Coordination port answered by the parent, and by its own law while the parent does not answer."""

import asyncio
import contextlib
import itertools
import json
from pathlib import Path
from typing import Any, Final

from esp.adapters.local.coordination import LocalCoordination
from esp.model.quantities import Rate
from esp.ports.coordination import Grant

_LINE: Final = 65_536
_TIMEOUT: Final = 5.0
_QUIET: Final = 0.5  # seconds between tries at reaching a parent that is gone


class _GoneError(Exception):
    """The parent does not answer."""


class SocketCoordination:
    """Connects when first used, and again when the connection is lost."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._local = LocalCoordination()
        self._numbers = itertools.count(1)
        self._open: dict[int, asyncio.Future[Any]] = {}
        self._writer: asyncio.StreamWriter | None = None
        self._reading: asyncio.Task[None] | None = None
        self._connecting = asyncio.Lock()
        self._quiet_until = 0.0

    async def take(self, key: str, rate: Rate, want: int) -> Grant:
        """Up to ``want`` tokens of the bucket that all children share; ask for a block, for each call is a trip."""
        try:
            tokens, wait = await self._ask(_TIMEOUT, "take", key, rate.amount, rate.seconds, want)
            return Grant(int(tokens), float(wait))
        except _GoneError:
            return await self._local.take(key, rate, want)

    async def give_back(self, key: str, rate: Rate, tokens: int) -> None:
        """Return unused tokens."""
        try:
            await self._ask(_TIMEOUT, "give_back", key, rate.amount, rate.seconds, tokens)
        except _GoneError:
            await self._local.give_back(key, rate, tokens)

    async def lease(self, name: str, owner: str, seconds: float) -> int | None:
        """Take or renew a lease; None where another holds it or the parent does not answer."""
        try:
            fence: int | None = await self._ask(_TIMEOUT, "lease", name, owner, seconds)
        except _GoneError:
            return None
        return fence

    async def release(self, name: str, owner: str) -> None:
        """Give a lease up; without the parent it runs out by itself."""
        with contextlib.suppress(_GoneError):
            await self._ask(_TIMEOUT, "release", name, owner)

    async def wake(self, topic: str) -> None:
        """Wake all who wait for ``topic`` in any of the processes."""
        try:
            await self._ask(_TIMEOUT, "wake", topic)
        except _GoneError:
            await self._local.wake(topic)

    async def wait(self, topic: str, timeout: float) -> bool:
        """Wait for a wake from any process; without the parent, for one from this process."""
        try:
            return bool(await self._ask(timeout + _TIMEOUT, "wait", topic, timeout))
        except _GoneError:
            return await self._local.wait(topic, timeout)

    async def close(self) -> None:
        """Hang up."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)
        await self._hang_up()
        await self._local.close()

    async def _ask(self, timeout: float, method: str, *arguments: Any) -> Any:
        await self._connect()
        writer = self._writer
        if writer is None:
            raise _GoneError
        number = next(self._numbers)
        answer = self._open[number] = asyncio.get_running_loop().create_future()
        try:
            writer.write(json.dumps([number, method, *arguments]).encode() + b"\n")
            async with asyncio.timeout(timeout):
                return await answer
        except (OSError, TimeoutError):
            raise _GoneError from None
        finally:
            self._open.pop(number, None)

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        if self._writer is not None or loop.time() < self._quiet_until:
            return
        async with self._connecting:
            if self._writer is not None:
                return
            try:
                reader, self._writer = await asyncio.open_unix_connection(str(self._path), limit=_LINE)
            except OSError:
                self._quiet_until = loop.time() + _QUIET
                return
            self._reading = asyncio.create_task(self._read(reader))

    async def _read(self, reader: asyncio.StreamReader) -> None:
        try:
            while line := await reader.readline():
                number, result = json.loads(line)
                answer = self._open.get(number)
                if answer is not None and not answer.done():
                    answer.set_result(result)
        except (OSError, ValueError):
            pass
        await self._hang_up()

    async def _hang_up(self) -> None:
        writer, self._writer = self._writer, None
        for answer in self._open.values():
            if not answer.done():
                answer.set_exception(_GoneError())
        if writer is not None:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
