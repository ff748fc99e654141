"""What an app hands over is kept, signed, sent and accounted for."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from esp.errors import NotFoundError
from esp.flows.relay_reports import report_ends
from esp.model.relay import Accepted, Addressee, MessageState, RefusalCode, Refused, Submission
from tests.relay_house import MAIL, House, house_at
from tests.sending_app import working


@pytest.fixture
async def house(database_url: str, tmp_path: Path) -> AsyncIterator[House]:
    async with house_at(database_url, tmp_path) as found:
        yield found


async def ended(house: House, count: int) -> None:
    """Wait until so many deliveries have ended that their senders should hear of."""
    found = 0
    while found < count:
        found = len(await house.app.store.relay.unreported(10))
        await asyncio.sleep(0.05)


async def test_accepted_mail_arrives_signed(house: House) -> None:
    accepted = await house.taken()
    assert accepted.state is MessageState.ACCEPTED
    assert [it.suppressed for it in accepted.recipients] == [""]
    async with working(house.app), asyncio.timeout(30):
        await house.receiver.wait_for(1)
    head, _, body = house.receiver.messages[0].partition(b"\r\n\r\n")
    assert head.endswith(b"From: Toko <app@toko.example>\r\nTo: ani@rumah.example\r\nSubject: Your order")
    assert f"Message-ID: <{accepted.header_id}>".encode() in head
    assert body == b"Thank you.\r\n"


async def test_a_sender_hears_what_failed_for_good_once(house: House) -> None:
    house.receiver.on_rcpt = lambda address, _: "550 5.1.1 nobody here" if address.startswith("gone@") else "250 ok"
    await house.taken(MAIL, "gone@rumah.example", "ani@rumah.example")
    await house.taken(MAIL, "gone@dapur.example", sender="")
    await house.taken(MAIL, "gone@kebun.example")
    async with working(house.app), asyncio.timeout(30):
        await house.receiver.wait_for(1)
        await ended(house, 3)
        assert not await report_ends(house.app)
        assert await house.app.store.relay.unreported(10) == ()
        await house.receiver.wait_for(3)
    reports = [message for message in house.receiver.messages if b"multipart/report" in message]
    assert len(reports) == 2  # none to the null sender
    report = next(message for message in reports if b"rumah" in message)
    for line in (b"Final-Recipient: rfc822; gone@rumah.example", b"Action: failed", b"Status: 5.1.1",
                 b"Reporting-MTA: dns; merpati.example", b"Diagnostic-Code: smtp; 550 5.1.1 nobody here",
                 b"Subject: Your order", b"To: app@toko.example"):
        assert b"\r\n" + line in report, line
    assert b"ani@rumah.example\r\nAction" not in report


async def test_who_wants_to_hear_of_success_does_and_who_never_wants_does_not(house: House) -> None:
    house.receiver.on_rcpt = lambda address, _: "550 5.1.1 nobody here" if address.startswith("gone@") else "250 ok"
    submission = Submission(MAIL, "app@toko.example", (
        Addressee("ani@rumah.example", frozenset({"SUCCESS"}), "rfc822;ani@else.example"),
        Addressee("gone@rumah.example", frozenset({"NEVER"})),
    ), envid="E1", ret="FULL")
    await house.relay.accept(house.workspace, [submission], house.credential)
    async with working(house.app), asyncio.timeout(30):
        await ended(house, 2)
        await report_ends(house.app)
        await house.receiver.wait_for(2)
    (report,) = (message for message in house.receiver.messages if b"multipart/report" in message)
    for line in (b"Action: relayed", b"Original-Recipient: rfc822;ani@else.example", b"Original-Envelope-Id: E1",
                 b"Content-Type: message/rfc822", b"Thank you."):
        assert b"\r\n" + line in report, line
    assert b"gone@" not in report


async def test_a_sandbox_accepts_everything_and_delivers_nothing(house: House) -> None:
    sandbox, _ = await house.another(sandbox=True)
    (accepted,) = await house.relay.accept(
        house.workspace, [Submission(MAIL, "app@toko.example", (Addressee("ani@rumah.example"),))], sandbox)
    assert isinstance(accepted, Accepted)
    assert accepted.state is MessageState.SANDBOX
    assert [it.suppressed for it in accepted.recipients] == ["sandbox"]
    async with working(house.app), asyncio.timeout(30):
        assert await house.app.store.outbox.claim("x", 60, house.app.clock.now()) is None
    assert house.receiver.messages == []


async def test_a_key_said_twice_is_one_message_and_another_message_is_refused(house: House) -> None:
    first = await house.taken(idempotency_key="k")
    again = await house.taken(idempotency_key="k")
    assert (again.public_id, again.replayed, first.replayed) == (first.public_id, True, False)
    assert again.recipients == first.recipients
    other = await house.accept(MAIL, "budi@rumah.example", idempotency_key="k")
    assert isinstance(other, Refused)
    assert other.code is RefusalCode.IDEMPOTENCY_MISMATCH


async def test_a_credential_sends_within_its_bounds(house: House) -> None:
    await house.add_domain("kedai.example")
    narrow, _ = await house.another(domains=["kedai.example"], rate="1/h", stream="broadcast")
    submission = Submission(MAIL, "", (Addressee("ani@rumah.example"),))
    (refused,) = await house.relay.accept(house.workspace, [submission], narrow)
    assert isinstance(refused, Refused)
    assert refused.code is RefusalCode.SENDER_NOT_ALLOWED
    own = replace(submission, raw=MAIL.replace(b"app@toko", b"app@kedai"))
    (stray,) = await house.relay.accept(house.workspace, [replace(own, stream="transactional")], narrow)
    assert isinstance(stray, Refused)
    assert stray.code is RefusalCode.UNKNOWN_STREAM
    found = await house.relay.accept(house.workspace, [own, own], narrow)
    assert [type(it) for it in found] == [Accepted, Refused]


async def test_a_scheduled_message_waits_can_be_moved_and_called_off(house: House) -> None:
    relay, now = house.app.store.relay, house.app.clock.now()
    later = await house.taken(send_at=now + timedelta(hours=1))
    held = await house.taken(held=True)
    assert (later.state, held.state) == (MessageState.SCHEDULED, MessageState.HELD)
    assert await house.app.store.outbox.claim("x", 60, now + timedelta(minutes=1)) is None
    assert await relay.reschedule(house.workspace, later.public_id, now + timedelta(hours=2))
    assert await house.app.store.outbox.claim("x", 60, now + timedelta(minutes=90)) is None
    assert await relay.cancel(house.workspace, later.public_id, now)
    assert not await relay.cancel(house.workspace, later.public_id, now)
    assert await relay.release(house.workspace, held.public_id, now)
    with pytest.raises(NotFoundError):
        await relay.cancel(house.workspace + 1, held.public_id, now)
    async with working(house.app), asyncio.timeout(30):
        await house.receiver.wait_for(1)


async def test_many_doors_share_one_commit(house: House) -> None:
    before = house.app.store.relay.keep
    groups: list[int] = []

    async def counted(messages: Any, now: Any) -> Any:
        groups.append(len(messages))
        return await before(messages, now)

    await house.taken()
    house.app.store.relay.keep = counted  # type: ignore[method-assign]
    found = await asyncio.gather(*(house.accept() for _ in range(40)))
    assert all(isinstance(it, Accepted) for it in found)
    assert len({it.public_id for it in found if isinstance(it, Accepted)}) == 40
    assert sum(groups) == 40
    assert len(groups) <= 3
