"""Counts folded from events: each exactly once, in whatever portions, and the same when counted anew from all."""

import asyncio
import random
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, insert, select, text, update

from esp.adapters.sql.database import Database
from esp.adapters.sql.engagement import SqlEngagement
from esp.adapters.sql.listening import mark_stale
from esp.adapters.sql.listening_store import SqlListening
from esp.adapters.sql.people_merge import merge_contacts
from esp.adapters.sql.schema import (
    contact_engagement,
    contact_preferences,
    contacts,
    event_folds,
    events,
    lists,
)
from esp.model.delivery import EventType
from esp.model.listening import HALF_LIFE, Level
from esp.ports.engagement import Hit, JudgedHit
from esp.ports.listening import Counts, Odds
from esp.ports.people import Merge
from tests.edge_world import SENT, make_world
from tests.listening_world import BEGAN, NOW, Event, happen, people


async def fold_all(store: SqlListening, limit: int = 1000) -> list[int]:
    """Until nothing is left; returns the contacts that were touched."""
    touched: set[int] = set()
    for _ in range(10_000):
        step = await store.fold(limit, NOW)
        touched.update(step.touched)
        if not step.more and not step.behind:
            return sorted(touched)
    raise AssertionError("the fold never comes to an end")


async def rows(database: Database) -> dict[int, dict[str, Any]]:
    """Everything but the score, which is compared to so many digits."""
    async with database.read() as connection:
        found = await connection.execute(select(contact_engagement).order_by(contact_engagement.c.contact_id))
        return {row.contact_id: {**row._mapping, "score": pytest.approx(row.score), "score_rank": pytest.approx(
            row.score_rank) if row.score_rank is not None else None} for row in found}


def any_events(dice: random.Random, contacts_: int, mails: int) -> list[Event]:
    """A plausible past in a wild order: answered before delivered, twice, by machines; bounced later; complaints."""
    told: list[Event] = []
    for contact in range(1, contacts_ + 1):
        for campaign in range(1, mails + 1):
            own: list[Event] = []
            fate = dice.random()
            if fate < 0.85:
                own.append((contact, "delivered", campaign, ""))
                if dice.random() < 0.1:
                    own.append((contact, "bounced", campaign, ""))
            elif fate < 0.95:
                own.append((contact, "bounced", campaign, ""))
            for kind, agent, chance in (("opened", "human", 0.4), ("opened", "proxy", 0.3), ("clicked", "human", 0.2),
                                        ("clicked", "scanner", 0.2), ("opened", "human", 0.2)):
                if fate < 0.9 and dice.random() < chance:
                    own.insert(dice.randrange(len(own) + 1) if dice.random() < 0.2 else len(own),
                               (contact, kind, campaign, agent))
            if dice.random() < 0.02:
                own.append((contact, "complained", campaign, ""))
            told += own
    # Neighbours change places: later mails answered first, others' events in between.
    for _ in range(len(told) * 3):
        one = dice.randrange(len(told) - 1)
        told[one], told[one + 1] = told[one + 1], told[one]
    bounced_first = {(it[0], it[2]) for number, it in enumerate(told) if it[1] == "bounced" and not any(
        other[1] == "delivered" and (other[0], other[2]) == (it[0], it[2]) for other in told[:number])}
    return [it for it in told if it[1] != "delivered" or (it[0], it[2]) not in bounced_first]


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_any_portions_count_what_counting_anew_does(database: Database, seed: int) -> None:
    dice = random.Random(seed)
    await people(database, 8, 6, untracked=[3])
    store = SqlListening(database)
    told = any_events(dice, 8, 6)
    done = 0
    while done < len(told):
        some = dice.randrange(8, 60)
        await happen(database, told[done:done + some], done)
        done += some
        await fold_all(store, dice.choice([5, 17, 1000]))
    folded = await rows(database)
    assert sum(row["responses"] for row in folded.values()) > 8
    last, count = 1, 0
    while last:
        last, some = await store.rebuild(1, last if count else 0, 5)
        count += some
    assert count == 8
    anew = await rows(database)
    assert anew == folded


async def test_what_is_counted(database: Database) -> None:
    await people(database, 2, 6, untracked=[2])
    await happen(database, [
        (1, "delivered", 1, ""), (1, "opened", 1, "proxy"),
        (1, "delivered", 2, ""), (1, "opened", 2, "human"),  # no opportunity: nobody could be sure to see an answer
        (1, "delivered", 3, ""), (1, "opened", 3, "human"), (1, "opened", 3, "human"), (1, "clicked", 3, "human"),
        (1, "delivered", 4, ""), (1, "delivered", 5, ""), (1, "clicked", 1, "human"), (1, "complained", 5, ""),
        (2, "bounced", 1, ""), (2, "opened", 2, "human"), (2, "delivered", 2, ""),
    ])
    store = SqlListening(database)
    assert await fold_all(store) == [1, 2]
    one = await store.listener(1, 1)
    assert one is not None
    assert one.odds is None
    assert one.level is Level.NEW
    heard = one.heard
    assert (heard.opportunities, heard.responses, heard.recency) == (4, 2, 2)
    assert (heard.opens, heard.clicks, heard.complaints) == (2, 2, 1)
    assert heard.first_sent_at == BEGAN + timedelta(days=7)
    assert heard.last_sent_at == BEGAN + timedelta(days=35, minutes=9)
    assert heard.last_clicked_at == BEGAN + timedelta(days=21, minutes=7)
    # In Jakarta it is four in the afternoon; twice, both on a Monday.
    assert heard.times is not None
    assert heard.times[16] == 2
    assert heard.times[24] == 2
    assert sum(heard.times) == 4
    left = [2 ** (-(heard.score.at - (BEGAN + timedelta(days=days, minutes=minutes)).timestamp()) / HALF_LIFE) * weight
            for days, minutes, weight in ((14, 3, 1), (21, 5, 1), (21, 7, 2), (7, 10, 2))]
    assert heard.score.value == pytest.approx(sum(left))
    assert await store.histories(1) == {Counts(4, 2, 2): 1}
    assert await store.listener(2, 1) is None


async def test_a_step_that_fails_leaves_no_trace(database: Database) -> None:
    await people(database, 1, 2)
    await happen(database, [(1, "delivered", 1, "")])
    store = SqlListening(database)
    await fold_all(store)
    await happen(database, [(1, "delivered", 2, "")])
    async with database.write() as connection:  # the cursor cannot be moved
        await connection.execute(text("ALTER TABLE event_folds RENAME COLUMN moved_at TO away"))
    with pytest.raises(Exception, match="moved_at"):
        await fold_all(store)
    async with database.write() as connection:
        await connection.execute(text("ALTER TABLE event_folds RENAME COLUMN away TO moved_at"))
    assert await store.histories(1) == {Counts(1, 0, 0): 1}
    await fold_all(store)
    assert await store.histories(1) == {Counts(2, 0, 0): 1}


async def test_an_id_that_appears_late_is_not_missed(database: Database) -> None:
    """Two write at once; the one with the lower ids commits after the fold has looked."""
    if database.dialect == "sqlite":
        return  # there one waits for the other
    await people(database, 2, 1)
    store = SqlListening(database)
    looked = asyncio.Event()

    async def slowly() -> None:
        async with database.write() as connection:
            await connection.execute(insert(events), {
                "workspace_id": 1, "type": "delivered", "at": BEGAN, "campaign_id": 1, "delivery_id": 1001,
                "contact_id": 1})
            inserted.set()
            await looked.wait()

    inserted = asyncio.Event()
    slow = asyncio.create_task(slowly())
    await asyncio.wait_for(inserted.wait(), 30)
    await happen(database, [(2, "delivered", 1, "")])
    for _ in range(3):
        step = await store.fold(100, NOW)
        assert step.behind
        assert not step.touched
    looked.set()
    await slow
    assert await fold_all(store) == [1, 2]
    assert await store.histories(1) == {Counts(1, 0, 0): 2}


async def test_who_wants_nothing_counted_is_not(database: Database) -> None:
    await people(database, 2, 2)
    async with database.write() as connection:
        await connection.execute(insert(contact_preferences), {
            "workspace_id": 1, "contact_id": 1, "tracking_off": True, "changed_at": NOW})
    await happen(database, [(1, "delivered", 1, ""), (1, "opened", 1, "human"), (2, "delivered", 1, "")])
    store = SqlListening(database)
    await fold_all(store)
    assert list(await rows(database)) == [2]


async def test_lists_without_tracking_make_no_opportunities(database: Database) -> None:
    await people(database, 1, 2)
    async with database.write() as connection:
        await connection.execute(insert(lists), {
            "id": 7, "public_id": "l7", "workspace_id": 1, "name": "Quiet", "handle": "q", "created_at": NOW,
            "tracking": False})
        await connection.execute(text("UPDATE campaigns SET include_lists = '[7]' WHERE id = 2"))
    await happen(database, [(1, "delivered", 1, ""), (1, "delivered", 2, "")])
    store = SqlListening(database)
    await fold_all(store)
    assert await store.histories(1) == {Counts(1, 0, 0): 1}


async def test_events_that_were_changed_are_counted_anew(database: Database) -> None:
    await people(database, 1, 2)
    await happen(database, [(1, "delivered", 1, ""), (1, "opened", 1, "scanner")])
    store = SqlListening(database)
    await fold_all(store)
    async with database.write() as connection:
        await connection.execute(update(events).where(events.c.type == "opened").values(agent="human"))
        await mark_stale(connection, [1])
    step = await store.fold(100, NOW)
    assert step.touched == (1,)
    assert await store.histories(1) == {Counts(1, 1, 1): 1}


async def test_a_deleted_contact_takes_its_counts_along(database: Database) -> None:
    await people(database, 1, 2)
    await happen(database, [(1, "delivered", 1, "")])
    store = SqlListening(database)
    await fold_all(store)
    async with database.write() as connection:
        await connection.execute(update(events).values(contact_id=None))
        await connection.execute(delete(contacts))
    assert await rows(database) == {}
    await happen(database, [(1, "delivered", 2, "")])  # nobody is there any more
    await fold_all(store)
    assert await rows(database) == {}
    async with database.read() as connection:
        assert (await connection.execute(select(event_folds.c.cursor))).scalar_one() == 2


# ---- levels


def odds(counts: Counts, level: Level, alive: float = 0.5) -> Odds:
    return Odds(counts, alive, 1.0, 0.1, level)


async def test_levels_follow_their_table(database: Database) -> None:
    await people(database, 3, 4)
    await happen(database, [(1, "delivered", 1, ""), (1, "opened", 1, "human"), (2, "delivered", 1, "")])
    store = SqlListening(database)
    touched = await fold_all(store)
    assert await store.unscored(touched) == {1: [Counts(1, 0, 0), Counts(1, 1, 1)]}
    await store.score(1, [odds(Counts(1, 1, 1), Level.ACTIVE), odds(Counts(1, 0, 0), Level.NEW)])
    assert await store.unscored(touched) == {}
    assert await store.relevel(touched, NOW) == 1
    assert await store.relevel(touched, NOW) == 0
    one = await store.listener(1, 1)
    assert one is not None
    assert one.level is Level.ACTIVE
    assert one.level_at == NOW
    await happen(database, [(1, "delivered", 2, "")])
    await fold_all(store)
    await store.score(1, [odds(Counts(2, 1, 1), Level.LOST, 0.01)])
    assert await store.relevel_some(1, 0, 100, NOW + timedelta(days=1)) == (0, 1)
    # A fit that changes its mind brings nobody back; an answer does.
    await store.score(1, [odds(Counts(2, 1, 1), Level.ACTIVE), odds(Counts(1, 0, 0), Level.NEW)], replace=True)
    assert await store.relevel([1, 2, 3], NOW + timedelta(days=2)) == 0
    await happen(database, [(1, "opened", 2, "human")])
    await fold_all(store)
    await store.score(1, [odds(Counts(2, 2, 2), Level.ACTIVE)])
    assert await store.relevel([1], NOW + timedelta(days=3)) == 1
    assert [(move.before, move.after) for move in await store.moves(1, 1)] == [
        (Level.LOST, Level.ACTIVE), (Level.ACTIVE, Level.LOST), (Level.NEW, Level.ACTIVE)]
    assert await store.moves(2, 1) == []
    day = NOW.date()
    assert await store.count_levels(1, day) == {Level.ACTIVE: 1, Level.NEW: 1}
    assert await store.count_levels(1, day) == {Level.ACTIVE: 1, Level.NEW: 1}
    assert await store.days(1, day - timedelta(days=1)) == {day: {Level.ACTIVE: 1, Level.NEW: 1}}


async def test_of_two_contacts_made_one_both_pasts_count(database: Database) -> None:
    await people(database, 2, 3)
    await happen(database, [(1, "delivered", 1, ""), (1, "opened", 1, "human"), (2, "delivered", 2, "")])
    store = SqlListening(database)
    await fold_all(store)
    async with database.write() as connection:
        await merge_contacts(connection, database.dialect, 1, Merge(2, 1, {}, {}), "sri@a.example", NOW)
    assert await fold_all(store) == [2]
    assert await store.histories(1) == {Counts(2, 1, 1): 1}


async def test_hits_judged_anew_are_counted_anew(database: Database, tmp_path: Path) -> None:
    world = await make_world(database, tmp_path)
    sent = world.sent
    engagement = SqlEngagement(database)
    hit = Hit(EventType.OPENED, SENT + timedelta(minutes=5), sent.workspace_id, sent.campaign_id, sent.deliveries[0],
              None, "192.0.2.1", "agent")
    await engagement.record([], [JudgedHit(hit, "scanner", "rule", 1)])
    store = SqlListening(database)
    await fold_all(store)
    before = await store.listener(sent.workspace_id, sent.contacts[0])
    assert before is not None
    assert before.heard.responses == 0
    stored = await engagement.stored_hits(sent.workspace_id, sent.campaign_id, 0, 10)
    judged = [(one.event_id, JudgedHit(one.hit, "human", "rule", 2)) for one in stored]
    assert await engagement.rejudge(sent.workspace_id, sent.campaign_id, judged)
    await fold_all(store)
    after = await store.listener(sent.workspace_id, sent.contacts[0])
    assert after is not None
    assert (after.heard.responses, after.heard.recency) == (1, 1)
