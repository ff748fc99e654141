"""Suppressions in SQL, for the team's screens: found by prefix, added in bulk, removed with a record."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import delete, insert, or_, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from esp.adapters.sql.database import Database
from esp.adapters.sql.schema import lists, suppression_changes, suppressions
from esp.errors import InputError, NotFoundError
from esp.model.contact import SuppressionReason
from esp.ports.people_suppressions import Bar, BarChange, BarPage, NewBar

_LAST = "\U0010ffff"
_ALL = select(
    suppressions.c.id, suppressions.c.email_key, suppressions.c.reason, suppressions.c.list_id, suppressions.c.note,
    suppressions.c.created_at, suppressions.c.expires_at, lists.c.name,
).outerjoin(lists, lists.c.id == suppressions.c.list_id)


def _bar_of(row: Any) -> Bar:
    return Bar(row.id, row.email_key, SuppressionReason(row.reason), row.list_id, row.name or "", row.note,
               row.created_at, row.expires_at)


def _read_place(after: str | None) -> tuple[int, str]:
    """Id and key of the last one shown."""
    number, _, key = (after or "").partition(".")
    if after is not None and not (number.isascii() and number.isdigit() and len(number) < 19 and "\0" not in key):
        raise InputError("This page of suppressions does not exist.")
    return int(number or 0), key


async def _check_lists(connection: AsyncConnection, workspace_id: int, rows: Sequence[NewBar]) -> None:
    wanted = {row.list_id for row in rows if row.list_id is not None}
    if wanted:
        found = await connection.execute(
            select(lists.c.id).where(lists.c.workspace_id == workspace_id, lists.c.id.in_(sorted(wanted))))
        if wanted - set(found.scalars()):
            raise NotFoundError("There is no such list.")


class SqlSuppressions:
    """The port ``Suppressions`` on SQLite and PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def search(
        self, workspace_id: int, prefix: str = "", reason: SuppressionReason | None = None,
        list_id: int | None = None, after: str | None = None, limit: int = 50,
    ) -> BarPage:
        """See ``Suppressions.search``."""
        of = suppressions.c
        query = _ALL.where(of.workspace_id == workspace_id)
        key = prefix.replace("\0", "").strip().casefold()
        number, last = _read_place(after)
        if reason is not None:
            query = query.where(of.reason == reason.value)
        if list_id is not None:
            query = query.where(of.list_id == list_id)
        if key:
            query = query.where(of.email_key >= key, of.email_key < key + _LAST)
            if after is not None:
                query = query.where(tuple_(of.email_key, of.id) > (last, number))
            query = query.order_by(of.email_key, of.id)
        else:
            query = (query.where(of.id < number) if after is not None else query).order_by(of.id.desc())
        async with self._database.read() as connection:
            rows = (await connection.execute(query.limit(limit + 1))).all()
        bars = tuple(map(_bar_of, rows[:limit]))
        return BarPage(bars, f"{bars[-1].id}.{bars[-1].key}" if len(rows) > limit else None)

    async def add(
        self, workspace_id: int, rows: Sequence[NewBar], actor: str, now: datetime, action: str = "added",
    ) -> int:
        """See ``Suppressions.add``."""
        of = suppressions.c
        async with self._database.write() as connection:
            await _check_lists(connection, workspace_id, rows)
            found = await connection.execute(
                select(of.email_key, of.reason, of.list_id).where(
                    of.workspace_id == workspace_id, of.email_key.in_(sorted({row.key for row in rows})),
                    or_(of.expires_at.is_(None), of.expires_at > now)))
            there = {tuple(row) for row in found}
            new: dict[tuple[Any, ...], NewBar] = {}
            for row in rows:
                mark = (row.key, row.reason.value, row.list_id)
                if mark not in there:
                    new.setdefault(mark, row)
            if new:
                await connection.execute(insert(suppressions), [
                    {"workspace_id": workspace_id, "email_key": row.key, "reason": row.reason.value,
                     "list_id": row.list_id, "note": row.note, "created_at": now, "expires_at": row.expires_at}
                    for row in new.values()])
                await connection.execute(insert(suppression_changes), [
                    {"workspace_id": workspace_id, "at": now, "action": action, "email_key": row.key,
                     "reason": row.reason.value, "list_id": row.list_id, "actor": actor, "note": row.note}
                    for row in new.values()])
            return len(new)

    async def remove(self, workspace_id: int, suppression_id: int, actor: str, now: datetime) -> Bar:
        """See ``Suppressions.remove``."""
        async with self._database.write() as connection:
            it = await self._read(connection, workspace_id, suppression_id)
            await connection.execute(delete(suppressions).where(suppressions.c.id == it.id))
            await connection.execute(insert(suppression_changes), {
                "workspace_id": workspace_id, "at": now, "action": "removed", "email_key": it.key,
                "reason": it.reason.value, "list_id": it.list_id, "actor": actor, "note": it.note})
            return it

    async def get(self, workspace_id: int, suppression_id: int) -> Bar:
        """See ``Suppressions.get``."""
        async with self._database.read() as connection:
            return await self._read(connection, workspace_id, suppression_id)

    async def _read(self, connection: AsyncConnection, workspace_id: int, suppression_id: int) -> Bar:
        of = suppressions.c
        row = (await connection.execute(
            _ALL.where(of.id == suppression_id, of.workspace_id == workspace_id))).one_or_none()
        if row is None:
            raise NotFoundError("There is no such suppression.")
        return _bar_of(row)

    async def changes(self, workspace_id: int, before_id: int | None = None, limit: int = 50) -> tuple[BarChange, ...]:
        """See ``Suppressions.changes``."""
        of = suppression_changes.c
        query = select(suppression_changes).where(of.workspace_id == workspace_id)
        if before_id is not None:
            query = query.where(of.id < before_id)
        async with self._database.read() as connection:
            return tuple(BarChange(row.id, row.at, row.action, row.email_key, row.reason, row.actor, row.note)
                         for row in await connection.execute(query.order_by(of.id.desc()).limit(limit)))

    async def after(self, workspace_id: int, after_id: int, limit: int = 1000) -> tuple[Bar, ...]:
        """See ``Suppressions.after``."""
        of = suppressions.c
        async with self._database.read() as connection:
            return tuple(map(_bar_of, await connection.execute(
                _ALL.where(of.workspace_id == workspace_id, of.id > after_id).order_by(of.id).limit(limit))))
