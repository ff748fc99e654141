"""Mail collected from mailboxes elsewhere: stored here first, judged like any other, then perhaps deleted there.

What was fetched and how far the mailbox was read are stored in one transaction, so that a kill at any point costs
nothing and doubles nothing. Only what is stored is ever deleted at the other side.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from typing import Final

import structlog

from esp.app import App
from esp.errors import InputError, TokenError
from esp.flows.mailroom import WAKES as INBOUND
from esp.model.ids import new_public_id
from esp.ports.mailroom import NewInbound
from esp.ports.pickup import (
    Afterwards,
    Fetched,
    MailboxError,
    MailProtocol,
    MailSession,
    NewPickup,
    Pickup,
    Security,
)

WAKES: Final = "mailboxes"
PORTS: Final = {
    (MailProtocol.IMAP, Security.TLS): 993, (MailProtocol.IMAP, Security.STARTTLS): 143,
    (MailProtocol.IMAP, Security.NONE): 143, (MailProtocol.POP3, Security.TLS): 995,
    (MailProtocol.POP3, Security.STARTTLS): 110, (MailProtocol.POP3, Security.NONE): 110,
}
_SEALED: Final = "mailbox"
_LEASE: Final = 180.0  # seconds a node that died keeps the others from a mailbox
_ROUND: Final = 60.0  # seconds of waiting before the lease is asked for again
_FIRST_PAUSE: Final = 30.0  # after a failure; doubled each time
_LONGEST_PAUSE: Final = 1800.0
_AT_ONCE: Final = 50
_SKIPPED: Final = "!"  # before the uid of what is too large: remembered, and never deleted

_log = structlog.get_logger(__name__)


async def save(app: App, workspace_id: int, it: NewPickup, pickup_id: int | None = None) -> Pickup:
    """Make or change a mailbox; ``it.secret`` is the password in clear. Raises InputError by field."""
    problems: dict[str, str] = {}
    if not it.host.strip():
        problems["host"] = "Write the server's name, such as imap.example.com."
    if not it.username:
        problems["username"] = "Write the user name, often the whole address."
    if pickup_id is None and not it.secret:
        problems["secret"] = "Write the password; many providers want one made for this purpose."  # noqa: S105
    if pickup_id is not None and it.secret is None:
        before = await app.store.pickups.get(workspace_id, pickup_id)
        if (before.host.lower(), before.port, before.security) != (it.host.lower(), it.port, it.security):
            # Else whoever may change the server could have the password, which nobody is shown, said to their own.
            problems["secret"] = "Write the password again: it was given for another server."  # noqa: S105
    if problems:
        raise InputError("The mailbox was not saved.", problems)
    if it.secret:
        it = replace(it, secret=app.tokens.seal(_SEALED, workspace_id, it.secret))
    if pickup_id is None:
        saved = await app.store.pickups.create(workspace_id, it, app.clock.now())
    else:
        saved = await app.store.pickups.change(workspace_id, pickup_id, it)
    await app.coordination.wake(WAKES)
    return saved


async def pause(app: App, workspace_id: int, pickup_id: int, paused: bool) -> None:
    await app.store.pickups.pause(workspace_id, pickup_id, app.clock.now() if paused else None)
    await app.coordination.wake(WAKES)


async def try_out(app: App, pickup: Pickup) -> int:
    """How many messages wait to be collected in the first haul; nothing is stored. Raises MailboxError."""
    async with app.mailboxes.open(pickup, _password(app, pickup)) as session:
        remembered = await app.store.pickups.seen(pickup.id)
        haul = await session.fetch(pickup.position, frozenset(uid.removeprefix(_SKIPPED) for uid in remembered))
    return len(haul.messages)


async def collect(app: App, pickup: Pickup) -> int:
    """Fetch all that waits, once; how many messages were stored. Raises MailboxError."""
    async with app.mailboxes.open(pickup, _password(app, pickup)) as session:
        before = pickup.collected
        pickup = await _empty(app, pickup, session)
        return pickup.collected - before


async def keep_collecting(app: App, stop: asyncio.Event) -> None:
    """Collect from every mailbox that is not paused, each in a task of its own, until ``stop``."""
    running: dict[int, tuple[tuple[object, ...], asyncio.Task[None]]] = {}
    owner = new_public_id()
    try:
        while not stop.is_set():
            try:
                active = {one.id: one for one in await app.store.pickups.active()}
            except Exception as problem:
                _log.error("mailboxes not read", error=type(problem).__name__)
                await _pause(stop, _FIRST_PAUSE)
                continue
            for pickup_id, (connection, task) in list(running.items()):
                if pickup_id not in active or active[pickup_id].connection != connection:
                    await _end(task)
                    del running[pickup_id]
            for one in active.values():
                if one.id not in running:
                    running[one.id] = (one.connection, asyncio.create_task(_keep_one(app, one, owner, stop)))
            await app.coordination.wait(WAKES, 15.0)
    finally:
        for _, task in running.values():
            await _end(task)


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def _keep_one(app: App, pickup: Pickup, owner: str, stop: asyncio.Event) -> None:
    pause = _FIRST_PAUSE
    lease = f"mailbox-{pickup.id}"

    async def ours() -> bool:
        # Two nodes that read one mailbox would store nothing twice, only ask twice.
        return await app.coordination.lease(lease, owner, _LEASE) is not None

    try:
        while not stop.is_set():
            try:
                if await ours():
                    await _visit(app, pickup.workspace_id, pickup.id, ours, stop)
                    pause = _FIRST_PAUSE
                await _pause(stop, _ROUND)
            except MailboxError as error:
                _log.warning("mailbox not collected", pickup=pickup.id, reason=str(error))
                await _note(app, pickup.id, str(error))
                await _pause(stop, pause)
                pause = min(pause * 2, _LONGEST_PAUSE)
            except Exception as problem:
                _log.error("mailbox not collected", pickup=pickup.id, error=type(problem).__name__)
                await _note(app, pickup.id, "Something unexpected happened; the server's log says what.")
                await _pause(stop, pause)
                pause = min(pause * 2, _LONGEST_PAUSE)
    finally:
        with suppress(Exception):
            await app.coordination.release(lease, owner)


async def _pause(stop: asyncio.Event, seconds: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await stop.wait()


async def _note(app: App, pickup_id: int, error: str) -> None:
    with suppress(Exception):  # the database may be what is away
        await app.store.pickups.checked(pickup_id, app.clock.now(), error)


async def _visit(
    app: App, workspace_id: int, pickup_id: int, ours: Callable[[], Awaitable[bool]], stop: asyncio.Event,
) -> None:
    """One session: all that waits, then what comes while the server can tell of it."""
    pickup = await app.store.pickups.get(workspace_id, pickup_id)
    async with app.mailboxes.open(pickup, _password(app, pickup)) as session:
        while not stop.is_set():
            pickup = await _empty(app, pickup, session)
            if pickup.protocol is MailProtocol.POP3 or not await session.wait(_ROUND):
                return
            if not await ours():
                return


async def _empty(app: App, pickup: Pickup, session: MailSession) -> Pickup:
    """Store all that waits, a haul a transaction; the mailbox as it is afterwards."""
    remembered = await app.store.pickups.seen(pickup.id)
    deletes, by_position = pickup.afterwards is Afterwards.DELETE, pickup.protocol is MailProtocol.IMAP
    if deletes and by_position and remembered:  # what a kill kept the last session from deleting
        await _delete(app, pickup, session, remembered)
        remembered = frozenset()
    while True:
        haul = await session.fetch(pickup.position, frozenset(uid.removeprefix(_SKIPPED) for uid in remembered))
        gone = remembered & {mark + uid for uid in haul.gone for mark in ("", _SKIPPED)}
        if gone:
            await app.store.pickups.forget(pickup.id, list(gone))
            remembered -= gone
        kept = [one for one in haul.messages if one.raw is not None]
        seen = [] if by_position and not deletes else [one.uid for one in kept]
        if not by_position:
            seen += [_SKIPPED + one.uid for one in haul.messages if one.raw is None]
        if haul.messages or haul.position != pickup.position:
            messages = [_inbound(pickup, one, app) for one in kept]
            if not await app.store.pickups.keep(pickup, haul, messages, seen, app.clock.now()):
                raise MailboxError("Another process collects from this mailbox, too.")
            pickup = replace(pickup, position=haul.position, collected=pickup.collected + len(kept),
                             skipped=pickup.skipped + len(haul.messages) - len(kept))
            remembered |= frozenset(seen)
            await app.coordination.wake(INBOUND)
        else:
            await app.store.pickups.checked(pickup.id, app.clock.now())
        if not haul.more:
            break
    if deletes:
        await _delete(app, pickup, session, remembered)
    return pickup


async def _delete(app: App, pickup: Pickup, session: MailSession, remembered: frozenset[str]) -> None:
    """Delete at the other side what is stored here. A kill in between: it is still remembered, and asked again.

    POP3 deletes when a session ends, so that this is the last thing done in one, and the next sees what is gone.
    """
    uids = sorted(uid for uid in remembered if not uid.startswith(_SKIPPED))
    for start in range(0, len(uids), _AT_ONCE):
        await session.remove(uids[start : start + _AT_ONCE])
        if pickup.protocol is MailProtocol.IMAP:
            await app.store.pickups.forget(pickup.id, uids[start : start + _AT_ONCE])


def _inbound(pickup: Pickup, one: Fetched, app: App) -> NewInbound:
    assert one.raw is not None
    return NewInbound(app.clock.now(), pickup.host, "", (), one.raw, pickup.workspace_id, pickup.id)


def _password(app: App, pickup: Pickup) -> str:
    try:
        return app.tokens.unseal(_SEALED, pickup.workspace_id, pickup.secret)
    except TokenError:
        raise MailboxError("Its password cannot be read with this server's key. Write it in again.") from None
