"""What the stores answer to another workspace about people, suppressions, exports and transfers: nothing of ours."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import Table, insert, select

from esp.adapters.sql.database import Database
from esp.adapters.sql.exports import SqlExports
from esp.adapters.sql.people_store import SqlPeople
from esp.adapters.sql.schema import (
    contact_changes,
    contact_notes,
    contact_tags,
    contacts,
    exports,
    lists,
    suppression_changes,
    suppressions,
    tags,
    transfer_runs,
    transfers,
    workspaces,
)
from esp.adapters.sql.suppressions import SqlSuppressions
from esp.adapters.sql.transfers import SqlTransfers
from esp.errors import NotFoundError
from esp.model.contact import SuppressionReason
from esp.model.schedule import Every, Schedule
from esp.ports.people_suppressions import NewBar

NOW = datetime(2026, 11, 22, tzinfo=UTC)
MINE, THEIRS = 1, 2
#: One row of each, all with number 1, in workspace 1.
ROWS: tuple[tuple[Table, dict[str, Any]], ...] = (
    (lists, {"id": 1, "public_id": "l", "name": "News", "handle": "news", "created_at": NOW}),
    (contacts, {"id": 1, "public_id": "c", "email": "ani@a.example", "email_key": "ani@a.example", "created_at": NOW,
                "updated_at": NOW}),
    (tags, {"id": 1, "name": "vip", "name_key": "vip"}),
    (contact_tags, {"tag_id": 1, "contact_id": 1}),
    (contact_notes, {"id": 1, "contact_id": 1, "text": "rang", "at": NOW}),
    (contact_changes, {"id": 1, "contact_id": 1, "kind": "edited", "at": NOW}),
    (suppressions, {"id": 1, "email_key": "ani@a.example", "reason": "manual", "created_at": NOW}),
    (suppression_changes, {"id": 1, "email_key": "ani@a.example", "action": "added", "reason": "manual", "at": NOW}),
    (exports, {"id": 1, "public_id": "e", "what": "contacts", "format": "csv", "state": "done", "created_at": NOW}),
    (transfers, {"id": 1, "public_id": "t", "name": "Sync", "direction": "import", "kind": "url", "created_at": NOW,
                 "schedule": Schedule(Every.DAY).plain()}),
    (transfer_runs, {"id": 1, "transfer_id": 1, "state": "done", "started_at": NOW}),
)


class Stores:
    def __init__(self, database: Database) -> None:
        self.people, self.bars = SqlPeople(database), SqlSuppressions(database)
        self.exports, self.transfers = SqlExports(database), SqlTransfers(database)


Asking = Callable[[Stores, int], Awaitable[Any]]
#: What finds something in workspace 1 and must find nothing in workspace 2.
READS: dict[str, Asking] = {
    "tags": lambda it, ws: it.people.tags(ws),
    "tags of a contact": lambda it, ws: it.people.tags_of(ws, [1]),
    "notes": lambda it, ws: it.people.notes(ws, 1),
    "suppressions": lambda it, ws: it.bars.search(ws),
    "suppressions by prefix": lambda it, ws: it.bars.search(ws, "ani"),
    "suppressions to export": lambda it, ws: it.bars.after(ws, 0),
    "suppressions' log": lambda it, ws: it.bars.changes(ws),
    "exports": lambda it, ws: it.exports.page(ws),
    "transfers": lambda it, ws: it.transfers.page(ws),
    "transfers' log": lambda it, ws: it.transfers.runs(ws, 1),
}
#: What changes something, and must say to workspace 2 that there is no such thing, or do nothing.
CHANGES: dict[str, Asking] = {
    "rename a tag": lambda it, ws: it.people.rename_tag(ws, 1, "other"),
    "delete a tag": lambda it, ws: it.people.delete_tag(ws, 1),
    "tag": lambda it, ws: it.people.tag(ws, 1, 1, "x", NOW),
    "untag": lambda it, ws: it.people.untag(ws, 1, 1, "x", NOW),
    "add a note": lambda it, ws: it.people.add_note(ws, 1, "x", "y", NOW),
    "edit a note": lambda it, ws: it.people.edit_note(ws, 1, 1, "y", NOW),
    "delete a note": lambda it, ws: it.people.delete_note(ws, 1, 1),
    "record a change": lambda it, ws: it.people.record_change(ws, 1, "edited", "x", {}, NOW),
    "save a contact": lambda it, ws: it.people.save(ws, 1, {"city": "Solo"}, {}, "x", NOW),
    "read a suppression": lambda it, ws: it.bars.get(ws, 1),
    "remove a suppression": lambda it, ws: it.bars.remove(ws, 1, "x", NOW),
    "suppress for a list": lambda it, ws: it.bars.add(
        ws, [NewBar("b@b.example", SuppressionReason.MANUAL, list_id=1)], "x", NOW),
    "read an export": lambda it, ws: it.exports.get(ws, 1),
    "read a transfer": lambda it, ws: it.transfers.get(ws, 1),
    "pause a transfer": lambda it, ws: it.transfers.pause(ws, 1, NOW, NOW),
    "run a transfer": lambda it, ws: it.transfers.hurry(ws, 1, NOW),
    "delete a transfer": lambda it, ws: it.transfers.delete(ws, 1),
}


@pytest.fixture
async def stores(sqlite_database: Database) -> Stores:
    async with sqlite_database.write() as connection:
        await connection.execute(insert(workspaces), [
            {"id": one, "public_id": f"w{one}", "name": "W", "created_at": NOW} for one in (MINE, THEIRS)])
        for table, values in ROWS:
            await connection.execute(insert(table).values(workspace_id=MINE, **values))
    return Stores(sqlite_database)


def found(answer: Any) -> int:
    return len(getattr(answer, "bars", answer))


@pytest.mark.parametrize("name", READS)
async def test_another_workspace_sees_nothing(stores: Stores, name: str) -> None:
    assert found(await READS[name](stores, MINE)) == 1
    try:
        assert found(await READS[name](stores, THEIRS)) == 0
    except NotFoundError:  # the log of what is not theirs
        assert "log" in name


@pytest.mark.parametrize("name", CHANGES)
async def test_another_workspace_changes_nothing(stores: Stores, sqlite_database: Database, name: str) -> None:
    async def everything() -> list[Any]:
        async with sqlite_database.read() as connection:
            return [(await connection.execute(select(table))).all() for table, _ in ROWS]

    before = await everything()
    try:
        answer = await CHANGES[name](stores, THEIRS)
    except NotFoundError:
        answer = None
    assert answer in (None, False), "something of ours was answered"
    assert await everything() == before


async def test_a_suppression_elsewhere_is_none_here(stores: Stores) -> None:
    assert await stores.bars.add(MINE, [NewBar("ani@a.example")], "x", NOW) == 0, "it was there"
    assert await stores.bars.add(THEIRS, [NewBar("ani@a.example")], "x", NOW) == 1
