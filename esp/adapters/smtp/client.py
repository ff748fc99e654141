"""From a target to a greeted session: connect, EHLO or HELO, TLS where it is to be had, AUTH where we are asked."""

import asyncio
import ssl
from functools import lru_cache
from ipaddress import ip_address
from typing import Final

from esp.adapters.smtp.connection import Connection
from esp.adapters.smtp.login import steps, without_secrets
from esp.adapters.smtp.replies import RawReply, to_reply
from esp.adapters.smtp.session import Offer, SmtpSession, parse_offer
from esp.adapters.smtp.timeouts import Timeouts
from esp.adapters.smtp.wire import hello_name
from esp.model.attempt import Attempt, Failure, Phase
from esp.ports.network import ConnectError, Login, Target, TlsPolicy

_VERIFIED: Final = (TlsPolicy.VERIFIED, TlsPolicy.IMPLICIT)


@lru_cache(maxsize=2)
def _context(verified: bool) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if not verified:
        # RFC 7435: any encryption is better than none, and a strict check would only lead back to none.
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _failed(target: Target, phase: Phase, failure: Failure, detail: str, tls: str = "") -> ConnectError:
    return ConnectError(Attempt(phase, None, failure, False, detail, target.host, target.address, tls))


def _refused(target: Target, phase: Phase, answer: RawReply, tls: str = "") -> ConnectError:
    return ConnectError(Attempt(phase, to_reply(answer), None, False, "", target.host, target.address, tls))


class SmtpTransport:
    """Opens sessions. ``verified`` replaces the trust store of the VERIFIED policy, for private authorities."""

    def __init__(self, timeouts: Timeouts | None = None, verified: ssl.SSLContext | None = None) -> None:
        self._timeouts = timeouts or Timeouts()
        self._verified = verified

    async def connect(self, target: Target) -> SmtpSession:
        """A session with ``target``; raises ConnectError.

        Where TLS is opportunistic and breaks, one connection in the clear follows: the alternative is no mail. Where it
        is required, or a password is to be said, nothing is ever sent without it.
        """
        try:
            return await self._open(target, target.tls)
        except ConnectError as error:
            opportunistic = target.tls is TlsPolicy.OPPORTUNISTIC and target.login is None
            if not opportunistic or error.attempt.failure is not Failure.TLS:
                raise
        return await self._open(target, TlsPolicy.NONE)

    async def _open(self, target: Target, policy: TlsPolicy) -> SmtpSession:
        name = hello_name(target.hello_name)
        connection = await self._dial(target)
        try:
            tls = await self._encrypt(connection, target, policy) if policy is TlsPolicy.IMPLICIT else ""
            await self._greeting(connection, target)
            offer = await self._hello(connection, target, name)
            if not tls and policy is not TlsPolicy.NONE and await self._may_encrypt(connection, target, policy, offer):
                tls = await self._encrypt(connection, target, policy)
                offer = await self._hello(connection, target, name)
            if target.login is not None:
                await self._log_in(connection, target, target.login, offer, tls)
            return SmtpSession(connection, target, offer, self._timeouts, tls)
        except BaseException:
            connection.abort()
            raise

    async def _dial(self, target: Target) -> Connection:
        loop = asyncio.get_running_loop()
        source = (target.source, 0) if target.source else None
        try:
            async with asyncio.timeout(self._timeouts.connect):
                _, connection = await loop.create_connection(
                    lambda: Connection(self._timeouts), target.address, target.port, local_addr=source
                )
        except TimeoutError:
            raise _failed(target, Phase.CONNECT, Failure.TIMEOUT, f"{target.address} does not answer") from None
        except ConnectionRefusedError as error:
            raise _failed(target, Phase.CONNECT, Failure.REFUSED, str(error)) from None
        except OSError as error:
            raise _failed(target, Phase.CONNECT, Failure.UNREACHABLE, str(error)) from None
        return connection

    async def _greeting(self, connection: Connection, target: Target) -> None:
        answers = await connection.answers(1, self._timeouts.greeting)
        if not answers:
            raise self._broken(connection, target, Phase.GREETING)
        if answers[0][0] != 220:
            raise _refused(target, Phase.GREETING, answers[0])

    async def _hello(self, connection: Connection, target: Target, name: bytes) -> Offer:
        connection.ask(b"EHLO " + name + b"\r\n")
        answers = await connection.answers(1, self._timeouts.hello)
        if answers and answers[0][0] == 250:
            return parse_offer(answers[0][1])
        if answers and answers[0][0] // 100 == 5:
            # A server from before 1995, or a firewall that plays one (RFC 5321 section 3.2).
            connection.ask(b"HELO " + name + b"\r\n")
            answers = await connection.answers(1, self._timeouts.hello)
            if answers and answers[0][0] == 250:
                return Offer()
        if not answers:
            raise self._broken(connection, target, Phase.HELLO)
        raise _refused(target, Phase.HELLO, answers[0])

    async def _may_encrypt(self, connection: Connection, target: Target, policy: TlsPolicy, offer: Offer) -> bool:
        """Whether the handshake comes next; raises where TLS must be and is not to be had."""
        needed = policy is not TlsPolicy.OPPORTUNISTIC
        if not offer.starttls:
            if needed:
                raise _failed(target, Phase.STARTTLS, Failure.TLS, f"{target.host} does not offer STARTTLS")
            return False
        connection.ask(b"STARTTLS\r\n")
        answers = await connection.answers(1, self._timeouts.hello)
        if not answers:
            raise self._broken(connection, target, Phase.STARTTLS)
        if answers[0][0] == 220:
            return True
        if needed:
            raise _failed(target, Phase.STARTTLS, Failure.TLS, f"{target.host} answered {to_reply(answers[0])}")
        return False

    async def _encrypt(self, connection: Connection, target: Target, policy: TlsPolicy) -> str:
        verified = policy in _VERIFIED
        context = (self._verified if verified else None) or _context(verified)
        server_name: str | None = target.server_name or target.host
        try:
            ip_address(server_name or "")
            server_name = server_name if verified else None  # no name is sent for an address (RFC 6066 section 3)
        except ValueError:
            pass
        # What came in the clear behind the 220 must not be taken for an answer inside TLS.
        connection.forget()
        if connection.transport is None or connection.failure is not None:
            raise _failed(target, Phase.STARTTLS, Failure.TLS, connection.detail)
        loop = asyncio.get_running_loop()
        try:
            transport = await loop.start_tls(
                connection.transport, connection, context, server_hostname=server_name,
                ssl_handshake_timeout=self._timeouts.tls,
            )
        except (OSError, ssl.SSLError, ValueError) as error:  # ValueError: a host name that no certificate can hold
            raise _failed(target, Phase.STARTTLS, Failure.TLS, str(error) or type(error).__name__) from None
        if transport is None:  # asyncio's answer to a peer that left during the handshake
            raise _failed(target, Phase.STARTTLS, Failure.TLS, "the server closed the connection in the handshake")
        connection.transport = transport
        return str(transport.get_extra_info("ssl_object").version() or "TLS")

    async def _log_in(self, connection: Connection, target: Target, login: Login, offer: Offer, tls: str) -> None:
        """Say who we are, or raise: a relay that does not know us takes no mail, and no recipient is to blame."""
        if not tls:
            raise _failed(
                target, Phase.AUTH, Failure.LOGIN,
                f"{target.host} could not be talked to with TLS, and the password is never sent in the clear. Set "
                'delivery.smart_host_tls to "required", or "implicit" on port 465.',
            )
        script = steps(login, offer.auth)
        if not script:
            ways = b" ".join(sorted(offer.auth)).decode("ascii", "replace") or "none"
            detail = f"{target.host} offers neither AUTH PLAIN nor AUTH LOGIN; what it offers: {ways[:200]}"
            raise _failed(target, Phase.AUTH, Failure.LOGIN, detail, tls)
        for line, wanted in script:
            connection.ask(line + b"\r\n")
            answers = await connection.answers(1, self._timeouts.hello)
            if not answers:
                # Not the connection's detail: it may quote what the server said, which may quote what we said.
                detail = f"{target.host} gave no proper answer to AUTH"
                raise _failed(target, Phase.AUTH, connection.failure or Failure.CLOSED, detail, tls)
            if answers[0][0] != wanted:
                raise _refused(target, Phase.AUTH, without_secrets(answers[0], login), tls)

    @staticmethod
    def _broken(connection: Connection, target: Target, phase: Phase) -> ConnectError:
        return _failed(target, phase, connection.failure or Failure.CLOSED, connection.detail)
