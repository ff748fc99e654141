"""A list's archive and its feeds: who may see it, that nobody's data is in it, and that feed readers take it."""

import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import feedparser
import pytest
from sqlalchemy import event, select, update

from esp.adapters.sql.database import Database
from esp.adapters.sql.schema import campaigns, contacts, lists, subscriptions, variants
from esp.compose.freeze import Facts, freeze
from esp.model.content import Draft
from esp.model.preference import ArchiveAccess
from esp.ports.preferences import Publicity
from esp.wire.tokens import Purpose
from tests.edge_world import World, make_world, open_edge, snapshot
from tracking.edge.feeds import Entry, Feed, atom, rss

SCHEMA = Path(__file__).parents[1] / "corpus" / "feeds" / "atom.rnc"
SOURCE = """<html><body><p>Hello {{ contact.first_name | default("friend") }} &amp; {{ contact.email }}</p>
<a href="https://shop.example/x?who={{ contact.first_name }}">Shop</a> <a href="https://shop.example/y">More</a>
<a href="{{ unsubscribe_url }}">Leave</a> <a href="{{ view_url }}">View</a></body></html>"""


async def archived(world: World, access: ArchiveAccess, indexed: bool = False) -> tuple[str, str]:
    """Switch the archive on and end the campaign; the paths of the archive and of the mail in it."""
    sent = world.sent
    await world.app.store.preferences.set_publicity(sent.workspace_id, sent.list_id, Publicity(access, indexed, True))
    frozen = freeze(Draft("Kopi & <teh> untuk {{ contact.first_name | default('teman') }}", SOURCE, preheader="Baru"),
                    facts=Facts("Toko", "Jl. Braga 1", "First"))
    async with world.database.write() as connection:
        await connection.execute(update(campaigns).values(state="sent"))
        await connection.execute(update(variants).values(compiled=frozen.payload))
        of_list = (await connection.execute(select(lists.c.public_id))).scalar_one()
        of_campaign = (await connection.execute(select(campaigns.c.public_id))).scalar_one()
    return f"/a/{of_list}", f"/a/{of_list}/{of_campaign}"


async def test_a_public_archive_holds_nobodys_data(database: Database, tmp_path: Path) -> None:
    world = await make_world(database, tmp_path, ("ani@a.example", "zulaikha@b.example"),
                             fields={"first_name": "Zulaikha"})
    index, mail = await archived(world, ArchiveAccess.PUBLIC)
    async with open_edge(world) as (_, client):
        before = await snapshot(database)
        page, copy = await client.get(index), await client.get(mail)
        text, markup = await page.text(), await copy.text()
        assert page.status == copy.status == 200
        assert "Kopi &amp; &lt;teh&gt; untuk teman" in text
        assert mail in text
        assert "Hello friend" in markup
        assert "sandbox" in copy.headers["Content-Security-Policy"]
        for one in (text, markup):
            for personal in ("Zulaikha", "ani@", "zulaikha@", "/c/", "/o/", "/u/", "/v/", "/p/"):
                assert personal not in one, personal
        assert "https://shop.example/y" in markup, "links lead straight on"
        assert f'href="https://mail.toko.example{mail}"' in markup, "the view is the copy itself"
        neutral = markup.split('">Leave')[0].rsplit('"', 1)[1].removeprefix("https://mail.toko.example")
        assert (await client.get(neutral)).status == 200
        assert page.headers["X-Robots-Tag"] == copy.headers["X-Robots-Tag"] == "noindex, nofollow"
        await world.app.store.preferences.set_publicity(
            world.sent.workspace_id, world.sent.list_id, Publicity(ArchiveAccess.PUBLIC, True, True))
        for path in (index, mail, f"{index}/feed.atom"):
            assert "X-Robots-Tag" not in (await client.get(path)).headers
        assert "noindex" not in await (await client.get(index)).text()
        assert len(text) < 50_000
    after = await snapshot(database)
    assert {name: rows for name, rows in after.items() if name != "lists"} == {
        name: rows for name, rows in before.items() if name != "lists"}, "reading an archive counts nobody"


async def test_archives_open_only_to_whom_they_are_open(database: Database, tmp_path: Path) -> None:
    world = await make_world(database, tmp_path)
    sent, tokens = world.sent, world.app.tokens
    index, mail = await archived(world, ArchiveAccess.OFF)
    key = tokens.sign(Purpose.ARCHIVE, sent.workspace_id, sent.list_id, sent.contacts[0])
    paths = (index, mail, f"{index}/feed.atom", f"{index}/feed.rss")
    async with open_edge(world) as (_, client):

        async def statuses(query: str = "") -> set[int]:
            return {(await client.get(path + query)).status for path in paths}

        assert await statuses() == await statuses(f"?key={key}") == {404}
        await archived(world, ArchiveAccess.PRIVATE, indexed=True)
        assert await statuses() == {404}
        wrong = (
            key[:-1], key + "A", "x", tokens.sign(Purpose.VIEW, sent.workspace_id, sent.list_id, sent.contacts[0]),
            tokens.sign(Purpose.ARCHIVE, sent.workspace_id + 1, sent.list_id, sent.contacts[0]),
            tokens.sign(Purpose.ARCHIVE, sent.workspace_id, sent.list_id + 1, sent.contacts[0]),
            tokens.sign(Purpose.ARCHIVE, sent.workspace_id, sent.list_id, 999),
        )
        for one in wrong:
            assert await statuses(f"?key={one}") == {404}
        assert await statuses(f"?key={key}") == {200}
        page = await client.get(f"{index}?key={key}")
        assert page.headers["X-Robots-Tag"] == "noindex, nofollow", "private is private, whatever the flag says"
        assert page.headers["Cache-Control"] == "private, no-store"
        async with database.write() as connection:
            await connection.execute(update(subscriptions).values(state="unsubscribed"))
        assert await statuses(f"?key={key}") == {404}, "whoever left has left"
        await archived(world, ArchiveAccess.PUBLIC)
        async with database.write() as connection:
            await connection.execute(update(campaigns).values(in_archive=False))
        assert (await client.get(mail)).status == 404
        assert mail not in await (await client.get(index)).text()
        far = f"{index}?before={'9' * 40}"
        for odd in ("/a/x", "/a/%00%00%00%00", f"{index}/nothing-here", f"{index}?before=x", far):
            assert (await client.get(odd)).status in (200, 404)


async def test_the_archive_is_paged_by_key_and_leaves_out_tests_drafts_and_other_lists(
    database: Database, tmp_path: Path
) -> None:
    world = await make_world(database, tmp_path)
    sent = world.sent
    await archived(world, ArchiveAccess.PUBLIC)
    async with database.read() as connection:
        row = dict((await connection.execute(select(campaigns))).one()._mapping)
        variant = dict((await connection.execute(select(variants))).one()._mapping)
    del row["id"], variant["id"]
    async with database.write() as connection:
        for number in range(40):
            changes: dict[str, Any] = {"public_id": f"issue{number:04}"}
            if number % 4 == 3:
                changes |= ({"state": "draft"}, {"test_of": 1}, {"include_lists": [sent.list_id + 1]},
                            {"digest": "daily"})[number // 4 % 4]
            made = await connection.execute(campaigns.insert().values(**{**row, **changes}).returning(campaigns.c.id))
            await connection.execute(variants.insert().values(**{**variant, "campaign_id": made.scalar_one()}))
    archives = world.app.store.archives
    asked: list[str] = []
    engine = database._reader.sync_engine
    event.listen(engine, "before_cursor_execute", lambda *args: asked.append(args[2]))
    await archives.issues(sent.workspace_id, sent.list_id, None, 30)
    assert len([one for one in asked if "FROM variants" in one and "compiled" in one.split("FROM")[0]]) == 1, (
        "however many issues, their texts are one question")
    first = await archives.issues(sent.workspace_id, sent.list_id, None, 20)
    rest = await archives.issues(sent.workspace_id, sent.list_id, first[-1].id, 20)
    found = [one.public_id for one in (*first, *rest)][:-1]
    assert found == [f"issue{number:04}" for number in reversed(range(40)) if number % 4 != 3]


async def test_feed_readers_and_the_schema_take_the_feeds(sqlite_database: Database, tmp_path: Path) -> None:
    world = await make_world(sqlite_database, tmp_path)
    index, mail = await archived(world, ArchiveAccess.PUBLIC)
    async with sqlite_database.write() as connection:
        await connection.execute(update(lists).values(name="Toko & <Büku>", description="Berita ]]> \x0b kopi"))
        await connection.execute(update(contacts).values(first_name="x"))
    async with open_edge(world) as (_, client):
        for form, kind in (("atom", "application/atom+xml"), ("rss", "application/rss+xml")):
            answer = await client.get(f"{index}/feed.{form}")
            assert answer.content_type == kind
            octets = await answer.read()
            read = feedparser.parse(octets, response_headers={"content-type": kind})
            assert not read.bozo, read.get("bozo_exception")
            assert read.feed.title == "Toko & <Büku>"
            (entry,) = read.entries
            assert entry.link == entry.id == f"https://mail.toko.example{mail}"
            assert entry.title == "Kopi & <teh> untuk teman"
            assert entry.summary == "Baru"
            if form == "atom":
                assert valid(octets, tmp_path) == ""


@pytest.mark.parametrize("entries", [0, 3])
def test_feeds_are_whole_whatever_stands_in_a_subject(entries: int, tmp_path: Path) -> None:
    at = datetime(2026, 11, 21, 3, 0, 5, 999, tzinfo=UTC)
    odd = "\x00\x08\ud800 </title><script>alert(1)</script> ]]> & \u202e\u2028 é \U0001f54a \ufffe"
    feed = Feed(odd, odd, "", "id", "https://t.example/a/x", "https://t.example/a/x/feed.atom", "https://t.example/a/x",
                at, [Entry(f"https://t.example/a/x/{n}", f"https://t.example/a/x/{n}?key=k", odd, "", at)
                     for n in range(entries)])
    for octets in (atom(feed), rss(feed)):
        read = feedparser.parse(octets)
        assert not read.bozo
        assert len(read.entries) == entries
        assert b"<script" not in octets
    assert valid(atom(feed), tmp_path) == ""
    undated = atom(feed).replace(b"<atom:updated>2026-11-21T03:00:05Z</atom:updated>", b"", 1)
    assert "error" in valid(undated, tmp_path), "the schema is no mere nod"


def valid(octets: bytes, folder: Path) -> str:
    """What jing finds against the schema; nothing where the feed is as it should be."""
    file = folder / "feed.xml"
    file.write_bytes(octets)
    return subprocess.run(["jing", "-c", SCHEMA, file], capture_output=True, text=True, check=False).stdout
