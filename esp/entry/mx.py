"""The door for incoming mail: takes what is addressed to us, bounds what it takes, and says 250 once it is kept.

Built on aiosmtpd, of which the connection remains: it accepts bare line feeds, lets the body of one message grow
without bound, parses addresses with the e-mail package (which decodes encoded words inside an address) and logs what
it receives, so each of these is replaced here.
"""

import asyncio
import logging
import re
import traceback
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

import structlog
from aiosmtpd.smtp import SMTP

from esp.app import App
from esp.errors import TokenError
from esp.flows.commands import find_list
from esp.flows.mailroom import WAKES
from esp.ports.mailroom import NewInbound

log = structlog.get_logger(__name__)

_RECIPIENTS: Final = 100  # RFC 5321 section 4.5.3.1.8: at least 100, then 452 for the surplus
_COMMAND_OCTETS: Final = 1000  # section 4.5.3.1.4 says 512; the extensions that we offer may add to MAIL
_BAD_COMMANDS: Final = 10
_COMMANDS: Final = 1000  # a session that sends more without a message wants something else than to deliver
_DISCARDED_MESSAGES: Final = 10  # how many times the size limit we read on, so as to answer, before hanging up
_DOMAINS_FRESH: Final = 10.0  # seconds for which the list of our domains is remembered
_FOREIGN_VERBS: Final = frozenset(
    ("GET", "POST", "PUT", "HEAD", "OPTIONS", "CONNECT", "DELETE", "PATCH", "TRACE", "PRI", "HOST:", "USER-AGENT:")
)
# One reading of an address and no second one: no quotes, no source route, no comment, no white space, no control.
_PATH: Final = re.compile(r"<([^\s<>\"@,:;()\\\[\]\x00-\x1f\x7f]{1,64})(?:@([A-Za-z0-9.-]{1,255}))?>", re.ASCII)
_SENDER: Final = re.compile(r"<([^\s<>\x00-\x1f\x7f]{0,320})>")
_SIZE: Final = re.compile(r"\d{1,15}")


@dataclass(slots=True)
class _Doorkeeper:
    """What all sessions share: how many there are, whom we receive for, and where messages go."""

    app: App
    sessions: set["MxSession"] = field(default_factory=set)
    by_peer: Counter[str] = field(default_factory=Counter)
    domains: frozenset[str] = frozenset()
    domains_at: float = float("-inf")

    def admits(self, peer: str) -> bool:
        settings = self.app.settings.mx
        return len(self.sessions) < settings.max_connections and self.by_peer[peer] < settings.max_connections_per_peer

    async def receives_for(self, domain: str) -> bool:
        """Whether ``domain`` is a sending domain of ours or below one."""
        now = self.app.clock.monotonic()
        if now - self.domains_at > _DOMAINS_FRESH:
            self.domains = await self.app.store.mailroom.receiving_domains()
            self.domains_at = now
        return any(domain == ours or domain.endswith("." + ours) for ours in self.domains)

    async def judge_recipient(self, local: str, domain: str | None) -> str | None:
        """The reply that refuses a recipient, or None where it is one of ours.

        Refused here and not after DATA, for a bounce sent later to a forged sender would be backscatter.
        """
        name = local.lower()
        if domain is None:  # RFC 5321 section 4.5.1: postmaster is the one address that needs no domain
            return None if name == "postmaster" else "550 5.1.3 That address has no domain"
        if not await self.receives_for(domain.lower()):
            return "550 5.7.1 We do not relay"
        if name in ("postmaster", "abuse"):
            return None
        tokens = self.app.tokens
        for read in (tokens.read_return_path, tokens.read_unsubscribe_mailbox, tokens.read_confirm_mailbox):
            with suppress(TokenError):
                read(local)
                return None
        if await find_list(self.app, name, domain.lower()) is not None:
            return None
        return "550 5.1.1 There is no such address here"

    async def keep(self, message: NewInbound) -> None:
        """Commit the message. Shielded: a peer that hangs up now must not cancel a transaction half way."""
        await asyncio.shield(self.app.store.mailroom.keep(message))
        await self.app.coordination.wake(WAKES)


class MxSession(SMTP):
    """One connection. Attributes and hooks of aiosmtpd that are private are used on purpose; its version is pinned."""

    def __init__(self, doorkeeper: _Doorkeeper, command_timeout: float, message_timeout: float) -> None:
        settings = doorkeeper.app.settings
        self._doorkeeper = doorkeeper
        self._message_timeout = message_timeout
        self._greeted = False
        self._from: str | None = None
        self._to: list[str] = []
        self._bad = 0
        self._answered = 0
        self._peer = ""
        super().__init__(
            object(), data_size_limit=settings.mx.max_message_bytes, timeout=command_timeout,
            hostname=settings.delivery.hello_name or "localhost", loop=asyncio.get_running_loop(),
        )
        self._commands: dict[str, Callable[[str], Awaitable[None]]] = {
            "HELO": self._helo, "EHLO": self._ehlo, "MAIL": self._mail, "RCPT": self._rcpt, "DATA": self._data,
            "RSET": self._rset, "NOOP": self._noop, "QUIT": self._quit, "VRFY": self._vrfy, "HELP": self._help,
        }

    # ---- the connection ----------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Count the connection in, or answer 421 and close where there are too many."""
        peer = transport.get_extra_info("peername")
        self._peer = str(peer[0]) if peer else ""
        self._admitted = self._doorkeeper.admits(self._peer)
        if self._admitted:
            self._doorkeeper.sessions.add(self)
            self._doorkeeper.by_peer[self._peer] += 1
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        """Count the connection out."""
        if self in self._doorkeeper.sessions:
            self._doorkeeper.sessions.discard(self)
            self._doorkeeper.by_peer[self._peer] -= 1
            if not self._doorkeeper.by_peer[self._peer]:
                del self._doorkeeper.by_peer[self._peer]
        super().connection_lost(error)

    async def push(self, status: str | bytes) -> None:
        """Send one reply line; unlike aiosmtpd's, it logs nothing of the conversation."""
        self._writer.write((status.encode("ascii") if isinstance(status, str) else status) + b"\r\n")
        await self._writer.drain()

    async def _hang_up(self, status: str) -> None:
        with suppress(ConnectionError):
            await self.push(status)
        if self.transport is not None:
            self.transport.close()

    async def _handle_client(self) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            try:
                if not self._admitted:
                    return await self._hang_up("421 4.7.0 Too many connections, come back later")
                await self.push(f"220 {self.hostname} ESMTP")
                while self.transport is not None and not self.transport.is_closing():
                    await self._handle_command()
            except (ConnectionError, asyncio.IncompleteReadError):
                raise
            except Exception as error:
                # 451, because whatever broke here is our fault; and no word about what it was. The frames are logged
                # without the error's text, for a database's error quotes the mail that it could not store.
                where = traceback.format_tb(error.__traceback__)
                log.error("mx_session_failed", peer=self._peer, error=type(error).__name__, where=where)
                await self._hang_up("451 4.3.0 We could not take this just now, please try again")
            finally:  # also where the peer closed its side, for which aiosmtpd cancels this task
                if self.transport is not None:
                    self.transport.close()

    async def _handle_command(self) -> None:
        try:
            line = await self._reader.readuntil(b"\r\n")
        except asyncio.LimitOverrunError:
            return await self._hang_up("500 5.5.2 That line is too long")
        line = line[:-2]
        # A bare CR or LF is a line to some and none to others: a server that guesses can be made to see a message
        # that another one did not send (SMTP smuggling, RFC 5321 section 2.3.8).
        if b"\n" in line or b"\r" in line or b"\x00" in line:
            return await self._hang_up("500 5.5.2 Bare CR, bare LF and NUL are refused")
        if len(line) > _COMMAND_OCTETS or not line.isascii():
            return await self._refuse("500 5.5.2 That command is too long or not ASCII")
        verb, _, argument = line.decode("ascii").partition(" ")
        verb = verb.upper()
        if verb in _FOREIGN_VERBS or line.startswith(b"\x16\x03"):  # a browser or a TLS client made to talk to us
            return await self._hang_up("421 4.7.0 This is SMTP")
        self._answered += 1
        if self._answered > _COMMANDS:
            return await self._hang_up("421 4.7.0 Too many commands without a message")
        if verb == "STARTTLS":
            return await self._refuse("502 5.5.1 TLS is not offered here")
        command = self._commands.get(verb)
        if command is None:
            return await self._refuse("500 5.5.2 That command is not known here")
        self._reset_timeout()
        await command(argument.strip(" "))

    async def _refuse(self, status: str) -> None:
        """Answer a command that is wrong; hang up on a peer that is wrong all the time."""
        self._bad += 1
        if self._bad >= _BAD_COMMANDS:
            return await self._hang_up("421 4.7.0 Too many errors")
        await self.push(status)

    # ---- the commands ------------------------------------------------------------------------------------------------

    async def _helo(self, argument: str) -> None:
        if not argument:
            return await self._refuse("501 5.5.4 Say who you are: HELO name")
        self._greeted, self._from, self._to = True, None, []
        await self.push(f"250 {self.hostname}")

    async def _ehlo(self, argument: str) -> None:
        if not argument:
            return await self._refuse("501 5.5.4 Say who you are: EHLO name")
        self._greeted, self._from, self._to = True, None, []
        offers = (self.hostname, "PIPELINING", f"SIZE {self.data_size_limit}", "8BITMIME", "ENHANCEDSTATUSCODES")
        for offer in offers[:-1]:
            await self.push(f"250-{offer}")
        await self.push(f"250 {offers[-1]}")

    async def _mail(self, argument: str) -> None:
        if not self._greeted:
            return await self._refuse("503 5.5.1 Say EHLO first")
        if self._from is not None:
            return await self._refuse("503 5.5.1 A message is begun already")
        path, _, options = _after(argument, "FROM:").partition(" ")
        found = _SENDER.fullmatch(path)
        if found is None:
            return await self._refuse("501 5.1.7 That sender is not an address")
        for option in options.upper().split():
            name, _, value = option.partition("=")
            if name == "SIZE" and _SIZE.fullmatch(value):
                if int(value) > (self.data_size_limit or 0):  # RFC 1870 section 6.1
                    return await self.push("552 5.3.4 That message is too large")
            elif not (name == "BODY" and value in ("7BIT", "8BITMIME")):
                return await self._refuse("555 5.5.4 A parameter of MAIL is not known here")
        self._from = found[1]
        await self.push("250 2.1.0 Sender noted")

    async def _rcpt(self, argument: str) -> None:
        if self._from is None:
            return await self._refuse("503 5.5.1 Say MAIL first")
        found = _PATH.fullmatch(_after(argument, "TO:"))
        if found is None:  # also every parameter: DSN (RFC 3461) is not offered
            return await self._refuse("501 5.1.3 That recipient is not an address")
        if len(self._to) >= _RECIPIENTS:
            return await self.push("452 4.5.3 Too many recipients, send the rest in another message")
        refusal = await self._doorkeeper.judge_recipient(found[1], found[2])
        if refusal is not None:
            return await self._refuse(refusal)
        self._to.append(found[0][1:-1])
        await self.push("250 2.1.5 Recipient noted")

    async def _data(self, arg: str) -> None:
        """Take the message up to CRLF.CRLF in bounded memory, keep it, and only then say 250."""
        if self._from is None or not self._to:
            return await self._refuse("503 5.5.1 Say MAIL and RCPT first")
        if arg:
            return await self._refuse("501 5.5.4 DATA takes no argument")
        await self.push("354 End with CRLF . CRLF")
        self._reset_timeout(self._message_timeout)
        raw, refusal = await self._read_message()
        self._reset_timeout()
        sender, recipients = self._from, tuple(self._to)
        self._from, self._to, self._answered = None, [], 0
        if refusal is not None:
            return await self._hang_up(refusal)
        app = self._doorkeeper.app
        await self._doorkeeper.keep(NewInbound(app.clock.now(), self._peer, sender, recipients, raw))
        await self.push("250 2.0.0 Kept")

    async def _read_message(self) -> tuple[bytes, str | None]:
        """The message's octets without dot-stuffing, and the reply that refuses it or None.

        What is too large is read on (the peer listens to no reply before its dot) but not kept, and for no longer than
        ten times the limit. Only CRLF ends a line, so only CRLF.CRLF ends the message: the other eight spellings of the
        end are part of a message that is then refused for its bare CR or LF.
        """
        limit = self.data_size_limit or 0
        kept, total, bare, at_line_start = bytearray(), 0, False, True
        while True:
            try:
                piece = await self._reader.readuntil(b"\r\n")
                ended = True
            except asyncio.LimitOverrunError as overrun:
                # asyncio keeps one octet back, so that a piece never ends between CR and LF.
                piece = await self._reader.readexactly(overrun.consumed)
                ended = False
            if at_line_start and ended and piece == b".\r\n":
                break
            content = piece[:-2] if ended else piece
            bare = bare or b"\n" in content or b"\r" in content
            total += len(piece)
            if at_line_start and piece.startswith(b"."):
                piece = piece[1:]  # RFC 5321 section 4.5.2
            if total <= limit and not bare:
                kept += piece
            else:
                kept.clear()
            if total > limit * _DISCARDED_MESSAGES:
                return b"", "552 5.3.4 That message is far too large"
            at_line_start = ended
        if total > limit:
            return b"", "552 5.3.4 That message is too large"
        if bare:
            return b"", "550 5.6.11 Bare CR and bare LF are refused (RFC 5321 section 2.3.8)"
        return bytes(kept), None

    async def _rset(self, argument: str) -> None:
        self._from, self._to = None, []
        await self.push("250 2.0.0 Forgotten")

    async def _noop(self, argument: str) -> None:
        await self.push("250 2.0.0 Still here")

    async def _quit(self, argument: str) -> None:
        await self._hang_up("221 2.0.0 Good bye")

    async def _vrfy(self, argument: str) -> None:
        await self.push("252 2.5.0 Send it and see")

    async def _help(self, argument: str) -> None:
        await self.push("214 2.0.0 EHLO MAIL RCPT DATA RSET NOOP QUIT, by RFC 5321")


def _after(argument: str, keyword: str) -> str:
    """What follows ``FROM:`` or ``TO:``; one space after the colon is wrong but common, and harmless."""
    if argument[: len(keyword)].upper() != keyword:
        return ""
    return argument[len(keyword):].removeprefix(" ")


class Mx:
    """The listening server: ``start`` returns once the port is open, ``close`` once every session is gone."""

    def __init__(self, app: App, *, command_timeout: float = 60.0, message_timeout: float = 300.0) -> None:
        # aiosmtpd logs each command at INFO and each body line at DEBUG; addresses are nobody else's business.
        logging.getLogger("mail.log").setLevel(logging.CRITICAL)
        self._doorkeeper = _Doorkeeper(app)
        self._command_timeout = command_timeout
        self._message_timeout = message_timeout
        self._server: asyncio.Server | None = None

    async def start(self) -> int:
        """Listen on ``settings.mx``; returns the port, which matters where the configured one is 0."""
        settings = self._doorkeeper.app.settings.mx

        def session() -> MxSession:
            return MxSession(self._doorkeeper, self._command_timeout, self._message_timeout)

        self._server = await asyncio.get_running_loop().create_server(session, settings.host, settings.port)
        port: Any = self._server.sockets[0].getsockname()[1]
        return int(port)

    async def close(self) -> None:
        """Stop listening, and close the sessions; a message whose dot was not answered will be sent again."""
        if self._server is None:
            return
        self._server.close()
        for session in tuple(self._doorkeeper.sessions):
            if session.transport is not None:
                session.transport.close()
            task = session._handler_coroutine
            if task is not None:
                with suppress(asyncio.CancelledError):
                    await asyncio.gather(task, return_exceptions=True)
        self._server = None
