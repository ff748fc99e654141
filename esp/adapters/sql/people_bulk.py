"""Bulk actions in SQL: queued, claimed, done chunk by chunk by contact id with a log, and undone by the log."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Row, and_, exists, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from esp.adapters.sql.bulk_apply import Done, apply_chunk, undo_chunk
from esp.adapters.sql.bulk_selection import selected
from esp.adapters.sql.database import Database
from esp.adapters.sql.jobs import stumbled, take
from esp.adapters.sql.schema import bulk_actions, bulk_changes, contacts, lists
from esp.adapters.sql.tags import read_tag
from esp.errors import ConflictError, LeaseLostError, NotFoundError
from esp.model.ids import new_public_id
from esp.ports.people_bulk import OVER, Bulk, BulkAction, BulkLine, BulkState, NewBulk, Selection

_undo = bulk_actions.alias("undo")
_undone_by = (
    select(func.max(_undo.c.id)).where(_undo.c.undo_of == bulk_actions.c.id).scalar_subquery().label("undone_by"))


def _bulk_of(row: Row[Any]) -> Bulk:
    named = dict(row._mapping)
    named.pop("heartbeat_at")
    named.pop("tries")
    return Bulk(**{**named, "action": BulkAction(row.action), "state": BulkState(row.state),
                   "selection": Selection.from_json(row.selection)})


async def _read(connection: AsyncConnection, workspace_id: int, bulk_id: int) -> Bulk:
    of = bulk_actions.c
    row = (await connection.execute(
        select(bulk_actions, _undone_by).where(of.id == bulk_id, of.workspace_id == workspace_id))).one_or_none()
    if row is None:
        raise NotFoundError("There is no such action.")
    return _bulk_of(row)


class SqlBulks:
    """The port ``Bulks`` on SQLite and PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def count(self, workspace_id: int, selection: Selection, most: int, now: datetime) -> int:
        """See ``Bulks.count``."""
        some = select(contacts.c.id).where(*selected(selection, workspace_id, now)).limit(most).subquery()
        async with self._database.read() as connection:
            return int(await connection.scalar(select(func.count()).select_from(some)) or 0)

    async def addresses(
        self, workspace_id: int, selection: Selection, now: datetime, after_id: int = 0, limit: int = 1000,
    ) -> Sequence[int]:
        """See ``Bulks.addresses``."""
        async with self._database.read() as connection:
            found = await connection.execute(
                select(contacts.c.id)
                .where(*selected(selection, workspace_id, now, each=True), contacts.c.id > after_id)
                .order_by(contacts.c.id).limit(limit))
            return list(found.scalars())

    async def create(self, workspace_id: int, new: NewBulk, now: datetime) -> Bulk:
        """See ``Bulks.create``."""
        async with self._database.write() as connection:
            for list_id in (new.selection.list_id, new.arguments.get("list_id")):
                if list_id is not None and await connection.scalar(select(lists.c.id).where(
                        lists.c.id == list_id, lists.c.workspace_id == workspace_id)) is None:
                    raise NotFoundError("There is no such list.")
            for tag_id in (new.selection.tag_id, new.arguments.get("tag_id")):
                if tag_id is not None:
                    await read_tag(connection, workspace_id, tag_id)
            until = await connection.scalar(
                select(func.max(contacts.c.id)).where(contacts.c.workspace_id == workspace_id))
            return await self._insert(connection, workspace_id, {
                "actor": new.actor, "action": new.action.value, "arguments": dict(new.arguments),
                "selection": new.selection.as_json(), "until": until or 0, "created_at": now})

    async def create_undo(self, workspace_id: int, bulk_id: int, actor: str, now: datetime) -> Bulk:
        """See ``Bulks.create_undo``."""
        async with self._database.write() as connection:
            # Locked, so that of two who ask at once one finds the other's.
            await connection.execute(select(bulk_actions.c.id).where(bulk_actions.c.id == bulk_id).with_for_update())
            it = await _read(connection, workspace_id, bulk_id)
            if not it.can_be_undone:
                raise ConflictError("This action cannot be undone, or it was undone already.")
            return await self._insert(connection, workspace_id, {
                "actor": actor, "action": it.action.value, "arguments": dict(it.arguments), "selection": {},
                "until": it.until, "undo_of": it.id, "created_at": now})

    async def _insert(self, connection: AsyncConnection, workspace_id: int, values: dict[str, Any]) -> Bulk:
        made = await connection.execute(
            insert(bulk_actions).returning(bulk_actions.c.id),
            {"public_id": new_public_id(), "workspace_id": workspace_id, **values})
        return await _read(connection, workspace_id, made.scalar_one())

    async def get(self, workspace_id: int, bulk_id: int) -> Bulk:
        """See ``Bulks.get``."""
        async with self._database.read() as connection:
            return await _read(connection, workspace_id, bulk_id)

    async def newest(self, workspace_id: int, before_id: int | None = None, limit: int = 50) -> tuple[Bulk, ...]:
        """See ``Bulks.newest``."""
        of = bulk_actions.c
        query = select(bulk_actions, _undone_by).where(of.workspace_id == workspace_id)
        if before_id is not None:
            query = query.where(of.id < before_id)
        async with self._database.read() as connection:
            return tuple(map(_bulk_of, await connection.execute(query.order_by(of.id.desc()).limit(limit))))

    async def log(self, workspace_id: int, bulk_id: int, after_id: int = 0, limit: int = 50) -> tuple[BulkLine, ...]:
        """See ``Bulks.log``."""
        of, person = bulk_changes.c, contacts.c
        async with self._database.read() as connection:
            rows = await connection.execute(
                select(of.contact_id, of.before, person.email, person.first_name, person.last_name)
                .outerjoin(contacts, and_(person.id == of.contact_id, person.workspace_id == of.workspace_id))
                .where(of.bulk_id == bulk_id, of.workspace_id == workspace_id, of.contact_id > after_id)
                .order_by(of.contact_id).limit(limit))
            return tuple(BulkLine(row.contact_id, row.email or "",
                                  f"{row.first_name or ''} {row.last_name or ''}".strip(), row.before) for row in rows)

    async def cancel(self, workspace_id: int, bulk_id: int, now: datetime) -> None:
        """See ``Bulks.cancel``."""
        of = bulk_actions.c
        async with self._database.write() as connection:
            await _read(connection, workspace_id, bulk_id)
            await connection.execute(
                update(bulk_actions).where(of.id == bulk_id, of.state.not_in([state.value for state in OVER]))
                .values(state=BulkState.CANCELLED.value, finished_at=now))

    async def claim(self, now: datetime, stale_before: datetime) -> Bulk | None:
        """See ``Bulks.claim``."""
        async with take(self._database, bulk_actions, now, stale_before) as taken:
            return None if taken is None else await _read(taken.connection, taken.workspace_id, taken.id)

    async def step(self, claimed: Bulk, now: datetime, limit: int) -> Bulk:
        """See ``Bulks.step``. Who comes next is looked up outside the transaction, which on SQLite holds up writers."""
        of = bulk_actions.c
        if claimed.undo_of is not None:
            before = await self._changed_by(claimed, limit)
            ids = list(before)
        else:
            before = {}
            async with self._database.read() as connection:
                found = await connection.execute(
                    select(contacts.c.id)
                    .where(*selected(claimed.selection, claimed.workspace_id, now, each=True),
                           contacts.c.id > claimed.cursor,
                           contacts.c.id <= claimed.until)
                    .order_by(contacts.c.id).limit(limit))
                ids = list(found.scalars())
        async with self._database.write() as connection:
            there = (await connection.execute(
                select(of.id).where(of.id == claimed.id, of.state == BulkState.RUNNING.value,
                                    of.cursor == claimed.cursor, of.seen == claimed.seen).with_for_update())).first()
            if there is None:
                raise LeaseLostError("The action was stopped, or another process goes on with it.")
            done = await self._do(connection, claimed, ids, before, now) if ids else Done()
            if done.before and claimed.action is not BulkAction.DELETE:
                await connection.execute(insert(bulk_changes), [
                    {"workspace_id": claimed.workspace_id, "bulk_id": claimed.id, "contact_id": contact_id,
                     "before": text} for contact_id, text in done.before.items()])
            ended = {"state": BulkState.DONE.value, "finished_at": now} if len(ids) < limit else {}
            await connection.execute(update(bulk_actions).where(of.id == claimed.id).values(
                cursor=ids[-1] if ids else claimed.until, seen=of.seen + len(ids),
                changed=of.changed + len(done.before), kept=of.kept + done.kept, heartbeat_at=now, tries=0, **ended))
            return await _read(connection, claimed.workspace_id, claimed.id)

    async def _do(
        self, connection: AsyncConnection, claimed: Bulk, ids: Sequence[int], before: dict[int, str], now: datetime,
    ) -> Done:
        dialect = self._database.dialect
        if "tag_id" in claimed.arguments:  # it may have been deleted meanwhile
            await read_tag(connection, claimed.workspace_id, int(claimed.arguments["tag_id"]))
        if claimed.undo_of is None:
            return await apply_chunk(connection, dialect, claimed, ids, now)
        original = await _read(connection, claimed.workspace_id, claimed.undo_of)
        return await undo_chunk(connection, dialect, claimed, original, before, now)

    async def _changed_by(self, claimed: Bulk, limit: int) -> dict[int, str]:
        """The next people of the log that is being undone, those who are still there."""
        of = bulk_changes.c
        async with self._database.read() as connection:
            rows = await connection.execute(
                select(of.contact_id, of.before)
                .where(of.bulk_id == claimed.undo_of, of.contact_id > claimed.cursor,
                       exists().where(contacts.c.id == of.contact_id,
                                      contacts.c.workspace_id == claimed.workspace_id))
                .order_by(of.contact_id).limit(limit))
            return {row.contact_id: row.before for row in rows}

    async def release(self, claimed: Bulk) -> None:
        """See ``Bulks.release``."""
        of = bulk_actions.c
        async with self._database.write() as connection:
            await connection.execute(
                update(bulk_actions).where(of.id == claimed.id, of.state == BulkState.RUNNING.value)
                .values(state=BulkState.QUEUED.value))

    async def fail(self, claimed: Bulk, error: str, now: datetime) -> None:
        """See ``Bulks.fail``."""
        of = bulk_actions.c
        async with self._database.write() as connection:
            await connection.execute(
                update(bulk_actions).where(of.id == claimed.id, of.state == BulkState.RUNNING.value)
                .values(state=BulkState.FAILED.value, error=error, finished_at=now))

    async def stumble(self, claimed: Bulk, error: str, now: datetime) -> None:
        """See ``Bulks.stumble``."""
        of = bulk_actions.c
        async with self._database.write() as connection:
            await connection.execute(
                update(bulk_actions).where(of.id == claimed.id, of.state == BulkState.RUNNING.value)
                .values(**stumbled(bulk_actions, error, now)))
