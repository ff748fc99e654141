"""The mailroom's port on SQLite and PostgreSQL."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from esp.adapters.sql.database import Database
from esp.ports.mailroom import Filed, InboundKind, NewInbound, Outcome
from tests.mailroom_house import open_house

AT = datetime(2026, 11, 3, 8, 0, tzinfo=UTC)


def _message(raw: bytes = b"Subject: x\r\n\r\n\x00\xff\r\n") -> NewInbound:
    return NewInbound(AT, "127.0.0.9", "", ("a@toko.example", "b@toko.example"), raw)


async def test_a_kept_message_comes_back_octet_for_octet(database: Database) -> None:
    async with open_house(database) as house:
        room = house.app.store.mailroom
        number = await room.keep(_message())
        (waiting,) = await room.waiting(10)
        assert (waiting.id, waiting.raw, waiting.received_at) == (number, _message().raw, AT)
        assert waiting.recipients == ("a@toko.example", "b@toko.example")


async def test_a_filed_message_waits_no_longer_and_is_filed_once(database: Database) -> None:
    async with open_house(database) as house:
        room = house.app.store.mailroom
        first, second = await room.keep(_message()), await room.keep(_message())
        workspace = house.sending.workspace_id
        await room.file([Filed(first, InboundKind.BOUNCE, Outcome.APPLIED, workspace, house.sending.deliveries[0])])
        await room.file([Filed(first, InboundKind.OTHER, Outcome.FILED)])
        assert [message.id for message in await room.waiting(10)] == [second]
        row = (await house.inbound())[0]
        assert (row.kind, row.outcome, row.workspace_id) == ("bounce", "applied", workspace)


async def test_waiting_messages_come_oldest_first_and_no_more_than_asked_for(database: Database) -> None:
    async with open_house(database) as house:
        room = house.app.store.mailroom
        ids = [await room.keep(_message()) for _ in range(3)]
        assert [message.id for message in await room.waiting(2)] == ids[:2]


async def test_only_old_and_judged_mail_is_forgotten(database: Database) -> None:
    async with open_house(database) as house:
        room = house.app.store.mailroom
        old = [await room.keep(_message()) for _ in range(3)]
        young = await room.keep(replace(_message(), received_at=AT + timedelta(days=2)))
        await room.file([Filed(number, InboundKind.OTHER, Outcome.FILED) for number in (*old[:2], young)])
        assert await room.forget(AT + timedelta(days=1), 1) == 1
        assert await room.forget(AT + timedelta(days=1), 10) == 1
        assert [row.id for row in await house.inbound()] == [old[2], young]


async def test_a_delivery_is_found_by_all_three_ids_or_not_at_all(database: Database) -> None:
    async with open_house(database) as house:
        room, seeded = house.app.store.mailroom, house.sending
        ids = (seeded.workspace_id, seeded.campaign_id, seeded.deliveries[1])
        found = await room.delivery(*ids)
        assert found is not None
        assert (found.id, found.email_key, found.state) == (ids[2], "orang1@warung.example", "queued")
        for wrong in range(3):
            other = [number + 1000 if place == wrong else number for place, number in enumerate(ids)]
            assert await room.delivery(*other) is None


async def test_mail_is_received_for_sending_domains(database: Database) -> None:
    async with open_house(database) as house:
        assert await house.app.store.mailroom.receiving_domains() == {"toko.example"}
