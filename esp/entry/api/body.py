"""Request bodies: read up to a bound, in bounded time, with a bound on all that are read at once."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from aiohttp import web

from esp.entry.api.problems import Problem

_SECONDS: Final = 60.0
#: Octets of bodies in memory at once; a body stands there about three times until its request is answered.
_IN_FLIGHT: Final = 160 * 1024 * 1024


class Bodies:
    """Reads bodies. Whoever comes when too much is in memory is asked to come back."""

    def __init__(self, in_flight: int = _IN_FLIGHT) -> None:
        self._most = in_flight
        self._now = 0

    @asynccontextmanager
    async def read(self, request: web.Request, largest: int) -> AsyncIterator[bytes]:
        """The body, at most ``largest`` octets; Problem where it is larger, too slow, or compressed."""
        if request.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise Problem("media-type", "Compressed bodies are not read here.")
        stated = request.content_length
        if stated is not None and stated > largest:
            raise _too_large(largest)
        held = 0
        parts: list[bytes] = []
        try:
            try:
                async with asyncio.timeout(_SECONDS):
                    while part := await request.content.readany():
                        held += len(part)
                        self._now += len(part)
                        if held > largest:
                            raise _too_large(largest)
                        if self._now > self._most:
                            raise Problem("unavailable", "Too much is being sent here at once. Nothing was accepted.",
                                          headers={"Retry-After": "5"})
                        parts.append(part)
            except TimeoutError:
                raise Problem("malformed", f"The body did not come within {_SECONDS:.0f} seconds.") from None
            yield parts[0] if len(parts) == 1 else b"".join(parts)
        finally:
            self._now -= held


def _too_large(largest: int) -> Problem:
    return Problem("too-large", f"At most {largest // 1024} KiB can be sent here at once.",
                   headers={"Connection": "close"})
