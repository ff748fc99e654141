"""When to try again, where to go, and where never."""

from collections.abc import Mapping
from datetime import timedelta

import pytest

from esp.deliver.addresses import is_public
from esp.deliver.retry import GiveUp, RetryAt, next_try
from esp.deliver.route import Direct, SmartHost, parse_smart_host, route
from esp.deliver.service import MAX_ADDRESSES, Sending, find_targets
from esp.errors import SettingsError
from esp.model.attempt import Attempt, Failure
from esp.ports.network import DnsError, MxHost, Target

DELAYS = tuple(timedelta(minutes=m) for m in (5, 15, 30, 60))
DAY = timedelta(days=1)


def after(count: int, age: timedelta, jitter: float = 0.5, first: timedelta | None = None) -> RetryAt | GiveUp:
    return next_try(count, age, DELAYS, 4 * DAY, 4, jitter, first)


def test_delays_grow_and_the_last_repeats() -> None:
    minutes = [after(count, DAY) for count in (1, 2, 3, 4, 5, 50)]
    assert minutes == [RetryAt(timedelta(minutes=m)) for m in (5, 15, 30, 60, 60, 60)]


def test_each_delay_is_jittered_by_a_quarter_either_way() -> None:
    assert after(4, DAY, 0.0) == RetryAt(timedelta(minutes=45))
    assert after(4, DAY, 0.999999) == RetryAt(timedelta(minutes=60) * (0.75 + 0.5 * 0.999999))


def test_it_gives_up_only_when_both_old_and_tried_often() -> None:
    assert after(4, 4 * DAY) == GiveUp()
    assert isinstance(after(3, 400 * DAY), RetryAt)  # a clock that jumps ahead bounces nobody
    assert isinstance(after(400, 3 * DAY), RetryAt)


def test_a_provider_may_want_another_first_delay() -> None:
    assert after(1, DAY, first=timedelta(minutes=10)) == RetryAt(timedelta(minutes=10))
    assert after(2, DAY, first=timedelta(minutes=10)) == RetryAt(timedelta(minutes=15))


@pytest.mark.parametrize(
    ("text", "expected"),
    [("", None), ("relay.example", SmartHost("relay.example", 25)),
     ("relay.example:587", SmartHost("relay.example", 587)),
     ("[2001:db8::1]:2525", SmartHost("2001:db8::1", 2525)), ("[2001:db8::1]", SmartHost("2001:db8::1", 25))],
)
def test_smart_hosts_are_spelled(text: str, expected: SmartHost | None) -> None:
    assert parse_smart_host(text) == expected


@pytest.mark.parametrize("text", ["relay.example:", "relay.example:0", "relay.example:99999", ":25", "r.example:smtp"])
def test_a_wrong_smart_host_is_told(text: str) -> None:
    with pytest.raises(SettingsError, match="smart_host"):
        parse_smart_host(text)


def test_a_smart_host_takes_everything() -> None:
    assert route("toko.example", None) == Direct("toko.example")
    assert route("toko.example", SmartHost("r", 25)) == SmartHost("r", 25)


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "127.8.8.8", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0",
     "0.1.2.3", "224.0.0.1", "255.255.255.255", "240.0.0.1", "192.0.2.1", "198.18.0.1", "::1", "::", "fe80::1",
     "fe80::1%eth0", "fc00::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1",
     "64:ff9b:1::a00:1", "2002:7f00:1::", "2001:db8::1", "ff02::1",
     "0x7f000001", "2130706433", "0177.0.0.1", "127.1", "localhost", ""],
)
def test_private_addresses_and_odd_spellings_are_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "142.250.1.26", "2607:f8b0::1a", "64:ff9b::808:808", "::ffff:8.8.8.8"])
def test_public_addresses_are(address: str) -> None:
    assert is_public(address)


Told = tuple[str, ...] | DnsError


class Names:
    """A resolver that knows what a test tells it: a real one is tested in test_resolver."""

    def __init__(self, mx: Mapping[str, Told], addresses: Mapping[str, Told]) -> None:
        self._mx, self._addresses = mx, addresses

    async def mx(self, domain: str) -> tuple[MxHost, ...]:
        got = self._mx[domain]
        if isinstance(got, DnsError):
            raise got
        return tuple(MxHost(number, name) for number, name in enumerate(got))

    async def addresses(self, host: str) -> tuple[str, ...]:
        got = self._addresses[host]
        if isinstance(got, DnsError):
            raise got
        return got

    async def txt(self, name: str) -> tuple[str, ...]:
        return ()

    async def cname(self, name: str) -> str | None:
        return None

    async def close(self) -> None: ...


OURS = Sending("mail.merpati.example")
GONE, TROUBLE = DnsError("gone", permanent=True), DnsError("trouble", permanent=False)


async def test_targets_follow_the_mx_in_order() -> None:
    names = Names({"t.example": ("a", "b")}, {"a": ("8.8.8.8", "2607:f8b0::1"), "b": ("8.8.4.4",)})
    found = await find_targets(Direct("t.example"), names, OURS)
    assert isinstance(found, tuple)
    assert [(t.host, t.address) for t in found] == [("a", "8.8.8.8"), ("a", "2607:f8b0::1"), ("b", "8.8.4.4")]
    assert {t.port for t in found} == {25}


async def test_a_host_that_does_not_resolve_is_passed_over() -> None:
    names = Names({"t.example": ("a", "b")}, {"a": GONE, "b": ("8.8.4.4",)})
    found = await find_targets(Direct("t.example"), names, OURS)
    assert isinstance(found, tuple)
    assert [t.host for t in found] == ["b"]


async def failure(names: Names) -> Failure | None:
    found = await find_targets(Direct("t.example"), names, OURS)
    assert isinstance(found, Attempt)
    assert not found.dot_sent
    return found.failure


async def test_trouble_with_one_host_counts_more_than_the_absence_of_another() -> None:
    assert await failure(Names({"t.example": ("a", "b")}, {"a": GONE, "b": TROUBLE})) is Failure.DNS_TEMPORARY
    assert await failure(Names({"t.example": ("a", "b")}, {"a": TROUBLE, "b": GONE})) is Failure.DNS_TEMPORARY
    assert await failure(Names({"t.example": ("a",)}, {"a": GONE})) is Failure.DNS_MISSING


async def test_what_dns_says_of_the_domain_is_kept() -> None:
    null = DnsError("null", permanent=True, failure=Failure.DNS_NULL_MX)
    assert await failure(Names({"t.example": null}, {})) is Failure.DNS_NULL_MX
    assert await failure(Names({"t.example": TROUBLE}, {})) is Failure.DNS_TEMPORARY


async def test_an_mx_in_a_private_network_is_not_visited() -> None:
    names = Names({"t.example": ("a",)}, {"a": ("10.0.0.1", "127.0.0.1")})
    assert await failure(names) is Failure.FORBIDDEN_ADDRESS
    rehearsal = Sending("mail.merpati.example", allow_private_addresses=True)
    found = await find_targets(Direct("t.example"), names, rehearsal)
    assert isinstance(found, tuple)
    assert [t.address for t in found] == ["10.0.0.1", "127.0.0.1"]


async def test_a_private_address_beside_a_public_one_is_left_out() -> None:
    names = Names({"t.example": ("a",)}, {"a": ("127.0.0.1", "8.8.8.8")})
    found = await find_targets(Direct("t.example"), names, OURS)
    assert isinstance(found, tuple)
    assert [t.address for t in found] == ["8.8.8.8"]


async def test_a_hundred_mx_are_cut_to_a_few() -> None:
    hosts = tuple(f"m{n}" for n in range(100))
    names = Names({"t.example": hosts}, dict.fromkeys(hosts, ("8.8.8.8", "8.8.4.4")))
    found = await find_targets(Direct("t.example"), names, OURS)
    assert isinstance(found, tuple)
    assert len(found) == MAX_ADDRESSES


async def test_a_smart_host_may_be_an_address_and_private() -> None:
    found = await find_targets(SmartHost("10.0.0.5", 587), Names({}, {}), OURS)
    assert found == (Target("10.0.0.5", "10.0.0.5", 587, "mail.merpati.example"),)
    found = await find_targets(SmartHost("relay", 587), Names({}, {"relay": ("10.0.0.6",)}), OURS)
    assert found == (Target("relay", "10.0.0.6", 587, "mail.merpati.example"),)
