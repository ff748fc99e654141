"""Searching contacts for what few have: never a walk past everybody, and the same pages as such a walk would give."""

from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import event, insert, text

from esp.adapters.sql import search
from esp.adapters.sql.contacts import SqlContacts
from esp.adapters.sql.database import Database
from esp.adapters.sql.schema import contact_tags, lists, subscriptions, tags, workspaces
from esp.model.contact import SubscriptionState

NOW = datetime(2026, 11, 22, tzinfo=UTC)
_MANY = """
INSERT INTO contacts (public_id, workspace_id, email, email_key, name_key, last_name_key, domain, created_at,
                      updated_at)
SELECT 'c' || n, 1, 'p' || n || '@x.example', 'p' || n || '@x.example', 'putri ' || n, 'p' || (n % 97), 'x.example',
       '2026-11-22 00:00:00', '2026-11-22 00:00:00' FROM {series}"""
_ALL_ON = """
INSERT INTO subscriptions (workspace_id, list_id, contact_id, state, changed_at)
SELECT 1, 1, id, CASE WHEN id % 50000 = 7 THEN 'pending' ELSE 'subscribed' END, '2026-11-22 00:00:00' FROM contacts"""


async def populate(database: Database, people: int, tagged: range) -> SqlContacts:
    """People p1, p2, ... on list 1, of whom very few wait for a confirmation; tag 1 on few, tag 2 on everybody."""
    series = (f"generate_series(1, {people}) AS n" if database.dialect == "postgresql" else
              f"(WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < {people}) SELECT n FROM s)")
    async with database.write() as connection:
        await connection.execute(insert(workspaces).values(id=1, public_id="w", name="Toko", created_at=NOW))
        await connection.execute(insert(lists).values(
            id=1, public_id="l", workspace_id=1, name="News", handle="news", created_at=NOW))
        await connection.execute(insert(tags), [
            {"id": one, "workspace_id": 1, "name": f"t{one}", "name_key": f"t{one}"} for one in (1, 2)])
        await connection.execute(text(_MANY.format(series=series)))
        await connection.execute(text(_ALL_ON))
        await connection.execute(insert(contact_tags), [
            {"workspace_id": 1, "tag_id": 1, "contact_id": one} for one in tagged])
        await connection.execute(text(
            "INSERT INTO contact_tags (workspace_id, tag_id, contact_id) SELECT 1, 2, id FROM contacts"))
    if database.dialect == "postgresql":
        async with database.write() as connection:
            await connection.execute(text("ANALYZE"))
    return SqlContacts(database)


@pytest.mark.parametrize("demand", [
    {"tag_id": 1, "prefix": "p"}, {"tag_id": 1, "state": SubscriptionState.PENDING},
    {"state": SubscriptionState.PENDING}, {"state": SubscriptionState.PENDING, "prefix": "p"},
    {"list_id": 1, "state": SubscriptionState.PENDING, "prefix": "p"},
    {"list_id": 1, "state": SubscriptionState.PENDING}, {"list_id": 1, "tag_id": 1}, {"tag_id": 1},
    {"prefix": "p1"}, {"tag_id": 2, "prefix": "p"}, {},
], ids=str)
async def test_no_plan_goes_past_everybody(database: Database, demand: dict[str, Any]) -> None:
    store = await populate(database, 20_000 if demand else 2_000, range(7, 20_000 if demand else 2_000, 900))
    seen: list[tuple[str, Any]] = []
    engine = database._reader.sync_engine

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_rest: Any) -> None:
        seen.append((statement, parameters))

    event.listen(engine, "before_cursor_execute", note)
    page = await store.search(1, limit=20, **demand)
    event.remove(engine, "before_cursor_execute", note)
    assert page.contacts or demand.get("tag_id") == 1
    rare = demand.get("tag_id") == 1 or demand.get("state") is not None
    how = "EXPLAIN QUERY PLAN " if database.dialect == "sqlite" else "EXPLAIN "
    async with database.read() as connection:
        for statement, parameters in seen:
            if not statement.startswith("SELECT"):
                continue
            plan = "\n".join(str(tuple(row)) for row in await connection.exec_driver_sql(how + statement, parameters))
            for word in ("SCAN contacts", "SCAN subscriptions", "Seq Scan on contacts", "Seq Scan on subscriptions"):
                assert word not in plan, plan
            walks = any(index in plan for index in ("email_key", "name_key"))
            assert not (rare and walks and "tags.name" not in plan), f"{statement}\n{plan}"


async def test_few_are_found_as_many_would_be(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    store = await populate(database, 300, range(3, 300, 7))
    async with database.write() as connection:
        await connection.execute(subscriptions.update().where(subscriptions.c.contact_id % 5 == 0).values(
            state="unsubscribed"))
    asked: list[dict[str, Any]] = [
        {"tag_id": 1, "prefix": "p"}, {"tag_id": 1, "prefix": "p1"}, {"tag_id": 1, "prefix": "putri 2"},
        {"state": SubscriptionState.UNSUBSCRIBED}, {"state": SubscriptionState.UNSUBSCRIBED, "tag_id": 1},
        {"list_id": 1, "tag_id": 1, "prefix": "P"}, {"list_id": 1, "tag_id": 1}, {"tag_id": 1, "prefix": "q"},
        {"list_id": 1, "state": SubscriptionState.UNSUBSCRIBED, "prefix": "p2"},
    ]

    async def pages(demand: dict[str, Any]) -> list[list[int]]:
        found, after = [], None
        while True:
            page = await store.search(1, after=after, limit=9, **demand)
            found.append([one.id for one in page.contacts])
            after = page.next
            if after is None:
                return found

    small = [await pages(demand) for demand in asked]
    monkeypatch.setattr(search, "_FEW", -1)
    assert [await pages(demand) for demand in asked] == small
    assert sum(len(page) for page in small[0]) == 43
    assert small[7] == [[]]
