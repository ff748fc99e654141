"""A domain's check says of each record what the world sees, and proves DKIM with a probe."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from esp.adapters.sql.database import Database
from esp.errors import InputError
from esp.flows.domains import RecordState, add_domain, check_domain, checks_of, mail_host, records
from esp.ports.domains import SendingDomain
from esp.ports.network import DnsError
from esp.settings import load
from tests.admin_house import House, admin_house

FOUND, MISSING, DIFFERS, UNKNOWN = RecordState.FOUND, RecordState.MISSING, RecordState.DIFFERS, RecordState.UNKNOWN


@pytest.fixture
async def house(sqlite_database: Database, tmp_path: Path) -> AsyncIterator[House]:
    async with admin_house(sqlite_database, tmp_path) as house:
        await house.owner()
        yield house


async def publish(house: House, domain: SendingDomain) -> None:
    """Publish every record exactly as shown."""
    for record in await records(house.app, 1, domain):
        value = "192.0.2.10" if record.type == "A" else record.value
        house.dns.records[(record.type, record.name)] = (value,)


async def states(house: House, domain: SendingDomain) -> dict[str, RecordState]:
    checked = await check_domain(house.app, 1, domain.public_id)
    return {name: check.state for name, check in checks_of(checked).items()}


async def test_what_is_shown_is_what_is_found(house: House) -> None:
    domain = await add_domain(house.app, 1, " Melati.Example. ")
    assert domain.name == "melati.example"
    assert set((await states(house, domain)).values()) == {MISSING}
    await publish(house, domain)
    assert set((await states(house, domain)).values()) == {FOUND}
    assert (await house.app.store.domains.get(1, domain.public_id)).verified_at == house.clock.now()


async def test_dkim_is_proved_and_not_compared(house: House) -> None:
    """Blanks and order are free in a key record (RFC 6376 section 3.2); another key is not, nor a cut one, nor two."""
    domain = await add_domain(house.app, 1, "melati.example")
    other = await add_domain(house.app, 1, "other.example")
    await publish(house, domain)
    record = (await records(house.app, 1, domain))[0]
    foreign = (await records(house.app, 1, other))[0]
    tries = {
        record.value.replace("; ", " ;  ").replace("v=DKIM1 ;", "v=DKIM1;"): FOUND,
        record.value[:-40]: DIFFERS,
        foreign.value: DIFFERS,
        "v=DKIM1; p=": DIFFERS,
        "p=%%%": DIFFERS,
        "something else": MISSING,
    }
    for published, state in tries.items():
        house.dns.records[("TXT", record.name)] = (published,)
        assert (await states(house, domain))["DKIM"] is state, published
    house.dns.records[("TXT", record.name)] = (record.value, record.value)
    assert (await states(house, domain))["DKIM"] is DIFFERS
    assert (await house.app.store.domains.get(1, domain.public_id)).verified_at is None


@pytest.mark.parametrize(("published", "state"), [
    (("v=spf1 include:_spf.other.example a:mail.server.example -all",), FOUND),
    (("V=SPF1 +A:mail.server.example ~all",), FOUND),
    (("v=spf1 include:_spf.other.example -all",), DIFFERS),
    (("v=spf1 -all", "v=spf1 a:mail.server.example ~all"), DIFFERS),
    (("google-site-verification=x",), MISSING),
    (("v=spf10 a:mail.server.example",), MISSING),
])
async def test_spf(house: House, published: tuple[str, ...], state: RecordState) -> None:
    domain = await add_domain(house.app, 1, "melati.example")
    house.dns.records[("TXT", "bounce.melati.example")] = published
    assert (await states(house, domain))["SPF"] is state


@pytest.mark.parametrize(("published", "state"), [
    (("10 mail.server.example",), FOUND), (("5 mx.other.example", "10 mail.server.example"), FOUND),
    (("10 mx.other.example",), DIFFERS), (("0 bounce.melati.example",), MISSING), ((), MISSING),
])
async def test_return_path(house: House, published: tuple[str, ...], state: RecordState) -> None:
    domain = await add_domain(house.app, 1, "melati.example")
    house.dns.records[("MX", "bounce.melati.example")] = published
    assert (await states(house, domain))["Return path"] is state


@pytest.mark.parametrize(("published", "state"), [
    (("v=DMARC1; p=reject; rua=mailto:a@melati.example",), FOUND), (("v=DMARC1;p=none", "v=DMARC1;p=none"), DIFFERS),
    (("nothing",), MISSING),
])
async def test_dmarc_is_the_owners_decision(house: House, published: tuple[str, ...], state: RecordState) -> None:
    domain = await add_domain(house.app, 1, "melati.example")
    house.dns.records[("TXT", "_dmarc.melati.example")] = published
    assert (await states(house, domain))["DMARC"] is state


async def test_a_silent_dns_is_neither_good_nor_bad(house: House) -> None:
    domain = await add_domain(house.app, 1, "melati.example")
    await publish(house, domain)
    name = (await records(house.app, 1, domain))[0].name
    house.dns.records[("TXT", name)] = DnsError("timed out", permanent=False)
    house.dns.records[("MX", "bounce.melati.example")] = DnsError("no such name", permanent=True)
    found = await states(house, domain)
    assert (found["DKIM"], found["Return path"]) == (UNKNOWN, MISSING)


@pytest.mark.parametrize("name", [
    "", "melati", "https://melati.example", "a@melati.example", "mel ati.example", "1.2.3.4",
])
async def test_what_is_no_domain_is_refused(house: House, name: str) -> None:
    with pytest.raises(InputError) as refused:
        await add_domain(house.app, 1, name)
    assert "name" in refused.value.problems


@pytest.mark.parametrize(("hello", "public_url", "host"), [
    ("mta1.server.example", "https://mail.server.example", "mta1.server.example"),
    ("", "https://mail.server.example", "mail.server.example"),
    ("", "http://127.0.0.1:8025", "mail.melati.example"),
    ("localhost", "http://[::1]:8025", "mail.melati.example"),
])
def test_the_name_of_the_mail_server(hello: str, public_url: str, host: str) -> None:
    settings = load(None, server={"public_url": public_url}, delivery={"hello_name": hello})
    domain = SendingDomain(1, "x", "melati.example", datetime(2026, 1, 1, tzinfo=UTC))
    assert mail_host(settings, domain) == host
    assert replace(domain, name="b.example").bounce_domain == "bounce.b.example"
