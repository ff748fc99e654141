"""What recipients choose is honoured by every send: in the forecast, in the walk, and once more before the dot."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from pathlib import Path

import pytest
from sqlalchemy import select

from esp.adapters.sql.database import Database
from esp.adapters.sql.schema import campaigns, consents, deliveries, digest_items, events
from esp.app import App
from esp.flows import campaigns as flow
from esp.flows.digest import make_due, period_of
from esp.flows.preferences import Standing, contact_token, open_link
from esp.flows.walk import walk_digests, walk_step
from esp.model.campaign import CampaignAction
from esp.model.contact import ExclusionReason, SuppressionReason
from esp.model.preference import Cadence, Frequency
from esp.ports.preferences import Changes, Choices, Proof, Publicity, Reader
from esp.wire.tokens import Purpose
from tests.edge_world import make_world, open_edge, snapshot
from tests.flows.audience_world import NOW, open_world
from tests.receiver import Receiver, receiving
from tests.sending import Sending, seed
from tests.sending_app import app_for, settings_for, until_closed, working
from tracking.jobs import fold

PROOF = Proof(NOW, "test")


async def choose(app: App, workspace: int, contact: int, choices: Choices) -> Reader:
    reader = await app.store.preferences.reader(workspace, contact)
    assert reader is not None
    await app.store.preferences.change(reader, Changes(choices), PROOF)
    return reader


async def test_choices_stand_in_the_forecast_and_as_suppressed_deliveries(database: Database, tmp_path: Path) -> None:
    async with open_world(database, tmp_path) as world:
        store, ws = world.app.store.preferences, world.workspace
        offers = await store.save_topic(ws, None, "Offers", "", NOW)
        people = [f"p{number}@x.example" for number in range(7)]
        news = await world.add_list("News", *people)
        ids = [await world.id_of(one) for one in people]
        chosen: Mapping[int, Choices] = {
            0: Choices(paused_until=NOW + timedelta(days=3)), 1: Choices(paused_until=NOW - timedelta(days=1)),
            2: Choices(topics={offers.id: Frequency.NONE}), 3: Choices(Frequency.WEEKLY),
            4: Choices(Frequency.NONE, {offers.id: Frequency.EACH}), 5: Choices(topics={offers.id: Frequency.DAILY}),
        }
        for number, choices in chosen.items():
            await choose(world.app, ws, ids[number], choices)
        about = await flow.create(world.app, ws, world.edit(news, topic_id=offers.id))
        general = await flow.create(world.app, ws, world.edit(news))
        wanted = {ExclusionReason.PAUSED: 1, ExclusionReason.TOPIC_DECLINED: 1, ExclusionReason.DIGEST: 2}
        forecast = await flow.precheck(world.app, ws, about.id)
        assert (forecast.will_get, forecast.excluded) == (3, wanted)
        assert (await flow.precheck(world.app, ws, general.id)).excluded == {
            ExclusionReason.PAUSED: 1, ExclusionReason.TOPIC_DECLINED: 1, ExclusionReason.DIGEST: 1}
        started = await flow.act(world.app, ws, about.id, CampaignAction.START)
        while await walk_step(world.app, started):
            started = (await world.app.store.campaigns.get(ws, started.id)).campaign
        assert await world.app.store.campaigns.states(ws, about.id) == {"queued": 3, "suppressed": 4}
        async with database.read() as connection:
            rows = (await connection.execute(
                select(deliveries.c.contact_id, deliveries.c.reason).where(deliveries.c.reason != ""))).all()
            items = (await connection.execute(select(digest_items.c.contact_id))).scalars().all()
        assert {row.contact_id: row.reason for row in rows} == {
            ids[0]: "paused", ids[2]: "topic_declined", ids[3]: "digest", ids[5]: "digest"}
        assert sorted(items) == sorted((ids[3], ids[5])), "what is kept for a digest is remembered, once"


async def test_a_choice_made_after_the_walk_is_seen_before_the_dot_and_the_digest_goes_once(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    addresses = ["ani@a.example", "budi@a.example", "citra@b.example", "dewi@b.example"]
    sending = await seed(database, addresses)
    ws = sending.workspace_id
    async with receiving(Receiver()) as receiver, app_for(settings_for(database_url, tmp_path, receiver)) as app:
        for number, choices in enumerate((Choices(Frequency.DAILY), Choices(Frequency.WEEKLY))):
            await choose(app, ws, sending.contacts[number], choices)
        await choose(app, ws, sending.contacts[3], Choices(tracking_off=True))
        async with days_ago(app, 9), working(app):  # and not ahead: verifiers refuse what was signed in the future
            assert await until_closed(app, sending.campaign_id, ws) == {"delivered": 2, "suppressed": 2}
        assert receiver.taken == {"citra@b.example": 1, "dewi@b.example": 1}
        assert_untracked(receiver, "dewi@b.example", "citra@b.example")
        await digest_of(app, sending, ago=8)
        assert receiver.taken == {"citra@b.example": 1, "dewi@b.example": 1, "ani@a.example": 1}
        await digest_of(app, sending, ago=8)
        assert receiver.taken["ani@a.example"] == 1, "a period is made once"
        await digest_of(app, sending, ago=1)
        assert dict(receiver.taken) == dict.fromkeys(addresses, 1)
        digest = message_from_bytes(letter_to(receiver, "ani@a.example"), policy=policy.default)
        body = digest.get_body(("html",))
        assert body is not None
        html = body.get_content()
        assert digest["Subject"] == "Today from Toko: Hello N0"
        assert "List-Unsubscribe=One-Click" in digest["List-Unsubscribe-Post"]
        token = html.split("/v/")[1].split('"')[0]
        claims = app.tokens.verify(Purpose.VIEW, token)
        assert (claims.campaign_id, claims.delivery_id) == (sending.campaign_id, sending.deliveries[0])


def letter_to(receiver: Receiver, address: str) -> bytes:
    return next(one for one in receiver.messages if f"To: {address}".encode() in one or f"<{address}>".encode() in one)


def assert_untracked(receiver: Receiver, quiet: str, counted: str) -> None:
    def links(address: str) -> str:
        letter = message_from_bytes(letter_to(receiver, address), policy=policy.default)
        return "".join(part.get_content() for part in letter.walk() if part.get_content_maintype() == "text")

    assert "/o/" in links(counted)
    assert "/c/" in links(counted)
    assert "/o/" not in links(quiet)
    assert "/c/" not in links(quiet)
    assert "https://toko.example/1" in links(quiet)


@asynccontextmanager
async def days_ago(app: App, days: int) -> AsyncIterator[None]:
    """The application as it was some days ago, by its clock."""
    clock = app.clock

    class Earlier:
        def now(self) -> datetime:
            return clock.now() - timedelta(days=days)

        def monotonic(self) -> float:
            return clock.monotonic()

    app.clock = Earlier()
    try:
        yield
    finally:
        app.clock = clock


async def digest_of(app: App, sending: Sending, ago: int) -> None:
    """Let the jobs run as they did some days ago, twice as two schedulers would, and send what they made."""
    async with days_ago(app, ago):
        await make_due(app)
        await make_due(app)
        while await walk_digests(app):
            pass
        await walk_digests(app)
        made = [line.campaign for line in await app.store.campaigns.list(sending.workspace_id) if line.campaign.digest]
        async with working(app):
            for digest in made:
                await until_closed(app, digest.id, sending.workspace_id)


@pytest.mark.parametrize(("zone", "now", "day", "week"), [
    ("UTC", "2026-11-21T07:00", ("2026-11-21", "2026-11-21T07:00"), ("2026-11-16", "2026-11-16T07:00")),
    ("UTC", "2026-11-21T06:59", ("2026-11-20", "2026-11-20T07:00"), ("2026-11-16", "2026-11-16T07:00")),
    ("Asia/Jakarta", "2026-11-22T23:59", ("2026-11-22", "2026-11-22T00:00"), ("2026-11-16", "2026-11-16T00:00")),
    ("Asia/Jakarta", "2026-11-23T00:00", ("2026-11-23", "2026-11-23T00:00"), ("2026-11-23", "2026-11-23T00:00")),
    ("Europe/Berlin", "2026-10-25T07:00", ("2026-10-25", "2026-10-25T06:00"), ("2026-10-19", "2026-10-19T05:00")),
    ("No/Where", "2026-11-21T08:00", ("2026-11-21", "2026-11-21T07:00"), ("2026-11-16", "2026-11-16T07:00")),
])
def test_a_digest_goes_at_seven_where_the_workspace_is(
    zone: str, now: str, day: tuple[str, str], week: tuple[str, str]
) -> None:
    at = datetime.fromisoformat(now).replace(tzinfo=UTC)
    for cadence, (name, begun) in ((Cadence.DAILY, day), (Cadence.WEEKLY, week)):
        assert period_of(cadence, zone, at) == (name, datetime.fromisoformat(begun).replace(tzinfo=UTC))


# ---- the page --------------------------------------------------------------------------------------------------------


async def test_the_page_shows_and_only_its_button_changes(database: Database, tmp_path: Path) -> None:
    world = await make_world(database, tmp_path)
    sent, store = world.sent, world.app.store.preferences
    offers = await store.save_topic(sent.workspace_id, None, "Offers", "", NOW)
    path = world.preferences_path()
    async with open_edge(world) as (_, client):
        before = await snapshot(database)
        page = await client.get(path)
        text = await page.text()
        assert page.status == 200
        assert "ani@a.example" in text
        assert "Offers" in text
        assert "<script" not in text
        assert len(text) < 50_000
        assert page.headers["X-Robots-Tag"] == "noindex, nofollow"
        assert page.headers["Referrer-Policy"] == "no-referrer"
        assert await snapshot(database) == before
        saved = await client.post(path, data={
            "action": "save", "list": str(sent.list_id), "frequency": "daily", f"topic-{offers.id}": "none",
            "pause": "2026-11-09", "tracking_off": "1", "first_name": "Ani <b>\r\nBcc: x", "last_name": "",
            "language": "id",
        })
        assert "Tersimpan" in await saved.text(), "saved, and in the language that was chosen"
        reader = await store.reader(sent.workspace_id, sent.contacts[0])
        assert reader is not None
        assert (reader.first_name, reader.language) == ("Ani <b> Bcc: x", "id")
        assert reader.choices == Choices(
            Frequency.DAILY, {offers.id: Frequency.NONE}, datetime(2026, 11, 9, tzinfo=UTC), True)
        odd = await client.post(path, data={"action": "save", "list": str(sent.list_id), "pause": "2099-01-01"})
        assert odd.status == 422
        assert (await store.reader(sent.workspace_id, sent.contacts[0])) == reader, "nothing was changed"
        other = await store.reader(sent.workspace_id, sent.contacts[1])
        assert other is not None
        assert other.choices == Choices()
        left = await client.post(path, data={"action": "leave"})
        assert left.status == 200
        for reason in (SuppressionReason.UNSUBSCRIBED, SuppressionReason.MANUAL):
            await world.app.store.contacts.suppress(sent.workspace_id, "ani@a.example", reason, NOW)
        back = await client.post(path, data={"action": "save", "list": str(sent.list_id)})
        assert back.status == 200
        bars = await world.app.store.contacts.suppressions(sent.workspace_id, email_key="ani@a.example")
        assert [bar.reason for bar in bars] == [SuppressionReason.MANUAL], "the marketer's own word still stands"
    async with database.read() as connection:
        actions = (await connection.execute(select(consents.c.action).order_by(consents.c.id))).scalars().all()
    assert list(actions) == ["unsubscribed", "resubscribed"]


async def test_odd_links_and_forms_get_a_clear_page(database: Database, tmp_path: Path) -> None:
    world = await make_world(database, tmp_path)
    sent, tokens = world.sent, world.app.tokens
    good = world.token(Purpose.PREFERENCES)
    async with open_edge(world) as (_, client):
        before = await snapshot(database)
        for token in (
            good[:-1], good + "A", "x", "%00", "é", good.swapcase(), world.token(Purpose.UNSUBSCRIBE),
            tokens.sign(Purpose.CONTACT, sent.workspace_id, sent.contacts[0], 1),
            tokens.sign(Purpose.PREFERENCES, sent.workspace_id + 1, sent.campaign_id, sent.deliveries[0]),
            tokens.sign(Purpose.PREFERENCES, sent.workspace_id, sent.campaign_id + 1, sent.deliveries[0]),
        ):
            for method in ("GET", "POST"):
                said = {"action": "leave"} if method == "POST" else None
                answer = await client.request(method, f"/p/{token}", data=said)
                assert answer.status in (404, 410), (method, token)
                assert "ani@a.example" not in await answer.text()
        for data in ({}, {"action": "what"}, {"action": "save", "topic-999": "weekly", "frequency": "never"}):
            answer = await client.post(f"/p/{good}", data={**data, "list": str(sent.list_id)})
            assert answer.status == 200
        for kind, body in (("text/plain", b"action=save"), ("application/json", b"{"), ("multipart/form-data", b"--x"),
                           ("application/x-www-form-urlencoded", b"action=save&x=" + b"x" * 200_000),
                           ("application/x-www-form-urlencoded", b"action=save&" * 2000)):
            answer = await client.post(f"/p/{good}", data=body, headers={"Content-Type": kind})
            assert answer.status == 400
            assert "could not be read" in await answer.text()
        counted = ("signup_counts",)
        assert await snapshot(database, counted) == {name: rows for name, rows in before.items() if name not in counted}


async def test_a_contact_link_opens_the_same_page_and_dies_with_the_contact(database: Database, tmp_path: Path) -> None:
    world = await make_world(database, tmp_path)
    sent = world.sent
    reader = await world.app.store.preferences.reader(sent.workspace_id, sent.contacts[0])
    assert reader is not None
    token = contact_token(world.app, reader)
    opened = await open_link(world.app, token)
    assert not isinstance(opened, Standing)
    assert (opened.reader, opened.old) == (reader, False)
    newcomer = contact_token(world.app, replace(reader, public_id="another"))
    assert await open_link(world.app, newcomer) is Standing.GONE, "the number alone is nobody"
    world.clock.turn(timedelta(hours=49).total_seconds())
    opened = await open_link(world.app, token)
    assert not isinstance(opened, Standing)
    assert opened.old


async def test_less_instead_of_leaving(database: Database, tmp_path: Path) -> None:
    world = await make_world(database, tmp_path)
    sent, store = world.sent, world.app.store.preferences
    offers = await store.save_topic(sent.workspace_id, None, "Offers", "", NOW)
    await store.save_topic(sent.workspace_id, None, "Events", "", NOW)
    async with open_edge(world) as (_, client):
        page = await (await client.get(world.unsubscribe_path())).text()
        assert page.index("Once a week") < page.index('value="unsubscribe"'), "less comes first, and leaving is there"
        answer = await client.post(world.unsubscribe_path(), data={"action": "weekly"})
        assert "You get less" in await answer.text()
        answer = await client.post(world.unsubscribe_path(1), data={"action": "topics", "topic": str(offers.id)})
        assert "topics are saved" in await answer.text()
    first, second = [await store.reader(sent.workspace_id, one) for one in sent.contacts]
    assert first is not None
    assert second is not None
    assert first.choices == Choices(Frequency.WEEKLY)
    assert second.choices == Choices(Frequency.NONE, {offers.id: Frequency.EACH})
    assert first.lists[0].subscribed


async def test_hits_of_whoever_asked_not_to_be_counted_are_dropped(database: Database, tmp_path: Path) -> None:
    world = await make_world(database, tmp_path)
    from_now = Choices(tracking_off=True)
    await choose(world.app, world.sent.workspace_id, world.sent.contacts[0], from_now)
    async with open_edge(world) as (_, client):
        for number in (0, 1):
            await client.get(world.click_path(0, number), allow_redirects=False)
    world.clock.turn(60)
    await fold_all(world.app)
    async with database.read() as connection:
        clicked = (await connection.execute(select(events.c.delivery_id).where(events.c.type == "clicked"))).scalars()
        assert list(clicked) == [world.sent.deliveries[1]]


async def fold_all(app: App) -> None:
    while await fold(app):
        pass


async def test_a_list_or_the_server_may_count_nobody(database: Database, tmp_path: Path) -> None:
    async with open_world(database, tmp_path) as world:
        news = await world.add_list("News", "a@x.example")
        store = world.app.store.preferences
        assert await store.lists_tracked(world.workspace, [news.id])
        now = await store.publicity(world.workspace, news.id)
        await store.set_publicity(world.workspace, news.id, replace(now, tracking=False))
        assert not await store.lists_tracked(world.workspace, [news.id])
        assert await store.publicity(world.workspace, news.id) == Publicity(now.access, now.indexed, False)


async def test_another_workspaces_topics_change_nothing(database: Database, tmp_path: Path) -> None:
    async with open_world(database, tmp_path) as world:
        other = await world.app.store.accounts.create_workspace("Other", "", NOW)
        theirs = await world.app.store.preferences.save_topic(other.id, None, "Theirs", "", NOW)
        await world.add_list("News", "a@x.example")
        contact = await world.id_of("a@x.example")
        reader = await choose(world.app, world.workspace, contact, Choices(topics={theirs.id: Frequency.NONE}))
        after = await world.app.store.preferences.reader(world.workspace, reader.contact_id)
        assert after is not None
        assert after.choices.topics == {}
        assert await world.app.store.preferences.reader(other.id, contact) is None
        async with database.read() as connection:
            assert (await connection.execute(select(campaigns.c.id))).first() is None
