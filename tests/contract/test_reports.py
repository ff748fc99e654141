"""Figures against the rows they stand for, and the people behind every number, on both databases."""

from collections import Counter
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from sqlalchemy import text, update

from esp.adapters.sql.database import Database
from esp.adapters.sql.ledger import add_tallies
from esp.adapters.sql.people import people_query
from esp.adapters.sql.reports import SqlReports, _moments
from esp.adapters.sql.schema import campaigns, lists
from esp.events.fold import TallyKey, minute_of
from esp.model.delivery import EventType, NewEvent
from esp.ports.engagement import Hit, JudgedHit, Withdrawal
from esp.ports.reports import Metric, PeopleFilter
from tests.edge_world import SENT, World, make_world
from tests.sending import states

ADDRESSES = tuple(f"p{number}@{'abc'[number % 3]}.example" for number in range(12))


async def make_report(database: Database, folder: Path) -> World:
    """Twelve people of three providers: 0-6 delivered (6 bounced later), 7 bounced, 8 deferred, 9 suppressed.

    10 and 11 wait. 0 and 1 opened, 1 clicked two links, 2 was scanned, 3 unsubscribed, 4 complained.
    """
    world = await make_world(database, folder, ADDRESSES, delivered=False)
    sent = world.sent
    async with database.write() as connection:
        # What the walk counts when it writes the deliveries.
        counts = Counter({TallyKey(sent.workspace_id, sent.campaign_id, "total", "", "targeted"): 12})
        for provider in "abc":
            counts[TallyKey(sent.workspace_id, sent.campaign_id, "provider", f"{provider}.example", "targeted")] = 4
        counts[TallyKey(sent.workspace_id, sent.campaign_id, "variant", str(sent.variant_id), "targeted")] = 12
        await add_tallies(connection, database.dialect, counts)
        await connection.execute(update(campaigns).values(started_at=SENT - timedelta(minutes=1)))

    def event(kind: EventType, number: int, seconds: float, **detail: object) -> NewEvent:
        return NewEvent(kind, SENT + timedelta(seconds=seconds), sent.workspace_id, sent.campaign_id,
                        sent.deliveries[number], detail=detail or None)

    await world.app.store.ledger.apply([
        *(event(EventType.DELIVERED, number, number) for number in range(7)),
        event(EventType.BOUNCED, 6, 20, reason="unknown_user", code=550, reply="5.1.1 late"),
        event(EventType.BOUNCED, 7, 21, reason="unknown_user", code=550, reply="5.1.1 No such user"),
        event(EventType.DEFERRED, 8, 22, reason="greylisted", code=451, reply="4.7.1 Come back"),
        event(EventType.DEFERRED, 8, 50, reason="greylisted", code=451, reply="4.7.1 Come back later"),
        event(EventType.SUPPRESSED, 9, 23, reason="suppressed_bounce"),
        event(EventType.COMPLAINED, 4, 40),
    ])

    def judged(number: int, seconds: float, link: int | None, agent: str) -> JudgedHit:
        kind = EventType.OPENED if link is None else EventType.CLICKED
        hit = Hit(kind, SENT + timedelta(seconds=seconds), sent.workspace_id, sent.campaign_id, sent.deliveries[number],
                  link, "192.0.2.1", "agent")
        return JudgedHit(hit, agent, "rule", 1)

    await world.app.store.engagement.record([], [
        judged(0, 100, None, "human"), judged(1, 200, None, "human"), judged(1, 210, 0, "human"),
        judged(1, 215, 0, "human"), judged(1, 220, 3, "human"),
        judged(2, 60, 0, "scanner"), judged(2, 60, None, "proxy"),
    ])
    await world.app.store.engagement.unsubscribe(
        Withdrawal(
            sent.workspace_id, sent.campaign_id, sent.deliveries[3], SENT + timedelta(minutes=4), "page", "other"
        )
    )
    return world


BEHIND = {
    Metric.TARGETED: range(12), Metric.WAITING: (10, 11), Metric.DELIVERED: range(6), Metric.DEFERRED: (8,),
    Metric.BOUNCED: (6, 7), Metric.EXPIRED: (), Metric.SUPPRESSED: (9,), Metric.CANCELLED: (), Metric.OPENED: (0, 1),
    Metric.CLICKED: (1,), Metric.MACHINE_OPENED: (2,), Metric.MACHINE_CLICKED: (2,), Metric.UNSUBSCRIBED: (3,),
    Metric.COMPLAINED: (4,),
}


async def test_every_number_is_the_number_of_people_behind_it(database: Database, tmp_path: Path) -> None:
    world = await make_report(database, tmp_path)
    sent, reports = world.sent, world.app.store.reports
    figures = await reports.figures(sent.workspace_id, sent.campaign_id)
    for metric in Metric:
        people = await reports.people(sent.workspace_id, sent.campaign_id, metric)
        assert {person.delivery_id for person in people} == {sent.deliveries[number] for number in BEHIND[metric]}
        assert [person.key for person in people] == sorted({person.key for person in people})
        assert getattr(figures, metric.value) == len(people), metric
    assert (figures.opens, figures.clicks) == (3, 4)
    truth = await states(database, sent.campaign_id)
    named = {"queued": figures.waiting} | {name: getattr(figures, name) for name in truth if name != "queued"}
    assert named == truth
    assert figures.open + figures.ended == figures.targeted


async def test_people_come_by_key_and_by_part(database: Database, tmp_path: Path) -> None:
    world = await make_report(database, tmp_path)
    sent, reports = world.sent, world.app.store.reports
    for metric in (Metric.TARGETED, Metric.DELIVERED):
        found: list[int] = []
        after = 0
        while page := await reports.people(sent.workspace_id, sent.campaign_id, metric, after=after, limit=2):
            assert len(page) <= 2
            found += [person.delivery_id for person in page]
            after = page[-1].key
        assert sorted(found) == sorted(sent.deliveries[number] for number in BEHIND[metric])

    async def numbers(metric: Metric, **part: object) -> list[int]:
        chosen = PeopleFilter(**part)  # type: ignore[arg-type]
        people = await reports.people(sent.workspace_id, sent.campaign_id, metric, chosen)
        return [sent.deliveries.index(person.delivery_id) for person in people]

    assert await numbers(Metric.DELIVERED, provider="a.example") == [0, 3]
    assert await numbers(Metric.BOUNCED, reason="unknown_user") == [6, 7]
    assert await numbers(Metric.CLICKED, link_index=3) == [1]
    assert await numbers(Metric.CLICKED, link_index=1) == []
    assert await numbers(Metric.MACHINE_CLICKED, link_index=0) == [2]
    assert await numbers(Metric.OPENED, variant_id=sent.variant_id) == [0, 1]
    assert await numbers(Metric.OPENED, variant_id=sent.variant_id + 1) == []
    person = (await reports.people(sent.workspace_id, sent.campaign_id, Metric.BOUNCED))[1]
    assert (person.address, person.name, person.reason, person.reply) == (
        "p7@b.example", "N7", "unknown_user", "5.1.1 No such user"
    )
    assert person.at == SENT + timedelta(seconds=21)


async def test_nothing_is_seen_from_another_workspace(database: Database, tmp_path: Path) -> None:
    world = await make_report(database, tmp_path)
    other, campaign, reports = world.sent.workspace_id + 1, world.sent.campaign_id, world.app.store.reports
    for metric in Metric:
        assert await reports.people(other, campaign, metric) == []
    assert (await reports.figures(other, campaign)).targeted == 0
    assert await reports.progress(other, campaign, SENT) is None
    assert await reports.by_provider(other, campaign) == []
    assert await reports.by_variant(other, campaign) == []
    assert await reports.by_link(other, campaign) == []
    assert await reports.reasons(other, campaign) == []
    assert (await reports.over_time(other, campaign)).buckets == ()
    assert (await reports.dashboard(other, SENT)).recent == ()
    assert (await reports.figures_of(other, [campaign]))[campaign].targeted == 0


async def test_parts_add_up_to_the_whole(database: Database, tmp_path: Path) -> None:
    world = await make_report(database, tmp_path)
    sent, reports = world.sent, world.app.store.reports
    whole = await reports.figures(sent.workspace_id, sent.campaign_id)
    providers = await reports.by_provider(sent.workspace_id, sent.campaign_id)
    assert [provider.label for provider in providers] == ["a.example", "b.example", "c.example"]
    for metric in Metric:
        assert sum(getattr(one.figures, metric.value) for one in providers) == getattr(whole, metric.value), metric
    [variant] = await reports.by_variant(sent.workspace_id, sent.campaign_id)
    assert (variant.label, variant.note, variant.figures.delivered, variant.figures.clicked) == ("A", "Hello", 6, 1)
    links = await reports.by_link(sent.workspace_id, sent.campaign_id)
    assert [(one.figures.clicked, one.figures.clicks, one.figures.machine_clicked) for one in links] == [
        (1, 3, 1), (0, 0, 0), (0, 0, 0), (1, 1, 0), (0, 0, 0)
    ]
    assert links[0].label == "https://shop.example/one"
    reasons = await reports.reasons(sent.workspace_id, sent.campaign_id)
    assert {(one.metric.value, one.reason): one.count for one in reasons} == {
        ("bounced", "unknown_user"): 2, ("suppressed", "suppressed_bounce"): 1, ("unsubscribed", "other"): 1,
    }


async def test_progress_tells_rate_time_left_and_each_providers_last_words(database: Database, tmp_path: Path) -> None:
    world = await make_report(database, tmp_path)
    sent, reports = world.sent, world.app.store.reports
    progress = await reports.progress(sent.workspace_id, sent.campaign_id, SENT + timedelta(seconds=30))
    assert progress is not None
    assert (progress.state, progress.done, progress.expected) == ("sending", 9, 12)
    # Delivered 0-6, and 6, 7 and 9 ended otherwise: ten ends in the minute that runs, none in the one before.
    assert progress.per_minute == pytest.approx(10)
    assert progress.seconds_left == pytest.approx(3 / 10 * 60)
    by_name = {provider.provider: provider for provider in progress.providers}
    assert by_name["c.example"].deferred == 1
    assert by_name["c.example"].last_reply == "451 4.7.1 Come back later"
    assert by_name["b.example"].last_reply == "550 5.1.1 No such user"
    assert sum(provider.waiting for provider in progress.providers) == 2
    later = await reports.progress(sent.workspace_id, sent.campaign_id, SENT + timedelta(seconds=90))
    assert later is not None
    assert later.per_minute == pytest.approx(5), "half a minute of the last one"
    still = await reports.progress(sent.workspace_id, sent.campaign_id, SENT + timedelta(minutes=5))
    assert still is not None
    assert (still.per_minute, still.seconds_left) == (0, None)
    async with database.write() as connection:
        await connection.execute(update(campaigns).values(walk_done=False))
        await connection.execute(update(lists).values(subscribed_count=95, unsubscribed_count=5))
    walking = await reports.progress(sent.workspace_id, sent.campaign_id, SENT + timedelta(minutes=5))
    assert walking is not None
    assert walking.expected == 100


async def test_time_comes_in_round_buckets_without_gaps(database: Database, tmp_path: Path) -> None:
    world = await make_report(database, tmp_path)
    sent, reports = world.sent, world.app.store.reports
    series = await reports.over_time(sent.workspace_id, sent.campaign_id)
    assert series.seconds == 60
    assert [bucket.start for bucket in series.buckets] == [SENT + timedelta(minutes=n) for n in range(5)]
    assert [bucket.figures.opened for bucket in series.buckets] == [0, 1, 0, 1, 0]
    assert [bucket.figures.unsubscribed for bucket in series.buckets] == [0, 0, 0, 0, 1]
    await world.app.store.engagement.record([], [JudgedHit(
        Hit(EventType.OPENED, SENT + timedelta(days=400), sent.workspace_id, sent.campaign_id, sent.deliveries[5]),
        "human", "person", 1,
    )])
    long = await reports.over_time(sent.workspace_id, sent.campaign_id, 30)
    assert long.seconds == 86400
    assert len(long.buckets) == 120
    assert sum(bucket.figures.opened for bucket in long.buckets) == 3, "what is older lies in the first"


async def test_a_long_life_is_added_up_by_the_database(database: Database, tmp_path: Path) -> None:
    """A report never reads every minute of two years: hours and days come as sums, whatever the minute was."""
    world = await make_world(database, tmp_path)
    sent, reports = world.sent, world.app.store.reports
    half_hours = [SENT + timedelta(minutes=31 * number) for number in range(2000)]  # 43 days
    counts = Counter({TallyKey(sent.workspace_id, sent.campaign_id, "minute", minute_of(at), "opened"): 1
                      for at in half_hours})
    async with database.write() as connection:
        await add_tallies(connection, database.dialect, counts)
        for length, most in ((60, 2100), (6 * 3600, 1100), (86400, 60)):
            moments = await _moments(connection, sent.workspace_id, sent.campaign_id, length, half_hours[0])
            assert len(moments) <= most
            assert sum(found["opened"] for found in moments.values()) == 2000
        late = await _moments(connection, sent.workspace_id, sent.campaign_id, 3600, half_hours[1000])
        assert sum(found["opened"] for found in late.values()) == 2000, "what is older lies in the first"
        assert min(late) >= half_hours[1000].replace(minute=0)
    for buckets in (2000, 400, 60):
        series = await reports.over_time(sent.workspace_id, sent.campaign_id, buckets)
        assert sum(bucket.figures.opened for bucket in series.buckets) == 2000
        for bucket, following in pairwise(series.buckets):
            assert bucket.figures.opened == sum(bucket.start <= at < following.start for at in half_hours)


async def test_the_dashboard_shows_the_week(database: Database, tmp_path: Path) -> None:
    world = await make_report(database, tmp_path)
    sent, reports = world.sent, world.app.store.reports
    now = SENT + timedelta(days=1)
    board = await reports.dashboard(sent.workspace_id, now)
    assert (board.week.targeted, board.week.delivered, board.week.opened) == (12, 6, 2)
    assert board.before.targeted == 0
    assert [line.name for line in board.running] == ["First"]
    board = await reports.dashboard(sent.workspace_id, now + timedelta(days=7))
    assert (board.week.targeted, board.before.targeted) == (0, 12)
    async with database.write() as connection:
        await connection.execute(update(campaigns).values(test_of=1))
    board = await reports.dashboard(sent.workspace_id, now)
    assert (board.week.targeted, board.running, board.recent) == (0, (), ())


async def test_people_are_read_along_an_index(sqlite_database: Database) -> None:
    """No metric sorts, or walks over deliveries of other campaigns."""
    for metric in Metric:
        query = people_query(1, 1, metric, PeopleFilter(), 0, 50)
        sql = str(query.compile(compile_kwargs={"literal_binds": True}))
        async with sqlite_database.read() as connection:
            plan = [row[3] for row in await connection.execute(text(f"EXPLAIN QUERY PLAN {sql}"))]
        assert not any("TEMP B-TREE" in step or step.startswith("SCAN") for step in plan), (metric, plan)
        assert any("campaign_id=?" in step for step in plan), (metric, plan)


async def test_reports_of_nothing(database: Database) -> None:
    reports = SqlReports(database)
    assert (await reports.figures(1, 1)).targeted == 0
    assert await reports.figures_of(1, []) == {}
    assert (await reports.dashboard(1, SENT)).week.targeted == 0
