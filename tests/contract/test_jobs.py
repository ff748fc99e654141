"""Work that waits in a table: taken once, looked for without taking anybody's turn, and given up after some tries."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import event

from esp.adapters.sql.accounts import SqlAccounts
from esp.adapters.sql.database import Database
from esp.adapters.sql.exports import SqlExports
from esp.adapters.sql.hygiene import SqlHygiene
from esp.adapters.sql.imports import SqlImports
from esp.adapters.sql.people_bulk import SqlBulks
from esp.ports.people_bulk import BulkAction, NewBulk, Selection

NOW = datetime(2026, 11, 21, 3, 0, tzinfo=UTC)
LONG_AGO = NOW - timedelta(minutes=1)


@pytest.fixture
async def workspace(database: Database) -> int:
    return (await SqlAccounts(database).create_workspace("Toko", "Jl. Mawar 1", NOW)).id


async def test_who_looks_for_work_where_there_is_none_does_not_write(database: Database, workspace: int) -> None:
    stores: tuple[Any, ...] = (
        SqlImports(database), SqlExports(database), SqlBulks(database), SqlHygiene(database))
    said: list[str] = []
    for engine in {database._reader.sync_engine, database._writer.sync_engine}:
        event.listen(engine, "before_cursor_execute", lambda _c, _u, statement, *_: said.append(statement))
    for store in stores:
        assert await store.claim(NOW, LONG_AGO) is None
    # On SQLite a write transaction is everybody's turn, whatever is done in it.
    assert len(said) >= len(stores)
    assert not [one for one in said if not one.startswith(("SELECT", "BEGIN")) or "FOR UPDATE" in one
                or one == "BEGIN IMMEDIATE"]


async def test_a_bulk_action_that_always_breaks_is_given_up(database: Database, workspace: int) -> None:
    bulks = SqlBulks(database)
    made = await bulks.create(workspace, NewBulk(BulkAction.SUPPRESS, Selection(), "ani", {"note": ""}), NOW)
    states = []
    while (claimed := await bulks.claim(NOW, LONG_AGO)) is not None:
        await bulks.stumble(claimed, "The disk was on fire.", NOW)
        states.append((await bulks.get(workspace, made.id)).state.value)
    assert states == ["queued", "queued", "failed"]
    given_up = await bulks.get(workspace, made.id)
    assert (given_up.error, given_up.finished_at) == ("The disk was on fire.", NOW)


async def test_a_hygiene_report_that_always_breaks_is_given_up_and_progress_counts(
    database: Database, workspace: int,
) -> None:
    hygiene = SqlHygiene(database)
    made = await hygiene.create(workspace, {}, NOW)
    for step in range(4):  # as long as it comes on, it may stumble
        claimed = await hygiene.claim(NOW, LONG_AGO)
        assert claimed is not None
        claimed = await hygiene.keep(claimed, (), step + 1, step + 1, NOW, phase="people")
        await hygiene.stumble(claimed, "The disk was on fire.", NOW)
    states = []
    while (again := await hygiene.claim(NOW, LONG_AGO)) is not None:
        await hygiene.stumble(again, "The disk was on fire.", NOW)
        states.append((await hygiene.get(workspace, made.id)).state.value)
    assert states == ["queued", "failed"]
