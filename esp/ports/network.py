"""The network as delivery and the domain check need it: names resolved, and one message handed to one server."""

from dataclasses import dataclass
from typing import Protocol

from esp.errors import MerpatiError


class DnsError(MerpatiError):
    """A name could not be resolved. ``permanent``: it does not exist (NXDOMAIN, null MX), trying again will not help."""

    def __init__(self, message: str, *, permanent: bool) -> None:
        super().__init__(message)
        self.permanent = permanent


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
        """TXT records, each joined; empty where there are none; raises DnsError(temporary) where DNS does not answer."""
        ...

    async def cname(self, name: str) -> str | None:
        """The CNAME target without the final dot, or None."""
        ...

    async def close(self) -> None: ...
