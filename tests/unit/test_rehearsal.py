"""The rehearsal's parts by themselves: DNS, providers on the wire, examination of mail, people."""

import asyncio
import json
import smtplib
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.resources import files
from pathlib import Path

import dns.asyncresolver
import dns.resolver
import pytest

from esp.inbound.message import read
from esp.inbound.recognise import Incoming, Mailbox, recognise
from esp.model.campaign import ContentKind
from esp.ports.mailroom import InboundKind
from esp.rehearsal.browsing import inside
from esp.rehearsal.certificate import self_signed
from esp.rehearsal.dns_server import DnsServer, Zone
from esp.rehearsal.dns_wire import Record, RecordType, decode_question
from esp.rehearsal.keep import TXT_RECORDS, keep
from esp.rehearsal.letters import Copy, Examined, examine
from esp.rehearsal.people import fraction, plan
from esp.rehearsal.provider import MailHost, listen
from esp.rehearsal.providers import PROVIDERS, Behaviour, Provider
from esp.rehearsal.reports import Answer, answer_of, compose_answer
from tests.mailing import frozen, keys, person, records, send

# ---- DNS -----------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def _resolver(*records: Record) -> AsyncIterator[dns.asyncresolver.Resolver]:
    server = DnsServer(Zone(records), "127.0.53.9")
    await server.start()
    resolver = dns.asyncresolver.Resolver(configure=False)
    resolver.nameservers, resolver.port = ["127.0.53.9"], server.port
    try:
        yield resolver
    finally:
        server.close()


async def test_a_foreign_resolver_reads_every_kind_of_record() -> None:
    long = "v=DKIM1; k=rsa; p=" + "A" * 900  # more than a datagram without EDNS takes, so this goes over TCP too
    async with _resolver(
        Record("a.example", RecordType.MX, "10 mx.a.example"), Record("mx.a.example", RecordType.A, "127.0.0.9"),
        Record("k._domainkey.a.example", RecordType.TXT, long),
        Record("links.a.example", RecordType.CNAME, "mx.a.example"),
    ) as resolver:
        assert [row.to_text() for row in await resolver.resolve("A.example", "MX")] == ["10 mx.a.example."]
        assert [row.to_text() for row in await resolver.resolve("links.a.example", "A")] == ["127.0.0.9"]
        (text,) = await resolver.resolve("k._domainkey.a.example", "TXT")
        assert b"".join(text.strings).decode() == long


async def test_what_is_not_published_does_not_exist() -> None:
    async with _resolver(Record("mx.a.example", RecordType.A, "127.0.0.9")) as resolver:
        with pytest.raises(dns.resolver.NXDOMAIN):
            await resolver.resolve("b.example", "A")
        for name in ("mx.a.example", "a.example"):  # a name with other records, and one with names below it
            with pytest.raises(dns.resolver.NoAnswer):
                await resolver.resolve(name, "MX")


@pytest.mark.parametrize("packet", [b"", b"\x00" * 12, b"\x00" * 40, b"\xff" * 40,
                                    b"\x00\x01\x01\x00\x00\x01" + b"\x00" * 6 + b"?a"])
def test_a_packet_that_is_no_question_is_refused(packet: bytes) -> None:
    with pytest.raises((ValueError, IndexError)):
        decode_question(packet)


# ---- providers -----------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Town:
    """A provider of our own making, at work."""

    host: MailHost
    port: int
    copies: list[Copy] = field(default_factory=list)
    full: bool = False
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    waiting: list[Callable[[], None]] = field(default_factory=list)

    def connect(self) -> smtplib.SMTP:
        return smtplib.SMTP(self.host.provider.address, self.port, "sender.example", 10)


@asynccontextmanager
async def _town(behaviour: Behaviour) -> AsyncIterator[Town]:
    provider = Provider("Test", "town.example", "127.0.19.1", 1.0, behaviour, "")
    town: Town

    def room(call_back: Callable[[], None]) -> bool:
        if town.full:
            town.waiting.append(call_back)
            town.asked.set()
        return not town.full

    host = MailHost(
        provider, "seed", lambda _, copy: town.copies.append(copy), lambda *_: None, room,
        self_signed(provider.host) if behaviour.starttls else None,
    )
    server = await listen(host, 0)
    town = Town(host, server.sockets[0].getsockname()[1])
    try:
        yield town
    finally:
        server.close()
        await server.wait_closed()


def _send(town: Town, recipient: str = "a@town.example", body: bytes = b"Subject: x\r\n\r\nhi\r\n") -> tuple[int, str]:
    """The first refusal, or (250, "")."""
    with town.connect() as client:
        try:
            client.sendmail("b@sender.example", [recipient], body)
        except smtplib.SMTPRecipientsRefused as refused:
            code, text = refused.recipients[recipient]
            return code, text.decode()
        except smtplib.SMTPResponseException as refused:
            return refused.smtp_code, bytes(refused.smtp_error).decode()
    return 250, ""


async def test_mail_is_taken_without_its_dot_stuffing() -> None:
    async with _town(Behaviour()) as town:
        body = b".one\r\n..two\r\n.\xc3\xa9\r\n"
        assert await asyncio.to_thread(_send, town, "a@town.example", body) == (250, "")
        assert [(copy.recipient, copy.raw) for copy in town.copies] == [("a@town.example", body)]


async def test_greylisting_defers_the_first_try_and_takes_the_second() -> None:
    async with _town(Behaviour(greylist_seconds=3600)) as town:
        for recipient in ("a@town.example", "a@town.example", "b@town.example"):
            code, text = await asyncio.to_thread(_send, town, recipient)
            assert (code, text[:5]) == (451, "4.7.1")
        assert len(town.host.greylist) == 2
        for triplet in town.host.greylist:
            town.host.greylist[triplet] -= 3600
        assert await asyncio.to_thread(_send, town) == (250, "")


async def test_unknown_users_are_always_the_same() -> None:
    async with _town(Behaviour(unknown_share=0.5)) as town:
        for number in range(20):
            recipient = f"p{number}@town.example"
            code, _ = await asyncio.to_thread(_send, town, recipient)
            assert code == (550 if fraction("seed", recipient, "unknown") < 0.5 else 250)
        assert 0 < town.host.log.unknown < 20


async def test_above_its_rate_a_provider_says_421_and_hangs_up() -> None:
    async with _town(Behaviour(messages_per_second=0.001)) as town:
        assert await asyncio.to_thread(_send, town) == (250, "")
        code, text = await asyncio.to_thread(_send, town)
        assert (code, text[:5]) == (421, "4.7.0")


async def test_above_its_connections_a_provider_says_421_instead_of_greeting() -> None:
    async with _town(Behaviour(connections=1)) as town:
        first = await asyncio.to_thread(town.connect)
        with pytest.raises(smtplib.SMTPConnectError, match="421"):
            await asyncio.to_thread(town.connect)
        await asyncio.to_thread(first.quit)


async def test_starttls_is_real_and_begins_anew() -> None:
    async with _town(Behaviour(starttls=True)) as town:
        def send() -> None:
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            with town.connect() as client:
                client.starttls(context=context)
                assert client.docmd("MAIL FROM:<b@sender.example>")[0] == 503  # what was said in clear is forgotten
                client.ehlo()
                assert not client.has_extn("starttls")
                client.sendmail("b@sender.example", ["a@town.example"], b"x\r\n")

        await asyncio.to_thread(send)
        assert (town.host.log.encrypted, len(town.copies)) == (1, 1)


async def test_a_world_without_room_makes_senders_wait_for_their_250() -> None:
    async with _town(Behaviour()) as town:
        town.full = True
        sending = asyncio.create_task(asyncio.to_thread(_send, town))
        await town.asked.wait()
        assert not sending.done()
        town.full = False
        town.waiting.pop()()
        assert await sending == (250, "")


# ---- what a provider finds out ---------------------------------------------------------------------------------------

LETTER = (files("esp.rehearsal") / "newsletter.mjml").read_text()


@cache
def _mail() -> Copy:
    """The demonstration's own newsletter, rendered and signed."""
    compiled = frozen(LETTER, kind=ContentKind.MJML, fields=frozenset({"first_name", "city"}))
    message = send(compiled, person(first_name="Sari", city=""), tracking_url="http://127.0.0.1:9")
    return Copy(1, message.mail_from, message.rcpt_to, message.data)


def _look(raw: bytes, texts: dict[str, str] | None = None) -> Examined:
    (found,) = examine([replace(_mail(), raw=raw)], records() if texts is None else texts)
    return found


def test_a_good_mail_has_a_valid_signature_and_all_its_links() -> None:
    found = _look(_mail().raw)
    assert found.complaints == ()
    assert found.dkim_valid
    assert len(found.links) == len(set(found.links)) == 20
    assert len(found.foot) == 3  # unsubscribe, preferences, view in browser
    assert len(found.images) == 1  # the pixel: the newsletter itself needs none
    assert found.one_click.startswith("http://127.0.0.1:9/u/")
    assert 15_000 < len(_mail().raw) < 60_000


@pytest.mark.parametrize(("old", "new", "complaint"), [
    (b"Subject: Halo", b"Subject: Hola", "does not verify"),
    (b"Kusamba", b"Kusambo", "does not verify"),
    (b"From: ", b"From: x@evil.example\r\nFrom: ", "from appears 2 times"),
    (b"List-Unsubscribe-Post: ", b"X-Nothing: ", "no one-click"),
    (b"DKIM-Signature: ", b"X-Signature: ", "not signed"),
])
def test_a_mail_that_was_changed_is_found_out(old: bytes, new: bytes, complaint: str) -> None:
    assert old in _mail().raw
    found = _look(_mail().raw.replace(old, new))
    assert not found.dkim_valid
    assert any(complaint in said for said in found.complaints), found.complaints


def test_a_key_that_is_not_published_makes_no_signature_valid() -> None:
    assert not _look(_mail().raw, {}).dkim_valid


@pytest.mark.parametrize(("left", "missing"), [(0, "ed25519-sha256"), (1, "rsa-sha256")])
def test_one_signature_of_two_is_not_enough(left: int, missing: str) -> None:
    published = dict([list(records().items())[left]])
    found = _look(_mail().raw, published)
    assert not found.dkim_valid
    assert any("does not verify" in said for said in found.complaints)
    alone = _look(send(frozen(LETTER, kind=ContentKind.MJML, fields=frozenset({"first_name", "city"})), person(),
                       keys=keys()[left : left + 1]).data)
    assert not alone.dkim_valid
    assert f"no valid signature of its sender by {missing}" in alone.complaints


def test_mail_is_kept_octet_for_octet_with_the_keys_it_is_signed_under(tmp_path: Path) -> None:
    keep([_mail(), replace(_mail(), number=2)], records(), tmp_path)
    kept = [file.read_bytes() for file in tmp_path.glob("*.eml")]
    assert kept == [_mail().raw] * 2
    assert json.loads((tmp_path / TXT_RECORDS).read_text()) == records()


def test_a_mail_without_anything_is_examined_and_not_feared() -> None:
    for raw in (b"", b"\r\n\r\n", b"\x00\xff" * 100, b"Content-Type: text/html\r\n\r\n<a href='http://x"):
        assert not _look(raw).dkim_valid


# ---- people ----------------------------------------------------------------------------------------------------------


def test_people_are_the_same_in_every_run_and_of_every_kind() -> None:
    plans = [plan("seed", f"p{number}@x.example", 1.0) for number in range(2000)]
    assert plans == [plan("seed", f"P{number}@X.example", 1.0) for number in range(2000)]
    kinds = Counter((doing.opens_after is not None, bool(doing.clicks), doing.unsubscribes) for doing in plans)
    assert set(kinds) == {(False, False, False), (True, False, False), (True, True, False), (True, False, True)}
    assert plans != [plan("other", f"p{number}@x.example", 1.0) for number in range(2000)]
    assert all(doing.opens_after is None or doing.opens_after > 2 for doing in plans)


def test_the_shares_of_the_providers_are_the_whole() -> None:
    assert sum(provider.share for provider in PROVIDERS) == pytest.approx(1.0)
    assert len({provider.address for provider in PROVIDERS}) == len(PROVIDERS)


# ---- what comes back -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("answer", "kind", "action"), [
    (Answer.FAILED, InboundKind.BOUNCE, "failed"), (Answer.DELAYED, InboundKind.BOUNCE, "delayed"),
    (Answer.VACATION, InboundKind.AUTO_REPLY, None),
])
def test_our_mailroom_recognises_what_the_world_sends(answer: Answer, kind: InboundKind, action: str | None) -> None:
    raw = compose_answer(answer, "seed", PROVIDERS[4], "a@echo.example", "b-x@bounce.toko.example", "<1@x>", "Halo")
    found = recognise(Incoming(read(raw), Mailbox.RETURN_PATH, True))
    assert found.kind is kind
    assert [report.action for report in found.reports] == ([action] if action else [])
    assert raw.count(b"\n") == raw.count(b"\r\n")


def test_who_answers_is_always_the_same_and_by_shares() -> None:
    echo = PROVIDERS[4]
    answers = Counter(answer_of("seed", echo, f"p{number}@echo.example") for number in range(5000))
    assert answers == Counter(answer_of("seed", echo, f"p{number}@echo.example") for number in range(5000))
    assert answers[Answer.FAILED] == pytest.approx(5000 * echo.behaviour.late_bounce_share, rel=0.2)
    assert answers[Answer.DELAYED] > 0


@pytest.mark.parametrize(("url", "stays"), [
    ("http://127.0.0.1:9/o/x", True), ("http://localhost/x", True), ("http://[::1]:8/x", True),
    ("https://shop.example/", False), ("http://127.0.0.1.evil.example/", False), ("", False),
    ("http://127.0.0.1@evil.example/", False),
])
def test_a_rehearsal_fetches_nothing_from_the_real_world(url: str, stays: bool) -> None:
    assert inside(url) is stays
