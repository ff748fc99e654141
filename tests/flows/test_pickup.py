"""Mail collected from a real Dovecot: nothing twice, nothing lost, nothing deleted that is not stored."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from email.message import EmailMessage

import pytest
from sqlalchemy import select, update

from esp.adapters.mailbox import OutsideMailboxes
from esp.adapters.sql.database import Database
from esp.adapters.sql.schema import inbound_messages, pickup_seen, pickups
from esp.errors import InputError, NotFoundError
from esp.flows import pickup as flow
from esp.flows.mailroom import process_new
from esp.inbound.service import Reader
from esp.model.delivery import EventType, NewEvent
from esp.ports.pickup import Afterwards, MailboxError, MailProtocol, NewPickup, Pickup, Security
from tests.dovecot import PASSWORD, USER, Dovecot
from tests.mailroom_house import House, open_house, sample
from tests.sending import states


@pytest.fixture(scope="module")
def dovecot() -> Iterator[Dovecot]:
    server = Dovecot.start()
    yield server
    server.stop()


@pytest.fixture(autouse=True)
def trusting(monkeypatch: pytest.MonkeyPatch, dovecot: Dovecot) -> None:
    """The test's authority is one of the machine's; and the mailbox begins empty."""
    monkeypatch.setenv("SSL_CERT_FILE", str(dovecot.authority))
    dovecot.empty()


@pytest.fixture
async def house(database: Database) -> AsyncIterator[House]:
    async with open_house(database) as house:
        house.app.mailboxes = OutsideMailboxes(True, 100_000)
        seeded = house.sending
        await house.app.store.ledger.apply([
            NewEvent(EventType.DELIVERED, datetime.now(UTC), seeded.workspace_id, seeded.campaign_id, delivery)
            for delivery in seeded.deliveries
        ])
        yield house


def _box(dovecot: Dovecot, protocol: MailProtocol, security: Security = Security.TLS,
         afterwards: Afterwards = Afterwards.KEEP) -> NewPickup:
    ports = {(MailProtocol.IMAP, Security.TLS): dovecot.imaps, (MailProtocol.POP3, Security.TLS): dovecot.pop3s}
    plain = dovecot.imap if protocol is MailProtocol.IMAP else dovecot.pop3
    return NewPickup("Bounces", protocol, "127.0.0.1", ports.get((protocol, security), plain), security, USER,
                     afterwards=afterwards, secret=PASSWORD)


async def _made(house: House, box: NewPickup) -> Pickup:
    return await flow.save(house.app, house.sending.workspace_id, box)


async def _again(house: House, it: Pickup) -> int:
    return await flow.collect(house.app, await house.app.store.pickups.get(it.workspace_id, it.id))


def _letter(number: int, size: int = 10) -> bytes:
    return f"From: a@b.example\r\nSubject: {number}\r\n\r\n{'x' * size}\r\n.dot\r\n".encode()


@pytest.mark.parametrize("security", list(Security))
@pytest.mark.parametrize("protocol", list(MailProtocol))
async def test_what_waits_is_collected_once(
    house: House, dovecot: Dovecot, protocol: MailProtocol, security: Security
) -> None:
    for number in range(60):  # more than one haul
        dovecot.put(_letter(number))
    it = await _made(house, _box(dovecot, protocol, security))
    assert await _again(house, it) == 60
    assert await _again(house, it) == 0
    dovecot.put(_letter(60))
    assert await _again(house, it) == 1
    assert sorted(row.raw for row in await house.inbound()) == sorted(_letter(number) for number in range(61))
    assert {(row.workspace_id, row.pickup_id) for row in await house.inbound()} == {(it.workspace_id, it.id)}
    assert dovecot.there() == 61


@pytest.mark.parametrize("protocol", list(MailProtocol))
async def test_only_what_is_stored_is_deleted(house: House, dovecot: Dovecot, protocol: MailProtocol) -> None:
    dovecot.put(_letter(1))
    dovecot.put(_letter(2, 200_000))  # larger than is taken
    dovecot.put(_letter(3))
    it = await _made(house, _box(dovecot, protocol, afterwards=Afterwards.DELETE))
    assert await _again(house, it) == 2
    assert await _again(house, it) == 0
    assert dovecot.there() == 1
    found = await house.app.store.pickups.get(it.workspace_id, it.id)
    assert (found.collected, found.skipped) == (2, 1)
    async with house.database.read() as connection:
        remembered = (await connection.execute(select(pickup_seen.c.uid))).scalars().all()
    assert all(uid.startswith("!") for uid in remembered)


@pytest.mark.parametrize("protocol", list(MailProtocol))
async def test_a_kill_before_the_commit_costs_nothing(
    house: House, dovecot: Dovecot, protocol: MailProtocol, monkeypatch: pytest.MonkeyPatch
) -> None:
    dovecot.put(_letter(1))
    it = await _made(house, _box(dovecot, protocol, afterwards=Afterwards.DELETE))

    async def dies(*_: object) -> bool:
        raise KeyError("killed")

    with monkeypatch.context() as patched:
        patched.setattr(house.app.store.pickups, "keep", dies)
        with pytest.raises(KeyError):
            await _again(house, it)
    assert dovecot.there() == 1
    assert await _again(house, it) == 1


@pytest.mark.parametrize("protocol", list(MailProtocol))
async def test_a_kill_before_the_deletion_doubles_nothing(
    house: House, dovecot: Dovecot, protocol: MailProtocol, monkeypatch: pytest.MonkeyPatch
) -> None:
    dovecot.put(_letter(1))
    it = await _made(house, _box(dovecot, protocol, afterwards=Afterwards.DELETE))

    async def dies(*_: object) -> None:
        raise KeyError("killed")

    with monkeypatch.context() as patched:
        patched.setattr(flow, "_delete", dies)
        with pytest.raises(KeyError):
            await _again(house, it)
    assert (dovecot.there(), len(await house.inbound())) == (1, 1)
    assert await _again(house, it) == 0
    assert (dovecot.there(), len(await house.inbound())) == (0, 1)


async def test_two_that_collect_at_once_store_once(house: House, dovecot: Dovecot) -> None:
    for number in range(5):
        dovecot.put(_letter(number))
    it = await _made(house, _box(dovecot, MailProtocol.IMAP))
    results = await asyncio.gather(_again(house, it), _again(house, it), return_exceptions=True)
    assert len(await house.inbound()) == 5, results


async def test_another_mailbox_behind_the_same_name_is_read_from_its_beginning(house: House, dovecot: Dovecot) -> None:
    dovecot.put(_letter(1))
    it = await _made(house, _box(dovecot, MailProtocol.IMAP))
    await _again(house, it)
    position = (await house.app.store.pickups.get(it.workspace_id, it.id)).position
    async with house.database.write() as connection:  # as if its server had been set up anew
        await connection.execute(update(pickups).values(position="7:" + position.partition(":")[2]))
    assert await _again(house, it) == 1


async def test_a_bounce_from_a_mailbox_counts_by_what_came_back(house: House, dovecot: Dovecot) -> None:
    reader = Reader()
    try:
        it = await _made(house, _box(dovecot, MailProtocol.IMAP))
        dovecot.put(sample("01-hard.eml", return_path=house.return_path(1), recipient="orang1@warung.example"))
        # Somebody's forwarded copy that bounced elsewhere: the token is real, the address another.
        dovecot.put(sample("01-hard.eml", return_path=house.return_path(2), recipient="tante@lain.example"))
        dovecot.put(sample("01-hard.eml", return_path="b-forged@bounce.toko.example"))
        assert await _again(house, it) == 3
        await process_new(house.app, reader)
        assert [row.outcome for row in await house.inbound()] == ["applied", "unchanged", "untrusted"]
        assert await states(house.database, house.sending.campaign_id) == {"bounced": 1, "delivered": 2}
        assert await house.suppressions() == [("orang1@warung.example", "hard_bounce")]
    finally:
        await reader.close()


async def test_what_was_delivered_to_a_return_path_counts_as_at_our_own_door(house: House, dovecot: Dovecot) -> None:
    reader = Reader()
    try:
        it = await _made(house, _box(dovecot, MailProtocol.POP3))
        head = f"Return-Path: <>\r\nDelivered-To: {house.return_path(0)}\r\n".encode()
        dovecot.put(head + sample("01-hard.eml"))
        wish = EmailMessage()
        wish["From"], wish["To"], wish["Subject"] = "orang2@warung.example", house.unsubscribe_address(2), "x"
        wish.set_content("bye")
        dovecot.put(wish.as_bytes())
        await _again(house, it)
        await process_new(house.app, reader)
        assert sorted((row.kind, row.outcome) for row in await house.inbound()) == [
            ("bounce", "applied"), ("unsubscribe", "applied")]
    finally:
        await reader.close()


async def test_a_mailbox_says_nothing_of_another_workspaces_people(house: House, dovecot: Dovecot) -> None:
    reader = Reader()
    try:
        dovecot.put(f"Delivered-To: {house.return_path(0)}\r\n".encode() + sample("01-hard.eml"))
        dovecot.put(sample("01-hard.eml", return_path=house.return_path(0)))
        it = await _made(house, _box(dovecot, MailProtocol.IMAP))
        await _again(house, it)
        async with house.database.write() as connection:
            other = it.workspace_id + 1
            await connection.execute(update(inbound_messages).values(workspace_id=other))
        await process_new(house.app, reader)
        assert [(row.outcome, row.workspace_id) for row in await house.inbound()] == [("untrusted", other)] * 2
        assert await states(house.database, house.sending.campaign_id) == {"delivered": 3}
    finally:
        await reader.close()


async def test_new_mail_is_fetched_as_it_comes(house: House, dovecot: Dovecot) -> None:
    await _made(house, _box(dovecot, MailProtocol.IMAP))
    stop = asyncio.Event()
    task = asyncio.create_task(flow.keep_collecting(house.app, stop))
    try:
        for number in range(2):
            dovecot.put(_letter(number))
            async with asyncio.timeout(50):
                while len(await house.inbound()) <= number:
                    await house.app.coordination.wait("inbound", 1.0)
    finally:
        stop.set()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.mark.parametrize(("changes", "said"), [
    ({"secret": "wrong"}, "says"),
    ({"folder": "Nirgends"}, "says"),
    ({"port": 1}, "cannot be reached"),
    ({"host": "no such host"}, "is not known"),
])
async def test_what_is_wrong_is_said(house: House, dovecot: Dovecot, changes: dict[str, object], said: str) -> None:
    it = await _made(house, replace(_box(dovecot, MailProtocol.IMAP), **changes))
    with pytest.raises(MailboxError, match=said):
        await flow.try_out(house.app, it)


async def test_the_wrong_kind_of_security_is_named(house: House, dovecot: Dovecot) -> None:
    plain = replace(_box(dovecot, MailProtocol.IMAP, Security.NONE), security=Security.TLS)
    with pytest.raises(MailboxError, match="No encrypted connection"):
        await flow.try_out(house.app, await _made(house, plain))


async def test_a_certificate_of_nobody_we_know_is_refused(
    house: House, dovecot: Dovecot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    it = await _made(house, _box(dovecot, MailProtocol.POP3))
    with pytest.raises(MailboxError, match="certificate"):
        await flow.try_out(house.app, it)


async def test_private_networks_are_closed_unless_the_operator_opens_them(house: House, dovecot: Dovecot) -> None:
    house.app.mailboxes = OutsideMailboxes(False, 100_000)
    it = await _made(house, _box(dovecot, MailProtocol.IMAP))
    with pytest.raises(MailboxError, match="private network"):
        await flow.try_out(house.app, it)


async def test_a_password_is_said_to_its_own_server_only(house: House, dovecot: Dovecot) -> None:
    box = _box(dovecot, MailProtocol.IMAP)
    it = await _made(house, box)
    assert PASSWORD not in it.secret
    with pytest.raises(InputError) as refused:
        await flow.save(house.app, it.workspace_id, replace(box, host="127.0.0.2", secret=None), it.id)
    assert "secret" in refused.value.problems
    kept = await flow.save(house.app, it.workspace_id, replace(box, name="Renamed", secret=None), it.id)
    assert (kept.name, kept.secret) == ("Renamed", it.secret)
    with pytest.raises(NotFoundError):
        await house.app.store.pickups.get(it.workspace_id + 1, it.id)


async def test_a_paused_one_is_left_alone(house: House, dovecot: Dovecot) -> None:
    it = await _made(house, _box(dovecot, MailProtocol.IMAP))
    await flow.pause(house.app, it.workspace_id, it.id, True)
    assert await house.app.store.pickups.active() == ()
    await flow.pause(house.app, it.workspace_id, it.id, False)
    assert len(await house.app.store.pickups.active()) == 1
