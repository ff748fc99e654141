"""The rehearsal world as its parent sees it: started, told, asked and stopped."""

import asyncio
import sys
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, Self

import orjson

from esp.errors import DependencyError
from esp.rehearsal.dns_wire import Record

_LINE: Final = 512 * 1024 * 1024  # the report names every recipient
_STOP_SECONDS: Final = 15.0


@dataclass(slots=True)
class RehearsalProcess:
    """``port`` is that of every provider (and must be that of our MX); ``nameserver`` is address:port."""

    port: int
    nameserver: str
    _child: asyncio.subprocess.Process
    _turn: asyncio.Lock

    @classmethod
    async def start(
        cls, *, seed: str = "merpati", pace: float = 1.0, scanner_window: float = 2.0, keep_mail: str = ""
    ) -> Self:
        """Start the world (see ``World``); raises DependencyError where it does not come up."""
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "esp.rehearsal", limit=_LINE, start_new_session=True,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        )
        process = cls(0, "", child, asyncio.Lock())
        try:
            where = await process._tell(
                {"seed": seed, "pace": pace, "scanner_window": scanner_window, "keep_mail": keep_mail})
        except BaseException:
            await process.stop()
            raise
        process.port, process.nameserver = where["port"], where["nameserver"]
        return process

    async def publish(self, records: Iterable[Record]) -> None:
        """Add records to the world's DNS."""
        rows = [(record.name, record.type.name, record.value) for record in records]
        await self._tell({"do": "publish", "records": rows})

    async def status(self) -> dict[str, Any]:
        """See ``World.status``."""
        return await self._tell({"do": "status"})

    async def report(self) -> dict[str, Any]:
        """See ``World.report``."""
        return await self._tell({"do": "report"})

    async def _tell(self, order: dict[str, Any]) -> dict[str, Any]:
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        async with self._turn:
            line = b""
            with suppress(ConnectionError):
                self._child.stdin.write(orjson.dumps(order) + b"\n")
                await self._child.stdin.drain()
                line = await self._child.stdout.readline()
        if not line:
            raise DependencyError(
                "The rehearsal's mailbox providers have ended unexpectedly. They need the addresses 127.0.11.1 to "
                "127.0.103.1, which Linux has by itself; what they wrote above says more."
            )
        answer: dict[str, Any] = orjson.loads(line)
        return answer

    async def stop(self) -> None:
        """End the world, kindly and then not; a second call does nothing."""
        if self._child.returncode is not None:
            return
        if self._child.stdin is not None:
            self._child.stdin.close()
        try:
            async with asyncio.timeout(_STOP_SECONDS):
                await self._child.wait()
        except TimeoutError:
            self._child.kill()
            await self._child.wait()
