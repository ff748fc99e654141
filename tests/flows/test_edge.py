"""The public door, by HTTP: what it shows, what it counts, and what it never does."""

import contextlib
import random
import secrets
from pathlib import Path

import pytest
from sqlalchemy import select, update

from esp.adapters.sql.database import Database
from esp.adapters.sql.schema import consents, contacts, deliveries, lists, subscriptions
from esp.errors import TokenError
from esp.wire.tokens import Purpose, TokenSigner
from tests.edge_world import SOURCE, make_test_send, make_world, open_edge, snapshot
from tests.sending import event_types, totals
from tracking.edge.links import target
from tracking.jobs import fold
from tracking.journal import decode, journals

SCANNERS = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/129.0 Safari/537.36",
    "Mozilla/5.0", "Mozilla/5.0 (compatible; Barracuda Sentinel)", "Mimecast-URL-Protect/1.0",
    "Proofpoint URL Defense", "Mozilla/5.0 (Windows; BingPreview/1.0b)", "Microsoft SafeLinks", "FortiMail/7.2",
    "Mozilla/5.0 (via ggpht.com GoogleImageProxy)", "YahooMailProxy; https://help.yahoo.com", "curl/8.5", "",
)
POLYGLOT = (
    """jaVasCript:/*-/*`/*\\`/*'/*"/**/(/* */oNcliCk=alert() )//%0D%0A//</stYle/</titLe/</teXtarEa/</scRipt/--!>"""
    """\\x3csVg/<sVg/oNloAd=alert()//>\\x3e<script>alert(1)</script>"""
)


async def on_list(database: Database, contact_id: int) -> str:
    async with database.read() as connection:
        state = await connection.scalar(select(subscriptions.c.state).where(subscriptions.c.contact_id == contact_id))
        return str(state)


def written(folder: Path) -> list[object]:
    return [decode(line) for path in journals(folder / "journal") for line in path.read_bytes().splitlines(True)]


async def test_a_get_changes_nothing_but_a_count(database: Database, tmp_path: Path) -> None:
    world = await make_world(database, tmp_path)
    before = await snapshot(database)
    async with open_edge(world) as (_, client):
        for agent in SCANNERS * 2:
            for path in world.paths():
                for method in ("GET", "HEAD", "OPTIONS"):
                    answer = await client.request(
                        method, path, allow_redirects=False, headers={"User-Agent": agent, "Purpose": "prefetch"}
                    )
                    assert answer.status < 500
                    assert not answer.cookies
    assert await snapshot(database) == before
    world.clock.turn(60)
    while await fold(world.app):
        pass
    counted = ("events", "tallies", "journal_offsets", "deliveries")
    assert await snapshot(database, counted) == {name: rows for name, rows in before.items() if name not in counted}
    assert (await totals(database, world.sent.campaign_id)).get("opened", 0) == 0, "no scanner is a person"
    assert (await totals(database, world.sent.campaign_id)).get("clicked", 0) == 0


@pytest.mark.parametrize(("method", "headers"), [
    ("HEAD", {}), ("GET", {"Sec-Purpose": "prefetch;prerender"}), ("GET", {"Purpose": "prefetch"}),
    ("GET", {"X-Moz": "prefetch"}), ("GET", {"X-Purpose": "preview"}),
])
async def test_who_only_looks_ahead_is_a_machine_whatever_it_calls_itself(
    sqlite_database: Database, tmp_path: Path, method: str, headers: dict[str, str]
) -> None:
    world = await make_world(sqlite_database, tmp_path)
    async with open_edge(world) as (_, client):
        answer = await client.request(
            method, world.click_path(0), allow_redirects=False, headers={"User-Agent": SCANNERS[0]} | headers
        )
        assert answer.status == 302
    world.clock.turn(60)
    await fold(world.app)
    total = await totals(sqlite_database, world.sent.campaign_id)
    assert (total.get("clicked", 0), total["machine_clicked"], total["clicks"]) == (0, 1, 1)


async def test_the_pixel_and_a_click_are_answered_and_journalled(database: Database, tmp_path: Path) -> None:
    world = await make_world(database, tmp_path)
    async with open_edge(world) as (_, client):
        pixel = await client.get(world.open_path())
        assert (pixel.status, pixel.content_type) == (200, "image/gif")
        assert pixel.headers["Cache-Control"] == "no-store"
        click = await client.get(world.click_path(1), allow_redirects=False)
        assert click.status == 302
        assert click.headers["Location"] == "https://shop.example/two?x=1&y=2"
        assert click.headers["Referrer-Policy"] == "no-referrer"
    assert [entry.type.value for entry in written(tmp_path)] == ["opened", "clicked"]  # type: ignore[attr-defined]


async def test_a_personal_link_takes_the_contacts_data_and_keeps_the_host(database: Database, tmp_path: Path) -> None:
    world = await make_world(database, tmp_path)
    async with database.write() as connection:
        await connection.execute(update(contacts).values(first_name="A&b=c //evil.example\r\nX: y"))
    async with open_edge(world) as (_, client):
        click = await client.get(world.click_path(2), allow_redirects=False)
    assert click.headers["Location"] == "https://shop.example/three?who=A%26b%3Dc%20%2F%2Fevil.example%0D%0AX%3A%20y"


@pytest.mark.parametrize("template", [
    "{{ contact.city }}", "https://{{ contact.city }}/x", "https://shop.example{{ contact.city }}/",
    "https://shop.example.{{ contact.city }}", "javascript:alert(1)", "//evil.example/",
    "\\\\evil.example", "data:text/html,x",
    "https:///evil.example", "https://a b.example/", "mailto:a@b.example", "",
])
def test_a_host_or_scheme_is_never_personal(template: str) -> None:
    assert target(template, "ani@a.example", {"city": "@evil.example/"}) is None


@pytest.mark.parametrize(("template", "url"), [
    ("https://shop.example", "https://shop.example"),
    ("http://shop.example:8080/a?b=c#d", "http://shop.example:8080/a?b=c#d"),
    ("https://shop.example/{{ contact.city }}", "https://shop.example/%40evil.example%2F"),
    ("https://shop.example/caf\u00e9?x=%20", "https://shop.example/caf%C3%A9?x=%20"),
    ("https://b\u00fccher.example/", "https://xn--bcher-kva.example/"),
    ("https://shop.example/a\r\nSet-Cookie: x=1", "https://shop.example/a%0D%0ASet-Cookie:%20x=1"),
])
def test_a_link_keeps_its_place_and_is_ascii(template: str, url: str) -> None:
    assert target(template, "ani@a.example", {"city": "@evil.example/"}) == url


async def test_a_token_opens_only_what_it_was_made_for(database: Database, tmp_path: Path) -> None:
    world = await make_world(database, tmp_path)
    forms = {Purpose.OPEN: "/o/{}.gif", Purpose.CLICK: "/c/{}/0", Purpose.UNSUBSCRIBE: "/u/{}", Purpose.VIEW: "/v/{}"}
    before = await snapshot(database)
    async with open_edge(world) as (_, client):
        for purpose, form in forms.items():
            good = world.token(purpose)
            stranger = TokenSigner({1: b"x" * 32}, 1).sign(purpose, 1, 1, 1)
            bad = [world.token(other) for other in Purpose if other is not purpose and other is not Purpose.RETURN_PATH]
            bad += [good[:-1], good[1:], good + "A", good[:10], good.swapcase(), stranger, "x", "%00", "..%2f..",
                    "\u0661" * 30]
            bad += [good[:position] + ("A" if good[position] != "A" else "B") + good[position + 1:]
                    for position in range(len(good))]
            for token in bad:
                for method in ("GET", "POST") if purpose is Purpose.UNSUBSCRIBE else ("GET",):
                    answer = await client.request(method, form.format(token), allow_redirects=False)
                    assert answer.status == 404, (purpose, token)
                    assert "Location" not in answer.headers
    assert written(tmp_path) == []
    assert await snapshot(database) == before


async def test_a_hundred_thousand_random_tokens_open_nothing(sqlite_database: Database, tmp_path: Path) -> None:
    world = await make_world(sqlite_database, tmp_path)
    dice = random.Random(7)
    good = world.token(Purpose.UNSUBSCRIBE)
    accepted = 0
    for number in range(100_000):
        octets = dice.choice((28, 25, 20, 40))
        noise = secrets.token_urlsafe(octets)
        with contextlib.suppress(TokenError):
            world.app.tokens.verify(Purpose.UNSUBSCRIBE, noise if number % 2 else good[:8] + noise[: len(good) - 8])
            accepted += 1
    assert accepted == 0


async def test_a_token_of_another_workspace_finds_nothing_here(database: Database, tmp_path: Path) -> None:
    world = await make_world(database, tmp_path)
    before = await snapshot(database)
    sent, sign = world.sent, world.app.tokens.sign
    async with open_edge(world) as (_, client):
        # Rightly signed, as if our own signer had been told a wrong workspace or campaign.
        here, campaign_id = sent.workspace_id, sent.campaign_id
        for workspace, campaign in ((here + 1, campaign_id), (here, campaign_id + 1)):
            ids = (workspace, campaign, sent.deliveries[0])
            assert (await client.get(f"/c/{sign(Purpose.CLICK, *ids)}/0", allow_redirects=False)).status == 404
            assert (await client.get(f"/v/{sign(Purpose.VIEW, *ids)}")).status == 410
            page = await client.get(f"/u/{sign(Purpose.UNSUBSCRIBE, *ids)}")
            assert "ani@a.example" not in await page.text()
            await client.post(f"/u/{sign(Purpose.UNSUBSCRIBE, *ids)}")
            await client.get(f"/o/{sign(Purpose.OPEN, *ids)}.gif")
    world.clock.turn(60)
    await fold(world.app)
    assert await snapshot(database, ("journal_offsets",)) == {n: r for n, r in before.items() if n != "journal_offsets"}


@pytest.mark.parametrize("index", ["99", "-1", "1e3", "0x1", "\u0661", "1/2", "99999999999999999999", "1%00"])
async def test_a_link_that_is_not_there_is_not_found(sqlite_database: Database, tmp_path: Path, index: str) -> None:
    world = await make_world(sqlite_database, tmp_path)
    async with open_edge(world) as (_, client):
        answer = await client.get(f"/c/{world.token(Purpose.CLICK)}/{index}", allow_redirects=False)
    assert answer.status == 404


async def test_one_click_unsubscribes_at_once_and_only_once(database: Database, tmp_path: Path) -> None:
    world = await make_world(database, tmp_path)
    sent = world.sent
    headers = {"User-Agent": "Mail\u2028Program 1.0", "X-Forwarded-For": "1.2.3.4, 203.0.113.9"}
    async with open_edge(world) as (_, client):
        for _ in range(3):
            answer = await client.post(
                world.unsubscribe_path(), data=b"List-Unsubscribe=One-Click", allow_redirects=False,
                headers={"Content-Type": "application/x-www-form-urlencoded"} | headers,
            )
            assert answer.status == 200
            assert not answer.cookies
    assert await on_list(database, sent.contacts[0]) == "unsubscribed"
    assert await on_list(database, sent.contacts[1]) == "subscribed"
    assert await event_types(database, sent.deliveries[0]) == ["delivered", "unsubscribed"]
    for dimension, member in (("total", ""), ("provider", "a.example"), ("variant", str(sent.variant_id))):
        assert (await totals(database, sent.campaign_id, dimension, member))["unsubscribed"] == 1
    async with database.read() as connection:
        evidence = (await connection.execute(select(consents))).all()
        counts = (await connection.execute(select(lists.c.subscribed_count, lists.c.unsubscribed_count))).one()
        when = await connection.scalar(
            select(deliveries.c.unsubscribed_at).where(deliveries.c.id == sent.deliveries[0])
        )
    assert [(one.action, one.ip, one.user_agent, one.wording) for one in evidence] == [
        ("unsubscribed", "203.0.113.9", "Mail Program 1.0", "List-Unsubscribe=One-Click")
    ]
    assert tuple(counts) == (-1, 1), "seeded without counters: one went from one to the other"
    assert when == world.clock.now()


@pytest.mark.parametrize("body", [b"", b"List-Unsubscribe=One-Click", b"\xff\xfe=%zz", b"a=b&" * 5000, b"x" * 100_000])
@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "multipart/form-data; boundary=b", "text/plain"])
async def test_whatever_a_mail_program_posts_unsubscribes(
    sqlite_database: Database, tmp_path: Path, body: bytes, kind: str
) -> None:
    world = await make_world(sqlite_database, tmp_path)
    async with open_edge(world) as (_, client):
        answer = await client.post(world.unsubscribe_path(), data=body, headers={"Content-Type": kind})
    assert answer.status == 200
    assert await on_list(sqlite_database, world.sent.contacts[0]) == "unsubscribed"


async def test_the_page_says_who_and_which_list_and_waits_for_the_button(database: Database, tmp_path: Path) -> None:
    world = await make_world(database, tmp_path)
    async with open_edge(world) as (_, client):
        page = await client.get(world.unsubscribe_path())
        text = await page.text()
        assert "Toko" in text
        assert "News" in text
        assert "ani@a.example" in text
        assert "<script" not in text
        assert len(text) < 50_000
        assert "default-src 'none'" in page.headers["Content-Security-Policy"]
        assert page.headers["X-Robots-Tag"] == "noindex, nofollow"
        style = text.split('rel="stylesheet" href="')[1].split('"')[0]
        assert (await client.get(style)).content_type == "text/css"
        done = await client.post(world.unsubscribe_path(), data={"action": "unsubscribe", "reason": "too_many"})
        assert "You are unsubscribed" in await done.text()
        again = await client.get(world.unsubscribe_path())
        assert "You are unsubscribed" in await again.text(), "nobody is asked twice"
    assert await on_list(database, world.sent.contacts[0]) == "unsubscribed"
    assert (await totals(database, world.sent.campaign_id, "reason", "too_many"))["unsubscribed"] == 1


async def test_undo_brings_back_exactly_what_this_mail_took_away(database: Database, tmp_path: Path) -> None:
    world = await make_world(database, tmp_path)
    sent = world.sent
    async with open_edge(world) as (_, client):
        nothing = await client.post(world.unsubscribe_path(), data={"action": "undo"})
        assert "Nothing was changed" in await nothing.text()
        await client.post(world.unsubscribe_path())
        world.clock.turn(5)
        for expected in ("You are subscribed again", "Nothing was changed"):
            undone = await client.post(world.unsubscribe_path(), data={"action": "undo"})
            assert expected in await undone.text()
        assert await on_list(database, sent.contacts[0]) == "subscribed"
        world.clock.turn(5)
        await client.post(world.unsubscribe_path())
        assert await on_list(database, sent.contacts[0]) == "unsubscribed", "and a second time works too"
        async with database.write() as connection:
            # Somebody else took them off since: that is not ours to undo.
            await connection.execute(update(subscriptions).values(changed_at=world.clock.now().replace(hour=23)))
        undone = await client.post(world.unsubscribe_path(), data={"action": "undo"})
        assert "Nothing was changed" in await undone.text()
    async with database.read() as connection:
        actions = list((await connection.execute(select(consents.c.action).order_by(consents.c.id))).scalars())
    assert actions == ["unsubscribed", "subscribed", "unsubscribed"]
    assert (await totals(database, sent.campaign_id))["unsubscribed"] == 1


@pytest.mark.parametrize(("own", "browser", "words"), [
    ("id", "en", "Berhenti berlangganan"), ("", "id-ID,id;q=0.9,en;q=0.8", "Berhenti berlangganan"),
    ("en-GB", "id", "Unsubscribe"), ("fr", "de, en;q=0.2, id;q=0.1", "Unsubscribe"), ("", "x;q=y,,;", "Unsubscribe"),
])
async def test_pages_speak_the_readers_language(
    sqlite_database: Database, tmp_path: Path, own: str, browser: str, words: str
) -> None:
    world = await make_world(sqlite_database, tmp_path, fields={"language": own})
    async with open_edge(world) as (_, client):
        page = await client.get(world.unsubscribe_path(), headers={"Accept-Language": browser})
        assert f"<h1>{words}</h1>" in await page.text()


async def test_the_view_is_the_very_mail_in_a_sandbox(database: Database, tmp_path: Path) -> None:
    world = await make_world(database, tmp_path)
    async with database.write() as connection:
        await connection.execute(update(contacts).values(city=POLYGLOT, first_name=POLYGLOT))
    async with open_edge(world) as (_, client):
        page = await client.get(world.view_path())
        text = await page.text()
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "sandbox " in policy
    assert "allow-scripts" not in policy
    assert "allow-same-origin" not in policy
    assert "script-src" not in policy
    assert page.headers["X-Robots-Tag"] == "noindex, nofollow"
    assert "<h1>Hello" in text
    assert "<script" not in text.lower()
    assert "<svg" not in text.lower()
    assert f"https://mail.toko.example{world.click_path(0)}" in text, "links are tracked as in the mail"
    assert "/o/" not in text, "and reading here is no second open"
    assert page.content_length is not None
    assert page.content_length < 102_000


async def test_the_view_of_a_variant_that_is_gone_says_so(sqlite_database: Database, tmp_path: Path) -> None:
    world = await make_world(sqlite_database, tmp_path)
    async with sqlite_database.write() as connection:
        await connection.execute(update(deliveries).values(variant_id=999))
    async with open_edge(world) as (_, client):
        assert (await client.get(world.view_path())).status == 410


async def test_a_test_send_takes_no_colleague_off(database: Database, tmp_path: Path) -> None:
    world = await make_test_send(await make_world(database, tmp_path))
    before = await snapshot(database)
    async with open_edge(world) as (_, client):
        assert (await client.post(world.unsubscribe_path())).status == 200
    assert await snapshot(database) == before


async def test_someone_erased_since_stays_away_when_imported_again(database: Database, tmp_path: Path) -> None:
    world = await make_world(database, tmp_path)
    async with database.write() as connection:
        await connection.execute(subscriptions.delete().where(subscriptions.c.contact_id == world.sent.contacts[0]))
    async with open_edge(world) as (_, client):
        await client.post(world.unsubscribe_path())
    assert await on_list(database, world.sent.contacts[0]) == "unsubscribed"


async def test_everything_but_personal_links_works_without_a_database(database: Database, tmp_path: Path) -> None:
    world = await make_world(database, tmp_path)
    async with open_edge(world) as (_, client):
        await client.get(world.click_path(0), allow_redirects=False)
        world.break_database()
        click = await client.get(world.click_path(1, 1), allow_redirects=False)
        assert click.headers["Location"] == "https://shop.example/two?x=1&y=2"
        assert (await client.get(world.open_path())).status == 200
        page = await client.get(world.unsubscribe_path())
        assert page.status == 200
        assert "<button" in await page.text()
        assert (await client.get(world.click_path(2), allow_redirects=False)).status == 503
        assert (await client.get(world.view_path())).status == 503
        assert (await client.post(world.unsubscribe_path())).status == 200, "their word is kept"
    assert await on_list(database, world.sent.contacts[0]) == "subscribed"
    world.mend_database()
    world.clock.turn(60)
    while await fold(world.app):
        pass
    assert await on_list(database, world.sent.contacts[0]) == "unsubscribed"
    figures = await totals(database, world.sent.campaign_id)
    assert (figures["clicks"], figures["opens"], figures["unsubscribed"]) == (2, 1, 1)
    assert journals(tmp_path / "journal") == []


def test_the_source_of_these_tests_shows_a_field_everywhere() -> None:
    assert SOURCE.count("contact.") == 4
