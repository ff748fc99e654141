"""Fields, tags, notes, edits and merging, on SQLite and PostgreSQL."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import insert, select

from esp.adapters.sql.contacts import SqlContacts
from esp.adapters.sql.database import Database
from esp.adapters.sql.people_store import SqlPeople
from esp.adapters.sql.schema import (
    bulk_actions,
    bulk_changes,
    campaigns,
    contact_preferences,
    contact_topics,
    contacts,
    deliveries,
    topics,
    variants,
    workspaces,
)
from esp.errors import ConflictError, InputError, NotFoundError
from esp.model.contact import SubscriptionState, SuppressionReason
from esp.model.fields import FieldType
from esp.model.ids import new_public_id
from esp.ports.contacts import Contact, NewContact, Subscribing
from esp.ports.people import Merge

NOW = datetime(2026, 11, 21, 3, 0, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
ON, OFF, PENDING = SubscriptionState.SUBSCRIBED, SubscriptionState.UNSUBSCRIBED, SubscriptionState.PENDING


class World:
    """A workspace, another one, and both ports."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.contacts, self.people = SqlContacts(database), SqlPeople(database)
        self.mine = self.other = 0

    async def workspace(self) -> int:
        async with self.database.write() as connection:
            made = await connection.execute(insert(workspaces).returning(workspaces.c.id), {
                "public_id": new_public_id(), "created_at": NOW})
            return int(made.scalar_one())

    async def person(self, email: str, list_id: int | None = None, **standard: str) -> Contact:
        row = NewContact(email, email.casefold(), email.rpartition("@")[2], standard)
        subscribing = Subscribing(list_id, "test") if list_id else None
        await self.contacts.upsert(self.mine, [row], "test", NOW, subscribing)
        found = await self.contacts.find(self.mine, email.casefold())
        assert found
        return found


@pytest.fixture
async def world(database: Database) -> World:
    world = World(database)
    world.mine, world.other = await world.workspace(), await world.workspace()
    return world


async def test_fields_are_added_moved_changed_and_put_away(world: World) -> None:
    it = world.people
    size = await it.add_field(world.mine, "size", "Size", FieldType.CHOICE, ["S", "M"], True, NOW)
    await it.add_field(world.mine, "age", "Age", FieldType.NUMBER, [], False, NOW)
    await it.add_field(world.other, "age", "Age", FieldType.NUMBER, [], False, NOW)
    with pytest.raises(ConflictError):
        await it.add_field(world.mine, "age", "Again", FieldType.TEXT, [], False, NOW)
    assert [one.key for one in await it.fields(world.mine)] == ["size", "age"]
    await it.move_field(world.mine, size.id, 1)
    await it.move_field(world.mine, size.id, 1)
    assert [one.key for one in await it.fields(world.mine)] == ["age", "size"]
    changed = await it.change_field(world.mine, size.id, "Ukuran", ["S", "M", "L"], False)
    assert (changed.label, changed.choices, changed.open_to_recipient, changed.key) == (
        "Ukuran", ("S", "M", "L"), False, "size")
    await it.archive_field(world.mine, size.id, NOW)
    assert [one.key for one in await it.fields(world.mine)] == ["age"]
    assert [one.key for one in await it.fields(world.mine, archived=True)] == ["age", "size"]
    assert await world.contacts.field_names(world.mine) == {"age"}
    with pytest.raises(NotFoundError):
        await it.change_field(world.other, size.id, "x", [], False)


async def test_tags_are_one_in_any_case_and_leave_a_line(world: World) -> None:
    ani = await world.person("ani@x.example")
    vip = await world.people.make_tag(world.mine, " VIP  guest ")
    assert await world.people.make_tag(world.mine, "vip Guest") == vip
    assert await world.people.tag(world.mine, ani.id, vip.id, "sri", NOW)
    assert not await world.people.tag(world.mine, ani.id, vip.id, "sri", NOW)
    assert (await world.people.tags_of(world.mine, [ani.id]))[ani.id] == (vip,)
    assert [one.name for one in await world.people.tags(world.mine, "vi")] == ["VIP guest"]
    found = await world.contacts.search(world.mine, tag_id=vip.id)
    assert [one.id for one in found.contacts] == [ani.id]
    assert (await world.contacts.search(world.mine, "ani", tag_id=vip.id)).contacts
    assert await world.people.untag(world.mine, ani.id, vip.id, "sri", LATER)
    kinds = [item.kind for item in await world.contacts.timeline(world.mine, ani.id)]
    assert kinds == ["untagged", "tagged"]
    for name in ("", "a,b", "x" * 61, "a\u2028b"[:0]):
        with pytest.raises(InputError):
            await world.people.make_tag(world.mine, name)
    for reach in (world.people.tag(world.other, ani.id, vip.id, "", NOW), world.people.delete_tag(world.other, vip.id)):
        with pytest.raises(NotFoundError):
            await reach


async def test_notes_are_written_mended_and_removed(world: World) -> None:
    ani = await world.person("ani@x.example")
    note = await world.people.add_note(world.mine, ani.id, "sri", "Likes\n<b>tea</b>", NOW)
    await world.people.edit_note(world.mine, ani.id, note.id, "Likes coffee", LATER)
    (found,) = await world.people.notes(world.mine, ani.id)
    assert (found.text, found.edited_at) == ("Likes coffee", LATER)
    assert (await world.contacts.timeline(world.mine, ani.id))[0].title == "Likes coffee"
    with pytest.raises(NotFoundError):
        await world.people.delete_note(world.other, ani.id, note.id)
    await world.people.delete_note(world.mine, ani.id, note.id)
    assert await world.people.notes(world.mine, ani.id) == ()


async def test_an_edit_says_what_changed_and_none_empties(world: World) -> None:
    ani = await world.person("ani@x.example", first_name="Ani")
    assert await world.people.save(world.mine, ani.id, {"last_name": "Çelik"}, {"size": "S", "age": 3}, "sri", NOW)
    assert await world.people.save(world.mine, ani.id, {}, {"size": None}, "sri", NOW)
    assert not await world.people.save(world.mine, ani.id, {"last_name": "Çelik"}, {"age": 3}, "sri", NOW)
    found = await world.contacts.get(world.mine, ani.id)
    assert (found.fields, found.last_name) == ({"age": 3}, "Çelik")
    assert (await world.contacts.search(world.mine, "çel")).contacts == (found,)
    lines = [item.detail["fields"] for item in await world.contacts.timeline(world.mine, ani.id)]
    assert lines == [["size"], ["last_name", "size", "age"]]


async def _send(world: World, contact: Contact, campaign_id: int) -> int:
    async with world.database.write() as connection:
        made = await connection.execute(insert(deliveries).returning(deliveries.c.id), {
            "workspace_id": world.mine, "campaign_id": campaign_id, "contact_id": contact.id, "variant_id": 1,
            "address": contact.email, "state": "delivered", "created_at": NOW})
        return int(made.scalar_one())


async def a_campaign(world: World) -> int:
    async with world.database.write() as connection:
        made = await connection.execute(insert(campaigns).returning(campaigns.c.id), {
            "public_id": new_public_id(), "workspace_id": world.mine, "created_at": NOW, "updated_at": NOW})
        campaign_id = int(made.scalar_one())
        await connection.execute(insert(variants), {"workspace_id": world.mine, "campaign_id": campaign_id})
        return campaign_id


@pytest.mark.parametrize("keep_the_newer", [False, True])
async def test_merging_moves_everything_and_the_stricter_permission_wins(world: World, keep_the_newer: bool) -> None:
    news = await world.contacts.create_list(world.mine, "News", "news", "", NOW)
    shop = await world.contacts.create_list(world.mine, "Shop", "shop", "", NOW)
    old = await world.person("old@x.example", news.id, first_name="Ani")
    new = await world.person("new@x.example", news.id)
    kept, gone = (new, old) if keep_the_newer else (old, new)
    await world.contacts.set_subscription(world.mine, gone.id, shop.id, ON, NOW, source="t")
    await world.contacts.set_subscription(world.mine, gone.id, news.id, OFF, NOW, source="t")
    await world.contacts.suppress(world.mine, gone.email_key, SuppressionReason.COMPLAINT, NOW)
    await world.contacts.suppress(world.mine, gone.email_key, SuppressionReason.HARD_BOUNCE, NOW)
    vip = await world.people.make_tag(world.mine, "vip")
    for one in (old, new):
        await world.people.tag(world.mine, one.id, vip.id, "", NOW)
    await world.people.add_note(world.mine, gone.id, "sri", "a note", NOW)
    first, second = await a_campaign(world), await a_campaign(world)
    both = [await _send(world, kept, first), await _send(world, gone, first), await _send(world, gone, second)]
    async with world.database.write() as connection:
        await connection.execute(insert(bulk_actions), {
            "public_id": new_public_id(), "workspace_id": world.mine, "action": "add_tag", "created_at": NOW})
        await connection.execute(insert(bulk_changes), [
            {"workspace_id": world.mine, "bulk_id": 1, "contact_id": one.id} for one in (old, new)])

    made = await world.people.merge(
        world.mine, Merge(kept.id, gone.id, {"city": "Solo"}, {"size": "M"}), "sri", LATER)

    assert (made.email, made.city, made.fields) == (kept.email, "Solo", {"size": "M"})
    assert made.first_name == kept.first_name
    assert await world.people.merged_into(world.mine, gone.id if made.id == kept.id else kept.id) == made.id
    states = {row.list_id: row.state for row in await world.contacts.subscriptions(world.mine, made.id)}
    assert states == {news.id: OFF, shop.id: ON}
    counted = {one.id: (one.subscribed, one.unsubscribed) for one in await world.contacts.lists(world.mine)}
    assert counted == {news.id: (0, 1), shop.id: (1, 0)}
    reasons = {one.reason for one in await world.contacts.suppressions(world.mine, email_key=made.email_key)}
    assert reasons == {SuppressionReason.COMPLAINT}
    items = await world.contacts.timeline(world.mine, made.id)
    assert {item.delivery_id for item in items if item.kind == "sent"} == set(both)
    assert {"merged", "note", "tagged", "consent", "bulk"} <= {item.kind for item in items}
    assert (await world.people.tags_of(world.mine, [made.id]))[made.id] == (vip,)
    async with world.database.read() as connection:
        left = list((await connection.execute(select(contacts.c.id))).scalars())
    assert left == [made.id]


async def test_pending_is_stricter_than_subscribed(world: World) -> None:
    news = await world.contacts.create_list(world.mine, "News", "news", "", NOW)
    a, b = await world.person("a@x.example", news.id), await world.person("b@x.example")
    await world.contacts.set_subscription(world.mine, b.id, news.id, PENDING, NOW, source="t")
    made = await world.people.merge(world.mine, Merge(a.id, b.id, {}, {}), "sri", LATER)
    assert [row.state for row in await world.contacts.subscriptions(world.mine, made.id)] == [PENDING]
    assert (await world.contacts.get_list(world.mine, news.id)).subscribed == 0


async def test_merging_reaches_nobody_else_and_not_oneself(world: World) -> None:
    a, b = await world.person("a@x.example"), await world.person("b@x.example")
    with pytest.raises(NotFoundError):
        await world.people.merge(world.other, Merge(a.id, b.id, {}, {}), "x", NOW)
    with pytest.raises(ConflictError):
        await world.people.merge(world.mine, Merge(a.id, a.id, {}, {}), "x", NOW)
    made = await world.people.merge(world.mine, Merge(a.id, b.id, {}, {}), "x", NOW)
    c = await world.person("c@x.example")
    assert made.id not in (c.id, min(a.id, b.id))
    last = await world.people.merge(world.mine, Merge(c.id, made.id, {}, {}), "x", NOW)
    assert await world.people.merged_into(world.mine, min(a.id, b.id)) == last.id
    assert await world.people.merged_into(world.other, min(a.id, b.id)) is None


async def test_the_stricter_of_two_preferences_wins(world: World) -> None:
    a, b = await world.person("a@x.example"), await world.person("b@x.example")
    async with world.database.write() as connection:
        topic = (await connection.execute(insert(topics).returning(topics.c.id), {
            "public_id": new_public_id(), "workspace_id": world.mine, "name": "Offers", "created_at": NOW,
        })).scalar_one()
        base = {"workspace_id": world.mine, "changed_at": NOW}
        await connection.execute(insert(contact_preferences), [
            {**base, "contact_id": a.id, "frequency": "weekly", "tracking_off": False, "paused_until": None},
            {**base, "contact_id": b.id, "frequency": "daily", "tracking_off": True, "paused_until": LATER}])
        await connection.execute(insert(contact_topics), [
            {"workspace_id": world.mine, "contact_id": one.id, "topic_id": topic, "frequency": said}
            for one, said in ((a, "each"), (b, "none"))])
    made = await world.people.merge(world.mine, Merge(a.id, b.id, {}, {}), "sri", LATER)
    async with world.database.read() as connection:
        row = (await connection.execute(select(contact_preferences))).one()
        said = (await connection.execute(select(contact_topics.c.contact_id, contact_topics.c.frequency))).one()
    assert (row.contact_id, row.frequency, row.tracking_off, row.paused_until) == (made.id, "weekly", True, LATER)
    assert tuple(said) == (made.id, "none")


async def test_people_are_found_by_state(world: World) -> None:
    news = await world.contacts.create_list(world.mine, "News", "news", "", NOW)
    a, b = await world.person("a@x.example", news.id), await world.person("b@x.example", news.id)
    await world.contacts.set_subscription(world.mine, b.id, news.id, OFF, NOW, source="t")
    for list_id in (news.id, None):
        assert (await world.contacts.search(world.mine, list_id=list_id, state=OFF)).contacts[0].id == b.id
        assert (await world.contacts.search(world.mine, "a", list_id=list_id, state=ON)).contacts[0].id == a.id
