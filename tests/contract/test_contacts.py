"""The port Contacts on both databases."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from esp.adapters.sql.accounts import SqlAccounts
from esp.adapters.sql.contacts import SqlContacts
from esp.adapters.sql.database import Database
from esp.errors import ConflictError, InputError, NotFoundError
from esp.model.contact import SubscriptionState, SuppressionReason
from esp.ports.contacts import NewContact, Subscribing, Upserted

NOW = datetime(2026, 11, 21, 3, 0, tzinfo=UTC)


def person(email: str, **standard: str) -> NewContact:
    return NewContact(email, email.casefold(), email.rpartition("@")[2], standard)


@pytest.fixture
async def workspace(database: Database) -> int:
    return (await SqlAccounts(database).create_workspace("Toko", "Jl. Mawar 1", NOW)).id


@pytest.fixture
async def stranger(database: Database) -> int:
    return (await SqlAccounts(database).create_workspace("Other", "", NOW)).id


@pytest.fixture
def contacts(database: Database) -> SqlContacts:
    return SqlContacts(database)


async def test_a_thousand_rows_are_made_then_unchanged_then_updated(contacts: SqlContacts, workspace: int) -> None:
    rows = [person(f"p{n}@example.com", first_name=f"N{n}") for n in range(1000)]
    assert await contacts.upsert(workspace, rows, "test", NOW) == Upserted(created=1000)
    assert await contacts.upsert(workspace, rows, "test", NOW) == Upserted(unchanged=1000)
    some = [person("p3@example.com", city="Bandung"), person("new@example.com")]
    assert await contacts.upsert(workspace, some, "test", NOW) == Upserted(created=1, updated=1)
    found = await contacts.find(workspace, "p3@example.com")
    assert found is not None
    assert (found.first_name, found.city) == ("N3", "Bandung")


async def test_a_person_twice_in_one_chunk_ends_as_the_last_row_says(contacts: SqlContacts, workspace: int) -> None:
    rows = [person("A@x.example", city="Solo"), *[person("a@x.example", city="Medan")] * 2]
    assert await contacts.upsert(workspace, rows, "test", NOW) == Upserted(created=1, updated=1, unchanged=1)
    found = await contacts.find(workspace, "a@x.example")
    assert found is not None
    assert (found.email, found.city) == ("A@x.example", "Medan")


async def test_custom_fields_are_merged_and_not_replaced(contacts: SqlContacts, workspace: int) -> None:
    for fields in ({"plan": "pro"}, {"points": 7}):
        await contacts.upsert(workspace, [replace(person("a@x.example"), fields=fields)], "t", NOW)
    found = await contacts.find(workspace, "a@x.example")
    assert found is not None
    assert found.fields == {"plan": "pro", "points": 7}
    assert found.merge_fields()["plan"] == "pro"
    assert await contacts.field_names(workspace) == {"plan", "points"}


async def test_subscribing_keeps_counts_and_consents_and_leaves_alone_who_left(
    contacts: SqlContacts, workspace: int,
) -> None:
    news = await contacts.create_list(workspace, "News", "news", "", NOW)
    rows = [person("a@x.example"), person("b@x.example")]
    joining = Subscribing(news.id, "import people.csv", wording="I want the news")
    await contacts.upsert(workspace, rows, "import", NOW, joining)
    a = await contacts.find(workspace, "a@x.example")
    assert a is not None
    left = SubscriptionState.UNSUBSCRIBED
    assert await contacts.set_subscription(workspace, a.id, news.id, left, NOW, source="page")
    assert not await contacts.set_subscription(workspace, a.id, news.id, left, NOW, source="page")

    assert (await contacts.upsert(workspace, rows, "import", NOW, joining)).kept_out == 1
    counted = await contacts.get_list(workspace, news.id)
    assert (counted.subscribed, counted.unsubscribed) == (1, 1)

    again = Subscribing(news.id, "import", resubscribe=True)
    assert (await contacts.upsert(workspace, rows, "import", NOW, again)).kept_out == 0
    counted = await contacts.get_list(workspace, news.id)
    assert (counted.subscribed, counted.unsubscribed) == (2, 0)
    kinds = [item.detail["action"] for item in await contacts.timeline(workspace, a.id)]
    assert kinds == ["resubscribed", "unsubscribed", "subscribed"]


async def test_search_finds_by_address_name_and_last_name_page_by_page(contacts: SqlContacts, workspace: int) -> None:
    rows = [
        person("budi@x.example", first_name="Budi", last_name="Santoso"),
        person("zz@x.example", first_name="BUDIMAN", last_name="Halim"),
        person("yy@x.example", first_name="Ani", last_name="Budiarto"),
        person("xx@x.example", first_name="Eka", last_name="Putri"),
        person("budz@x.example", first_name="Ca", last_name="Ca"),
    ]
    await contacts.upsert(workspace, rows, "test", NOW)
    seen: list[str] = []
    after = None
    while True:
        page = await contacts.search(workspace, "BUD", after=after, limit=2)
        seen += [contact.email for contact in page.contacts]
        after = page.next
        if after is None:
            break
    assert seen == ["budi@x.example", "budz@x.example", "zz@x.example", "yy@x.example"]
    for wrong in ("x", "9.1.a", "0.x.a", "0.1"):
        with pytest.raises(InputError):
            await contacts.search(workspace, "bud", after=wrong)
    assert (await contacts.search(workspace, "%")).contacts == ()
    assert (await contacts.search(workspace, "\0")).next is None


async def test_the_list_is_newest_first_and_narrowed_to_subscribers(contacts: SqlContacts, workspace: int) -> None:
    news = await contacts.create_list(workspace, "News", "news", "", NOW)
    await contacts.upsert(workspace, [person(f"p{n}@x.example") for n in range(5)], "t", NOW, Subscribing(news.id, "t"))
    await contacts.upsert(workspace, [person("outside@x.example")], "t", NOW)
    page = await contacts.search(workspace, limit=2)
    assert [it.email for it in page.contacts] == ["outside@x.example", "p4@x.example"]
    page = await contacts.search(workspace, list_id=news.id, limit=3)
    assert [it.email for it in page.contacts] == ["p4@x.example", "p3@x.example", "p2@x.example"]
    rest = await contacts.search(workspace, list_id=news.id, limit=3, after=page.next)
    assert [it.email for it in rest.contacts] == ["p1@x.example", "p0@x.example"]
    assert rest.next is None
    assert (await contacts.search(workspace, "p", list_id=news.id)).contacts[0].email == "p0@x.example"


async def test_a_handle_is_taken_once(contacts: SqlContacts, workspace: int, stranger: int) -> None:
    await contacts.create_list(workspace, "News", "news", "", NOW)
    await contacts.create_list(stranger, "News", "news", "", NOW)
    with pytest.raises(ConflictError):
        await contacts.create_list(workspace, "More news", "news", "", NOW)


async def test_lists_are_edited_and_archived(contacts: SqlContacts, workspace: int) -> None:
    news = await contacts.create_list(workspace, "News", "news", "", NOW)
    assert (await contacts.edit_list(workspace, news.id, "Kabar", "weekly")).name == "Kabar"
    await contacts.archive_list(workspace, news.id, NOW)
    assert await contacts.lists(workspace) == ()
    assert len(await contacts.lists(workspace, archived=True)) == 1


async def test_suppressions_are_there_once_and_can_end(contacts: SqlContacts, workspace: int) -> None:
    assert await contacts.suppress(workspace, "a@x.example", SuppressionReason.MANUAL, NOW, note="asked by phone")
    assert not await contacts.suppress(workspace, "a@x.example", SuppressionReason.MANUAL, NOW)
    (found,) = await contacts.suppressions(workspace, email_key="a@x.example")
    await contacts.unsuppress(workspace, found.id)
    assert await contacts.suppressions(workspace) == ()


async def test_deleting_a_contact_keeps_the_counters_true(contacts: SqlContacts, workspace: int) -> None:
    news = await contacts.create_list(workspace, "News", "news", "", NOW)
    await contacts.upsert(workspace, [person("a@x.example")], "t", NOW, Subscribing(news.id, "t"))
    a = await contacts.find(workspace, "a@x.example")
    assert a is not None
    await contacts.delete(workspace, a.id)
    assert await contacts.find(workspace, "a@x.example") is None
    assert (await contacts.get_list(workspace, news.id)).subscribed == 0


async def test_nothing_of_another_workspace_can_be_reached(
    contacts: SqlContacts, workspace: int, stranger: int,
) -> None:
    news = await contacts.create_list(workspace, "News", "news", "", NOW)
    await contacts.upsert(workspace, [person("a@x.example", first_name="Ani")], "t", NOW, Subscribing(news.id, "t"))
    a = await contacts.find(workspace, "a@x.example")
    assert a is not None
    await contacts.suppress(workspace, "b@x.example", SuppressionReason.MANUAL, NOW)
    (suppressed,) = await contacts.suppressions(workspace)
    unsubscribed = SubscriptionState.UNSUBSCRIBED
    reaching = [
        contacts.get(stranger, a.id), contacts.delete(stranger, a.id), contacts.subscriptions(stranger, a.id),
        contacts.timeline(stranger, a.id), contacts.get_list(stranger, news.id),
        contacts.edit_list(stranger, news.id, "mine", ""), contacts.archive_list(stranger, news.id, NOW),
        contacts.set_subscription(stranger, a.id, news.id, unsubscribed, NOW, source="x"),
        contacts.upsert(stranger, [person("c@x.example")], "t", NOW, Subscribing(news.id, "t")),
        contacts.search(stranger, list_id=news.id),
        contacts.unsuppress(stranger, suppressed.id),
        contacts.suppress(stranger, "z@x.example", SuppressionReason.MANUAL, NOW, list_id=news.id),
    ]
    for attempt in reaching:
        with pytest.raises(NotFoundError):
            await attempt
    assert await contacts.find(stranger, "a@x.example") is None
    assert (await contacts.search(stranger, "a")).contacts == ()
    assert (await contacts.search(stranger)).contacts == ()
    assert await contacts.sample(stranger, [news.id]) is None
    assert await contacts.suppressions(stranger) == ()
    assert await contacts.lists(stranger, archived=True) == ()
    mine = await contacts.get_list(workspace, news.id)
    assert (mine.name, mine.archived_at, mine.subscribed) == ("News", None, 1)
