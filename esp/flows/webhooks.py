"""Events told to apps: signed (Standard Webhooks), in order for each message, tried again for three days."""

import asyncio
import base64
import hmac
import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta
from random import random
from typing import Any, Final
from urllib.parse import urlsplit

import orjson
import structlog

from esp.app import App
from esp.errors import InputError
from esp.model.delivery import EventType
from esp.ports.api import EventRow, Named
from esp.ports.webhooks import Endpoint, Try

log = structlog.get_logger()

TYPES: Final = tuple(sorted(one.value for one in EventType))
_SEALED: Final = "webhook"
_PORTION: Final = 100
_AT_ONCE: Final = 10  # posts to one endpoint
_ENDPOINTS_AT_ONCE: Final = 100
_FIRST_WAIT: Final = timedelta(seconds=5)
_LONGEST_WAIT: Final = timedelta(hours=1)
GIVE_UP: Final = timedelta(days=3)
KEEP_TRIES: Final = timedelta(days=30)
GONE: Final = 410  # Standard Webhooks: it wants nothing more


def check_endpoint(url: str, types: Sequence[str]) -> None:
    """Raises InputError by field."""
    problems: dict[str, str] = {}
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and parts.hostname and not parts.username and parts.port != 0
    except ValueError:
        good = False
    if not good or not url.isprintable() or " " in url or len(url) > 2000:
        problems["url"] = "Write an address such as https://shop.example/hooks."
    if unknown := [one for one in types if one not in TYPES]:
        problems["types"] = f"There is no event {unknown[0]!r}; there are {', '.join(TYPES)}."
    if problems:
        raise InputError(next(iter(problems.values())), problems)


async def add(app: App, workspace_id: int, url: str, types: Sequence[str]) -> tuple[Endpoint, str]:
    """A new endpoint and its secret, which is shown once. Raises InputError."""
    check_endpoint(url, types)
    secret = "whsec_" + base64.b64encode(secrets.token_bytes(24)).decode()
    sealed = app.tokens.seal(_SEALED, workspace_id, secret)
    return await app.store.webhooks.add(workspace_id, url, sealed, types, app.clock.now()), secret


def sign(secret: str, identity: str, timestamp: int, body: bytes) -> str:
    """The value of ``webhook-signature`` (Standard Webhooks, symmetric)."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    mac = hmac.digest(key, f"{identity}.{timestamp}.".encode() + body, "sha256")
    return "v1," + base64.b64encode(mac).decode()


def event_name(app: App, workspace_id: int, number: int) -> str:
    """An event's name outside: always the same, so that receivers know it again, and nothing is counted by it."""
    return app.tokens.lasting_fingerprint("event", f"{workspace_id}\0{number}")[:32]


async def run_webhooks(app: App, state: "Running") -> bool:
    """Begin with every endpoint that is due and that nobody works on; each goes on by itself, whatever others do."""
    state.tasks = {number: task for number, task in state.tasks.items() if not task.done()}
    if len(state.tasks) >= _ENDPOINTS_AT_ONCE:
        return False
    safe = await app.store.webhooks.safe_until()
    for endpoint in await app.store.webhooks.due(app.clock.now(), safe):
        if endpoint.id not in state.tasks and len(state.tasks) < _ENDPOINTS_AT_ONCE:
            state.tasks[endpoint.id] = asyncio.create_task(_guarded(app, endpoint, safe))
    return False


class Running:
    """The endpoints that this process works on."""

    def __init__(self) -> None:
        self.tasks: dict[int, asyncio.Task[None]] = {}

    async def close(self) -> None:
        """Stop; what was posted and not written down is posted again, under the same id."""
        for task in self.tasks.values():
            task.cancel()
        await asyncio.gather(*self.tasks.values(), return_exceptions=True)


async def _guarded(app: App, endpoint: Endpoint, safe: int) -> None:
    try:
        await serve(app, endpoint, safe)
    except Exception as error:
        log.error("a webhook endpoint failed", endpoint=endpoint.public_id, exc_info=error)


async def serve(app: App, endpoint: Endpoint, safe: int) -> bool:
    """Post the next portion; True where all of it was taken."""
    portion = await app.store.webhooks.portion(endpoint, safe, _PORTION)
    secret = app.tokens.unseal(_SEALED, endpoint.workspace_id, endpoint.secret)
    bodies = await _bodies(app, endpoint.workspace_id, portion.events)
    tries: list[Try] = []
    turn = asyncio.Semaphore(_AT_ONCE)

    async def tell(events: Sequence[EventRow]) -> None:
        """One message's events, in order; after one that was not taken, none of its later ones."""
        for event in events:
            async with turn:
                done = await _post(app, endpoint, secret, event.id, bodies[event.id])
            tries.append(done)
            if not done.good:
                return

    by_message: dict[tuple[int | None, int | None], list[EventRow]] = {}
    for event in portion.events:
        by_message.setdefault((event.delivery_id, event.contact_id), []).append(event)
    await asyncio.gather(*map(tell, by_message.values()))
    now = app.clock.now()
    failed = [one for one in tries if not one.good]
    if not failed:
        await app.store.webhooks.settle(endpoint, tries, portion.until, now, now)
        return True
    pause = ""
    if any(one.status == GONE for one in failed):
        pause = "It said that it is gone (410)."
    elif endpoint.failing_since is not None and now - endpoint.failing_since >= GIVE_UP:
        pause = f"It has not taken an event for {GIVE_UP.days} days."
    if pause:
        log.warning("a webhook endpoint was paused", endpoint=endpoint.public_id, reason=pause)
    await app.store.webhooks.settle(endpoint, tries, None, now + wait_after(endpoint.tries + 1), now, pause)
    return False


def wait_after(tries: int) -> timedelta:
    """Doubling from five seconds to an hour, jittered by a quarter, so that many do not come back at once."""
    wait = min(_LONGEST_WAIT.total_seconds(), _FIRST_WAIT.total_seconds() * float(1 << min(tries - 1, 20)))
    return timedelta(seconds=wait * (0.75 + random() / 2))  # noqa: S311 - nothing is kept secret by it


async def _post(app: App, endpoint: Endpoint, secret: str, number: int, body: bytes) -> Try:
    now = app.clock.now()
    identity, timestamp = event_name(app, endpoint.workspace_id, number), int(now.timestamp())
    began = app.clock.monotonic()
    status, answer = await app.hooks.post(endpoint.url, {
        "Content-Type": "application/json", "webhook-id": identity, "webhook-timestamp": str(timestamp),
        "webhook-signature": sign(secret, identity, timestamp, body)}, body)
    return Try(number, now, round((app.clock.monotonic() - began) * 1000), status, answer)


async def _bodies(app: App, workspace_id: int, events: Sequence[EventRow]) -> dict[int, bytes]:
    """What is posted of each event, by its number."""
    campaigns, contacts, messages = [
        await app.store.api.names(workspace_id, kind, [one for one in numbers if one]) for kind, numbers in (
            (Named.CAMPAIGN, [it.campaign_id for it in events]), (Named.CONTACT, [it.contact_id for it in events]),
            (Named.MESSAGE, [it.message_id for it in events]))]

    def body(it: EventRow) -> bytes:
        message = messages.get(it.message_id or 0)
        data: dict[str, Any] = {
            "message": message, "campaign": None if message else campaigns.get(it.campaign_id or 0),
            "contact": contacts.get(it.contact_id or 0), "address": it.address, "link": it.link_index,
            "agent": it.agent, "provider": it.provider, "detail": it.detail}
        return orjson.dumps({"type": it.type, "timestamp": _instant(it.at), "data": data})

    return {it.id: body(it) for it in events}


def _instant(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


async def forget_old(app: App) -> bool:
    """Delete what was tried more than a month ago; True where more may wait."""
    return await app.store.webhooks.forget_tries(app.clock.now() - KEEP_TRIES) > 0
