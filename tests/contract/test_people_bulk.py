"""Bulk actions on both databases: done in chunks, gone on with after a death, undone without overriding anybody."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import delete, insert, update

from esp.adapters.sql.people_bulk import SqlBulks
from esp.adapters.sql.preferences import SqlPreferences
from esp.adapters.sql.schema import campaigns, contact_redirects, deliveries, messages, suppressions
from esp.adapters.sql.withdrawals import withdraw
from esp.errors import ConflictError, LeaseLostError, NotFoundError
from esp.model.contact import SubscriptionState, SuppressionReason
from esp.model.segment_json import parse_rule, rule_json
from esp.ports.engagement import Withdrawal
from esp.ports.people_bulk import Bulk, BulkAction, BulkState, NewBulk, Selection
from tests.contract.test_people import NOW, World, a_campaign, world

__all__ = ["world"]

ON, OFF = SubscriptionState.SUBSCRIBED, SubscriptionState.UNSUBSCRIBED
LATER = NOW + timedelta(minutes=5)


async def run(bulks: SqlBulks, now: datetime = NOW, limit: int = 2) -> Bulk:
    it = await bulks.claim(now, now - timedelta(minutes=1))
    assert it
    while it.finished_at is None:
        it = await bulks.step(it, now, limit)
    return it


async def start(world: World, action: BulkAction, selection: Selection, **arguments: object) -> SqlBulks:
    bulks = SqlBulks(world.database)
    await bulks.create(world.mine, NewBulk(action, selection, "sri", arguments), NOW)
    return bulks


async def test_a_tag_on_everybody_who_matches_and_undone(world: World) -> None:
    people = [await world.person(f"p{n}@x.example") for n in range(5)]
    other = await world.person("q@x.example")
    vip = await world.people.make_tag(world.mine, "vip")
    await world.people.tag(world.mine, people[0].id, vip.id, "", NOW)
    bulks = await start(world, BulkAction.ADD_TAG, Selection(query="P"), tag_id=vip.id, tag="vip")
    done = await run(bulks)
    assert (done.state, done.seen, done.changed, done.kept) == (BulkState.DONE, 5, 4, 0)
    tagged = await world.people.tags_of(world.mine, [one.id for one in (*people, other)])
    assert set(tagged) == {one.id for one in people}
    assert [line.email for line in await bulks.log(world.mine, done.id)] == [f"p{n}@x.example" for n in range(1, 5)]
    undo = await bulks.create_undo(world.mine, done.id, "sri", LATER)
    with pytest.raises(ConflictError):
        await bulks.create_undo(world.mine, done.id, "sri", LATER)
    assert (await run(bulks, LATER)).changed == 4
    assert set(await world.people.tags_of(world.mine, [one.id for one in people])) == {people[0].id}
    assert (await bulks.get(world.mine, done.id)).undone_by == undo.id
    with pytest.raises(ConflictError):
        await bulks.create_undo(world.mine, undo.id, "sri", LATER)


async def test_subscribing_leaves_those_who_left_and_undo_leaves_what_they_said_since(world: World) -> None:
    news = await world.contacts.create_list(world.mine, "News", "news", "", NOW)
    a, b, c = [await world.person(f"{x}@x.example") for x in "abc"]
    await world.contacts.set_subscription(world.mine, c.id, news.id, OFF, NOW, source="t")
    bulks = await start(world, BulkAction.SUBSCRIBE, Selection(), list_id=news.id, wording="till")
    done = await run(bulks)
    assert (done.changed, done.kept) == (2, 1)
    assert ((await world.contacts.get_list(world.mine, news.id)).subscribed) == 2
    consent = (await world.contacts.timeline(world.mine, a.id))[0]
    assert (consent.kind, consent.detail["wording"], consent.detail["actor"]) == ("consent", "till", "sri")
    # b leaves and comes back by themselves; the undo must not take them off.
    for state in (OFF, ON):
        await world.contacts.set_subscription(world.mine, b.id, news.id, state, LATER, source="form")
    await bulks.create_undo(world.mine, done.id, "sri", LATER)
    undone = await run(bulks, LATER)
    assert (undone.changed, undone.kept) == (1, 1)
    assert await world.contacts.subscriptions(world.mine, a.id) == ()
    assert (await world.contacts.subscriptions(world.mine, b.id))[0].state is ON
    one = await world.contacts.get_list(world.mine, news.id)
    assert (one.subscribed, one.unsubscribed) == (1, 1)


async def test_unsubscribing_and_back(world: World) -> None:
    news = await world.contacts.create_list(world.mine, "News", "news", "", NOW)
    people = [await world.person(f"{x}@x.example", news.id) for x in "abc"]
    await world.person("d@x.example")
    bulks = await start(world, BulkAction.UNSUBSCRIBE, Selection(list_id=news.id), list_id=news.id)
    done = await run(bulks, LATER)
    one = await world.contacts.get_list(world.mine, news.id)
    assert (done.changed, one.subscribed, one.unsubscribed) == (3, 0, 3)
    # One of them says so themselves meanwhile: that is their own word, which no undo takes back.
    await world.contacts.set_subscription(world.mine, people[0].id, news.id, ON, LATER, source="form")
    await world.contacts.set_subscription(world.mine, people[0].id, news.id, OFF, LATER, source="form")
    await bulks.create_undo(world.mine, done.id, "sri", LATER + timedelta(1))
    await run(bulks, LATER + timedelta(1))
    one = await world.contacts.get_list(world.mine, news.id)
    assert (one.subscribed, one.unsubscribed) == (2, 1)
    assert (await world.contacts.subscriptions(world.mine, people[0].id))[0].state is OFF


async def test_suppressing_and_deleting(world: World) -> None:
    news = await world.contacts.create_list(world.mine, "News", "news", "", NOW)
    a, b = await world.person("a@x.example", news.id), await world.person("b@x.example", news.id)
    bulks = await start(world, BulkAction.SUPPRESS, Selection(ids=(a.id,)), note="asked")
    done = await run(bulks)
    (bar,) = await world.contacts.suppressions(world.mine)
    assert (bar.email_key, bar.note, done.changed) == ("a@x.example", "asked", 1)
    await bulks.create_undo(world.mine, done.id, "sri", LATER)
    await run(bulks, LATER)
    assert await world.contacts.suppressions(world.mine) == ()
    bulks = await start(world, BulkAction.DELETE, Selection(ids=(a.id, b.id)))
    done = await run(bulks)
    assert (done.changed, done.can_be_undone, await bulks.log(world.mine, done.id)) == (2, False, ())
    assert (await world.contacts.get_list(world.mine, news.id)).subscribed == 0


async def test_undoing_a_suppression_spares_another_that_has_its_number_now(world: World) -> None:
    """SQLite gives the highest number once more, and what stands there then may be a complaint."""
    a = await world.person("a@x.example")
    bulks = await start(world, BulkAction.SUPPRESS, Selection(ids=(a.id,)), note="asked")
    done = await run(bulks)
    (bar,) = await world.contacts.suppressions(world.mine)
    async with world.database.write() as connection:
        await connection.execute(delete(suppressions))
        await connection.execute(insert(suppressions), {
            "id": bar.id, "workspace_id": world.mine, "email_key": "b@x.example",
            "reason": SuppressionReason.COMPLAINT.value, "created_at": LATER})
    await bulks.create_undo(world.mine, done.id, "sri", LATER)
    assert (await run(bulks, LATER)).kept == 1
    assert [one.email_key for one in await world.contacts.suppressions(world.mine)] == ["b@x.example"]


async def test_an_action_goes_on_where_a_dead_process_stopped_and_only_once(world: World) -> None:
    for n in range(5):
        await world.person(f"p{n}@x.example")
    vip = await world.people.make_tag(world.mine, "vip")
    bulks = await start(world, BulkAction.ADD_TAG, Selection(), tag_id=vip.id)
    first = await bulks.claim(NOW, NOW)
    assert first
    moved = await bulks.step(first, NOW, 2)
    assert await bulks.claim(NOW, NOW - timedelta(minutes=1)) is None
    with pytest.raises(LeaseLostError):
        await bulks.step(first, NOW, 2)
    done = await run(bulks, LATER)
    assert (done.id, done.seen, done.changed) == (moved.id, 5, 5)


async def test_a_stopped_action_does_no_more_and_what_is_done_can_be_undone(world: World) -> None:
    for n in range(5):
        await world.person(f"p{n}@x.example")
    vip = await world.people.make_tag(world.mine, "vip")
    bulks = await start(world, BulkAction.ADD_TAG, Selection(), tag_id=vip.id)
    it = await bulks.claim(NOW, NOW)
    assert it
    it = await bulks.step(it, NOW, 2)
    await bulks.cancel(world.mine, it.id, NOW)
    with pytest.raises(LeaseLostError):
        await bulks.step(it, NOW, 2)
    it = await bulks.get(world.mine, it.id)
    assert (it.state, it.changed, it.can_be_undone) == (BulkState.CANCELLED, 2, True)


async def test_who_comes_after_the_question_is_not_touched_and_nobody_elsewhere(world: World) -> None:
    a = await world.person("a@x.example")
    vip = await world.people.make_tag(world.mine, "vip")
    bulks = await start(world, BulkAction.ADD_TAG, Selection(), tag_id=vip.id)
    b = await world.person("b@x.example")
    await run(bulks)
    assert set(await world.people.tags_of(world.mine, [a.id, b.id])) == {a.id}
    with pytest.raises(NotFoundError):
        await bulks.get(world.other, 1)
    with pytest.raises(NotFoundError):
        await bulks.create(world.other, NewBulk(BulkAction.ADD_TAG, Selection(), "x", {"tag_id": vip.id}), NOW)
    await bulks.create(world.other, NewBulk(BulkAction.DELETE, Selection(ids=(a.id,)), "x"), NOW)
    assert (await run(bulks)).changed == 0
    assert await bulks.count(world.mine, Selection(), 10, NOW) == 2
    assert await bulks.count(world.mine, Selection(tag_id=vip.id), 10, NOW) == 1
    assert await bulks.count(world.other, Selection(), 10, datetime.now(UTC)) == 0


async def test_everybody_of_a_segment(world: World) -> None:
    a = await world.person("a@x.example", None, city="Solo")
    await world.person("b@x.example", None, city="Medan")
    vip = await world.people.make_tag(world.mine, "vip")
    rule = rule_json(parse_rule({
        "match": "all", "rules": [{"field": "city", "op": "is", "value": "Solo"}]}))
    bulks = await start(world, BulkAction.ADD_TAG, Selection(rule=rule, zone="Asia/Jakarta"), tag_id=vip.id)
    assert (await run(bulks)).changed == 1
    assert set(await world.people.tags_of(world.mine, [a.id])) == {a.id}


async def test_who_leaves_by_a_mail_after_a_bulk_action_stays_away_when_it_is_undone(world: World) -> None:
    news = await world.contacts.create_list(world.mine, "News", "news", "", NOW)
    a, b = await world.person("a@x.example", news.id), await world.person("b@x.example", news.id)
    campaign = await a_campaign(world)
    async with world.database.write() as connection:
        await connection.execute(update(campaigns).values(include_lists=[news.id]))
        await connection.execute(insert(deliveries), {
            "workspace_id": world.mine, "campaign_id": campaign, "contact_id": a.id, "variant_id": 1,
            "address": a.email, "state": "delivered", "created_at": NOW})
    bulks = await start(world, BulkAction.UNSUBSCRIBE, Selection(list_id=news.id), list_id=news.id)
    done = await run(bulks)
    async with world.database.write() as connection:
        await withdraw(connection, world.database.dialect, Withdrawal(
            world.mine, campaign, 1, LATER, "one-click"))
    await bulks.create_undo(world.mine, done.id, "sri", LATER)
    undone = await run(bulks, LATER + timedelta(minutes=1))
    assert (undone.changed, undone.kept) == (1, 1)
    assert (await world.contacts.subscriptions(world.mine, a.id))[0].state is OFF
    assert (await world.contacts.subscriptions(world.mine, b.id))[0].state is ON
    one = await world.contacts.get_list(world.mine, news.id)
    assert (one.subscribed, one.unsubscribed) == (1, 1)


@pytest.mark.parametrize("many", [False, True])
async def test_who_comes_next_inherits_nothing_of_somebody_deleted(world: World, many: bool) -> None:
    """SQLite gives the highest number once more: an old mail's links must not open a stranger's page."""
    news = await world.contacts.create_list(world.mine, "News", "news", "", NOW)
    old, campaign = await world.person("old@x.example", news.id), await a_campaign(world)
    async with world.database.write() as connection:
        await connection.execute(update(campaigns).values(include_lists=[news.id]))
        sent = (await connection.execute(insert(deliveries).returning(deliveries.c.id), {
            "workspace_id": world.mine, "campaign_id": campaign, "contact_id": old.id, "variant_id": 1,
            "address": old.email, "state": "delivered", "created_at": NOW})).scalar_one()
        await connection.execute(insert(messages), {
            "public_id": "m", "workspace_id": world.mine, "contact_id": old.id, "raw": b"x", "created_at": NOW})
        await connection.execute(insert(contact_redirects), {
            "old_id": 7000, "old_public_id": "old", "workspace_id": world.mine, "contact_id": old.id, "at": NOW})
        before = (await connection.execute(insert(deliveries).returning(deliveries.c.id), {
            "workspace_id": world.mine, "campaign_id": campaign, "contact_id": 7000, "variant_id": 1,
            "address": old.email, "state": "delivered", "created_at": NOW})).scalar_one()
    if many:
        await run(await start(world, BulkAction.DELETE, Selection(ids=(old.id,))))
    else:
        await world.contacts.delete(world.mine, old.id)
    new = await world.person("new@x.example", news.id)
    if world.database.dialect == "sqlite":
        assert new.id == old.id
    preferences = SqlPreferences(world.database)
    assert await preferences.reader_of_delivery(world.mine, campaign, sent) is None
    assert await preferences.reader_of_delivery(world.mine, campaign, before) is None, "by a number before a merge"
    assert "messages" not in await preferences.portable(world.mine, new.id)
    assert {item.kind for item in await world.contacts.timeline(world.mine, new.id)} == {"consent"}
    async with world.database.write() as connection:
        await withdraw(connection, world.database.dialect, Withdrawal(
            world.mine, campaign, sent, LATER, "one-click"))
    assert (await world.contacts.subscriptions(world.mine, new.id))[0].state is ON
    assert [one.email_key for one in await world.contacts.suppressions(world.mine)] == ["old@x.example"]
    one = await world.contacts.get_list(world.mine, news.id)
    assert (one.subscribed, one.unsubscribed) == (1, 0)
