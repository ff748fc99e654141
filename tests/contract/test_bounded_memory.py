"""What a database connection keeps for itself does not grow with a campaign: caches, prepared statements, threads."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event, select, text
from sqlalchemy.pool import Pool

from esp.adapters.sql.among import among
from esp.adapters.sql.database import Database
from esp.adapters.sql.ledger import SqlLedger
from esp.adapters.sql.schema import deliveries
from esp.model.delivery import EventType, NewEvent
from tests.sending import BEGAN, seed


@contextmanager
def statements() -> Iterator[set[str]]:
    """What is sent to any database meanwhile, each text once."""
    seen: set[str] = set()

    def note(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        seen.add(statement)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        event.remove(Engine, "before_cursor_execute", note)


@pytest.mark.parametrize("count", [0, 1, 3, 40])
async def test_many_ids_are_found_by_one_parameter(database: Database, count: int) -> None:
    sending = await seed(database, [f"p{number}@a.example" for number in range(41)])
    wanted = list(sending.deliveries[:count])
    async with database.read() as connection:
        query = select(deliveries.c.id).where(among(connection, deliveries.c.id, wanted))
        assert sorted((await connection.execute(query)).scalars()) == wanted


async def test_outcomes_of_any_number_are_recorded_by_the_same_statements(database: Database) -> None:
    sending = await seed(database, [f"p{number}@a.example" for number in range(60)])
    ledger = SqlLedger(database)
    ids = iter(sending.deliveries)
    used: list[set[str]] = []
    for count in (2, 3, 17, 30):
        with statements() as seen:
            await ledger.apply([
                NewEvent(EventType.DELIVERED, BEGAN, sending.workspace_id, delivery_id=next(ids), detail={"attempt": 1})
                for _ in range(count)
            ])
        used.append(seen)
    assert used[0]
    assert all(seen == used[0] for seen in used)


@pytest.mark.parametrize(("sending", "most_kib"), [(True, 6_000), (False, 18_000)])
async def test_sqlite_keeps_few_pages_whatever_goes_on_at_once(tmp_path: Path, sending: bool, most_kib: int) -> None:
    database = Database(f"sqlite:///{tmp_path / 'test.db'}", pool_size=10, sending=sending)
    caches: dict[int, int] = {}  # KiB by connection

    def note(raw: Any, _record: Any) -> None:
        cursor = raw.cursor()
        cursor.execute("PRAGMA cache_size")
        caches[id(raw)] = -cursor.fetchone()[0]
        cursor.close()

    async def read() -> None:
        async with database.read() as connection:
            await connection.execute(text("SELECT 1"))

    event.listen(Pool, "checkin", note)
    try:
        async with database.write(), asyncio.TaskGroup() as readers:
            for _ in range(40):
                readers.create_task(read())
    finally:
        event.remove(Pool, "checkin", note)
        await database.close()
    assert len(caches) >= 2
    assert all(kib > 0 for kib in caches.values())  # a negative setting is KiB, a positive one a number of pages
    assert sum(caches.values()) <= most_kib
