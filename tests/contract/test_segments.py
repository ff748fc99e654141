"""The port Segments on both databases: saved rules, whom they find, snapshots, indexes, and an end to long waits."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest
from sqlalchemy import func, insert, select, text

from esp.adapters.sql.database import Database
from esp.adapters.sql.patience import execute_within
from esp.adapters.sql.schema import contact_fields, contacts
from esp.adapters.sql.segment_sql import matching
from esp.adapters.sql.store import SqlStore
from esp.errors import ConflictError, NotFoundError, TookTooLongError
from esp.model.fields import FieldType
from esp.model.ids import new_public_id
from esp.model.segment import FieldOp, FieldRule, Group, Match, SnapshotRule

NOW = datetime(2026, 11, 21, 3, 0, tzinfo=UTC)
BANDUNG = Group(Match.ALL, (FieldRule("city", FieldType.TEXT, FieldOp.IS, ("Bandung",)),))
RICH = Group(Match.ALL, (FieldRule("fields.points", FieldType.NUMBER, FieldOp.GREATER, (50.0,)),))


@dataclass
class World:
    store: SqlStore
    database: Database
    workspace: int
    other: int


async def add_people(database: Database, workspace_id: int, people: Sequence[tuple[str, str, object]]) -> None:
    async with database.write() as connection:
        await connection.execute(insert(contacts), [
            {"public_id": new_public_id(), "workspace_id": workspace_id, "email": email, "email_key": email,
             "domain": email.partition("@")[2], "city": city, "fields": {"points": points}, "created_at": NOW,
             "updated_at": NOW} for email, city, points in people])


@pytest.fixture
async def world(database: Database) -> World:
    store = SqlStore(database)
    mine = await store.accounts.create_workspace("Toko", "", NOW)
    other = await store.accounts.create_workspace("Lain", "", NOW)
    await add_people(database, mine.id, [
        ("a@x.example", "Bandung", 10), ("b@x.example", "BANDUNG", 60), ("c@x.example", "Medan", 90)])
    await add_people(database, other.id, [("d@x.example", "Bandung", 100)])
    return World(store, database, mine.id, other.id)


async def test_a_segment_is_kept_and_belongs_to_its_workspace(world: World) -> None:
    segments = world.store.segments
    made = await segments.create(world.workspace, "Bandung", "", BANDUNG, NOW)
    assert (await segments.get(world.workspace, made.id)).rule == BANDUNG
    with pytest.raises(ConflictError):
        await segments.create(world.workspace, "Bandung", "", RICH, NOW)
    await segments.create(world.other, "Bandung", "", RICH, NOW)
    for forbidden in (segments.get(world.other, made.id), segments.delete(world.other, made.id),
                      segments.edit(world.other, made.id, "x", "", RICH, NOW)):
        with pytest.raises(NotFoundError):
            await forbidden
    await segments.remember_count(world.workspace, made.id, 2, NOW)
    assert (await segments.get(world.workspace, made.id)).counted == 2
    changed = await segments.edit(world.workspace, made.id, "Kaya", "", RICH, NOW)
    assert (changed.rule, changed.counted) == (RICH, None)
    assert [one.name for one in await segments.list(world.workspace)] == ["Kaya"]
    assert await segments.list(world.workspace, after="Kaya") == ()
    await segments.delete(world.workspace, made.id)
    assert await segments.list(world.workspace) == ()


async def test_whom_a_rule_finds(world: World) -> None:
    segments = world.store.segments
    assert await segments.count(world.workspace, BANDUNG, NOW) == 2
    found = await segments.people(world.workspace, BANDUNG, NOW, limit=1)
    assert [one.email for one in found] == ["a@x.example"]
    more = await segments.people(world.workspace, BANDUNG, NOW, after_id=found[0].id)
    assert [one.email for one in more] == ["b@x.example"]


async def test_a_snapshot_stays_what_it_was(world: World) -> None:
    segments = world.store.segments
    made = await segments.create(world.workspace, "Bandung", "", BANDUNG, NOW)
    taken = await segments.snapshot(world.workspace, made, BANDUNG, NOW)
    assert taken.size == 2
    await add_people(world.database, world.workspace, [("e@x.example", "Bandung", 1)])
    then = Group(Match.ALL, (SnapshotRule(taken.id),))
    assert await segments.count(world.workspace, then, NOW) == 2
    assert await segments.count(world.other, then, NOW) == 0
    await segments.delete(world.workspace, made.id)
    assert [one.segment_id for one in await segments.snapshots(world.workspace)] == [None]
    with pytest.raises(NotFoundError):
        await segments.delete_snapshot(world.other, taken.id)
    await segments.delete_snapshot(world.workspace, taken.id)
    assert await segments.count(world.workspace, then, NOW) == 0


async def test_a_contact_in_a_snapshot_can_be_deleted(world: World) -> None:
    segments = world.store.segments
    made = await segments.create(world.workspace, "Bandung", "", BANDUNG, NOW)
    await segments.snapshot(world.workspace, made, BANDUNG, NOW)
    (first,) = await segments.people(world.workspace, BANDUNG, NOW, limit=1)
    await world.store.contacts.delete(world.workspace, first.id)
    assert await segments.count(world.workspace, BANDUNG, NOW) == 1


async def test_an_index_on_a_field_is_made_once_and_used(world: World) -> None:
    segments = world.store.segments
    both = Group(Match.ANY, (*BANDUNG.rules, *RICH.rules))
    assert await segments.index(world.workspace, both) == 2
    assert await segments.index(world.workspace, both) == 0
    assert await segments.count(world.workspace, BANDUNG, NOW) == 2
    assert await segments.count(world.workspace, RICH, NOW) == 2
    await add_people(world.database, world.workspace, [
        (f"{number}@y.example", f"City {number}", number) for number in range(3000)])
    async with world.database.write() as connection:
        await connection.execute(text("ANALYZE contacts"))
    few = Group(Match.ALL, (FieldRule("fields.points", FieldType.NUMBER, FieldOp.GREATER, (2990.0,)),))
    plans = [await explained(world, rule) for rule in (BANDUNG, few)]
    assert all("ix_contacts_of_" in plan for plan in plans), plans


async def explained(world: World, rule: Group) -> str:
    """How the database goes about counting."""
    query = select(func.count()).select_from(contacts).where(
        contacts.c.workspace_id == world.workspace, matching(rule, world.workspace, NOW))
    async with world.database.read() as connection:
        plain = query.compile(dialect=connection.dialect, compile_kwargs={"literal_binds": True})
        how = "EXPLAIN QUERY PLAN" if world.database.dialect == "sqlite" else "EXPLAIN"
        return str((await connection.exec_driver_sql(f"{how} {plain}")).all())


async def test_a_question_that_takes_too_long_is_given_up(world: World) -> None:
    forever = {
        "sqlite": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n",
        "postgresql": "SELECT pg_sleep(60)",
    }[world.database.dialect]
    async with world.database.read() as connection:
        with pytest.raises(TookTooLongError):
            await execute_within(connection, world.database.dialect, text(forever), 0.2)
    async with world.database.read() as connection:
        found = await execute_within(connection, world.database.dialect, text("SELECT 7"), 5.0)
        assert found.scalar_one() == 7


async def test_the_vocabulary_has_declared_fields_and_those_in_use(world: World) -> None:
    async with world.database.write() as connection:
        await connection.execute(insert(contact_fields), [
            {"public_id": key, "workspace_id": world.workspace, "key": key, "label": key.title(), "type": kind,
             "choices": choices, "created_at": NOW, "archived_at": archived}
            for key, kind, choices, archived in (("plan", "choice", ["a"], None), ("old", "text", [], NOW))])
    known = await world.store.segments.vocabulary(world.workspace)
    assert {key: one.type for key, one in known.fields.items()} == {
        "plan": FieldType.CHOICE, "points": FieldType.NUMBER}
    assert known.fields["plan"].choices == ("a",)
    assert await world.store.segments.values(world.workspace, "city") == ("BANDUNG", "Bandung", "Medan")
    assert await world.store.segments.values(world.workspace, "id") == ()
