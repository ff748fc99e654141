"""What pages count is counted no further than they say, and lists that grow are read along an index."""

from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import event, insert, text

from esp.adapters.sql import preferences
from esp.adapters.sql.database import Database
from esp.adapters.sql.preferences import SqlPreferences
from esp.adapters.sql.schema import topics, workspaces
from esp.adapters.sql.suppressions import SqlSuppressions
from esp.model.contact import SuppressionReason

NOW = datetime(2026, 11, 22, tzinfo=UTC)
_PEOPLE = """
INSERT INTO contacts (public_id, workspace_id, email, email_key, domain, created_at, updated_at)
SELECT 'c' || n, 1, 'p' || n, 'p' || n, 'x.example', '2026-11-22 00:00:00', '2026-11-22 00:00:00' FROM {series}"""
_CHOICES = """
INSERT INTO contact_topics (contact_id, topic_id, workspace_id, frequency)
SELECT id, 1, 1, CASE WHEN id % 5 = 0 THEN 'weekly' WHEN id % 5 = 1 THEN 'daily' ELSE 'none' END FROM contacts"""
_BARRED = """
INSERT INTO suppressions (workspace_id, email_key, reason, created_at)
SELECT 1, email_key, CASE WHEN id % 1000 = 7 THEN 'complaint' ELSE 'manual' END, created_at FROM contacts"""


async def populate(database: Database, people: int) -> None:
    series = (f"generate_series(1, {people}) AS n" if database.dialect == "postgresql" else
              f"(WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < {people}) SELECT n FROM s)")
    async with database.write() as connection:
        await connection.execute(insert(workspaces).values(id=1, public_id="w", name="Toko", created_at=NOW))
        await connection.execute(insert(topics), [
            {"id": one, "public_id": f"t{one}", "workspace_id": 1, "name": f"T{one}", "created_at": NOW}
            for one in (1, 2)])
        for statement in (_PEOPLE.format(series=series), _CHOICES, _BARRED):
            await connection.execute(text(statement))
        if database.dialect == "postgresql":
            await connection.execute(text("ANALYZE"))


async def test_topics_are_counted_as_far_as_is_said(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    await populate(database, 100)
    found = {one.name: (one.declined, one.gathered) for one in await SqlPreferences(database).topics(1)}
    assert found == {"T1": (60, 40), "T2": (0, 0)}
    monkeypatch.setattr(preferences, "MOST_COUNTED", 45)
    assert {(one.declined, one.gathered) for one in await SqlPreferences(database).topics(1)} == {(46, 40), (0, 0)}


@pytest.mark.parametrize("reason", [None, SuppressionReason.COMPLAINT])
async def test_a_page_of_suppressions_sorts_nobody(database: Database, reason: SuppressionReason | None) -> None:
    await populate(database, 5000)
    seen: list[tuple[str, Any]] = []

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_rest: Any) -> None:
        seen.append((statement, parameters))

    engine = database._reader.sync_engine
    event.listen(engine, "before_cursor_execute", note)
    page = await SqlSuppressions(database).search(1, reason=reason, limit=3)
    event.remove(engine, "before_cursor_execute", note)
    assert len(page.bars) == 3
    how = "EXPLAIN QUERY PLAN " if database.dialect == "sqlite" else "EXPLAIN "
    async with database.read() as connection:
        for statement, parameters in seen:
            if "FROM suppressions" in statement:
                rows = await connection.exec_driver_sql(how + statement, parameters)
                plan = "\n".join(str(tuple(row)) for row in rows)
                assert not any(word in plan for word in ("TEMP B-TREE", "Sort", "Seq Scan on suppressions")), plan
