"""The outbox on SQLite and PostgreSQL: claims never share, late writes never land, deferrals gather."""

import asyncio
from datetime import timedelta

import pytest
from sqlalchemy import func, insert, select, update

from esp.adapters.sql.database import Database
from esp.adapters.sql.outbox import SqlOutbox
from esp.adapters.sql.schema import batches, contacts, deliveries, subscriptions, suppressions
from esp.errors import LeaseLostError
from esp.model.contact import SuppressionReason
from esp.model.delivery import EventType
from esp.ports.outbox import ClaimedBatch, Outcome, Postponed
from tests.sending import BEGAN, event_types, seed, set_campaign_state, states, totals

PEOPLE = [f"p{number:02}@{domain}.example" for domain in ("a", "b") for number in range(20)]


async def claim(outbox: SqlOutbox, owner: str = "one", minutes: float = 0, **more: object) -> ClaimedBatch:
    batch = await outbox.claim(owner, 60, BEGAN + timedelta(minutes=minutes), **more)  # type: ignore[arg-type]
    assert batch is not None
    return batch


async def test_a_batch_is_claimed_once_and_in_order(database: Database) -> None:
    sending = await seed(database, PEOPLE, batch_size=10)
    outbox = SqlOutbox(database)
    claimed = [await claim(outbox, f"owner{number}") for number in range(4)]
    assert tuple(batch.id for batch in claimed) == sending.batches
    assert {batch.fence for batch in claimed} == {1}
    assert await outbox.claim("late", 60, BEGAN) is None


async def test_claims_that_race_never_share_a_batch(database: Database) -> None:
    sending = await seed(database, PEOPLE, batch_size=2)
    outboxes = [SqlOutbox(database) for _ in range(4)]

    async def claim_all(outbox: SqlOutbox, owner: str) -> list[int]:
        found = []
        while (batch := await outbox.claim(owner, 60, BEGAN)) is not None:
            found.append(batch.id)
        return found

    found = await asyncio.gather(*(claim_all(outbox, str(number)) for number, outbox in enumerate(outboxes)))
    assert sorted(batch for some in found for batch in some) == sorted(sending.batches)


@pytest.mark.parametrize("state", ["draft", "paused", "cancelled", "sent"])
async def test_only_what_is_sending_is_claimed(database: Database, state: str) -> None:
    sending = await seed(database, PEOPLE, state=state)
    outbox = SqlOutbox(database)
    assert await outbox.claim("one", 60, BEGAN) is None
    assert await outbox.sending_campaigns() == frozenset()
    await set_campaign_state(database, sending.campaign_id, "sending")
    assert await outbox.sending_campaigns() == {sending.campaign_id}
    await claim(outbox)


async def test_what_is_not_due_and_whom_to_avoid_are_left_alone(database: Database) -> None:
    await seed(database, PEOPLE, now=BEGAN)
    outbox = SqlOutbox(database)
    assert await outbox.claim("one", 60, BEGAN - timedelta(seconds=1)) is None
    assert (await claim(outbox, avoid_providers={"a.example"})).provider == "b.example"
    assert await outbox.claim("one", 60, BEGAN, {"a.example"}) is None
    mine = await seed(database, ["q@a.example"])
    assert (await claim(outbox, avoid_pairs={(mine.campaign_id - 1, "a.example")})).campaign_id == mine.campaign_id
    assert await outbox.claim("one", 60, BEGAN, avoid_campaigns=[mine.campaign_id - 1]) is None
    many = {f"d{number:06}.example" for number in range(40_000)}
    assert (await claim(outbox, avoid_providers=many)).provider == "a.example"


async def test_rows_come_with_what_the_mail_shows(database: Database) -> None:
    sending = await seed(database, PEOPLE[:3])
    async with database.write() as connection:
        await connection.execute(
            update(contacts).where(contacts.c.id == sending.contacts[0]).values(city="Medan", fields={"points": 7})
        )
    outbox = SqlOutbox(database)
    rows = await outbox.load(await claim(outbox), BEGAN)
    assert [row.delivery_id for row in rows] == list(sending.deliveries)
    assert rows[0].fields["points"] == 7
    assert rows[0].fields["city"] == "Medan"
    assert rows[0].fields["email"] == rows[0].address == PEOPLE[0]
    assert [row.refused for row in rows] == ["", "", ""]


async def test_who_left_or_was_suppressed_since_is_refused_with_the_reason(database: Database) -> None:
    sending = await seed(database, PEOPLE[:6])
    outbox = SqlOutbox(database)
    batch = await claim(outbox)
    left, bounced, listed, over, erased = sending.contacts[:5]
    async with database.write() as connection:
        await connection.execute(
            update(subscriptions).where(subscriptions.c.contact_id == left).values(state="unsubscribed"))
        for number, reason, list_id, expires in (
            (1, "hard_bounce", None, None), (2, "manual", sending.list_id, None),
            (3, "complaint", None, BEGAN - timedelta(days=1)),
        ):
            await connection.execute(insert(suppressions).values(
                workspace_id=sending.workspace_id, email_key=PEOPLE[number], reason=reason, list_id=list_id,
                created_at=BEGAN, expires_at=expires))
        await connection.execute(subscriptions.delete().where(subscriptions.c.contact_id == erased))
        await connection.execute(contacts.delete().where(contacts.c.id == erased))
    wanted = {0: "unsubscribed", 1: "suppressed_bounce", 2: "suppressed_manual", 4: "unsubscribed"}
    expected = {sending.deliveries[number]: reason for number, reason in wanted.items()}
    assert await outbox.refused(batch, BEGAN) == expected
    rows = await outbox.load(batch, BEGAN)
    assert {row.delivery_id: row.refused for row in rows if row.refused} == expected
    assert sending.contacts[3] == over  # a suppression that has run out holds nobody back
    assert bounced != listed


async def test_outcomes_end_the_batch(database: Database) -> None:
    sending = await seed(database, PEOPLE[:3])
    outbox = SqlOutbox(database)
    batch = await claim(outbox)
    rows = await outbox.load(batch, BEGAN)
    await outbox.record(batch, [
        Outcome(rows[0], EventType.DELIVERED, BEGAN, code=250, reply="2.0.0 ok"),
        Outcome(rows[1], EventType.BOUNCED, BEGAN, "unknown_user", code=550, suppress=SuppressionReason.HARD_BOUNCE),
        Outcome(rows[2], EventType.SUPPRESSED, BEGAN, "unsubscribed", tried=False),
    ], BEGAN, finished=True)
    assert await states(database, sending.campaign_id) == {"delivered": 1, "bounced": 1, "suppressed": 1}
    assert await totals(database, sending.campaign_id) == {"delivered": 1, "bounced": 1, "suppressed": 1}
    async with database.read() as connection:
        suppressed = (await connection.execute(select(suppressions))).one()
        ended = (await connection.execute(select(batches))).one()
    assert (suppressed.email_key, suppressed.reason, suppressed.delivery_id) == (
        PEOPLE[1], "hard_bounce", sending.deliveries[1])
    assert (ended.state, ended.owner) == ("done", "")


@pytest.mark.parametrize("heir_is", ["heir", "zombie"])  # a worker may claim what it lost
async def test_a_zombie_writes_nothing(database: Database, heir_is: str) -> None:
    sending = await seed(database, PEOPLE[:3])
    outbox = SqlOutbox(database)
    zombie = await claim(outbox, "zombie")
    rows = await outbox.load(zombie, BEGAN)
    heir = await claim(outbox, heir_is, minutes=2)
    assert (heir.id, heir.fence, heir.taken_from) == (zombie.id, 2, "zombie")
    late = [Outcome(rows[0], EventType.DELIVERED, BEGAN, code=250)]
    with pytest.raises(LeaseLostError):
        await outbox.record(zombie, late, BEGAN, finished=True)
    assert await states(database, sending.campaign_id) == {"queued": 3}
    assert await event_types(database, sending.deliveries[0]) == []
    assert await outbox.renew([zombie, heir], 60, BEGAN + timedelta(minutes=2)) == {heir.id}
    # Whatever the zombie may have sent is marked, for nobody can know.
    assert all(row.maybe_duplicate for row in await outbox.load(heir, BEGAN))


async def test_a_renewed_lease_is_not_taken_over(database: Database) -> None:
    await seed(database, PEOPLE[:3])
    outbox = SqlOutbox(database)
    batch = await claim(outbox)
    assert await outbox.renew([batch], 60, BEGAN + timedelta(seconds=50)) == {batch.id}
    assert await outbox.claim("other", 60, BEGAN + timedelta(seconds=100)) is None
    assert await outbox.claim("other", 60, BEGAN + timedelta(seconds=111)) is not None


async def test_what_is_left_is_ready_for_the_next(database: Database) -> None:
    await seed(database, PEOPLE[:3])
    outbox = SqlOutbox(database)
    batch = await claim(outbox)
    rows = await outbox.load(batch, BEGAN)
    delivered = [Outcome(rows[0], EventType.DELIVERED, BEGAN, code=250)]
    await outbox.record(batch, delivered, BEGAN, finished=True, ready_in=30)
    assert await outbox.claim("other", 60, BEGAN) is None
    again = await claim(outbox, "other", minutes=1)
    assert (again.id, again.size, again.fence) == (batch.id, 2, 2)
    assert not any(row.maybe_duplicate for row in await outbox.load(again, BEGAN))


async def test_deferred_and_postponed_gather_by_provider_and_time(database: Database) -> None:
    sending = await seed(database, PEOPLE, batch_size=20)
    outbox = SqlOutbox(database, batch_size=15)
    first, second = await claim(outbox), await claim(outbox)
    for batch in (first, second):
        rows = await outbox.load(batch, BEGAN)
        due = BEGAN + timedelta(minutes=5, seconds=1)
        deferred = [
            Outcome(row, EventType.DEFERRED, BEGAN, "greylisted", code=451, due_at=due + timedelta(seconds=number))
            for number, row in enumerate(rows[:10])
        ]
        await outbox.record(batch, deferred[:5], BEGAN)
        later = [Postponed(row, due + timedelta(seconds=3)) for row in rows[10:]]
        await outbox.record(batch, deferred[5:], BEGAN, postponed=later, finished=True)
    assert await states(database, sending.campaign_id) == {"deferred": 20, "queued": 20}
    async with database.read() as connection:
        found = (await connection.execute(
            select(batches.c.provider, batches.c.state, batches.c.size).order_by(batches.c.provider, batches.c.size)
        )).all()
        counted = {row[0]: row[1] for row in await connection.execute(
            select(deliveries.c.batch_id, func.count()).group_by(deliveries.c.batch_id))}
        sizes = {row[0]: row[1] for row in await connection.execute(
            select(batches.c.id, batches.c.size).where(batches.c.state == "ready"))}
    assert [tuple(row) for row in found] == [
        ("a.example", "ready", 5), ("a.example", "ready", 15), ("a.example", "done", 20),
        ("b.example", "ready", 5), ("b.example", "ready", 15), ("b.example", "done", 20),
    ]
    assert counted == sizes
    assert await outbox.claim("one", 60, BEGAN + timedelta(minutes=4)) is None
    again = await claim(outbox, minutes=7)
    attempts = {row.attempts for row in await outbox.load(again, BEGAN)}
    assert attempts <= {0, 1}  # a postponed one has not been tried


async def test_a_test_send_needs_no_list_but_heeds_suppressions(database: Database) -> None:
    sending = await seed(database, PEOPLE[:2])
    async with database.write() as connection:
        campaigns = deliveries.metadata.tables["campaigns"]
        await connection.execute(update(campaigns).values(test_of=1, include_lists=[], sample={"first_name": "Sample"}))
        await connection.execute(
            update(deliveries).where(deliveries.c.id == sending.deliveries[0]).values(contact_id=0))
        await connection.execute(insert(suppressions).values(
            workspace_id=sending.workspace_id, email_key=PEOPLE[1], reason="manual", created_at=BEGAN))
    outbox = SqlOutbox(database)
    rows = await outbox.load(await claim(outbox), BEGAN)
    assert [(row.refused, row.fields) for row in rows] == [
        ("", {"first_name": "Sample"}), ("suppressed_manual", {"first_name": "Sample"})]
