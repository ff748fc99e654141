"""Idempotency keys: the same request twice is done once, and answered with the same words (24 hours, per workspace)."""

import secrets
from collections.abc import Awaitable, Callable
from datetime import timedelta
from hashlib import sha256
from typing import Final

from aiohttp import web

from esp.app import App
from esp.entry.api.problems import Problem
from esp.ports.api import KeptAnswer

KEEP: Final = timedelta(hours=24)
#: After this a request whose process died may be made again; longer than any request takes.
_LEASE: Final = timedelta(seconds=120)
_LONGEST: Final = 255


def key_of(request: web.Request) -> str:
    """The Idempotency-Key, or '' where none was sent; Problem where it cannot be used."""
    key = request.headers.get("Idempotency-Key")
    if key is None:
        return ""
    if not 1 <= len(key) <= _LONGEST or not all("!" <= sign <= "~" for sign in key):
        words = f"Use 1 to {_LONGEST} printable ASCII characters without blanks, such as a UUID."
        raise Problem("invalid", f"Idempotency-Key: {words}", (("Idempotency-Key", words),))
    return key


def digest_of(request: web.Request, body: bytes) -> str:
    """What makes two requests the same one."""
    head = f"{request.method} {request.path_qs}\0".encode()
    return sha256(head + body).hexdigest()


async def once(
    app: App, workspace_id: int, key: str, digest: str, work: Callable[[], Awaitable[web.Response]],
) -> web.Response:
    """Do ``work``, or answer as it was answered before. Raises Problem (409) where it runs, or ``digest`` differs.

    Only what succeeded is kept: whatever was refused did nothing, and may be sent again, mended, with the same key.
    """
    owner, now = secrets.token_hex(16), app.clock.now()
    begun = await app.store.api.begin(workspace_id, key, digest, owner, now, now + _LEASE, now + KEEP)
    if begun.differs:
        raise Problem("idempotency", "This idempotency key was used for another request. Use a new one for a new one.")
    if begun.running:
        raise Problem("idempotency", "The first request with this idempotency key still runs. Ask again in a moment.",
                      headers={"Retry-After": "1"})
    if begun.answered is not None:
        return web.Response(body=begun.answered.body or None, status=begun.answered.status,
                            content_type="application/json", headers={"Idempotent-Replayed": "true"})
    try:
        response = await work()
    except BaseException:
        await app.store.api.abandon(workspace_id, key, owner)
        raise
    if 200 <= response.status < 300:
        body = response.body
        assert body is None or isinstance(body, bytes)
        await app.store.api.finish(workspace_id, key, owner, KeptAnswer(response.status, body or b""))
    else:
        await app.store.api.abandon(workspace_id, key, owner)
    return response


async def forget_old(app: App) -> bool:
    """Delete answers whose day is over; True where more may wait."""
    return await app.store.api.forget(app.clock.now()) > 0
