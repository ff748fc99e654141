"""The fold on both databases: each line counts exactly once, people and machines apart, whatever is killed when."""

import asyncio
import contextlib
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select, text, update
from sqlalchemy.exc import StatementError

from esp.adapters.sql.database import Database
from esp.adapters.sql.schema import deliveries, events, journal_offsets, subscriptions
from esp.adapters.sql.upsert import lock_list
from esp.model.delivery import EventType
from esp.ports.engagement import Hit, JournalMove, JudgedHit, Withdrawal
from tests.edge_world import SENT, World, make_world, snapshot
from tests.sending import event_types, totals
from tracking.jobs import fold, keep_folding, reclassify
from tracking.journal import encode, journals

CHROME = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/129.0.0.0 Safari/537.36"


def hit(world: World, seconds: float, link: int | None = None, number: int = 0, agent: str = CHROME) -> Hit:
    kind = EventType.OPENED if link is None else EventType.CLICKED
    sent = world.sent
    return Hit(kind, SENT + timedelta(seconds=seconds), sent.workspace_id, sent.campaign_id, sent.deliveries[number],
               link, "192.0.2.1", agent)


def write(world: World, *entries: Hit | Withdrawal, name: str = "edge-1.jsonl") -> Path:
    """A journal whose process has ended."""
    path = world.folder / "journal" / name
    path.parent.mkdir(exist_ok=True)
    with path.open("ab") as file:
        file.write(b"".join(map(encode, entries)))
    return path


async def fold_all(world: World) -> None:
    world.clock.turn(3600)
    while await fold(world.app):
        pass


async def marks(database: Database, delivery_id: int) -> dict[str, object]:
    d = deliveries.c
    async with database.read() as connection:
        row = (await connection.execute(
            select(d.opened_at, d.machine_opened_at, d.clicked_at, d.machine_clicked_at).where(d.id == delivery_id)
        )).one()
    return {name: value for name, value in row._mapping.items() if value is not None}


async def test_people_are_counted_once_and_fetches_all(database: Database, tmp_path: Path) -> None:
    world = await make_world(database, tmp_path)
    sent = world.sent
    write(
        world, hit(world, 100), hit(world, 200), hit(world, 210, 1), hit(world, 220, 1), hit(world, 900, 3),
        hit(world, 100, number=1, agent="Mozilla/5.0"),
    )
    await fold_all(world)
    total = await totals(database, sent.campaign_id)
    assert {name: total[name] for name in ("opened", "opens", "clicked", "clicks", "machine_opened")} == {
        "opened": 1, "opens": 3, "clicked": 1, "clicks": 3, "machine_opened": 1,
    }
    assert (await totals(database, sent.campaign_id, "provider", "a.example"))["clicked"] == 1
    assert (await totals(database, sent.campaign_id, "variant", str(sent.variant_id)))["opened"] == 1
    assert (await totals(database, sent.campaign_id, "link", "1"))["link_clicked"] == 1
    assert (await totals(database, sent.campaign_id, "link", "1"))["clicks"] == 2
    assert (await totals(database, sent.campaign_id, "link", "3"))["link_clicked"] == 1, "the second link of one person"
    assert await marks(database, sent.deliveries[0]) == {
        "opened_at": SENT + timedelta(seconds=100), "clicked_at": SENT + timedelta(seconds=210)
    }
    assert await event_types(database, sent.deliveries[0]) == ["delivered", *["opened"] * 2, *["clicked"] * 3]
    async with database.read() as connection:
        row = (await connection.execute(select(events).where(events.c.agent == "proxy"))).one()
    assert row.detail == {"rule": "apple-privacy", "version": 1}
    assert journals(tmp_path / "journal") == []


async def test_a_hit_waits_for_its_window_and_a_burst_is_seen_across_folds(database: Database, tmp_path: Path) -> None:
    world = await make_world(database, tmp_path)
    write(world, *(hit(world, 60 + n * 4, n) for n in range(5)))  # five links in sixteen seconds
    world.clock.at = SENT + timedelta(seconds=71)
    await fold(world.app)
    assert len(await event_types(database, world.sent.deliveries[0])) == 1 + 1, "the first is ready, at 60 + 10"
    for _ in range(10):
        world.clock.turn(3)
        await fold(world.app)
    total = await totals(database, world.sent.campaign_id)
    assert (total.get("clicked", 0), total["machine_clicked"], total["clicks"]) == (0, 1, 5)
    assert (await totals(database, world.sent.campaign_id, "link", "4")) == {
        "clicks": 1, "link_machine_clicked": 1
    }


async def test_a_line_counts_once_however_often_it_is_folded(database: Database, tmp_path: Path) -> None:
    world = await make_world(database, tmp_path)
    path = write(world, hit(world, 100), hit(world, 200, 1))
    octets = path.read_bytes()
    world.clock.turn(3600)
    await asyncio.gather(*(fold(world.app) for _ in range(4)))
    await fold_all(world)
    once = await snapshot(database)
    assert Counter(await event_types(database, world.sent.deliveries[0]))["clicked"] == 1
    # Killed after the commit and before the file went: it is there again, with its offset.
    path.write_bytes(octets)
    async with database.write() as connection:
        await connection.execute(journal_offsets.insert().values(journal=path.name, offset=len(octets)))
    await fold_all(world)
    assert await snapshot(database) == once


async def test_nothing_is_written_where_the_offset_has_moved(database: Database, tmp_path: Path) -> None:
    world = await make_world(database, tmp_path)
    engagement = world.app.store.engagement
    judged = [JudgedHit(hit(world, 100), "human", "person", 1)]
    assert await engagement.record([JournalMove("edge-1.jsonl", 0, 10)], judged)
    before = await snapshot(database)
    for old, new in ((0, 10), (5, 10), (11, 20)):
        move = JournalMove("edge-1.jsonl", old, new)
        word = Withdrawal(world.sent.workspace_id, world.sent.campaign_id, world.sent.deliveries[0], SENT, "page")
        assert not await engagement.record([JournalMove("edge-0.jsonl", 0, 5), move], judged, [word])
        assert await snapshot(database) == before
    assert await engagement.offsets(["edge-1.jsonl", "edge-9.jsonl"]) == {"edge-1.jsonl": 10, "edge-9.jsonl": 0}


async def test_a_fold_that_fails_half_way_moves_no_offset(database: Database, tmp_path: Path) -> None:
    """The offset moves in the transaction of the events, or a failure would lose every line before it."""
    world = await make_world(database, tmp_path)
    engagement, sent = world.app.store.engagement, world.sent
    hit = Hit(EventType.OPENED, SENT, sent.workspace_id, sent.campaign_id, sent.deliveries[0])
    move, judged = JournalMove("edge-1.journal", 0, 100), JudgedHit(hit, "human", "person", 1)
    broken = Withdrawal(sent.workspace_id, sent.campaign_id, sent.deliveries[0], SENT.replace(tzinfo=None), "page")
    with pytest.raises(StatementError):
        await engagement.record([move], [judged], [broken])
    assert await engagement.offsets(["edge-1.journal"]) == {"edge-1.journal": 0}
    assert (await totals(database, sent.campaign_id)).get("opens", 0) == 0
    assert await engagement.record([move], [judged])
    assert (await totals(database, sent.campaign_id))["opens"] == 1


async def test_a_mails_content_is_found_in_its_own_workspace_only(database: Database, tmp_path: Path) -> None:
    world = await make_world(database, tmp_path)
    engagement, sent = world.app.store.engagement, world.sent
    assert await engagement.original(sent.workspace_id, sent.campaign_id, sent.variant_id)
    assert await engagement.original(sent.workspace_id + 1, sent.campaign_id, sent.variant_id) is None
    assert await engagement.original(sent.workspace_id, sent.campaign_id + 1, sent.variant_id) is None


async def test_a_kill_between_journal_and_fold_loses_and_repeats_nothing(database: Database, tmp_path: Path) -> None:
    """The commit fails once, half way: as if the power went. The next fold finds everything as it was."""
    world = await make_world(database, tmp_path)
    write(world, *(hit(world, 100 + n, n % 5) for n in range(0, 100, 30)))
    before = await snapshot(database)
    real = world.app.store.engagement.record

    async def killed(*arguments: object) -> bool:
        async with database.write():
            raise KeyboardInterrupt

    world.app.store.engagement.record = killed  # type: ignore[method-assign,assignment]
    world.clock.turn(3600)
    with contextlib.suppress(KeyboardInterrupt):
        await fold(world.app)
    assert await snapshot(database) == before
    world.app.store.engagement.record = real  # type: ignore[method-assign]
    await fold_all(world)
    assert (await totals(database, world.sent.campaign_id))["clicks"] == 4


async def test_a_journal_is_read_in_portions(database: Database, tmp_path: Path) -> None:
    world = await make_world(database, tmp_path)
    write(world, *(hit(world, 100 + n * 0.2, n % 5, number=n % 2) for n in range(9_000)))
    write(world, *(hit(world, 100 + n, number=0) for n in range(100)), name="edge-2.jsonl")
    await fold_all(world)
    total = await totals(database, world.sent.campaign_id)
    assert (total["clicks"], total["opens"]) == (9_000, 100)
    assert journals(tmp_path / "journal") == []


async def test_a_clock_that_was_set_back_holds_nothing_up(database: Database, tmp_path: Path) -> None:
    world = await make_world(database, tmp_path)
    write(world, hit(world, 100_000), hit(world, 30))
    world.clock.turn(30)
    await fold(world.app)
    assert (await totals(database, world.sent.campaign_id))["opens"] == 2


async def test_strangers_lines_are_dropped(database: Database, tmp_path: Path) -> None:
    world = await make_world(database, tmp_path)
    good = hit(world, 100)
    before = await snapshot(database)
    write(world, replace(good, workspace_id=99), replace(good, campaign_id=99), replace(good, delivery_id=99))
    await fold_all(world)
    assert await snapshot(database) == before


async def test_judging_anew_moves_the_figures_as_if_it_had_been_so_from_the_start(
    database: Database, tmp_path: Path
) -> None:
    world = await make_world(database, tmp_path)
    sent = world.sent
    made = [hit(world, 50), *(hit(world, 60 + n, n) for n in range(5)), hit(world, 500, 2), hit(world, 90, number=1)]
    write(world, *made)
    await fold_all(world)
    right = await snapshot(database)
    # An older version took everybody for a person, and said so in figures too.
    naive = [(stored.event_id, JudgedHit(stored.hit, "human", "person", 0))
             for stored in await world.app.store.engagement.stored_hits(sent.workspace_id, sent.campaign_id, 0, 10)]
    assert len(naive) == 8
    assert await world.app.store.engagement.rejudge(sent.workspace_id, sent.campaign_id, naive)
    total = await totals(database, sent.campaign_id)
    assert (total["clicked"], total["machine_clicked"], total["clicks"]) == (1, 0, 6)
    assert (await totals(database, sent.campaign_id, "link", "4"))["link_clicked"] == 1
    assert await reclassify(world.app, sent.workspace_id, sent.campaign_id) == 8

    def without_empty(state: dict[str, list[str]]) -> dict[str, list[str]]:
        return state | {"tallies": [row for row in state["tallies"] if not row.endswith(", 0)")]}

    assert without_empty(await snapshot(database)) == without_empty(right)
    assert await reclassify(world.app, sent.workspace_id, sent.campaign_id) == 0
    assert await reclassify(world.app, sent.workspace_id, sent.campaign_id, only_older=False) == 8
    assert await reclassify(world.app, sent.workspace_id + 1, sent.campaign_id, only_older=False) == 0


async def test_judging_anew_leaves_a_delivery_that_got_another_hit(database: Database, tmp_path: Path) -> None:
    world = await make_world(database, tmp_path)
    sent = world.sent
    write(world, hit(world, 50))
    await fold_all(world)
    stored = await world.app.store.engagement.stored_hits(sent.workspace_id, sent.campaign_id, 0, 10)
    write(world, hit(world, 70))
    await fold_all(world)
    before = await snapshot(database)
    judged = [(one.event_id, JudgedHit(one.hit, "scanner", "head", 2)) for one in stored]
    assert not await world.app.store.engagement.rejudge(sent.workspace_id, sent.campaign_id, judged)
    assert await snapshot(database) == before


async def test_a_click_before_delivery_was_known_is_judged_right_later(database: Database, tmp_path: Path) -> None:
    world = await make_world(database, tmp_path, delivered=False)
    write(world, hit(world, 1, 1))
    await fold_all(world)
    assert (await totals(database, world.sent.campaign_id))["clicked"] == 1
    async with database.write() as connection:
        await connection.execute(update(deliveries).values(state="delivered", ended_at=SENT))
    await reclassify(world.app, world.sent.workspace_id, world.sent.campaign_id, only_older=False)
    total = await totals(database, world.sent.campaign_id)
    assert (total["clicked"], total["machine_clicked"]) == (0, 1)


async def test_folding_goes_on_after_a_failure_and_ends_when_told(database: Database, tmp_path: Path) -> None:
    world = await make_world(database, tmp_path)
    write(world, hit(world, 10))
    real, calls, stop = world.app.store.engagement.record, 0, asyncio.Event()

    async def sometimes(*arguments: object) -> bool:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise OSError("the database went away")
        stop.set()
        return await real(*arguments)  # type: ignore[arg-type]

    world.app.store.engagement.record = sometimes  # type: ignore[method-assign,assignment]
    settings = world.app.settings
    world.app.settings = settings.model_copy(
        update={"tracking": settings.tracking.model_copy(update={"fold_every": timedelta(milliseconds=1)})}
    )
    await keep_folding(world.app, stop)
    assert (await totals(database, world.sent.campaign_id))["opens"] == 1


async def test_leaving_and_importing_do_not_wait_for_each_other_in_a_ring(database: Database, tmp_path: Path) -> None:
    world = await make_world(database, tmp_path)
    sent = world.sent
    word = Withdrawal(sent.workspace_id, sent.campaign_id, sent.deliveries[0], SENT, "page")
    async with database.write() as connection:  # an import: first the list, then its people
        await lock_list(connection, sent.workspace_id, sent.list_id)
        leaving = asyncio.create_task(world.app.store.engagement.unsubscribe(word))
        waiting = database.dialect == "sqlite"  # where nobody else begins before we have ended
        while not waiting:
            async with database.read() as other:
                waiting = bool((await other.execute(text("SELECT 1 FROM pg_locks WHERE NOT granted"))).first())
        await connection.execute(update(subscriptions).values(changed_at=SENT))
    assert await leaving
