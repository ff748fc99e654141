"""Exports in SQL: queued, claimed, their rows read by key, and how much of them is safely in a file."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, Row, exists, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from esp.adapters.sql.bulk_selection import selected
from esp.adapters.sql.database import Database
from esp.adapters.sql.jobs import stumbled, take
from esp.adapters.sql.schema import consents, contact_tags, contacts, exports, lists, subscriptions, tags
from esp.adapters.sql.segment_sql import matching
from esp.adapters.sql.tags import read_tag
from esp.errors import LeaseLostError, NotFoundError
from esp.model.contact import SubscriptionState
from esp.model.ids import new_public_id
from esp.model.segment_json import parse_rule
from esp.ports.contacts import STANDARD_FIELDS
from esp.ports.exports import Export, ExportFormat, ExportKind, ExportRows, ExportState
from esp.ports.people_bulk import Selection

MAX_TRIES = 3  # without progress in between


def _export_of(row: Row[Any]) -> Export:
    it = row._mapping
    values: dict[str, Any] = {name: it[name] for name in Export.__slots__}
    values |= {"what": ExportKind(it["what"]), "format": ExportFormat(it["format"]), "state": ExportState(it["state"])}
    return Export(**values)


async def _read(connection: AsyncConnection, workspace_id: int, export_id: int) -> Export:
    found = await connection.execute(
        select(exports).where(exports.c.id == export_id, exports.c.workspace_id == workspace_id)
    )
    row = found.one_or_none()
    if row is None:
        raise NotFoundError("There is no such export.")
    return _export_of(row)


class SqlExports:
    """The port ``Exports`` on SQLite and PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(
        self, workspace_id: int, user_id: int | None, what: ExportKind, form: ExportFormat, options: Mapping[str, Any],
        now: datetime, transfer_id: int | None = None,
    ) -> Export:
        table = consents if what is ExportKind.CONSENTS else contacts
        async with self._database.write() as connection:
            chosen = options.get("selection") or {}
            for list_id in (options.get("list_id"), chosen.get("list_id")):
                if list_id is not None and await connection.scalar(select(lists.c.id).where(
                        lists.c.id == list_id, lists.c.workspace_id == workspace_id)) is None:
                    raise NotFoundError("There is no such list.")
            if chosen.get("tag_id") is not None:
                await read_tag(connection, workspace_id, chosen["tag_id"])
            until = (await connection.execute(
                select(func.max(table.c.id)).where(table.c.workspace_id == workspace_id))).scalar() or 0
            made = await connection.execute(insert(exports).returning(exports.c.id), {
                "public_id": new_public_id(), "workspace_id": workspace_id, "user_id": user_id, "what": what.value,
                "format": form.value, "state": ExportState.QUEUED.value, "options": dict(options), "until_id": until,
                "transfer_id": transfer_id, "created_at": now,
            })
            return await _read(connection, workspace_id, made.scalar_one())

    async def get(self, workspace_id: int, export_id: int) -> Export:
        async with self._database.read() as connection:
            return await _read(connection, workspace_id, export_id)

    async def page(self, workspace_id: int, before_id: int | None = None, limit: int = 50) -> tuple[Export, ...]:
        query = select(exports).where(exports.c.workspace_id == workspace_id)
        if before_id is not None:
            query = query.where(exports.c.id < before_id)
        async with self._database.read() as connection:
            rows = await connection.execute(query.order_by(exports.c.id.desc()).limit(limit))
            return tuple(_export_of(row) for row in rows)

    async def claim(self, now: datetime, stale_before: datetime, export_id: int | None = None) -> Export | None:
        only = None if export_id is None else exports.c.id == export_id
        async with take(self._database, exports, now, stale_before, only) as taken:
            return None if taken is None else await _read(taken.connection, taken.workspace_id, taken.id)

    async def advance(self, claimed: Export, after_id: int, octets: int, rows: int, now: datetime) -> Export:
        of = exports.c
        async with self._database.write() as connection:
            moved = await connection.execute(
                update(exports)
                .where(of.id == claimed.id, of.workspace_id == claimed.workspace_id,
                       of.state == ExportState.RUNNING.value, of.after_id == claimed.after_id,
                       of.octets == claimed.octets)
                .values(after_id=after_id, octets=octets, rows_written=claimed.rows_written + rows, heartbeat_at=now,
                        tries=0))
            if moved.rowcount != 1:
                raise LeaseLostError("Another process goes on with this export.")
            return await _read(connection, claimed.workspace_id, claimed.id)

    async def finish(self, claimed: Export, path: str, now: datetime) -> Export:
        return await self._set(claimed, {"state": ExportState.DONE.value, "path": path, "finished_at": now,
                                         "error": ""})

    async def release(self, claimed: Export) -> None:
        await self._set(claimed, {"state": ExportState.QUEUED.value})

    async def stumble(self, claimed: Export, error: str, now: datetime) -> Export:
        return await self._set(claimed, stumbled(exports, error, now))

    async def _set(self, claimed: Export, values: Mapping[str, Any]) -> Export:
        async with self._database.write() as connection:
            await connection.execute(
                update(exports).values(**values)
                .where(exports.c.id == claimed.id, exports.c.workspace_id == claimed.workspace_id,
                       exports.c.state == ExportState.RUNNING.value))
            return await _read(connection, claimed.workspace_id, claimed.id)

    async def expired_files(self, before: datetime, limit: int = 100) -> tuple[tuple[int, str], ...]:
        of = exports.c
        async with self._database.read() as connection:
            rows = await connection.execute(
                select(of.id, of.path).where(of.path != "", of.finished_at < before).order_by(of.id).limit(limit))
            return tuple((row.id, row.path) for row in rows)

    async def forget_file(self, export_id: int) -> None:
        async with self._database.write() as connection:
            await connection.execute(update(exports).values(path="").where(exports.c.id == export_id))

    # ---- rows

    async def rows(self, export: Export, limit: int, now: datetime) -> ExportRows:
        async with self._database.read() as connection:
            if export.what is ExportKind.CONTACTS:
                return await self._contacts(connection, export, limit, now)
            return await self._of_contacts(connection, export, limit, now)

    def _chosen(self, export: Export, now: datetime) -> list[ColumnElement[bool]]:
        """Which contacts: all of the workspace, or a list's, or a segment's, or those who were chosen by hand."""
        chosen = [contacts.c.workspace_id == export.workspace_id]
        if export.options.get("selection"):
            chosen = selected(Selection.from_json(export.options["selection"]), export.workspace_id, now, each=True)
        if export.options.get("segment"):
            local = now.astimezone(ZoneInfo(str(export.options.get("zone", "UTC"))))
            chosen.append(matching(parse_rule(export.options["segment"]), export.workspace_id, local, each=True))
        if export.options.get("list_id") is not None and export.what is ExportKind.CONTACTS:
            it = subscriptions.c
            chosen.append(exists(select(it.contact_id).where(
                it.list_id == export.options["list_id"], it.contact_id == contacts.c.id,
                it.state == SubscriptionState.SUBSCRIBED.value)))
        return chosen

    async def _contacts(self, connection: AsyncConnection, export: Export, limit: int, now: datetime) -> ExportRows:
        of = contacts.c
        found = (await connection.execute(
            select(of.id, of.email, *(of[name] for name in STANDARD_FIELDS), of.fields, of.source, of.created_at)
            .where(*self._chosen(export, now), of.id > export.after_id, of.id <= export.until_id)
            .order_by(of.id).limit(limit))).all()
        ids = [row.id for row in found]
        worn: dict[int, list[str]] = {}
        if ids:
            for contact_id, name in await connection.execute(
                select(contact_tags.c.contact_id, tags.c.name).join(tags, tags.c.id == contact_tags.c.tag_id)
                .where(contact_tags.c.contact_id.in_(ids)).order_by(contact_tags.c.contact_id, tags.c.name_key)
            ):
                worn.setdefault(contact_id, []).append(name)
        rows = [{"email": row.email, **{name: row._mapping[name] for name in STANDARD_FIELDS},
                 "tags": worn.get(row.id, []), "source": row.source, "created_at": row.created_at,
                 "fields": row.fields} for row in found]
        return ExportRows(rows, ids[-1] if ids else export.until_id, len(ids) == limit)

    async def _of_contacts(self, connection: AsyncConnection, export: Export, limit: int, now: datetime) -> ExportRows:
        """Subscriptions by contact, consents by their own key; contacts by hundreds, for each has several."""
        consent = export.what is ExportKind.CONSENTS
        it = (consents if consent else subscriptions).c
        chosen = [*self._chosen(export, now), it.workspace_id == export.workspace_id]
        if export.options.get("list_id") is not None:
            chosen.append(it.list_id == export.options["list_id"])
        key = it.id if consent else contacts.c.id
        columns = (
            [it.action, it.at, it.source, it.actor, it.ip, it.user_agent, it.wording]
            if consent else [it.state, it.changed_at])
        last = export.until_id
        if not consent:
            page = select(contacts.c.id).where(
                contacts.c.workspace_id == export.workspace_id, contacts.c.id > export.after_id,
                contacts.c.id <= export.until_id).order_by(contacts.c.id).limit(limit)
            ids = (await connection.execute(page)).scalars().all()
            last = ids[-1] if ids else export.until_id
            more = len(ids) == limit
        query = (
            select(key.label("key"), contacts.c.email, lists.c.name.label("list"), *columns)
            .select_from((consents if consent else subscriptions)
                         .join(contacts, contacts.c.id == it.contact_id).outerjoin(lists, lists.c.id == it.list_id))
            .where(*chosen, key > export.after_id, key <= last).order_by(key, it.list_id))
        found = (await connection.execute(query.limit(limit) if consent else query)).all()
        if consent:
            more = len(found) == limit
            last = found[-1].key if found else export.until_id
        # A column's name is a kind of str of SQLAlchemy's own, which JSON does not take for a key.
        rows = [{str(name): value for name, value in row._mapping.items() if name != "key"} for row in found]
        return ExportRows(rows, last, more)
