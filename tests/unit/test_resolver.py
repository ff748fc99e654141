"""The resolver against a scripted DNS server on loopback: what exists, what does not, and what nobody could tell."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import cast

import pytest
from dnslib import AAAA, CNAME, MX, QTYPE, RCODE, RR, SOA, TXT, A, DNSHeader, DNSRecord  # type: ignore[attr-defined]

from esp.adapters.resolver import DnsResolver
from esp.errors import SettingsError
from esp.model.attempt import Failure
from esp.ports.network import DnsError, MxHost

Reply = Callable[[DNSRecord], DNSRecord | bytes | None]


def records(*found: tuple[str, str, object], ttl: int = 300) -> Reply:
    """Answer with (owner, type, rdata)."""
    def reply(request: DNSRecord) -> DNSRecord:
        answer = request.reply()
        for owner, kind, rdata in found:
            answer.add_answer(RR(owner, getattr(QTYPE, kind), rdata=rdata, ttl=ttl))
        return answer
    return reply


def code(rcode: str, soa: int | None = None) -> Reply:
    def reply(request: DNSRecord) -> DNSRecord:
        answer = request.reply()
        answer.header.rcode = getattr(RCODE, rcode)
        if soa is not None:
            times = (1, 60, 60, 60, soa)
            answer.add_auth(RR("example", QTYPE.SOA, ttl=soa, rdata=SOA("ns.example", "hostmaster.example", times)))
        return answer
    return reply


def silence(request: DNSRecord) -> None:
    return None


def nonsense(request: DNSRecord) -> bytes:
    return b"\x00\x01 this is not DNS"


def truncated(request: DNSRecord) -> DNSRecord:
    return DNSRecord(DNSHeader(id=request.header.id, qr=1, tc=1, ra=1), q=request.q)


@dataclass
class Dns(asyncio.DatagramProtocol):
    """Answers from a table (name, type) -> reply; everything else does not exist."""

    table: dict[tuple[str, str], Reply] = field(default_factory=dict)
    tcp_table: dict[tuple[str, str], Reply] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)
    held: asyncio.Event = field(default_factory=asyncio.Event)
    transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)

    def answer(self, data: bytes, table: dict[tuple[str, str], Reply]) -> bytes | None:
        request = DNSRecord.parse(data)
        key = (str(request.q.qname).rstrip(".").lower(), QTYPE[request.q.qtype])
        self.asked.append(key)
        got = table.get(key, code("NXDOMAIN", 60))(request)
        return got if got is None or isinstance(got, bytes) else got.pack()

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        got = self.answer(data, self.table)
        if got is not None and self.transport is not None:
            self.transport.sendto(got, addr)

    async def tcp(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            size = int.from_bytes(await reader.readexactly(2), "big")
            got = self.answer(await reader.readexactly(size), self.tcp_table)
            if got is not None:
                writer.write(len(got).to_bytes(2, "big") + got)
                await writer.drain()
        finally:
            writer.close()

    def has(self, name: str, kind: str, *rdata: object, ttl: int = 300) -> None:
        self.table[name, kind] = records(*((name, kind, item) for item in rdata), ttl=ttl)

    def empty(self, name: str, *kinds: str) -> None:
        for kind in kinds:
            self.table[name, kind] = code("NOERROR", 60)


@dataclass
class TurnedClock:
    seconds: float = 0.0

    def monotonic(self) -> float:
        return self.seconds

    def now(self) -> datetime:
        return datetime.now(UTC)


@pytest.fixture
async def dns() -> AsyncIterator[tuple[Dns, str]]:
    loop = asyncio.get_running_loop()
    while True:
        udp, server = await loop.create_datagram_endpoint(Dns, local_addr=("127.0.0.1", 0))
        port = udp.get_extra_info("sockname")[1]
        try:
            tcp = await asyncio.start_server(server.tcp, "127.0.0.1", port)
            break
        except OSError:  # free for UDP and taken for TCP
            udp.close()
    yield server, f"127.0.0.1:{port}"
    tcp.close()
    await tcp.wait_closed()
    udp.close()
    await asyncio.sleep(0)


@pytest.fixture
def clock() -> TurnedClock:
    return TurnedClock()


@pytest.fixture
async def resolver(dns: tuple[Dns, str], clock: TurnedClock) -> AsyncIterator[DnsResolver]:
    resolver = DnsResolver((dns[1],), lifetime=0.6, timeout=0.25, clock=clock)
    yield resolver
    await resolver.close()


@pytest.fixture
def server(dns: tuple[Dns, str]) -> Dns:
    return dns[0]


async def test_mx_come_by_preference(server: Dns, resolver: DnsResolver) -> None:
    server.has("toko.example", "MX", MX("b.toko.example", 20), MX("a.toko.example", 10), MX("c.toko.example", 30))
    assert [host.name for host in await resolver.mx("Toko.Example.")] == [
        "a.toko.example", "b.toko.example", "c.toko.example"
    ]


async def test_equal_preferences_are_shuffled(server: Dns, resolver: DnsResolver) -> None:
    server.has("toko.example", "MX", *(MX(f"m{n}.toko.example", 10) for n in range(8)), MX("last.toko.example", 20))
    orders = {tuple(host.name for host in await resolver.mx("toko.example")) for _ in range(20)}
    assert len(orders) > 1
    assert all(order[-1] == "last.toko.example" for order in orders)


async def test_a_domain_without_mx_is_its_own_host(server: Dns, resolver: DnsResolver) -> None:
    server.empty("toko.example", "MX", "AAAA")
    server.has("toko.example", "A", A("192.0.2.1"))
    assert await resolver.mx("toko.example") == (MxHost(0, "toko.example"),)


async def test_only_an_ipv6_address_will_do_as_implicit_mx(server: Dns, resolver: DnsResolver) -> None:
    server.empty("toko.example", "MX", "A")
    server.has("toko.example", "AAAA", AAAA("2001:db8::1"))
    assert await resolver.mx("toko.example") == (MxHost(0, "toko.example"),)


async def failure(resolver: DnsResolver, domain: str) -> tuple[bool, Failure]:
    with pytest.raises(DnsError) as caught:
        await resolver.mx(domain)
    return caught.value.permanent, caught.value.failure


async def test_a_domain_with_neither_mx_nor_address_takes_no_mail(server: Dns, resolver: DnsResolver) -> None:
    server.empty("toko.example", "MX", "A", "AAAA")
    assert await failure(resolver, "toko.example") == (True, Failure.DNS_MISSING)


async def test_nxdomain_is_final(resolver: DnsResolver) -> None:
    assert await failure(resolver, "nobody.example") == (True, Failure.DNS_MISSING)


async def test_null_mx_is_final(server: Dns, resolver: DnsResolver) -> None:
    server.has("toko.example", "MX", MX(".", 0))
    server.has("toko.example", "A", A("192.0.2.1"))
    assert await failure(resolver, "toko.example") == (True, Failure.DNS_NULL_MX)


async def test_a_null_mx_beside_a_real_one_means_nothing(server: Dns, resolver: DnsResolver) -> None:
    server.has("toko.example", "MX", MX(".", 0), MX("a.toko.example", 10))
    assert await resolver.mx("toko.example") == (MxHost(10, "a.toko.example"),)


@pytest.mark.parametrize(
    "reply", [code("SERVFAIL"), code("REFUSED"), code("FORMERR"), code("NOTIMP"), silence, nonsense],
    ids=["servfail", "refused", "formerr", "notimp", "silence", "nonsense"],
)
async def test_a_server_in_trouble_is_never_final(server: Dns, resolver: DnsResolver, reply: Reply) -> None:
    """And the address is not taken instead of the MX that nobody could look up (RFC 5321 section 5.1)."""
    server.table["toko.example", "MX"] = reply
    server.has("toko.example", "A", A("192.0.2.1"))
    assert await failure(resolver, "toko.example") == (False, Failure.DNS_TEMPORARY)


async def test_no_mx_and_an_address_nobody_could_look_up_is_not_final(server: Dns, resolver: DnsResolver) -> None:
    server.empty("toko.example", "MX", "A")
    server.table["toko.example", "AAAA"] = code("SERVFAIL")
    assert await failure(resolver, "toko.example") == (False, Failure.DNS_TEMPORARY)


async def test_a_dead_server_is_not_final(clock: TurnedClock) -> None:
    resolver = DnsResolver(("127.0.0.1:1",), lifetime=0.3, timeout=0.2, clock=clock)
    assert await failure(resolver, "toko.example") == (False, Failure.DNS_TEMPORARY)
    await resolver.close()


async def test_a_truncated_answer_is_fetched_over_tcp(server: Dns, resolver: DnsResolver) -> None:
    server.table["toko.example", "MX"] = truncated
    many = [("toko.example", "MX", MX(f"m{n}.toko.example", n)) for n in range(60)]
    server.tcp_table["toko.example", "MX"] = records(*many)
    hosts = await resolver.mx("toko.example")
    assert hosts[0] == MxHost(0, "m0.toko.example")
    assert len(hosts) == 20  # a giant answer is cut to its best


async def test_a_cname_is_followed(server: Dns, resolver: DnsResolver) -> None:
    server.table["www.example", "A"] = records(
        ("www.example", "CNAME", CNAME("host.example")), ("host.example", "A", A("192.0.2.9"))
    )
    server.table["www.example", "AAAA"] = records(("www.example", "CNAME", CNAME("host.example")))
    assert await resolver.addresses("www.example") == ("192.0.2.9",)


async def test_a_cname_loop_ends_and_is_not_final(server: Dns, resolver: DnsResolver) -> None:
    loop = records(("a.example", "CNAME", CNAME("b.example")), ("b.example", "CNAME", CNAME("a.example")))
    server.table["a.example", "A"] = loop
    server.table["a.example", "AAAA"] = loop
    with pytest.raises(DnsError):
        await resolver.addresses("a.example")


async def test_both_kinds_of_address_ipv4_first(server: Dns, resolver: DnsResolver) -> None:
    server.has("mx.example", "A", A("192.0.2.1"), A("192.0.2.2"))
    server.has("mx.example", "AAAA", AAAA("2001:db8::1"))
    found = await resolver.addresses("mx.example")
    assert set(found[:2]) == {"192.0.2.1", "192.0.2.2"}
    assert found[2:] == ("2001:db8::1",)


async def test_one_kind_of_address_is_enough_when_the_other_question_fails(server: Dns, resolver: DnsResolver) -> None:
    server.has("mx.example", "A", A("192.0.2.1"))
    server.table["mx.example", "AAAA"] = code("SERVFAIL")
    assert await resolver.addresses("mx.example") == ("192.0.2.1",)


async def test_txt_strings_are_joined(server: Dns, resolver: DnsResolver) -> None:
    server.has("k._domainkey.toko.example", "TXT", TXT([b"v=DKIM1; p=", b"AAAA"]), TXT(b"other"))
    assert set(await resolver.txt("k._domainkey.toko.example")) == {"v=DKIM1; p=AAAA", "other"}


async def test_no_txt_is_an_empty_answer_and_trouble_is_an_error(server: Dns, resolver: DnsResolver) -> None:
    assert await resolver.txt("nobody.example") == ()
    server.table["broken.example", "TXT"] = code("SERVFAIL")
    with pytest.raises(DnsError):
        await resolver.txt("broken.example")


async def test_cname_target_or_none(server: Dns, resolver: DnsResolver) -> None:
    server.has("track.toko.example", "CNAME", CNAME("mail.merpati.example"))
    assert await resolver.cname("track.toko.example") == "mail.merpati.example"
    assert await resolver.cname("nobody.example") is None


@pytest.mark.parametrize("name", ["a..example", "x" * 64 + ".example", ".".join(["x" * 60] * 6), "\ud800.example"])
async def test_what_is_no_name_does_not_exist(resolver: DnsResolver, name: str) -> None:
    assert await failure(resolver, name) == (True, Failure.DNS_MISSING)


async def test_many_who_ask_at_once_are_one_question(server: Dns, resolver: DnsResolver) -> None:
    server.has("toko.example", "MX", MX("a.toko.example", 10))
    await asyncio.gather(*(resolver.mx("toko.example") for _ in range(50)))
    assert server.asked == [("toko.example", "MX")]


async def test_one_who_gives_up_waiting_does_not_spoil_it_for_the_others(server: Dns, resolver: DnsResolver) -> None:
    server.has("toko.example", "MX", MX("a.toko.example", 10))
    first = asyncio.create_task(resolver.mx("toko.example"))
    second = asyncio.create_task(resolver.mx("toko.example"))
    await asyncio.sleep(0)
    first.cancel()
    assert await second == (MxHost(10, "a.toko.example"),)


async def test_answers_are_kept_as_long_as_their_ttl(server: Dns, resolver: DnsResolver, clock: TurnedClock) -> None:
    server.has("toko.example", "MX", MX("a.toko.example", 10), ttl=100)
    await resolver.mx("toko.example")
    clock.seconds = 99
    await resolver.mx("toko.example")
    assert len(server.asked) == 1
    clock.seconds = 101
    await resolver.mx("toko.example")
    assert len(server.asked) == 2


@pytest.mark.parametrize(("ttl", "kept", "gone"), [(0, 4, 6), (604800, 3599, 3601)])
async def test_ttl_is_bounded(
    server: Dns, resolver: DnsResolver, clock: TurnedClock, ttl: int, kept: float, gone: float
) -> None:
    server.has("toko.example", "MX", MX("a.toko.example", 10), ttl=ttl)
    for moment in (0, kept, gone):
        clock.seconds = moment
        await resolver.mx("toko.example")
    assert len(server.asked) == 2


async def test_nothing_there_is_kept_no_longer_than_the_zone_says(
    server: Dns, resolver: DnsResolver, clock: TurnedClock
) -> None:
    server.table["toko.example", "MX"] = code("NXDOMAIN", 60)
    for moment in (0.0, 59.0, 61.0):
        clock.seconds = moment
        await failure(resolver, "toko.example")
    assert len(server.asked) == 2


async def test_trouble_is_forgotten_after_seconds(server: Dns, resolver: DnsResolver, clock: TurnedClock) -> None:
    server.table["toko.example", "MX"] = code("SERVFAIL")
    assert (await failure(resolver, "toko.example"))[0] is False
    server.has("toko.example", "MX", MX("a.toko.example", 10))
    assert (await failure(resolver, "toko.example"))[0] is False
    clock.seconds = 6
    assert await resolver.mx("toko.example") == (MxHost(10, "a.toko.example"),)


@pytest.mark.parametrize("text", ["dns.example", "127.0.0.1:x", "127.0.0.1:70000", ""])
def test_a_wrong_nameserver_is_named(text: str) -> None:
    with pytest.raises(SettingsError, match=r"delivery\.nameservers"):
        DnsResolver((text,))


def test_nameservers_may_have_ports() -> None:
    for text in ("127.0.0.1", "127.0.0.1:5353", "::1", "[::1]:5353"):
        DnsResolver((text,))
