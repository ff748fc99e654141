"""One simulated mailbox provider: a real SMTP server on its own loopback address that behaves as its data says."""

import asyncio
import random
import re
import ssl
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from esp.rehearsal.letters import Copy
from esp.rehearsal.people import fraction
from esp.rehearsal.providers import Provider

_MAXIMUM: Final = 25_000_000
_TERMINATOR: Final = b"\r\n.\r\n"
_PATH: Final = re.compile(r"(?:FROM|TO):\s?<([^<>\s]*)>((?: [^ ]+)*)", re.IGNORECASE)
_GREYLIST_ENTRIES: Final = 500_000


@dataclass(slots=True)
class ProviderLog:
    """What a provider counts for itself; the world keeps what it did with each recipient."""

    accepted: int = 0
    greylisted: int = 0
    turned_away: int = 0
    unknown: int = 0
    encrypted: int = 0
    connections: int = 0


@dataclass(slots=True)
class MailHost:
    """A provider at work: shared by its sessions."""

    provider: Provider
    seed: str
    accept: Callable[[Provider, Copy], None]
    note: Callable[[Provider, str, str], None]  # provider, recipient, what was answered
    room: Callable[[Callable[[], None]], bool]  # False: full; the callback comes when there is room again
    tls: ssl.SSLContext | None = None
    log: ProviderLog = field(default_factory=ProviderLog)
    sessions: int = 0
    numbers: int = 0
    greylist: "OrderedDict[tuple[str, str, str], float]" = field(default_factory=OrderedDict)
    tokens: float = 1.0
    filled_at: float = field(default_factory=time.monotonic)

    def judge_sender(self) -> str | None:
        """A 421 where more messages come than the provider takes."""
        rate = self.provider.behaviour.messages_per_second
        if not rate:
            return None
        now = time.monotonic()
        self.tokens = min(max(1.0, rate), self.tokens + (now - self.filled_at) * rate)
        self.filled_at = now
        if self.tokens < 1.0:
            self.log.turned_away += 1
            return "421 4.7.0 Too many messages from your address, slow down"
        self.tokens -= 1.0
        return None

    def judge_recipient(self, peer: str, sender: str, recipient: str) -> str | None:
        """The reply that refuses or defers a recipient, or None."""
        behaviour = self.provider.behaviour
        if not recipient.lower().endswith("@" + self.provider.domain):
            return "550 5.7.1 We do not relay"
        if behaviour.unknown_share and fraction(self.seed, recipient, "unknown") < behaviour.unknown_share:
            self.log.unknown += 1
            self.note(self.provider, recipient, "unknown")
            return f"550 5.1.1 <{recipient}>: there is no such mailbox here"
        if behaviour.greylist_seconds:
            now, triplet = time.monotonic(), (peer, sender, recipient)
            first = self.greylist.setdefault(triplet, now)
            while len(self.greylist) > _GREYLIST_ENTRIES:
                self.greylist.popitem(last=False)
            if now - first < behaviour.greylist_seconds:
                self.log.greylisted += 1
                self.note(self.provider, recipient, "greylisted")
                return f"451 4.7.1 Greylisted, please come back in {behaviour.greylist_seconds:g} seconds"
        return None


class MailSession(asyncio.Protocol):
    """One connection: RFC 5321 with PIPELINING, all replies to one packet written at once."""

    def __init__(self, host: MailHost) -> None:
        self._host = host
        self._transport: Any = None
        self._buffer = bytearray()
        self._reading_message = False
        self._waiting = False
        self._encrypted = False
        self._greeted = False
        self._sender: str | None = None
        self._recipients: list[str] = []
        self._peer = ""
        self._counted = False

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._peer = transport.get_extra_info("peername")[0]
        host, behaviour = self._host, self._host.provider.behaviour
        host.log.connections += 1
        if behaviour.connections and host.sessions >= behaviour.connections:
            host.log.turned_away += 1
            transport.write(f"421 4.7.0 {host.provider.host} Too many connections from your address\r\n".encode())
            transport.close()
            return
        host.sessions += 1
        self._counted = True
        transport.write(f"220 {host.provider.host} ESMTP rehearsal\r\n".encode())

    def connection_lost(self, error: Exception | None) -> None:
        if self._counted:
            self._host.sessions -= 1
            self._counted = False

    def data_received(self, data: bytes) -> None:
        if not self._counted:
            return
        self._buffer += data
        self._advance()

    def _advance(self) -> None:
        """Answer all that is complete; stops where the world has no room for another message, or TLS begins."""
        replies: list[str] = []
        self._waiting = False
        while not self._transport.is_closing():
            if self._reading_message:
                end = self._end_of_message()
                if end < 0:
                    break
                if not self._host.room(self._resume):
                    self._waiting = True
                    self._transport.pause_reading()
                    break
                replies.append(self._take_message(end))
                continue
            end = self._buffer.find(b"\r\n")
            if end < 0:
                if len(self._buffer) > 4096:
                    replies.append("500 5.5.2 That line is too long")
                    self._send(replies)
                    self._transport.close()
                    return
                break
            line = bytes(self._buffer[:end])
            del self._buffer[: end + 2]
            reply = self._answer(line.decode("utf-8", "replace"))
            replies.append(reply)
            if reply.startswith(("221", "421")):
                self._send(replies)
                self._transport.close()
                return
            if line[:8].upper() == b"STARTTLS" and reply.startswith("220"):
                self._send(replies)
                self._start_tls()
                return
        self._send(replies)

    def _send(self, replies: list[str]) -> None:
        if replies:
            self._transport.write("".join(f"{reply}\r\n" for reply in replies).encode())

    def _resume(self) -> None:
        if self._waiting and not self._transport.is_closing():
            self._transport.resume_reading()
            self._advance()

    # ---- the message -------------------------------------------------------------------------------------------------

    def _end_of_message(self) -> int:
        """Where the message ends in the buffer (before the dot), or -1."""
        if self._buffer.startswith(b".\r\n"):
            return 0
        if len(self._buffer) > _MAXIMUM:
            self._transport.write(b"552 5.3.4 That message is too large\r\n")
            self._transport.close()
            return -1
        found = self._buffer.find(_TERMINATOR)
        return found + 2 if found >= 0 else -1

    def _take_message(self, end: int) -> str:
        raw = bytes(self._buffer[:end])
        del self._buffer[: end + 3]
        self._reading_message = False
        sender, recipients = self._sender or "", self._recipients
        self._sender, self._recipients = None, []
        newlines = raw.count(b"\r\n")
        if raw.count(b"\n") != newlines or raw.count(b"\r") != newlines:
            return "550 5.6.11 Bare CR and bare LF are refused"
        if b"\r\n." in raw or raw.startswith(b"."):
            raw = (b"\r\n" + raw).replace(b"\r\n.", b"\r\n")[2:]
        host = self._host
        for recipient in recipients:
            host.numbers += 1
            host.log.accepted += 1
            host.log.encrypted += self._encrypted
            host.accept(host.provider, Copy(host.numbers, sender, recipient, raw))
        return f"250 2.0.0 Taken as {host.numbers:08x}"

    # ---- the commands ------------------------------------------------------------------------------------------------

    def _answer(self, line: str) -> str:
        verb, _, argument = line.partition(" ")
        match verb.upper():
            case "EHLO" | "HELO" if argument:
                self._greeted, self._sender, self._recipients = True, None, []
                return self._hello(verb.upper() == "EHLO")
            case "MAIL":
                return self._mail(argument)
            case "RCPT":
                return self._rcpt(argument)
            case "DATA":
                if self._sender is None:
                    return "503 5.5.1 Say MAIL first"
                if not self._recipients:
                    return "554 5.5.1 No valid recipients"
                self._reading_message = True
                return "354 End with CRLF . CRLF"
            case "RSET":
                self._sender, self._recipients = None, []
                return "250 2.0.0 Forgotten"
            case "NOOP":
                return "250 2.0.0 Still here"
            case "STARTTLS" if self._host.tls is not None and not self._encrypted:
                return "220 2.0.0 Go on"
            case "QUIT":
                return "221 2.0.0 Good bye"
            case _:
                return "500 5.5.2 That command is not known here"

    def _hello(self, extended: bool) -> str:
        name = self._host.provider.host
        if not extended:
            return f"250 {name}"
        offers = ["PIPELINING", f"SIZE {_MAXIMUM}", "8BITMIME", "ENHANCEDSTATUSCODES", "SMTPUTF8"]
        if self._host.tls is not None and not self._encrypted:
            offers.append("STARTTLS")
        return "\r\n".join([f"250-{name}", *(f"250-{offer}" for offer in offers[:-1]), f"250 {offers[-1]}"])

    def _mail(self, argument: str) -> str:
        found = _PATH.fullmatch(argument)
        if not self._greeted or self._sender is not None or found is None:
            return "503 5.5.1 That is not expected now"
        refusal = self._host.judge_sender()
        if refusal is None:
            self._sender = found[1]
        return refusal or "250 2.1.0 Sender noted"

    def _rcpt(self, argument: str) -> str:
        found = _PATH.fullmatch(argument)
        if self._sender is None or found is None or not found[1]:
            return "503 5.5.1 That is not expected now"
        refusal = self._host.judge_recipient(self._peer, self._sender, found[1])
        if refusal is None:
            self._recipients.append(found[1])
        return refusal or "250 2.1.5 Recipient noted"

    def _start_tls(self) -> None:
        self._transport.pause_reading()
        self._buffer.clear()  # RFC 3207 section 4.2: nothing said in clear counts after the handshake
        self._greeted, self._sender, self._recipients = False, None, []
        plain, context = self._transport, self._host.tls
        assert context is not None

        async def shake_hands() -> None:
            try:
                self._transport = await asyncio.get_running_loop().start_tls(plain, self, context, server_side=True)
                self._encrypted = True
            except (OSError, ssl.SSLError):
                plain.abort()

        self._handshake = asyncio.get_running_loop().create_task(shake_hands())


async def listen(host: MailHost, port: int) -> asyncio.Server:
    """Open the provider's door on its address."""
    return await asyncio.get_running_loop().create_server(
        lambda: MailSession(host), host.provider.address, port, backlog=256
    )


def jittered(seconds: float) -> float:
    """Between one and one and a half times as long, so that not everything happens at once."""
    return seconds * (1.0 + random.random() / 2)  # noqa: S311
