"""The door for apps by SMTP (RFC 6409): known by name and password, bounded in every direction, 250 means durable.

Built on aiosmtpd, of which the connection remains, as with the MX. What a message is and whose it may be is decided in
``esp.flows.relay``, which the HTTP door shares; here are the conversation and its limits.
"""

import asyncio
import base64
import binascii
import logging
import re
import ssl
import traceback
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

import structlog
from aiosmtpd.smtp import SMTP

from esp.app import App
from esp.entry.certificate import server_context
from esp.entry.login_guard import LoginGuard
from esp.entry.submission_data import DataError, read_message
from esp.entry.submission_paths import MailFrom, PathError, RcptTo, read_mail, read_rcpt
from esp.entry.submission_replies import WRONG_LOGIN, failure, refusal
from esp.errors import MerpatiError
from esp.flows.accounts import Passwords
from esp.flows.credentials import Keyring
from esp.flows.relay import Refusal, Relay, may_send_from, stream_for
from esp.flows.relay_controls import controlled
from esp.model.relay import (
    MAXIMUM_RECIPIENTS,
    Addressee,
    Credential,
    Refused,
    Submission,
    SuppressedPolicy,
)
from esp.wire.headers import encode_date
from esp.wire.submitted import CONTROL, SubmittedError, controls_of, read_head

log = structlog.get_logger(__name__)

_COMMAND_OCTETS: Final = 4096  # 512 (RFC 5321 section 4.5.3.1.4) and what DSN, SMTPUTF8 and AUTH may add
_AUTH_OCTETS: Final = 12_288  # RFC 4954 section 4
_BAD_COMMANDS: Final = 20
_COMMANDS: Final = 200  # of a session that sends no message, beside its recipients
_LOGINS: Final = 3
_BEFORE_LOGIN: Final = 60.0  # seconds a client may take to log in, all in all: a slow one is no app of ours
_SWEEP: Final = 1.0
_BLOCK: Final = 65_536
_LARGE: Final = 1_000_000  # octets; of such messages one at a time is in memory whole
_FOREIGN_VERBS: Final = frozenset(
    ("GET", "POST", "PUT", "HEAD", "OPTIONS", "CONNECT", "DELETE", "PATCH", "TRACE", "PRI", "HOST:", "USER-AGENT:")
)
_HELLO: Final = re.compile(r"[A-Za-z0-9.:_\[\]-]{1,255}")


@dataclass(slots=True)
class _Doorkeeper:
    """What all sessions share: how many there are, who may come in, and where messages go."""

    app: App
    relay: Relay
    keyring: Keyring
    passwords: Passwords
    guard: LoginGuard
    hostname: str
    context: ssl.SSLContext | None = None
    known: Credential | None = None  # whom every session is taken for, without a login: for measuring alone
    sessions: set["SubmissionSession"] = field(default_factory=set)
    by_peer: Counter[str] = field(default_factory=Counter)
    large: asyncio.Lock = field(default_factory=asyncio.Lock)

    def admits(self, peer: str) -> bool:
        settings = self.app.settings.submission
        return len(self.sessions) < settings.max_connections and self.by_peer[peer] < settings.max_connections_per_peer


class SubmissionSession(SMTP):
    """One connection. Attributes of aiosmtpd that are private are used on purpose; its version is pinned."""

    line_length_limit = _BLOCK  # of the stream's buffer

    def __init__(self, doorkeeper: _Doorkeeper) -> None:
        self._doorkeeper = doorkeeper
        settings = doorkeeper.app.settings.submission
        super().__init__(
            object(), data_size_limit=settings.max_message_bytes, hostname=doorkeeper.hostname,
            loop=asyncio.get_running_loop(),
        )
        self._idle = settings.command_timeout.total_seconds()
        self._whole = settings.message_timeout.total_seconds()
        self.buffer = bytearray()
        self._replies: list[bytes] = []
        self._tls = ""
        self._hello = ""
        self._extended = False
        self._credential = doorkeeper.known
        self._mail: MailFrom | None = None
        self._to: list[RcptTo] = []
        self._bad = self._answered = self._logins = 0
        self._peer = ""
        self._admitted = self._over = False
        now = doorkeeper.app.clock.monotonic()
        self.deadline = now + self._idle  # of the next octets, moved by each
        self.limit = float("inf") if doorkeeper.known else now + _BEFORE_LOGIN  # of the login or the message
        self._commands: dict[str, Callable[[str], Awaitable[None]]] = {
            "HELO": self._helo, "EHLO": self._ehlo, "MAIL": self._mail_from, "RCPT": self._rcpt, "DATA": self._data,
            "RSET": self._rset, "NOOP": self._noop, "QUIT": self._quit, "VRFY": self._vrfy, "HELP": self._help,
            "AUTH": self._auth, "STARTTLS": self._starttls,
        }

    # ---- the connection ----------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Count the connection in; one too many is answered 421."""
        peer = transport.get_extra_info("peername")
        self._peer = str(peer[0]) if peer else ""
        self._admitted = self._doorkeeper.admits(self._peer)
        if self._admitted:
            self._doorkeeper.sessions.add(self)
            self._doorkeeper.by_peer[self._peer] += 1
        self._tls = _tls_of(transport)
        asyncio.StreamReaderProtocol.connection_made(self, transport)
        self.transport = transport
        self._handler_coroutine = self.loop.create_task(self._handle_client())

    def connection_lost(self, error: Exception | None) -> None:
        """Count the connection out. What is being committed goes on; nobody is told."""
        if self in self._doorkeeper.sessions:
            self._doorkeeper.sessions.discard(self)
            self._doorkeeper.by_peer[self._peer] -= 1
            if not self._doorkeeper.by_peer[self._peer]:
                del self._doorkeeper.by_peer[self._peer]
        asyncio.StreamReaderProtocol.connection_lost(self, error)
        if self._handler_coroutine is not None:
            self._handler_coroutine.cancel()
        self.transport = None

    def eof_received(self) -> bool | None:
        """The client says no more; what it said before is still answered."""
        return asyncio.StreamReaderProtocol.eof_received(self)

    async def more(self) -> None:
        """Read on, having sent the replies that are due. Raises ConnectionResetError at the end."""
        if self._replies:
            await self._flush()
        octets = await self._reader.read(_BLOCK)
        if not octets:
            raise ConnectionResetError
        self.deadline = self._doorkeeper.app.clock.monotonic() + self._idle
        self.buffer += octets

    async def _flush(self) -> None:
        self._writer.write(b"".join(self._replies))
        self._replies.clear()
        await self._writer.drain()

    def _say(self, reply: str) -> None:
        """A reply, sent with the others as soon as there is nothing left to read (RFC 2920 section 3.2)."""
        self._replies.append(reply.encode("ascii") + b"\r\n")

    async def _hang_up(self, reply: str) -> None:
        self._say(reply)
        self._over = True
        with suppress(ConnectionError):
            await self._flush()
        if self.transport is not None:
            self.transport.close()

    def time_out(self) -> None:
        """Too slow, or silent for too long: said, and closed at once, for who does not read is not waited for."""
        if self.transport is not None:
            with suppress(ConnectionError, RuntimeError):
                self._writer.write(b"421 4.4.2 That took too long\r\n")
            self.transport.close()

    async def _handle_client(self) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            try:
                if not self._admitted:
                    return await self._hang_up("421 4.7.0 Too many connections, come back later")
                self._say(f"220 {self.hostname} ESMTP")
                while not self._over and self.transport is not None and not self.transport.is_closing():
                    await self._handle_command()
            except (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
                raise
            except Exception as error:
                # No word to the client about what it was, and none in the log of what the mail holds.
                where = traceback.format_tb(error.__traceback__)
                log.error("submission_session_failed", peer=self._peer, error=type(error).__name__, where=where)
                await self._hang_up("451 4.3.0 We could not take this just now, please try again")
            finally:
                if self.transport is not None:
                    self.transport.close()

    async def _line(self, most: int) -> bytes | None:
        """The next line without its CRLF; None, with the connection ended, where it is too long or ends otherwise."""
        at = self.buffer.find(b"\n")
        while at < 0:
            if len(self.buffer) > most:
                await self._hang_up("500 5.5.2 That line is too long")
                return None
            seen = len(self.buffer)
            await self.more()
            at = self.buffer.find(b"\n", seen)
        line = bytes(self.buffer[: at + 1])
        del self.buffer[: at + 1]
        # A bare CR or LF is a line to some and none to others (RFC 5321 section 2.3.8).
        if not line.endswith(b"\r\n") or b"\r" in line[:-2] or b"\x00" in line:
            await self._hang_up("500 5.5.2 Bare CR, bare LF and NUL are refused")
            return None
        if len(line) > most:
            await self._hang_up("500 5.5.2 That line is too long")
            return None
        return line[:-2]

    async def _handle_command(self) -> None:
        line = await self._line(_AUTH_OCTETS)
        if line is None:
            return
        if line.startswith(b"\x16\x03"):
            return await self._hang_up("421 4.7.0 TLS begins with STARTTLS on this port")
        try:
            text = line.decode("utf-8")
        except UnicodeDecodeError:
            return await self._refuse("500 5.5.2 That command is no UTF-8")
        verb, _, argument = text.partition(" ")
        verb = verb.upper()
        if verb in _FOREIGN_VERBS:  # a browser that was made to talk to us
            return await self._hang_up("421 4.7.0 This is SMTP")
        if len(line) > _COMMAND_OCTETS and verb != "AUTH":
            return await self._refuse("500 5.5.2 That command is too long")
        if verb == "BDAT":  # the octets behind it would be taken for commands
            return await self._hang_up("502 5.5.1 BDAT is not offered here")
        self._answered += 1
        if self._answered > _COMMANDS + len(self._to):
            return await self._hang_up("421 4.7.0 Too many commands without a message")
        command = self._commands.get(verb)
        if command is None:
            return await self._refuse("500 5.5.2 That command is not known here")
        await command(argument.strip(" "))

    async def _refuse(self, reply: str) -> None:
        """Answer a command that is wrong; hang up on a client that is wrong all the time."""
        self._bad += 1
        if self._bad >= _BAD_COMMANDS:
            return await self._hang_up("421 4.7.0 Too many errors")
        self._say(reply)

    # ---- greeting, TLS, login ----------------------------------------------------------------------------------------

    def _forget(self) -> None:
        self._mail, self._to = None, []

    async def _helo(self, argument: str) -> None:
        if not argument:
            return await self._refuse("501 5.5.4 Say who you are: HELO name")
        self._hello, self._extended = argument, False
        self._forget()
        self._say(f"250 {self.hostname}")

    async def _ehlo(self, argument: str) -> None:
        if not argument:
            return await self._refuse("501 5.5.4 Say who you are: EHLO name")
        self._hello, self._extended = argument, True
        self._forget()
        offers = [self.hostname, "PIPELINING", f"SIZE {self.data_size_limit}", "8BITMIME", "SMTPUTF8",
                  "ENHANCEDSTATUSCODES", "DSN"]
        if self._tls:
            offers.append("AUTH PLAIN LOGIN")
        elif self._doorkeeper.context is not None:
            offers.append("STARTTLS")
        for offer in offers[:-1]:
            self._say(f"250-{offer}")
        self._say(f"250 {offers[-1]}")

    async def _starttls(self, argument: str) -> None:
        context = self._doorkeeper.context
        if argument:
            return await self._refuse("501 5.5.4 STARTTLS takes no argument")
        if self._tls or context is None:
            return await self._refuse("503 5.5.1 TLS is not to be had, or had already")
        if self.buffer:  # RFC 3207 section 4.2: said before TLS by whomever, and heard after it as if by the client
            return await self._hang_up("501 5.5.1 Nothing may follow STARTTLS before TLS begins")
        self._say("220 2.0.0 Go ahead")
        self._writer.write(b"".join(self._replies))
        self._replies.clear()
        assert isinstance(self.transport, asyncio.Transport)
        # No wait between the reply and this: what comes next is for the TLS layer.
        transport = await self.loop.start_tls(
            self.transport, self, context, server_side=True, ssl_handshake_timeout=_BEFORE_LOGIN)
        if transport is None:
            raise ConnectionResetError
        self.transport = self._reader._transport = self._writer._transport = transport  # type: ignore[attr-defined]
        self._transport = transport
        self._over_ssl = True
        self._reader._buffer.clear()  # type: ignore[attr-defined]
        self.buffer.clear()
        self._tls = _tls_of(transport)
        self._hello, self._extended = "", False  # nothing is known of who speaks now
        self._credential = self._doorkeeper.known
        self._forget()

    async def _auth(self, argument: str) -> None:
        way, _, initial = argument.partition(" ")
        if not self._extended:
            return await self._refuse("503 5.5.1 Say EHLO first")
        if not self._tls:
            return await self._refuse("538 5.7.11 A password is taken under TLS only")
        if self._credential is not None:
            return await self._refuse("503 5.5.1 You are logged in already")
        if self._mail is not None:
            return await self._refuse("503 5.5.1 Not while a message is begun")
        match way.upper():
            case "PLAIN":
                said = await self._answer("334 ") if not initial else _decoded(initial)
                parts = said.split("\x00") if said is not None else []
                login, password = parts[1:] if len(parts) == 3 and parts[0] in ("", parts[1]) else (None, None)
            case "LOGIN":
                login = await self._answer("334 VXNlcm5hbWU6") if not initial else _decoded(initial)
                password = await self._answer("334 UGFzc3dvcmQ6") if login is not None else None
            case _:
                return await self._refuse("504 5.5.4 PLAIN and LOGIN are known here")
        if self._over:
            return
        if login is None or password is None:
            return await self._refuse("501 5.5.2 That could not be read, or was called off")
        await self._log_in(login, password)

    async def _answer(self, challenge: str) -> str | None:
        """What the client answers, decoded; None where it cannot be read or is ``*``, which calls it off."""
        self._say(challenge)
        line = await self._line(_AUTH_OCTETS)
        return None if line is None or line == b"*" else _decoded(line.decode("ascii", "replace"))

    async def _log_in(self, login: str, password: str) -> None:
        door = self._doorkeeper
        try:
            if door.guard.locked(self._peer, login):
                await door.passwords.matches(None, password)  # as long as for anybody, and the same answer
                credential = None
            else:
                credential = await door.keyring.smtp(login, password, self._peer)
        except MerpatiError:
            return self._say("454 4.7.0 Logins cannot be checked just now, please try again")
        if credential is None:
            self._logins += 1
            door.guard.failed(self._peer, login)
            await asyncio.sleep(door.guard.wait(self._peer))
            if self._logins >= _LOGINS:
                return await self._hang_up("421 4.7.0 Too many wrong logins")
            return await self._refuse(WRONG_LOGIN)
        door.guard.succeeded(self._peer, login)
        self._credential = credential
        self._answered = self._bad = 0
        self.limit = float("inf")
        self._say("235 2.7.0 Welcome")

    # ---- a message ---------------------------------------------------------------------------------------------------

    async def _mail_from(self, argument: str) -> None:
        credential = self._credential
        if credential is None:
            reply = "530 5.7.0 Log in first" if self._tls else "530 5.7.0 Issue STARTTLS first"
            return await self._refuse(reply)
        if not self._hello:
            return await self._refuse("503 5.5.1 Say EHLO first")
        if self._mail is not None:
            return await self._refuse("503 5.5.1 A message is begun already")
        try:
            mail = read_mail(argument)
            if mail.size > (self.data_size_limit or 0):  # RFC 1870 section 6.1
                return self._say("552 5.3.4 That message is too large")
            if credential is not self._doorkeeper.known and not await self._doorkeeper.keyring.still_good(credential):
                return await self._hang_up("421 4.7.0 This login was revoked")
            house = await self._doorkeeper.relay.house(credential.workspace_id)
        except PathError as error:
            return await self._refuse(str(error))
        except MerpatiError as problem:
            return self._say(failure(problem))
        refused = may_send_from(mail.sender, house, credential) if mail.sender else None
        if refused is not None:
            return await self._refuse(refusal(refused))
        self._mail = mail
        self._say("250 2.1.0 Sender noted")

    async def _rcpt(self, argument: str) -> None:
        if self._mail is None:
            return await self._refuse("503 5.5.1 Say MAIL first")
        try:
            to = read_rcpt(argument, self._mail.smtputf8)
        except PathError as error:
            return await self._refuse(str(error))
        if len(self._to) >= MAXIMUM_RECIPIENTS:
            # Not counted as an error: a client that has more sends the rest in another message.
            self._answered -= 1
            return self._say("452 4.5.3 Too many recipients, send the rest in another message")
        if (refused := await self._suppressed(to.address)) is not None:
            self._answered -= 1
            return self._say(refused)
        self._to.append(to)
        self._say("250 2.1.5 Recipient noted")

    async def _suppressed(self, address: str) -> str | None:
        """The reply for a recipient who may not be written to, where the stream says that this is refused at once."""
        credential, door = self._credential, self._doorkeeper
        assert credential is not None
        try:
            stream = stream_for("", await door.relay.house(credential.workspace_id), credential)
            if stream.suppressed is not SuppressedPolicy.REFUSE or credential.sandbox:
                return None
            reason = await door.relay.suppressed(credential.workspace_id, stream, address)
        except Refusal as unknown:
            return refusal(unknown.refused)
        except MerpatiError as problem:
            return failure(problem)
        return f"550 5.7.1 This address is suppressed ({reason})" if reason else None

    async def _data(self, argument: str) -> None:
        """Take the message up to CRLF.CRLF in bounded memory, keep it, and only then say 250."""
        if self._mail is None or not self._to:
            return await self._refuse("503 5.5.1 Say MAIL and RCPT first")
        if argument:
            return await self._refuse("501 5.5.4 DATA takes no argument")
        self._say("354 End with CRLF . CRLF")
        door = self._doorkeeper
        self.limit = door.app.clock.monotonic() + self._whole
        mail, to = self._mail, self._to
        self._forget()
        self._answered = self._bad = 0
        large = False

        async def turn(size: int) -> None:
            nonlocal large
            if size > _LARGE:
                await door.large.acquire()
                large = True

        try:
            raw = await read_message(self, self.data_size_limit or 0, door.app.settings.server.data_dir, turn)
            self._say(await self._submit(mail, to, raw))
        except DataError as error:
            if error.over:
                return await self._hang_up(error.reply)
            self._say(error.reply)
        except OSError as problem:
            if isinstance(problem, ConnectionError):
                raise
            await self._hang_up(failure(problem))
        finally:
            self.limit = float("inf")
            if large:
                door.large.release()

    async def _submit(self, mail: MailFrom, to: list[RcptTo], raw: bytes) -> str:
        """The reply to the dot: 250 once the message is committed and synced."""
        credential, door = self._credential, self._doorkeeper
        assert credential is not None
        submission = Submission(
            raw=self._received(mail) + raw, sender=mail.sender,
            recipients=tuple(Addressee(one.address, one.notify, one.original) for one in to),
            ret=mail.ret, envid=mail.envid)
        try:
            # Looked for in the octets first: most messages have none, and this is the hot path.
            if CONTROL in raw[: raw.find(b"\r\n\r\n")].lower():
                submission = controlled(submission, controls_of(read_head(raw)))
            (outcome,) = await door.relay.accept(credential.workspace_id, [submission], credential)
        except Refusal as refused:
            return refusal(refused.refused)
        except SubmittedError as error:
            return f"554 5.6.0 {error}"
        except MerpatiError as problem:
            log.error("submission_not_kept", error=type(problem).__name__)
            return failure(problem)
        if isinstance(outcome, Refused):
            return refusal(outcome)
        return f"250 2.0.0 Kept as {outcome.public_id}"

    def _received(self, mail: MailFrom) -> bytes:
        """The trace (RFC 5321 section 4.4, RFC 3848)."""
        name = self._hello if _HELLO.fullmatch(self._hello) else "unknown"
        address = f"IPv6:{self._peer}" if ":" in self._peer else self._peer
        protocol = ("UTF8" if mail.smtputf8 else "E") + "SMTP" + ("S" if self._tls else "") + "A"
        return (f"Received: from {name} ([{address}])\r\n\tby {self.hostname} with {protocol}"
                f"{f' ({self._tls})' if self._tls else ''};\r\n\t").encode("ascii") + encode_date(
                    self._doorkeeper.app.clock.now()) + b"\r\n"

    # ---- the rest ----------------------------------------------------------------------------------------------------

    async def _rset(self, argument: str) -> None:
        self._forget()
        self._say("250 2.0.0 Forgotten")

    async def _noop(self, argument: str) -> None:
        self._say("250 2.0.0 Still here")

    async def _quit(self, argument: str) -> None:
        await self._hang_up("221 2.0.0 Good bye")

    async def _vrfy(self, argument: str) -> None:
        self._say("252 2.5.0 Send it and see")

    async def _help(self, argument: str) -> None:
        self._say("214 2.0.0 EHLO STARTTLS AUTH MAIL RCPT DATA RSET NOOP QUIT, by RFC 6409")


def _decoded(text: str) -> str | None:
    try:
        octets = b"" if text == "=" else base64.b64decode(text, validate=True)  # "=" is an empty one (RFC 4954)
        return octets.decode("utf-8")
    except (binascii.Error, ValueError):
        return None


def _tls_of(transport: asyncio.BaseTransport) -> str:
    """Version and cipher, or '' in clear."""
    cipher = transport.get_extra_info("cipher")
    return f"{cipher[1]} {cipher[0]}" if cipher else ""


class SubmissionDoor:
    """The listening servers: ``start`` returns once the ports are open, ``close`` once every session is gone."""

    def __init__(self, app: App, relay: Relay, keyring: Keyring, passwords: Passwords, *,
                 known: Credential | None = None) -> None:
        # aiosmtpd logs each command at INFO and each body line at DEBUG; addresses are nobody else's business.
        logging.getLogger("mail.log").setLevel(logging.CRITICAL)
        settings = app.settings
        hostname = settings.submission.hostname or settings.delivery.hello_name or "localhost"
        self._doorkeeper = _Doorkeeper(
            app, relay, keyring, passwords, LoginGuard(app.clock.monotonic), hostname,
            server_context(settings, hostname), known)
        self._servers: list[asyncio.Server] = []
        self._sweeping: asyncio.Task[None] | None = None
        self.port = self.tls_port = 0

    async def start(self) -> None:
        """Listen as ``settings.submission`` says; ``port`` and ``tls_port`` are then those that were had."""
        it = self._doorkeeper.app.settings.submission
        loop = asyncio.get_running_loop()

        def session() -> SubmissionSession:
            return SubmissionSession(self._doorkeeper)

        if it.starttls:
            self.port = await self._listen(loop.create_server(session, it.host, it.port, backlog=1024))
        if it.implicit_tls:
            self.tls_port = await self._listen(loop.create_server(
                session, it.host, it.tls_port, ssl=self._doorkeeper.context, ssl_handshake_timeout=_BEFORE_LOGIN,
                backlog=1024))
        self._sweeping = loop.create_task(self._sweep())

    async def _listen(self, opening: Any) -> int:
        server = await opening
        self._servers.append(server)
        return int(server.sockets[0].getsockname()[1])

    async def _sweep(self) -> None:
        """Close what is too slow. One look a second at all sessions costs less than a timer for each command."""
        monotonic = self._doorkeeper.app.clock.monotonic
        while True:
            await asyncio.sleep(_SWEEP)
            now = monotonic()
            for session in tuple(self._doorkeeper.sessions):
                if min(session.deadline, session.limit) < now:
                    session.time_out()

    async def close(self) -> None:
        """Stop listening, and close the sessions; a message whose dot was not answered will be sent again."""
        for server in self._servers:
            server.close()
        if self._sweeping is not None:
            self._sweeping.cancel()
            await asyncio.gather(self._sweeping, return_exceptions=True)
        tasks = []
        for session in tuple(self._doorkeeper.sessions):
            if session.transport is not None:
                session.transport.close()
            if session._handler_coroutine is not None:
                tasks.append(session._handler_coroutine)
        await asyncio.gather(*tasks, return_exceptions=True)
        self._servers = []
