"""The network as delivery and the domain check need it: names resolved, and one message handed to one server."""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from esp.errors import MerpatiError
from esp.model.attempt import Attempt, Failure
from esp.model.content import OutgoingMessage


class DnsError(MerpatiError):
    """A name could not be resolved. ``permanent``: it does not exist (NXDOMAIN, null MX), trying again will not help.

    ``failure`` says the same in the words of an attempt, for the verdict.
    """

    def __init__(self, message: str, *, permanent: bool, failure: Failure | None = None) -> None:
        super().__init__(message)
        self.permanent = permanent
        self.failure = failure or (Failure.DNS_MISSING if permanent else Failure.DNS_TEMPORARY)


@dataclass(frozen=True, slots=True)
class MxHost:
    """A host that takes mail, in the order in which it is to be tried."""

    preference: int
    name: str


class Resolver(Protocol):
    async def mx(self, domain: str) -> tuple[MxHost, ...]:
        """Hosts to try, by preference, equals shuffled (RFC 5321 section 5.1).

        The domain itself where it has an address and no MX; DnsError(permanent) for NXDOMAIN and null MX (RFC 7505);
        DnsError(temporary) for SERVFAIL and timeouts: never the address record then.
        """
        ...

    async def addresses(self, host: str) -> tuple[str, ...]:
        """IPv4 and IPv6 addresses of ``host``; raises DnsError."""
        ...

    async def txt(self, name: str) -> tuple[str, ...]:
        """TXT records, each joined; empty where there are none; DnsError(temporary) where DNS does not answer."""
        ...

    async def cname(self, name: str) -> str | None:
        """The CNAME target without the final dot, or None."""
        ...

    async def close(self) -> None: ...


class TlsPolicy(StrEnum):
    """How a connection is protected. Opportunistic TLS takes any certificate: the alternative is none (RFC 7435)."""

    NONE = "none"
    OPPORTUNISTIC = "opportunistic"
    REQUIRED = "required"  # encrypted, whoever it is
    VERIFIED = "verified"  # encrypted, with a certificate for ``server_name``
    IMPLICIT = "implicit"  # verified, and encrypted from the first octet instead of by STARTTLS (RFC 8314)


@dataclass(frozen=True, slots=True)
class Login:
    """Who we are to a server that asks (RFC 4954). Never shown, never sent without TLS."""

    user: str = field(repr=False)
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Target:
    """One address of one server.

    ``source`` is the local address to send from, or empty; ``server_name`` defaults to ``host``.
    """

    host: str
    address: str
    port: int
    hello_name: str
    source: str = ""
    tls: TlsPolicy = TlsPolicy.OPPORTUNISTIC
    server_name: str = ""
    login: Login | None = None


class ConnectError(MerpatiError):
    """No conversation came about; ``attempt`` says how far it came and why, to be judged like any other attempt."""

    def __init__(self, attempt: Attempt) -> None:
        super().__init__(attempt.detail or str(attempt.reply or attempt.failure))
        self.attempt = attempt


class Session(Protocol):
    """A greeted connection to one server, for one message at a time."""

    @property
    def usable(self) -> bool:
        """Another message may be sent here. False for ever after a 421, a broken protocol or a close."""
        ...

    @property
    def sent(self) -> int:
        """Messages tried on this connection so far."""
        ...

    @property
    def chains(self) -> bool:
        """The server reads ahead (RFC 2920): the next envelope may follow right behind a message's dot."""
        ...

    async def send(
        self, message: OutgoingMessage, before_dot: Callable[[], None] | None = None,
        following: OutgoingMessage | None = None,
    ) -> Attempt:
        """Hand ``message`` over and say how it ended; mail outcomes and lost connections are values, not exceptions.

        ``following`` is what the next ``send`` here will be for: where the server ``chains``, its envelope is said in
        the same write as the end of ``message``. Whoever thinks better of it closes the session; nothing of
        ``following`` itself is sent before its own ``send``.

        ``before_dot`` is called right before the end of the message is written, so that the caller can note that the
        ambiguous window opens; what it raises (a lost lease) is raised here, and the message is not sent. Raises
        ValueError for a message with a bare CR or LF or an address that could not be quoted: a bug of ours.
        """
        ...

    async def close(self) -> None:
        """Say QUIT, do not mind the answer, and close. Never raises; nothing it does changes an outcome."""
        ...


class Transport(Protocol):
    async def connect(self, target: Target) -> Session:
        """A session that has greeted ``target``; raises ConnectError, whose ``attempt`` is to be judged."""
        ...
