"""DNS through dnspython: answers kept as long as they are good, one question at a time for a name, failures told apart.

The difference that must never be lost is between *there is none* (NXDOMAIN, no data: final) and *we could not find out*
(SERVFAIL, time-out, nonsense: try later). A resolver in trouble must bounce nobody.
"""

import asyncio
import random
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from ipaddress import ip_address
from typing import Any, Final

import dns.asyncresolver
import dns.exception
import dns.name
import dns.nameserver
import dns.rdatatype
import dns.resolver

from esp.errors import SettingsError
from esp.model.attempt import Failure
from esp.ports.clock import Clock, SystemClock
from esp.ports.network import DnsError, MxHost

_ENTRIES: Final = 50_000
_SHORTEST, _LONGEST = 5.0, 3600.0  # seconds an answer is kept, whatever its TTL says
_LONGEST_NEGATIVE: Final = 900.0
_BROKEN_FOR: Final = 5.0  # a failure is kept just long enough that a batch does not ask a dead server a thousand times
_MOST_HOSTS: Final = 20  # of a domain with a hundred MX the best are enough
_random: Final = random.SystemRandom()


class _Kind(Enum):
    FOUND = 1
    EMPTY = 2  # the name exists, without such records
    MISSING = 3  # NXDOMAIN
    BROKEN = 4


@dataclass(frozen=True, slots=True)
class _Answer:
    kind: _Kind
    records: tuple[Any, ...] = ()
    until: float = 0.0
    why: str = ""


def _nameserver(text: str) -> dns.nameserver.Nameserver:
    """``127.0.0.1``, ``127.0.0.1:5353``, ``::1`` or ``[::1]:5353``."""
    host, port = text.strip(), "53"
    if host.startswith("["):
        host, _, rest = host[1:].partition("]")
        port = rest.removeprefix(":") or port
    elif host.count(":") == 1:
        host, _, port = host.partition(":")
    try:
        if not 0 < int(port) < 65536:
            raise ValueError(port)
        return dns.nameserver.Do53Nameserver(str(ip_address(host)), int(port))
    except ValueError:
        raise SettingsError(
            f"delivery.nameservers: {text!r} is not an address of a DNS server; write for example 127.0.0.1:53"
        ) from None


def _negative_ttl(response: Any) -> float:
    """How long "there is none" may be believed: the SOA in the authority section says it (RFC 2308 section 5)."""
    if response is None:
        return _BROKEN_FOR
    for rrset in response.authority:
        if rrset.rdtype == dns.rdatatype.SOA:
            return min(float(rrset.ttl), float(rrset[0].minimum), _LONGEST_NEGATIVE)
    return _BROKEN_FOR  # without an SOA it may not be kept at all; a moment is for the batch in hand


class DnsResolver:
    """The Resolver port. ``nameservers`` as in the settings; empty means those of the system."""

    def __init__(
        self, nameservers: Sequence[str] = (), *, lifetime: float = 10.0, timeout: float = 3.0,
        clock: Clock | None = None,
    ) -> None:
        self._resolver = dns.asyncresolver.Resolver(configure=not nameservers)
        if nameservers:
            self._resolver.nameservers = [_nameserver(text) for text in nameservers]
        self._resolver.cache = None
        self._resolver.lifetime = lifetime
        self._resolver.timeout = timeout
        self._now = (clock or SystemClock()).monotonic
        self._cache: OrderedDict[tuple[str, str], _Answer] = OrderedDict()
        self._asking: dict[tuple[str, str], asyncio.Task[_Answer]] = {}

    async def mx(self, domain: str) -> tuple[MxHost, ...]:
        """See ``Resolver.mx``: by preference, equals shuffled, the domain itself where it has an address and no MX."""
        answer = await self._look_up(domain, "MX")
        if answer.kind is _Kind.BROKEN:
            raise DnsError(f"DNS does not answer for the MX of {domain}: {answer.why}", permanent=False)
        if answer.kind is _Kind.MISSING:
            raise DnsError(f"The domain {domain} does not exist.", permanent=True)
        if answer.kind is _Kind.EMPTY:
            # RFC 5321 section 5.1: the implicit MX, and only after DNS has said that there is no other.
            await self.addresses(domain)
            return (MxHost(0, domain),)
        hosts = [MxHost(int(r.preference), str(r.exchange.to_text(True))) for r in answer.records]
        named = [host for host in hosts if host.name not in ("", ".", "@")]
        if not named:
            raise DnsError(f"{domain} takes no mail (null MX).", permanent=True, failure=Failure.DNS_NULL_MX)
        _random.shuffle(named)
        named.sort(key=lambda host: host.preference)
        return tuple(named[:_MOST_HOSTS])

    async def addresses(self, host: str) -> tuple[str, ...]:
        """IPv4 addresses, then IPv6 ones; raises DnsError, temporary where either question got no answer at all."""
        four, six = await asyncio.gather(self._look_up(host, "A"), self._look_up(host, "AAAA"))
        found = [str(record.address) for answer in (four, six) for record in answer.records]
        if found:
            return tuple(found[:_MOST_HOSTS])
        for answer in (four, six):
            if answer.kind is _Kind.BROKEN:
                raise DnsError(f"DNS does not answer for the address of {host}: {answer.why}", permanent=False)
        raise DnsError(f"{host} has no address.", permanent=True)

    async def txt(self, name: str) -> tuple[str, ...]:
        """TXT records, their strings joined."""
        answer = await self._look_up(name, "TXT")
        if answer.kind is _Kind.BROKEN:
            raise DnsError(f"DNS does not answer for the TXT of {name}: {answer.why}", permanent=False)
        return tuple(b"".join(record.strings).decode("utf-8", "replace") for record in answer.records)

    async def cname(self, name: str) -> str | None:
        """The CNAME target without the final dot, or None; raises DnsError(temporary)."""
        answer = await self._look_up(name, "CNAME")
        if answer.kind is _Kind.BROKEN:
            raise DnsError(f"DNS does not answer for the CNAME of {name}: {answer.why}", permanent=False)
        return str(answer.records[0].target.to_text(True)) if answer.records else None

    async def close(self) -> None:
        """Stop asking."""
        asking = list(self._asking.values())
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)

    async def _look_up(self, name: str, kind: str) -> _Answer:
        key = (name.rstrip(".").lower(), kind)
        kept = self._cache.get(key)
        if kept is not None and kept.until > self._now():
            return kept
        task = self._asking.get(key)
        if task is None:
            task = asyncio.create_task(self._ask(key))
            self._asking[key] = task
            task.add_done_callback(lambda _: self._asking.pop(key, None))
        # One who stops waiting must not take the answer from the others who wait for it.
        return await asyncio.shield(task)

    async def _ask(self, key: tuple[str, str]) -> _Answer:
        answer = await self._query(*key)
        self._cache[key] = answer
        self._cache.move_to_end(key)
        if len(self._cache) > _ENTRIES:
            self._cache.popitem(last=False)
        return answer

    async def _query(self, name: str, kind: str) -> _Answer:
        """One question to the servers. Whatever goes wrong in an unforeseen way is BROKEN, never MISSING."""
        try:
            qname = dns.name.from_text(name)
        except (dns.exception.DNSException, UnicodeError):
            return _Answer(_Kind.MISSING, (), self._now() + _LONGEST_NEGATIVE, "it is no domain name")
        try:
            got = await self._resolver.resolve(qname, kind, raise_on_no_answer=False, search=False)
        except dns.resolver.NXDOMAIN as error:
            responses = list(error.responses().values())  # type: ignore[no-untyped-call]
            return _Answer(_Kind.MISSING, (), self._now() + _negative_ttl(responses[0] if responses else None))
        except (dns.exception.DNSException, OSError, ValueError) as error:
            return _Answer(_Kind.BROKEN, (), self._now() + _BROKEN_FOR, str(error)[:200] or type(error).__name__)
        if got.rrset is None:
            return _Answer(_Kind.EMPTY, (), self._now() + _negative_ttl(got.response))
        kept = min(max(float(got.chaining_result.minimum_ttl), _SHORTEST), _LONGEST)
        return _Answer(_Kind.FOUND, tuple(got.rrset), self._now() + kept)
