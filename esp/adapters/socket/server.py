"""The parent's side: one Coordination (local or Redis) served to child processes as lines of JSON.

A question is ``[number, method, arguments...]``, its answer ``[number, result]``; waits are answered when they end, so
one child's wait holds up nobody. Only processes of the same user reach the socket: it lies in a folder of mode 0700.
"""

import asyncio
import contextlib
import json
from pathlib import Path
from typing import Any, Final

from esp.model.quantities import Rate
from esp.ports.coordination import Coordination

_LINE: Final = 65_536


class CoordinationServer:
    """Serves ``coordination`` at ``path`` from ``start`` to ``close``. Does not close ``coordination`` itself."""

    def __init__(self, coordination: Coordination, path: Path) -> None:
        self._coordination = coordination
        self._path = path
        self._server: asyncio.Server | None = None
        self._children: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Listen; a socket left over from a killed parent is replaced."""
        self._path.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(self._serve, str(self._path), limit=_LINE)
        self._path.chmod(0o600)

    async def close(self) -> None:
        """Stop listening and hang up; children go on by their own law."""
        if self._server is not None:
            self._server.close()
        for child in list(self._children):
            child.cancel()
        await asyncio.gather(*self._children, return_exceptions=True)
        if self._server is not None:
            await self._server.wait_closed()
        self._path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._children.add(task)
        waits: set[asyncio.Task[None]] = set()
        try:
            while line := await reader.readline():
                number, method, *arguments = json.loads(line)
                if method == "wait":
                    wait = asyncio.create_task(self._answer(writer, number, method, arguments))
                    waits.add(wait)
                    wait.add_done_callback(waits.discard)
                else:
                    await self._answer(writer, number, method, arguments)
        except (OSError, ValueError, asyncio.CancelledError):
            pass  # a child that died or talks nonsense is hung up on; it finds its own way
        finally:
            self._children.discard(task)
            for wait in list(waits):
                wait.cancel()
            await asyncio.gather(*waits, return_exceptions=True)
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _answer(self, writer: asyncio.StreamWriter, number: int, method: str, arguments: list[Any]) -> None:
        result = await self._do(method, arguments)
        if not writer.is_closing():
            writer.write(json.dumps([number, result]).encode() + b"\n")
            await writer.drain()

    async def _do(self, method: str, arguments: list[Any]) -> Any:
        ours = self._coordination
        match method, arguments:
            case "take", [str(key), amount, seconds, int(want)]:
                grant = await ours.take(key, Rate(float(amount), float(seconds)), want)
                return [grant.tokens, grant.wait]
            case "give_back", [str(key), amount, seconds, int(tokens)]:
                return await ours.give_back(key, Rate(float(amount), float(seconds)), tokens)
            case "lease", [str(name), str(owner), seconds]:
                return await ours.lease(name, owner, float(seconds))
            case "release", [str(name), str(owner)]:
                return await ours.release(name, owner)
            case "wake", [str(topic)]:
                return await ours.wake(topic)
            case "wait", [str(topic), timeout]:
                return await ours.wait(topic, float(timeout))
        raise ValueError(f"there is no {method}")
