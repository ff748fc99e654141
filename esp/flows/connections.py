"""Kept connections: the way to a domain's servers, and greeted sessions used again while they are good."""

import asyncio
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import structlog

from esp.deliver.route import SmartHost, route
from esp.deliver.service import Sending, find_targets
from esp.model.attempt import Attempt, Failure, Phase
from esp.model.content import OutgoingMessage
from esp.ports.clock import Clock
from esp.ports.network import ConnectError, Resolver, Session, Target, Transport

_TARGETS_KEPT: Final = 300.0  # seconds; the resolver heeds the records' own times below that
_FAILURE_KEPT: Final = 15.0
_MOST_TARGETS: Final = 20_000
_IDLE: Final = 5.0  # seconds a session may wait for its next message: Postfix waits about as long before it hangs up
_DOWN_FOR: Final = 60.0
_TRIED_AT_ONCE: Final = 4

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Connected:
    """A session and the key under which it goes back."""

    session: Session
    key: tuple[str, int]
    reused: bool


class Connections:
    """All SMTP sessions of one worker. ``most_idle`` bounds those kept open without work."""

    def __init__(
        self, transport: Transport, resolver: Resolver, sending: Sending, smart_host: SmartHost | None, clock: Clock,
        most_idle: int = 200,
    ) -> None:
        self._transport, self._resolver, self._sending = transport, resolver, sending
        self._smart_host, self._clock, self._most_idle = smart_host, clock, most_idle
        self._targets: dict[str, tuple[float, tuple[Target, ...] | Attempt]] = {}
        self._idle: defaultdict[tuple[str, int], list[tuple[float, Session]]] = defaultdict(list)
        self._idle_count = 0
        self._down: dict[tuple[str, int], float] = {}
        self._closing: set[asyncio.Task[None]] = set()

    async def open(self, domain: str, fresh: bool = False) -> Connected | Attempt:
        """A session to a server of ``domain``, or the attempt that failed to get one. ``fresh``: not a kept one."""
        targets = await self._find(domain)
        if isinstance(targets, Attempt):
            return targets
        now = self._clock.monotonic()
        if not fresh:
            for target in targets:
                kept = self._idle.get((target.address, target.port))
                while kept:
                    _, session = kept.pop()
                    self._idle_count -= 1
                    if session.usable:
                        return Connected(session, (target.address, target.port), reused=True)
        # A server that was down a moment ago is asked last: one dead MX of two must not slow the mail.
        ordered = sorted(targets, key=lambda target: self._down.get((target.address, target.port), 0.0) > now)
        failed: Attempt | None = None
        for target in ordered[:_TRIED_AT_ONCE]:
            key = (target.address, target.port)
            try:
                session = await self._transport.connect(target)
            except ConnectError as error:
                failed = error.attempt
                self._down[key] = self._clock.monotonic() + _DOWN_FOR
                if self._smart_host is not None:
                    log.warning("smart host takes no mail", host=target.host, phase=failed.phase.value, why=str(error))
                if failed.phase is Phase.AUTH:
                    break  # a wrong password said at every address of a relay gets the account locked
                continue
            self._down.pop(key, None)
            return Connected(session, key, reused=False)
        assert failed is not None
        return failed

    def same_way(self, domain: str, other: str) -> bool:
        """Whether mail for both domains goes through the same session."""
        return self._smart_host is not None or domain == other

    async def give_back(self, connected: Connected, most_messages: int) -> None:
        """Keep the session for the next message, or close it where it is worn out."""
        session = connected.session
        if session.usable and session.sent < most_messages and self._idle_count < self._most_idle:
            self._idle[connected.key].append((self._clock.monotonic() + _IDLE, session))
            self._idle_count += 1
        else:
            await session.close()

    def sweep(self) -> None:
        """Begin to close what was not used for a while; called every second or so.

        Nobody waits for it: two hundred servers that do not answer QUIT would take longer than a lease.
        """
        now = self._clock.monotonic()
        for key in list(self._idle):
            kept = self._idle[key]
            over = [session for until, session in kept if until <= now]
            self._idle[key] = [(until, session) for until, session in kept if until > now]
            if not self._idle[key]:
                del self._idle[key]
            self._idle_count -= len(over)
            for session in over:
                closing = asyncio.create_task(session.close())
                self._closing.add(closing)
                closing.add_done_callback(self._closing.discard)
        self._down = {key: until for key, until in self._down.items() if until > now}
        if len(self._targets) > _MOST_TARGETS:
            self._targets.clear()

    async def close(self) -> None:
        """Close every kept session."""
        kept = [session for sessions in self._idle.values() for _, session in sessions]
        await asyncio.gather(*(session.close() for session in kept), *self._closing, return_exceptions=True)
        self._idle.clear()
        self._idle_count = 0

    async def _find(self, domain: str) -> tuple[Target, ...] | Attempt:
        key = "" if self._smart_host else domain
        now = self._clock.monotonic()
        known = self._targets.get(key)
        if known is not None and known[0] > now:
            return known[1]
        found = await find_targets(route(domain, self._smart_host), self._resolver, self._sending)
        self._targets[key] = (now + (_FAILURE_KEPT if isinstance(found, Attempt) else _TARGETS_KEPT), found)
        return found


class Berth:
    """The session of one who keeps a place at a provider: opened once, used for message after message."""

    def __init__(self, connections: Connections, most_messages: int) -> None:
        self._connections, self._most_messages = connections, most_messages
        self._connected: Connected | None = None
        self._used = self._announced = False

    async def board(self, domain: str, fresh: bool = False) -> Attempt | None:
        """Get a session; the attempt that failed to get one, or None."""
        found = await self._connections.open(domain, fresh)
        if isinstance(found, Attempt):
            return found
        self._connected, self._used, self._announced = found, found.reused, False
        return None

    @property
    def afloat(self) -> bool:
        """The session is good for another message."""
        return self._connected is not None and self._connected.session.usable

    def takes(self, domain: str, following: str) -> bool:
        """Whether a message to ``following`` may go behind one to ``domain`` that is sent now."""
        connected = self._connected
        return (
            connected is not None and connected.session.usable and connected.session.sent + 1 < self._most_messages
            and self._connections.same_way(domain, following)
        )

    async def send(
        self, domain: str, message: OutgoingMessage, before_dot: Callable[[], None], following: OutgoingMessage | None
    ) -> Attempt:
        """One try; a session that was good before and was closed meanwhile costs no attempt."""
        assert self._connected is not None
        session = self._connected.session
        attempt = await session.send(message, before_dot, following)
        if self._used and attempt.failure is Failure.CLOSED and not attempt.dot_sent:
            await self.leave()
            failed = await self.board(domain, fresh=True)
            if failed is not None:
                return failed
            session = self._connected.session
            attempt = await session.send(message, before_dot, following)
        self._used, self._announced = True, following is not None and session.chains
        return attempt

    async def leave(self) -> None:
        """Give the session back, or close it where somebody's envelope was said in it."""
        connected, self._connected = self._connected, None
        if connected is None:
            return
        if self._announced:
            await connected.session.close()
        else:
            await self._connections.give_back(connected, self._most_messages)
