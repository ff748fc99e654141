"""The way of a message in: what each kind of mail changes, and that nothing else changes anything."""

import base64
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import insert, select, update

from esp.adapters.sql.database import Database
from esp.adapters.sql.schema import deliveries, events, subscriptions
from esp.flows.mailroom import process_new
from esp.inbound.recognise import Mailbox, Recognition
from esp.inbound.service import Reader
from esp.model.delivery import EventType, NewEvent
from esp.ports.mailroom import NewInbound
from esp.wire.tokens import TokenSigner
from tests.mailing import TOKENS, frozen, parsed, person, send
from tests.mailroom_house import SIGNER, House, open_house, sample
from tests.sending import event_types, states


@pytest.fixture
async def house(sqlite_database: Database) -> AsyncIterator[House]:
    async with open_house(sqlite_database) as house:
        await _deliver(house)
        yield house


@pytest.fixture
async def reader() -> AsyncIterator[Reader]:
    reader = Reader()
    yield reader
    await reader.close()


async def _deliver(house: House) -> None:
    seeded = house.sending
    await house.app.store.ledger.apply([
        NewEvent(EventType.DELIVERED, datetime.now(UTC), seeded.workspace_id, seeded.campaign_id, delivery)
        for delivery in seeded.deliveries
    ])


async def _receive(house: House, reader: Reader, raw: bytes, to: str, mail_from: str = "") -> tuple[str, str]:
    """Keep a message and judge it; its kind and outcome."""
    await house.app.store.mailroom.keep(NewInbound(datetime.now(UTC), "127.0.0.9", mail_from, (to,), raw))
    assert not await process_new(house.app, reader)
    row = (await house.inbound())[-1]
    assert row.state == "filed"
    return row.kind, row.outcome


@pytest.mark.parametrize(("name", "outcome", "bounced", "suppressed"), [
    ("01-hard.eml", "applied", True, True),
    ("02-mailbox-full.eml", "applied", True, False),
    ("03-delayed.eml", "unchanged", False, False),
    ("04-gave-up.eml", "applied", True, False),
    ("05-delivered.eml", "unchanged", False, False),
    ("09-prose.eml", "applied", True, False),
    ("11-encoded-report.eml", "applied", True, True),
])
async def test_a_report_changes_what_it_proves_and_no_more(
    house: House, reader: Reader, name: str, outcome: str, bounced: bool, suppressed: bool
) -> None:
    assert await _receive(house, reader, sample(name), house.return_path()) == ("bounce", outcome)
    assert await states(house.database, house.sending.campaign_id) == (
        {"bounced": 1, "delivered": 2} if bounced else {"delivered": 3}
    )
    assert await house.suppressions() == ([("orang0@warung.example", "hard_bounce")] if suppressed else [])


async def test_a_bounce_says_why(house: House, reader: Reader) -> None:
    await _receive(house, reader, sample("01-hard.eml"), house.return_path())
    async with house.database.read() as connection:
        row = (await connection.execute(select(deliveries).where(deliveries.c.state == "bounced"))).one()
    assert row.reason == "unknown_user"
    assert "User unknown in virtual mailbox table" in row.reply


async def test_a_report_with_a_nul_is_judged_on_every_database(database: Database, reader: Reader) -> None:
    report = b"Final-Recipient: rfc822; orang0@warung.example\nAction: failed\nStatus: 5.1.1\n" \
             b"Diagnostic-Code: smtp; 550 5.1.1 user\x00\xed\xa0\x80 unknown\x1b[31m\n"
    raw = b"\r\n".join((
        b"From: MAILER-DAEMON@warung.example", b"Subject: no", b"MIME-Version: 1.0",
        b'Content-Type: multipart/report; report-type=delivery-status; boundary="x"', b"", b"--x",
        b"Content-Type: message/delivery-status", b"Content-Transfer-Encoding: base64", b"",
        base64.b64encode(report), b"--x--", b"",
    ))
    async with open_house(database) as house:
        await _deliver(house)
        assert await _receive(house, reader, raw, house.return_path()) == ("bounce", "applied")
        assert await house.suppressions() == [("orang0@warung.example", "hard_bounce")]


async def test_a_message_that_cannot_be_judged_stands_in_nobodys_way(house: House) -> None:
    class Odd(Reader):
        async def recognise(self, raw: bytes, mailbox: Mailbox, null_sender: bool) -> Recognition:
            found = await super().recognise(raw, mailbox, null_sender)
            if b"orang0@" not in raw:
                return found
            return replace(found, reports=tuple(replace(one, diagnostic="\ud800") for one in found.reports))

    mailroom, odd = house.app.store.mailroom, Odd()
    for number in range(2):
        raw = sample("01-hard.eml", recipient=f"orang{number}@warung.example")
        await mailroom.keep(NewInbound(datetime.now(UTC), "127.0.0.9", "", (house.return_path(number),), raw))
    await process_new(house.app, odd)
    await odd.close()
    assert [(row.kind, row.outcome, row.state) for row in await house.inbound()] == [
        ("unreadable", "filed", "filed"), ("bounce", "applied", "filed")]


async def test_a_repeated_report_changes_nothing(house: House, reader: Reader) -> None:
    await _receive(house, reader, sample("01-hard.eml"), house.return_path())
    assert await _receive(house, reader, sample("01-hard.eml"), house.return_path()) == ("bounce", "unchanged")
    assert (await event_types(house.database, house.sending.deliveries[0])).count("bounced") == 1
    assert len(await house.suppressions()) == 1


@pytest.mark.parametrize(("name", "old", "new"), [
    ("01-hard.eml", b"Action: failed", b"Action: delayed"), ("01-hard.eml", b"Action: failed", b"Action: relayed"),
    ("03-delayed.eml", b"Action: delayed\r\n", b""),
])
async def test_only_a_final_word_is_a_bounce(house: House, reader: Reader, name: str, old: bytes, new: bytes) -> None:
    """A hard status with ``delayed`` is a delay, and a soft one without any action is no end."""
    raw = re.sub(rb"\r?\n", b"\r\n", sample(name))
    assert old in raw
    assert await _receive(house, reader, raw.replace(old, new), house.return_path()) == ("bounce", "unchanged")
    assert await states(house.database, house.sending.campaign_id) == {"delivered": 3}
    assert await house.suppressions() == []


async def test_a_report_on_a_mail_that_never_left_changes_nothing(house: House, reader: Reader) -> None:
    async with house.database.write() as connection:
        await connection.execute(update(deliveries).values(state="cancelled"))
    assert await _receive(house, reader, sample("01-hard.eml"), house.return_path()) == ("bounce", "unchanged")
    assert await house.suppressions() == []


def _forged(house: House) -> list[str]:
    seeded, other = house.sending, TokenSigner({0: bytes(32)}, 0)
    ids = (seeded.workspace_id, seeded.campaign_id, seeded.deliveries[0])
    good = SIGNER.return_path(*ids)
    return [
        f"{local}@bounce.toko.example" for local in (
            "b-", "postmaster", good[:-1], good + "a", good[:-2] + ("aa" if good[-2:] != "aa" else "bb"),
            other.return_path(*ids), SIGNER.return_path(ids[0] + 1, *ids[1:]),
            SIGNER.return_path(ids[0], ids[1] + 1, ids[2]), SIGNER.return_path(ids[0], ids[1], ids[2] + 1000),
            "u-" + good[2:], "b-" + SIGNER.unsubscribe_mailbox(*ids)[2:],
        )
    ]


async def test_a_forged_or_cut_return_path_changes_nothing(house: House, reader: Reader) -> None:
    for address in _forged(house):
        # The valid return path stands in the body: only the envelope may tie a bounce to a delivery.
        raw = sample("01-hard.eml", return_path=house.return_path())
        assert await _receive(house, reader, raw, address) == ("bounce", "untrusted"), address
    assert await states(house.database, house.sending.campaign_id) == {"delivered": 3}
    assert await house.suppressions() == []


async def test_a_report_on_a_mail_older_than_thirty_days_changes_nothing(house: House, reader: Reader) -> None:
    async with house.database.write() as connection:
        await connection.execute(update(deliveries).values(created_at=datetime.now(UTC) - timedelta(days=31)))
    assert await _receive(house, reader, sample("01-hard.eml"), house.return_path()) == ("bounce", "too_old")
    assert await house.suppressions() == []


async def test_an_automatic_reply_is_filed_and_is_no_bounce(house: House, reader: Reader) -> None:
    assert await _receive(house, reader, sample("06-vacation.eml"), house.return_path()) == ("auto_reply", "filed")
    assert await states(house.database, house.sending.campaign_id) == {"delivered": 3}


async def test_a_complaint_suppresses_whom_our_token_names(house: House, reader: Reader) -> None:
    raw = sample("07-complaint.eml", return_path=house.return_path(1))
    assert await _receive(house, reader, raw, "abuse@toko.example") == ("complaint", "applied")
    assert await house.suppressions() == [("orang1@warung.example", "complaint")]
    assert await event_types(house.database, house.sending.deliveries[1]) == ["delivered", "complained"]
    assert await _receive(house, reader, raw, "abuse@toko.example") == ("complaint", "unchanged")


async def test_a_complaint_without_our_token_changes_nothing(house: House, reader: Reader) -> None:
    raw = sample("07-complaint.eml", return_path="b-made-up@bounce.toko.example")
    assert await _receive(house, reader, raw, "abuse@toko.example") == ("complaint", "untrusted")
    assert await house.suppressions() == []


async def test_not_spam_is_no_complaint_and_takes_one_back(house: House, reader: Reader) -> None:
    mistake = sample("08-not-spam.eml", return_path=house.return_path(1))
    assert await _receive(house, reader, mistake, "abuse@toko.example") == ("complaint", "unchanged")
    await _receive(house, reader, sample("07-complaint.eml", return_path=house.return_path(1)), "abuse@toko.example")
    await _receive(house, reader, sample("07-complaint.eml", return_path=house.return_path(2)), "abuse@toko.example")
    assert await _receive(house, reader, mistake, "abuse@toko.example") == ("complaint", "applied")
    assert await house.suppressions() == [("orang2@warung.example", "complaint")]


async def test_a_forged_not_spam_takes_nothing_back(house: House, reader: Reader) -> None:
    await _receive(house, reader, sample("07-complaint.eml", return_path=house.return_path(1)), "abuse@toko.example")
    for address in _forged(house):
        raw = sample("08-not-spam.eml", return_path=address)
        assert await _receive(house, reader, raw, "abuse@toko.example") == ("complaint", "untrusted"), address
    assert await house.suppressions() == [("orang1@warung.example", "complaint")]


@pytest.mark.parametrize("name", ["07-complaint.eml", "13-junk-report.eml", "14-provider-complaint.eml"])
async def test_a_complaint_of_any_shape_needs_a_token_of_ours(house: House, reader: Reader, name: str) -> None:
    for address in _forged(house):
        raw = sample(name, return_path=address)
        assert await _receive(house, reader, raw, "abuse@toko.example") == ("complaint", "untrusted"), address
    assert await house.suppressions() == []
    raw = sample(name, return_path=house.return_path())
    assert await _receive(house, reader, raw, "abuse@toko.example") == ("complaint", "applied")
    assert await house.suppressions() == [("orang0@warung.example", "complaint")]


@pytest.mark.parametrize("name", ["27-unknown-user-prose.eml", "09-prose.eml"])
async def test_a_forged_bounce_in_prose_changes_nothing(house: House, reader: Reader, name: str) -> None:
    for address in _forged(house):
        raw = sample(name, return_path=house.return_path())
        assert await _receive(house, reader, raw, address) == ("bounce", "untrusted"), address
    assert await states(house.database, house.sending.campaign_id) == {"delivered": 3}
    assert await house.suppressions() == []


async def test_a_bounce_in_prose_keeps_its_words_and_the_rules_that_read_them(house: House, reader: Reader) -> None:
    raw = sample("27-unknown-user-prose.eml", return_path=house.return_path())
    await _receive(house, reader, raw, house.return_path())
    async with house.database.read() as connection:
        query = select(events.c.detail).where(events.c.type == "bounced")
        detail = (await connection.execute(query)).scalar_one()
    assert detail["reason"] == "unknown_user"
    assert detail["recognised"] == "prose"
    assert "after RCPT TO" in detail["text"]
    assert re.fullmatch(r"[0-9a-f]{12}", detail["rules"])


@pytest.mark.parametrize(("days", "suppressed"), [((20, 15, 10), True), ((10, 8, 6), False), ((20, 15), False)])
async def test_a_mailbox_that_is_full_for_weeks_is_given_up(
    house: House, reader: Reader, days: tuple[int, ...], suppressed: bool
) -> None:
    seeded, now = house.sending, datetime.now(UTC)
    for number, ago in enumerate(days):
        async with house.database.write() as connection:
            await connection.execute(insert(events).values(
                workspace_id=seeded.workspace_id, type="bounced", at=now - timedelta(days=ago), provider="", agent="",
                ip="", user_agent="", contact_id=seeded.contacts[0], delivery_id=1000 + number,
                detail={"reason": "mailbox_full"},
            ))
    await _receive(house, reader, sample("02-mailbox-full.eml"), house.return_path())
    assert bool(await house.suppressions()) is suppressed


async def test_a_mail_to_the_unsubscribe_address_unsubscribes(house: House, reader: Reader) -> None:
    to = house.unsubscribe_address(2)
    for spelled, outcome in ((to.upper(), "applied"), (to, "unchanged")):
        raw = sample("10-leave.eml", unsubscribe=spelled)
        got = await _receive(house, reader, raw, spelled, "orang2@warung.example")
        assert got == ("unsubscribe", outcome)
    async with house.database.read() as connection:
        query = select(subscriptions.c.contact_id).where(subscriptions.c.state == "unsubscribed")
        assert list((await connection.execute(query)).scalars()) == [house.sending.contacts[2]]
    assert await event_types(house.database, house.sending.deliveries[2]) == ["delivered", "unsubscribed"]


def test_the_address_in_the_mails_header_is_one_that_we_read() -> None:
    message = send(frozen("<p>Hi</p>"), person(delivery_id=7), unsubscribe_mailto="")
    found = re.search(r"<mailto:([^@>]+)@b\.toko\.example>", str(parsed(message)["List-Unsubscribe"]))
    assert found is not None
    claims = TOKENS.read_unsubscribe_mailbox(found[1])
    assert (claims.workspace_id, claims.campaign_id, claims.delivery_id) == (1, 2, 7)


@pytest.mark.parametrize("name", ["06-vacation.eml", "01-hard.eml"])
async def test_a_machines_mail_to_the_unsubscribe_address_unsubscribes_nobody(
    house: House, reader: Reader, name: str
) -> None:
    _, outcome = await _receive(house, reader, sample(name), house.unsubscribe_address())
    assert outcome == "filed"
    assert await states(house.database, house.sending.campaign_id) == {"delivered": 3}
    assert "unsubscribed" not in await event_types(house.database, house.sending.deliveries[0])


async def test_mail_to_the_postmaster_is_kept_as_such(house: House, reader: Reader) -> None:
    raw = b"From: a@warung.example\r\nSubject: hello\r\n\r\nIs anybody there?\r\n"
    assert await _receive(house, reader, raw, "postmaster@toko.example", "a@warung.example") == ("postmaster", "filed")
