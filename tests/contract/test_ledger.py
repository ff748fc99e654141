"""The ledger on SQLite and PostgreSQL: events, states, rollups and suppressions agree."""

import asyncio
from datetime import timedelta

from sqlalchemy import func, select

from esp.adapters.sql.database import Database
from esp.adapters.sql.ledger import SqlLedger
from esp.adapters.sql.schema import deliveries, events, suppressions
from esp.model.contact import SuppressionReason
from esp.model.delivery import EventType, NewEvent
from esp.ports.ledger import NewSuppression
from tests.sending import BEGAN, event_types, seed, states, totals

PEOPLE = [f"p{number}@a.example" for number in range(6)]


async def test_outcomes_become_states_events_and_rollups(database: Database) -> None:
    sending = await seed(database, PEOPLE)
    ledger = SqlLedger(database)
    first, second, third, *_ = sending.deliveries
    detail = {"reason": "unknown_user", "code": 550, "reply": "no such user", "attempt": 1}
    applied = await ledger.apply([
        NewEvent(EventType.DELIVERED, BEGAN, sending.workspace_id, delivery_id=first,
                 detail={"code": 250, "attempt": 1}),
        NewEvent(EventType.BOUNCED, BEGAN, sending.workspace_id, delivery_id=second, detail=detail),
        NewEvent(EventType.DEFERRED, BEGAN, sending.workspace_id, delivery_id=third,
                 detail={"code": 451, "reason": "greylisted", "attempt": 1, "maybe_duplicate": True}),
    ])
    assert applied == 3
    assert await states(database, sending.campaign_id) == {"delivered": 1, "bounced": 1, "deferred": 1, "queued": 3}
    assert await totals(database, sending.campaign_id) == {"delivered": 1, "bounced": 1, "deferred": 1}
    assert await totals(database, sending.campaign_id, "reason", "unknown_user") == {"bounced": 1}
    assert await totals(database, sending.campaign_id, "provider", "a.example") == {
        "delivered": 1, "bounced": 1, "deferred": 1}
    async with database.read() as connection:
        rows = {row.id: row for row in await connection.execute(select(deliveries))}
    assert (rows[second].reply_code, rows[second].reply, rows[second].reason) == (550, "no such user", "unknown_user")
    assert rows[second].ended_at == BEGAN
    assert rows[second].batch_id is None
    assert rows[third].batch_id is not None
    assert rows[third].maybe_duplicate
    assert rows[third].attempts == 1
    assert rows[third].ended_at is None


async def test_a_repeated_report_changes_nothing(database: Database) -> None:
    sending = await seed(database, PEOPLE)
    ledger = SqlLedger(database)
    fact = NewEvent(EventType.DELIVERED, BEGAN, sending.workspace_id, delivery_id=sending.deliveries[0])
    assert await ledger.apply([fact]) == 1
    assert await ledger.apply([fact, fact]) == 0
    assert await totals(database, sending.campaign_id) == {"delivered": 1}
    assert await event_types(database, sending.deliveries[0]) == ["delivered"]


async def test_first_opens_are_marked_once(database: Database) -> None:
    sending = await seed(database, PEOPLE)
    ledger = SqlLedger(database)
    for minutes in (0, 1):
        await ledger.apply([
            NewEvent(EventType.OPENED, BEGAN + timedelta(minutes=minutes), sending.workspace_id, agent="human",
                     delivery_id=sending.deliveries[0])
        ])
    async with database.read() as connection:
        opened = await connection.scalar(select(deliveries.c.opened_at).where(deliveries.c.id == sending.deliveries[0]))
    assert opened == BEGAN
    assert await totals(database, sending.campaign_id) == {"opened": 1, "opens": 2}


async def test_a_suppression_is_written_once_and_per_list(database: Database) -> None:
    sending = await seed(database, PEOPLE)
    ledger = SqlLedger(database)
    whole = NewSuppression(sending.workspace_id, PEOPLE[0], SuppressionReason.HARD_BOUNCE)
    listed = NewSuppression(sending.workspace_id, PEOPLE[0], SuppressionReason.MANUAL, list_id=sending.list_id)
    await ledger.apply([], [whole, whole, listed])
    await ledger.apply([], [whole, listed])
    async with database.read() as connection:
        assert await connection.scalar(select(func.count()).select_from(suppressions)) == 2


async def test_concurrent_writers_neither_deadlock_nor_lose_a_count(database: Database) -> None:
    people = [f"p{number}@{domain}.example" for number in range(40) for domain in ("a", "b", "c")]
    sending = await seed(database, people)
    ledger = SqlLedger(database)

    async def deliver(ids: list[int]) -> None:
        for delivery_id in ids:
            await ledger.apply([NewEvent(EventType.DELIVERED, BEGAN, sending.workspace_id, delivery_id=delivery_id)])

    # Each fact is reported twice, by two writers that go through them in opposite directions.
    ids = list(sending.deliveries)
    await asyncio.gather(deliver(ids), deliver(ids[::-1]))
    assert await totals(database, sending.campaign_id) == {"delivered": 120}
    async with database.read() as connection:
        assert await connection.scalar(select(func.count()).select_from(events)) == 120
