"""Every address with a number in it, asked for a row that exists, but in another workspace: as good as not there.

The rows are made from the schema and the addresses taken from the router, so that a new table or a new page is asked
about without anybody thinking of it here.
"""

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import JSON, Boolean, Column, Float, Integer, LargeBinary, Table, insert, select

from admin_ui.pages import ALL
from esp.adapters.sql.database import Database
from esp.adapters.sql.schema import Instant, metadata
from tests.admin_house import House, admin_house

THEIRS = 4242
NUMBER = re.compile(r"\{(\w+):\\d\+\}")


@pytest.fixture
async def house(sqlite_database: Database, tmp_path: Path) -> AsyncIterator[House]:
    async with admin_house(sqlite_database, tmp_path) as house:
        yield house


def value(column: Column[Any], house: House) -> Any:
    """Something that the column takes; it is never read by the right code."""
    if isinstance(column.type, Instant):
        return house.clock.now()
    if isinstance(column.type, JSON):
        return {}
    if isinstance(column.type, Boolean):
        return False
    if isinstance(column.type, Integer | Float):
        return 1
    text = f"theirs-{column.name}"
    return text.encode() if isinstance(column.type, LargeBinary) else text


def row(table: Table, house: House, there: int, user: int) -> dict[str, Any]:
    """One row of the other workspace with the number that will be asked for."""
    found: dict[str, Any] = {}
    for column in table.columns:
        parents = {key.column.table.name for key in column.foreign_keys}
        if column.name == "workspace_id":
            found[column.name] = there
        elif parents:
            if not column.nullable:
                found[column.name] = user if parents == {"users"} else THEIRS
        elif column.name == "id":
            found[column.name] = THEIRS
        elif not column.nullable and column.server_default is None:
            found[column.name] = value(column, house)
    return found


async def test_nothing_with_a_number_is_there_for_another_workspace(
    house: House, sqlite_database: Database
) -> None:
    await house.owner()
    other = await house.second_workspace()
    there = (await house.app.store.accounts.workspaces_of(other.user.id))[0].id
    tables = [table for table in metadata.sorted_tables if {"workspace_id", "id"} <= set(table.columns.keys())]
    async with sqlite_database.write() as connection:
        for table in tables:
            await connection.execute(insert(table), row(table, house, there, other.user.id))

    async def everything() -> dict[str, Any]:
        async with sqlite_database.read() as connection:
            return {table.name: (await connection.execute(select(table).where(table.c.id == THEIRS))).all()
                    for table in tables}

    before = await everything()
    browser = await house.logged_in()
    token = await browser.token("/settings/account")
    wrong = []
    asked = 0
    for route in (route for routes in ALL for route in routes.all):
        if not NUMBER.search(route.path) or "workspace_id" in route.path:
            continue
        asked += 1
        path = re.sub(r"\{\w+:[^}]*\}", "unknown", NUMBER.sub(str(THEIRS), route.path))
        answer = await (browser.get(path) if route.method == "GET" else browser.post(path, {
            "csrf": token, "name": "taken over", "label": "taken over", "text": "taken over", "tag": "taken",
            "version": "1", "email": "a@x.example"}))
        if answer.status != 404 or "theirs-" in browser.last:
            wrong.append((route.method, path, answer.status))
    assert wrong == []
    assert asked > 40
    assert await everything() == before
