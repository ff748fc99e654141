"""The port Imports on both databases."""

from datetime import UTC, datetime, timedelta

import pytest

from esp.adapters.sql.accounts import SqlAccounts
from esp.adapters.sql.contacts import SqlContacts
from esp.adapters.sql.database import Database
from esp.adapters.sql.imports import SqlImports
from esp.audience.csv_handover import pack
from esp.errors import ConflictError, LeaseLostError, NotFoundError
from esp.ports.imports import STAGED_COLUMNS, ImportChunk, ImportState, Reject, StagedRow, StagedRows

NOW = datetime(2026, 11, 21, 3, 0, tzinfo=UTC)


def person(
    email: str, fields: str = "{}", standing: int = 0, tags: str = "", proof: str = "", **standard: str,
) -> StagedRow:
    row = {"email_key": email.casefold(), "email": email, "domain": email.rpartition("@")[2], "fields": fields,
           "standing": standing, "tags": tags, "proof": proof, **standard}
    for name in ("first", "last"):
        if f"{name}_name" in standard:
            row[f"{name}_key"] = standard[f"{name}_name"].casefold()
    return tuple(row.get(name) for name in STAGED_COLUMNS)


@pytest.fixture
async def workspace(database: Database) -> int:
    return (await SqlAccounts(database).create_workspace("Toko", "Jl. Mawar 1", NOW)).id


@pytest.fixture
def contacts(database: Database) -> SqlContacts:
    return SqlContacts(database)


@pytest.fixture
def imports(database: Database) -> SqlImports:
    return SqlImports(database)


async def test_an_import_is_claimed_once_until_its_heartbeat_is_old(imports: SqlImports, workspace: int) -> None:
    made = await imports.create(workspace, None, "people.csv", "imports/x", 100, NOW)
    long_ago = NOW - timedelta(minutes=1)
    assert await imports.claim(NOW, long_ago) is None
    await imports.queue(workspace, made.id, None, {"Email": "email"}, {})
    with pytest.raises(ConflictError):
        await imports.queue(workspace, made.id, None, {}, {})
    claimed = await imports.claim(NOW, long_ago)
    assert claimed is not None
    assert claimed.state is ImportState.RUNNING
    assert await imports.claim(NOW, long_ago) is None
    later = NOW + timedelta(minutes=5)
    again = await imports.claim(later, later - timedelta(minutes=1))
    assert again is not None
    assert again.id == claimed.id


async def test_an_import_moves_its_cursor_with_its_rows_and_only_from_where_it_is(
    contacts: SqlContacts, imports: SqlImports, workspace: int,
) -> None:
    news = await contacts.create_list(workspace, "News", "news", "", NOW)
    made = await imports.create(workspace, None, "people.csv", "imports/x", 100, NOW)
    await imports.queue(workspace, made.id, news.id, {"Email": "email"}, {"wording": "yes"})
    claimed = await imports.claim(NOW, NOW)
    assert claimed is not None
    rejects = [Reject(3, "The address has no @.", "nobody")]
    chunk = ImportChunk(pack([person("a@x.example")], imports.form), rejects, 60, 3, 2, finished=False)
    moved = await imports.apply(claimed, chunk, NOW)
    assert (moved.bytes_read, moved.created, moved.rejected) == (60, 1, 1)
    with pytest.raises(LeaseLostError):
        await imports.apply(claimed, chunk, NOW)
    done = await imports.apply(moved, ImportChunk(StagedRows(), [], 100, 3, 2, finished=True), NOW)
    assert done.state is ImportState.DONE
    assert [row.reject for row in await imports.rejects(workspace, made.id)] == rejects
    assert (await contacts.get_list(workspace, news.id)).subscribed == 1


async def test_an_import_of_another_workspace_cannot_be_reached(
    database: Database, imports: SqlImports, workspace: int,
) -> None:
    stranger = (await SqlAccounts(database).create_workspace("Other", "", NOW)).id
    made = await imports.create(workspace, None, "people.csv", "imports/x", 100, NOW)
    for attempt in (imports.get(stranger, made.id), imports.queue(stranger, made.id, None, {}, {}),
                    imports.rejects(stranger, made.id)):
        with pytest.raises(NotFoundError):
            await attempt
    assert await imports.page(stranger) == ()
