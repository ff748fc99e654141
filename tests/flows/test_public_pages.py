"""What recipients' pages do with odd links, odd forms and floods: a clear page in both languages, and nothing lost."""

import asyncio
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select, update

from esp.adapters.sql.database import Database
from esp.adapters.sql.schema import consents, contact_changes, contacts, deliveries, events, messages
from esp.flows import erasure
from esp.model.fields import FieldType
from esp.model.preference import ArchiveAccess, Frequency
from esp.ports.preferences import Choices, Publicity
from esp.wire.tokens import Purpose
from tests.edge_world import World, make_world, open_edge, snapshot
from tracking.edge.shell import COMMON

LANGUAGES = ("en", "id")
MONTHS = timedelta(days=100).total_seconds()  # longer than a mail's link opens its reader's page
DOORS = {
    Purpose.OPEN: "/o/{}.gif", Purpose.CLICK: "/c/{}/0", Purpose.UNSUBSCRIBE: "/u/{}", Purpose.VIEW: "/v/{}",
    Purpose.PREFERENCES: "/p/{}", Purpose.CONTACT: "/p/{}", Purpose.ERASE: "/p/-/erase/{}",
    Purpose.CONFIRM: "/s/-/confirm/{}",
}


async def own_page(world: World, **fields: Any) -> str:
    """The path of the first reader's page, with topics and a field of each type that they may change."""
    store, ws = world.app.store, world.sent.workspace_id
    people: Any = store.people
    for key, kind, choices in (("motto", FieldType.TEXT, []), ("children", FieldType.NUMBER, []),
                               ("since", FieldType.DATE, []), ("sweet", FieldType.BOOLEAN, []),
                               ("size", FieldType.CHOICE, ["S", "M"]), ("likes", FieldType.CHOICES, ["Tea", "Jamu"])):
        await people.add_field(ws, key, key.title(), kind, choices, True, world.clock.now())
    for name in ("Offers", "Events"):
        await store.preferences.save_topic(ws, None, name, "", world.clock.now())
    return world.preferences_path()


def chosen(page: str) -> dict[str, list[str]]:
    """What a browser would send of the page's first form."""
    form = page[page.index("<form"):page.index("</form>")]
    found: dict[str, list[str]] = {}
    for tag in re.findall(r"<input[^>]*>", form):
        name, value = re.search(r'name="([^"]*)"', tag), re.search(r'value="([^"]*)"', tag)
        if name and ("checkbox" not in tag or " checked" in tag):
            found.setdefault(name[1], []).append(value[1] if value else "")
    for name, options in re.findall(r'<select id="[^"]*" name="([^"]*)"[^>]*>(.*?)</select>', form, re.DOTALL):
        picked = re.search(r"<option([^>]*) selected>([^<]*)", options)
        value = picked and re.search(r'value="([^"]*)"', picked[1])
        found[name] = [value[1] if value else picked[2] if picked else ""]
    return found


# ---- links -----------------------------------------------------------------------------------------------------------


async def test_every_odd_token_gets_a_clear_page_in_both_languages(database: Database, tmp_path: Path) -> None:
    world = await make_world(database, tmp_path)
    sent, sign = world.sent, world.app.tokens.sign
    await world.app.store.preferences.set_publicity(
        sent.workspace_id, sent.list_id, Publicity(ArchiveAccess.PRIVATE, False, True))
    before = await snapshot(database)
    async with open_edge(world) as (_, client):
        for purpose, door in DOORS.items():
            good = sign(purpose, sent.workspace_id, sent.campaign_id, sent.deliveries[0])
            odd = [sign(other, sent.workspace_id, sent.campaign_id, sent.deliveries[0]) for other in Purpose
                   if DOORS.get(other) != door and (other, purpose) != (Purpose.VIEW, Purpose.OPEN)]
            odd += [good[:-1], good[:3], good + "A", good[::-1], "%00", "%ff%fe", "..%2f..", "A" * 4000,
                    "\u0661" * 30, "a%0d%0aX:1", "'%22><script>", ""]
            if purpose not in (Purpose.OPEN, Purpose.CLICK, Purpose.VIEW, Purpose.UNSUBSCRIBE):
                odd.append(sign(purpose, sent.workspace_id + 1, sent.campaign_id, sent.deliveries[0]))
            for token in odd:
                for language in LANGUAGES:
                    for method in ("GET", "POST"):
                        answer = await client.request(
                            method, door.format(token), allow_redirects=False, headers={"Accept-Language": language},
                            data={"action": "leave"} if method == "POST" else None)
                        page = await answer.text()
                        if answer.status == 405:
                            assert method == "POST", (purpose, token)
                            continue
                        assert answer.status in (404, 410), (purpose, token, page[:200])
                        assert f'<html lang="{language}">' in page, (purpose, token, page[:200])
                        assert len(re.findall("<h1>[^<]{5,}</h1>", page)) == 1
                        assert "ani@a.example" not in page
                        assert "script>" not in page.split("<h1>")[1]
    assert await snapshot(database) == before


@pytest.mark.parametrize("path", [
    "/u", "/u/", "/p/", "/v/", "/o/x", "/c/", "/c/AQEBAg", "/c/x/y/z", "/u/x/", "/p/-/erase/", "/s/-/confirm/", "/s",
    "/s/", "/s/Toko", "/s/toko/NEWS", "/s/toko/news/", "/a", "/a/x", "/a/public/feed.json", "/s/-/logo/1-zz",
])
async def test_what_is_left_of_a_link_gets_a_clear_page(
    sqlite_database: Database, tmp_path: Path, path: str
) -> None:
    world = await make_world(sqlite_database, tmp_path)
    async with open_edge(world) as (_, client):
        for language in LANGUAGES:
            answer = await client.get(path, headers={"Accept-Language": language})
            page = await answer.text()
            assert answer.status == 404
            assert any(COMMON[language][title] in page for title in ("missing_title", "invalid_title"))


async def test_an_old_link_opens_nothing_but_gets_its_reader_a_new_one(database: Database, tmp_path: Path) -> None:
    world = await make_world(database, tmp_path, fields={"first_name": "Ani", "language": "id"})
    mine = world.preferences_path()
    async with open_edge(world) as (_, client):
        assert (await client.get(mine)).status == 200
        world.clock.turn(MONTHS)
        page = await (old := await client.get(mine)).text()
        assert old.status == 410
        assert "Kirimkan tautan baru" in page
        assert "Ani" not in page
        assert "ani@a.example" not in page
        leave = re.search(r'href="(/u/[^"]+)"', page)
        assert leave
        assert (await client.get(leave[1])).status == 200, "the way out is not old"
        before = await snapshot(database)
        for action in ("save", "leave", "download", "erase", ""):
            answer = await client.post(mine, data={"action": action, "first_name": "Eve"})
            assert answer.status == 410, action
            assert "ani@a.example" not in await answer.text()
        assert await snapshot(database) == before
        for _ in range(20):
            answer = await client.post(mine, data={"action": "renew"})
            assert answer.status == 200
            assert "ani@a.example" not in await answer.text()
        assert await count(database, messages) == 3, "whoever holds the link cannot fill the mailbox"
        new = await link_of(database, "/p/")
        answer = await client.get(new)
        assert answer.status == 200
        assert "ani@a.example" in await answer.text()
        world.clock.turn(timedelta(hours=49).total_seconds())
        assert (await client.get(new)).status == 410
        await erasure.erase_contact(world.app, await world.app.store.contacts.get(
            world.sent.workspace_id, world.sent.contacts[0]))
        for path in (new, mine):
            assert (await client.post(path, data={"action": "renew"})).status == 410
    assert await count(database, messages) == 0, "nothing is written to somebody who is gone"


async def test_a_link_to_erase_is_over_after_two_days(database: Database, tmp_path: Path) -> None:
    world = await make_world(database, tmp_path)
    reader = await world.app.store.preferences.reader(world.sent.workspace_id, world.sent.contacts[0])
    assert reader
    await erasure.ask(world.app, reader)
    path = await link_of(database, "/p/-/erase/")
    async with open_edge(world) as (_, client):
        assert (await client.get(path)).status == 200
        world.clock.turn(timedelta(hours=48, minutes=2).total_seconds())
        for language, title in (("en", "This link is too old"), ("id", "Tautan ini sudah terlalu lama")):
            for method in ("GET", "POST"):
                answer = await client.request(method, path, data={"action": "erase"} if method == "POST" else None,
                                              headers={"Accept-Language": language})
                assert answer.status == 410
                assert title in await answer.text()
    assert await world.app.store.contacts.find(world.sent.workspace_id, "ani@a.example")


async def test_who_is_gone_meets_clear_pages_behind_every_old_link(database: Database, tmp_path: Path) -> None:
    world = await make_world(database, tmp_path)
    sent = world.sent
    await world.app.store.preferences.set_publicity(
        sent.workspace_id, sent.list_id, Publicity(ArchiveAccess.PRIVATE, False, True))
    reader = await world.app.store.preferences.reader(sent.workspace_id, sent.contacts[0])
    assert reader
    await erasure.ask(world.app, reader)
    erase = await link_of(database, "/p/-/erase/")
    async with open_edge(world) as (_, client):
        page = await (await client.get(world.preferences_path())).text()
        archive = re.search(r'href="(/a/[^"]+key=[^"]+)"', page)
        assert archive
        assert (await client.get(archive[1])).status == 200
        assert (await client.post(erase, data={"action": "erase"})).status == 200
        gone = {archive[1]: 404, erase: 410, world.preferences_path(): 410, world.view_path(): 200,
                world.unsubscribe_path(): 200, world.click_path(0): 302, world.open_path(): 200}
        before = await snapshot(database)
        for path, status in gone.items():
            for language in LANGUAGES:
                answer = await client.get(path, headers={"Accept-Language": language}, allow_redirects=False)
                assert answer.status == status, path
                if answer.content_type == "text/html" and status != 302:
                    page = await answer.text()
                    assert "ani@a.example" not in page
                    assert "Solo" not in page, "the mail in the browser is nobody's now"
                    assert path == world.view_path() or f'<html lang="{language}">' in page
        for data in ({"List-Unsubscribe": "One-Click"}, {"action": "unsubscribe"}, {"action": "undo"},
                     {"action": "weekly"}, {"action": "topics", "topic": "1"}):
            answer = await client.post(world.unsubscribe_path(), data=data)
            assert answer.status == 200, data
            assert "<h1>" in await answer.text()
        for language, title in (("en", "You get no mails from here"), ("id", "Anda tidak menerima email dari sini")):
            for action in ("", "unsubscribe", "weekly"):
                answer = await client.request(
                    "POST" if action else "GET", world.unsubscribe_path(), headers={"Accept-Language": language},
                    data={"action": action} if action else None)
                assert title in await answer.text(), "no page speaks to an address that is not there"
    counted = ("events", "deliveries", "tallies")
    assert await snapshot(database, counted) == {name: rows for name, rows in before.items() if name not in counted}
    async with database.read() as connection:
        kept = (await connection.execute(select(events.c.ip, events.c.user_agent).where(
            events.c.delivery_id == sent.deliveries[0]))).all()
    assert set(kept) <= {("", ""), (None, None)}, "that somebody left is counted, and no trace of them is kept again"


async def test_erasing_whoever_got_the_newest_message_stops_nobody_elses(database: Database, tmp_path: Path) -> None:
    """SQLite gives the highest number once more: the next message met the delivery that stays of the erased one."""
    world = await make_world(database, tmp_path)
    ws, (first, second) = world.sent.workspace_id, world.sent.contacts
    readers = [await world.app.store.preferences.reader(ws, one) for one in (first, second)]
    assert readers[0]
    assert readers[1]
    await erasure.ask(world.app, readers[0])
    await erasure.erase_reader(world.app, readers[0])
    await erasure.ask(world.app, readers[1])
    async with database.read() as connection:
        rows = (await connection.execute(
            select(deliveries.c.address).join(messages, messages.c.id == deliveries.c.message_id))).scalars().all()
    assert list(rows) == ["budi@b.example"], "and what stays of the erased one is not of the new message"


# ---- forms -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", LANGUAGES)
async def test_a_form_with_a_mistake_keeps_every_choice(
    sqlite_database: Database, tmp_path: Path, language: str
) -> None:
    world = await make_world(sqlite_database, tmp_path, fields={"language": language})
    mine = await own_page(world)
    topics = await world.app.store.preferences.topics(world.sent.workspace_id)
    sent: dict[str, list[str]] = {
        "frequency": ["weekly"], f"topic-{topics[0].id}": ["none"], f"topic-{topics[1].id}": ["daily"],
        "first_name": ["Ani &amp; Co"], "last_name": [""], "language": ["id" if language == "en" else "en"],
        "tracking_off": ["1"], "field-motto": ["Kopi"], "field-size": ["M"], "field-likes": ["Jamu"],
        "field-sweet": ["false"], "action": ["save"], "pause": ["2027-13-45"], "field-children": ["banyak"],
        "field-since": ["kemarin"],
    }
    said = {"en": ("Choose a day within the next year, or leave it empty.", "Write a number", "Choose a day, or write"),
            "id": ("Pilih tanggal dalam satu tahun ke depan", "Tuliskan angka", "Pilih tanggal, atau tuliskan")}
    async with open_edge(world) as (_, client):
        body = {name: [text.replace("&amp;", "&") for text in texts] for name, texts in sent.items()}
        answer = await client.post(mine, data=[(name, text) for name, texts in body.items() for text in texts])
        page = await answer.text()
        assert answer.status == 422
        assert chosen(page) == sent, "the list stays unticked too"
        for words in said[language]:
            assert words in page
        for name in ("pause", "field-children", "field-since"):
            assert f'id="{name}-problem"' in page
        assert page.count(" autofocus") == 1, "whoever cannot see the page is taken to the first mistake"
    reader = await world.app.store.preferences.reader(world.sent.workspace_id, world.sent.contacts[0])
    assert reader
    assert reader.choices == Choices()


@pytest.mark.parametrize(("typed", "kept"), [
    ("<script>alert(1)</script>", "<script>alert(1)</script>"),
    ("Ani\r\nBcc: x@y.example\r\n\r\nHi", "Ani Bcc: x@y.example Hi"),
    ("a\u2028b\x85c\x0bd", "a b c d"), ("\x1b[31mAni\x07\x7f", "[31mAni"), ("Ani\0", "Ani"),
    ("\u202e\u0645\u0631\u064a\u0645\u200f", "\u202e\u0645\u0631\u064a\u0645\u200f"),
    ("x" * 500, "x" * 120), ("\ud800", "?"),
])
async def test_a_name_is_one_line_and_otherwise_what_was_typed(
    database: Database, tmp_path: Path, typed: str, kept: str
) -> None:
    world = await make_world(database, tmp_path)
    async with open_edge(world) as (_, client):
        body = "action=save&list=1&first_name=" + "".join(
            f"%{octet:02x}" for octet in typed.encode("utf-8", "replace"))
        answer = await client.post(world.preferences_path(), data=body, headers={
            "Content-Type": "application/x-www-form-urlencoded"})
        assert answer.status == 200
        assert "<script>alert" not in await answer.text()
    async with database.read() as connection:
        name = await connection.scalar(select(contacts.c.first_name).where(contacts.c.id == world.sent.contacts[0]))
    assert name == kept


async def test_forms_of_one_person_sent_at_once_wait_for_each_other(database: Database, tmp_path: Path) -> None:
    """On PostgreSQL a transaction that wrote choices first and asked for the list then met another in a ring."""
    world = await make_world(database, tmp_path)
    mine, ws = await own_page(world), world.sent.workspace_id
    async with open_edge(world) as (_, client):
        def form(number: int) -> dict[str, str]:
            lists = {"list": str(world.sent.list_id)} if number % 2 else {}
            return {"action": "save", "frequency": "weekly" if number % 3 else "each", "first_name": f"N{number}",
                    **lists}
        answers = await asyncio.gather(*(client.post(mine, data=form(number)) for number in range(40)))
        assert {answer.status for answer in answers} == {200}
    reader = await world.app.store.preferences.reader(ws, world.sent.contacts[0])
    assert reader
    one = await world.app.store.contacts.get_list(ws, world.sent.list_id)
    moved = [action async for action in actions(database)]
    assert moved[-1:] == [] or moved[-1] == ("resubscribed" if reader.lists[0].subscribed else "unsubscribed")
    assert one.unsubscribed == (0 if reader.lists[0].subscribed else 1)


async def actions(database: Database) -> Any:
    async with database.read() as connection:
        for action in (await connection.execute(select(consents.c.action).order_by(consents.c.id))).scalars():
            yield action


async def test_forms_posted_again_and_again_are_bounded_and_leaving_is_not(
    sqlite_database: Database, tmp_path: Path
) -> None:
    world = await make_world(sqlite_database, tmp_path)
    mine, leave = world.preferences_path(), world.unsubscribe_path()
    codes: dict[str, set[int]] = {}
    async with open_edge(world) as (_, client):
        for number in range(200):
            forms = {"save": {"first_name": f"N{number}", "list": str(world.sent.list_id)}, "erase": {}, "download": {}}
            for action, fields in forms.items():
                answer = await client.post(mine, data={"action": action, **fields})
                codes.setdefault(action, set()).add(answer.status)
            answer = await client.post(leave, data={"action": "undo" if number % 2 else "unsubscribe"})
            codes.setdefault("undo" if number % 2 else "unsubscribe", set()).add(answer.status)
        page = await (await client.post(mine, data={"action": "save"}, headers={"Accept-Language": "id"})).text()
        assert "<h1>" in page
        assert (await client.post(mine, data={"action": "leave"})).status == 200
        assert (await client.post(leave, data={"List-Unsubscribe": "One-Click"})).status == 200
        world.clock.turn(3601)
        assert (await client.post(mine, data={"action": "save", "first_name": "Late"})).status == 200
    assert codes == {"save": {200, 429}, "undo": {200, 429}, "unsubscribe": {200}, "erase": {200}, "download": {200}}
    assert await count(sqlite_database, messages) == 3
    assert await count(sqlite_database, contact_changes) <= 62
    assert await count(sqlite_database, consents) <= 130


async def test_the_same_form_a_thousand_times_leaves_one_change(
    sqlite_database: Database, tmp_path: Path
) -> None:
    world = await make_world(sqlite_database, tmp_path)
    reader = await world.app.store.preferences.reader(world.sent.workspace_id, world.sent.contacts[0])
    assert reader
    body = {"action": "save", "frequency": Frequency.WEEKLY.value, "list": str(world.sent.list_id)}
    async with open_edge(world) as (_, client):
        async def some() -> set[int]:
            return {(await client.post(world.preferences_path(), data=body)).status for _ in range(250)}
        codes = await asyncio.gather(*(some() for _ in range(4)))
        assert set().union(*codes) == {200, 429}
        assert (await client.get(world.preferences_path())).status == 200
    assert await count(sqlite_database, contact_changes) == 1
    assert await count(sqlite_database, consents) == 0


async def count(database: Database, table: Any) -> int:
    async with database.read() as connection:
        return int((await connection.execute(select(func.count()).select_from(table))).scalar_one())


async def link_of(database: Database, door: str) -> str:
    """The path of the newest single message's link."""
    async with database.read() as connection:
        raw = await connection.scalar(select(messages.c.raw).order_by(messages.c.id.desc()).limit(1))
    text = bytes(raw or b"").replace(b"=\r\n", b"").decode()
    found = re.search(rf"{re.escape(door)}[A-Za-z0-9_-]{{20,}}", text)
    assert found, text
    return found[0]


async def test_nobody_is_named_to_a_stranger_by_a_mail_that_cannot_be_sent(
    sqlite_database: Database, tmp_path: Path
) -> None:
    """A workspace whose domain is gone says that it cannot write, and keeps everything."""
    world = await make_world(sqlite_database, tmp_path)
    store: Any = world.app.store

    class NoDomain:
        async def all(self, _: int) -> tuple[()]:
            return ()

    store.domains = NoDomain()
    world.clock.turn(MONTHS)
    async with sqlite_database.write() as connection:
        await connection.execute(update(contacts).values(first_name="Ani"))
    async with open_edge(world) as (_, client):
        answer = await client.post(world.preferences_path(), data={"action": "renew"})
        assert answer.status == 410
        assert "Ani" not in await answer.text()
    assert await count(sqlite_database, messages) == 0
