"""Imports in SQL: queued, claimed, and moved on chunk by chunk with the rows they bring, in one transaction."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Row, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from esp.adapters.sql.database import Database
from esp.adapters.sql.jobs import stumbled, take
from esp.adapters.sql.schema import import_rejects, imports, lists
from esp.adapters.sql.staging import Merging, Staging
from esp.adapters.sql.upsert import lock_list
from esp.errors import ConflictError, LeaseLostError, NotFoundError
from esp.model.ids import new_public_id
from esp.ports.contacts import Subscribing, Upserted
from esp.ports.imports import Comparison, Import, ImportChunk, ImportState, Reject, RejectRow, StagedForm, StagedRows


def _import_of(row: Row[Any]) -> Import:
    it = row._mapping
    return Import(**{name: it[name] for name in Import.__slots__ if name != "state"}, state=ImportState(it["state"]))


async def _read(connection: AsyncConnection, workspace_id: int, import_id: int) -> Import:
    found = await connection.execute(
        select(imports).where(imports.c.id == import_id, imports.c.workspace_id == workspace_id)
    )
    row = found.one_or_none()
    if row is None:
        raise NotFoundError("There is no such import.")
    return _import_of(row)


class SqlImports:
    """The port ``Imports`` on SQLite and PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @property
    def chunk_rows(self) -> int:
        # One transaction a chunk: a second or two, in which SQLite's other writers wait. A larger chunk touches each
        # page of the indexes fewer times, and that is most of the cost.
        return 25_000

    @property
    def form(self) -> StagedForm:
        return StagedForm.SQLITE if self._database.dialect == "sqlite" else StagedForm.COPY

    async def create(
        self, workspace_id: int, user_id: int | None, file_name: str, path: str, bytes_total: int, now: datetime,
    ) -> Import:
        async with self._database.write() as connection:
            made = await connection.execute(insert(imports).returning(imports.c.id), {
                "public_id": new_public_id(), "workspace_id": workspace_id, "user_id": user_id, "file_name": file_name,
                "path": path, "bytes_total": bytes_total, "created_at": now, "state": ImportState.UPLOADED.value,
                "mapping": {}, "options": {},
            })
            return await _read(connection, workspace_id, made.scalar_one())

    async def get(self, workspace_id: int, import_id: int) -> Import:
        async with self._database.read() as connection:
            return await _read(connection, workspace_id, import_id)

    async def page(self, workspace_id: int, before_id: int | None = None, limit: int = 50) -> tuple[Import, ...]:
        query = select(imports).where(imports.c.workspace_id == workspace_id)
        if before_id is not None:
            query = query.where(imports.c.id < before_id)
        async with self._database.read() as connection:
            rows = await connection.execute(query.order_by(imports.c.id.desc()).limit(limit))
            return tuple(_import_of(row) for row in rows)

    async def queue(
        self, workspace_id: int, import_id: int, list_id: int | None, mapping: Mapping[str, str],
        options: Mapping[str, Any], signature: str = "",
    ) -> Import:
        async with self._database.write() as connection:
            if list_id is not None:
                found = await connection.execute(
                    select(lists.c.id).where(lists.c.id == list_id, lists.c.workspace_id == workspace_id)
                )
                if found.scalar() is None:
                    raise NotFoundError("There is no such list.")
            changed = await connection.execute(
                update(imports)
                .values(state=ImportState.QUEUED.value, list_id=list_id, mapping=dict(mapping), options=dict(options),
                        signature=signature)
                .where(imports.c.id == import_id, imports.c.workspace_id == workspace_id,
                       imports.c.state == ImportState.UPLOADED.value)
            )
            current = await _read(connection, workspace_id, import_id)
            if changed.rowcount != 1:
                raise ConflictError(f"This import is {current.state} already; nothing was changed.")
            return current

    async def claim(self, now: datetime, stale_before: datetime) -> Import | None:
        async with take(self._database, imports, now, stale_before) as taken:
            return None if taken is None else await _read(taken.connection, taken.workspace_id, taken.id)

    async def apply(self, claimed: Import, chunk: ImportChunk, now: datetime) -> Import:
        of = imports.c
        async with self._database.bulk(chunk.rows.packed) as connection:
            # The cursor is the fence: whoever still believes in an older one writes nothing.
            moved = await connection.execute(
                update(imports)
                .where(of.id == claimed.id, of.workspace_id == claimed.workspace_id,
                       of.state == ImportState.RUNNING.value, of.bytes_read == claimed.bytes_read,
                       of.lines_read == claimed.lines_read)
                .values(bytes_read=chunk.bytes_read, lines_read=chunk.lines_read, rows_read=chunk.rows_read,
                        heartbeat_at=now)
            )
            if moved.rowcount != 1:
                raise LeaseLostError("Another process goes on with this import.")
            done = await self._merge(connection, claimed, chunk, now)
            if chunk.rejects:
                await connection.execute(insert(import_rejects), [
                    {"workspace_id": claimed.workspace_id, "import_id": claimed.id, "line": it.line,
                     "reason": it.reason, "row": it.row} for it in chunk.rejects
                ])
            await connection.execute(
                update(imports).where(of.id == claimed.id).values(
                    created=of.created + done.created, tries=0,
                    updated=of.updated + done.updated + chunk.repeated_changed,
                    unchanged=of.unchanged + done.unchanged + chunk.repeated_same, kept_out=of.kept_out + done.kept_out,
                    rejected=of.rejected + len(chunk.rejects),
                    **({"state": ImportState.DONE.value, "finished_at": now} if chunk.finished else {}),
                )
            )
            return await _read(connection, claimed.workspace_id, claimed.id)

    async def _merge(
        self, connection: AsyncConnection, claimed: Import, chunk: ImportChunk, now: datetime,
    ) -> Upserted:
        if not chunk.rows.count:
            return Upserted()
        source = f"import {claimed.file_name}"
        subscribing = None
        if claimed.list_id is not None:
            options = claimed.options
            subscribing = Subscribing(claimed.list_id, source, str(options.get("actor", "")),
                                      str(options.get("wording", "")), bool(options.get("resubscribe", False)))
            await lock_list(connection, claimed.workspace_id, claimed.list_id)
        staging = Staging(connection, self._database.dialect)
        await staging.fill(claimed.workspace_id, chunk.rows)
        return await staging.merge(chunk.rows, Merging(claimed.workspace_id, source, now, subscribing))

    async def compare(
        self, workspace_id: int, list_id: int | None, rows: StagedRows, resubscribe: bool,
    ) -> Comparison:
        # A temporary table is written beside the database, not into it: readers may, and nobody waits for us.
        if not rows.count:
            return Comparison()
        async with self._database.bulk(rows.packed, writes=False) as connection:
            staging = Staging(connection, self._database.dialect)
            await staging.fill(workspace_id, rows)
            new, changed, kept_out, some_new, some_changed = await staging.compare(list_id, resubscribe)
        return Comparison(new, changed, rows.count - new - changed, kept_out, tuple(some_new), tuple(some_changed))

    async def release(self, claimed: Import) -> None:
        async with self._database.write() as connection:
            await connection.execute(
                update(imports).values(state=ImportState.QUEUED.value)
                .where(imports.c.id == claimed.id, imports.c.workspace_id == claimed.workspace_id,
                       imports.c.state == ImportState.RUNNING.value, imports.c.bytes_read == claimed.bytes_read)
            )

    async def stumble(self, claimed: Import, error: str, now: datetime) -> Import:
        of = imports.c
        async with self._database.write() as connection:
            await connection.execute(
                update(imports)
                .where(of.id == claimed.id, of.workspace_id == claimed.workspace_id,
                       of.state == ImportState.RUNNING.value)
                .values(**stumbled(imports, error, now))
            )
            return await _read(connection, claimed.workspace_id, claimed.id)

    async def remembered(self, workspace_id: int, signature: str) -> Mapping[str, Any] | None:
        of = imports.c
        async with self._database.read() as connection:
            found = await connection.execute(
                select(of.mapping, of.options, of.list_id)
                .where(of.workspace_id == workspace_id, of.signature == signature,
                       of.state.not_in([ImportState.UPLOADED.value, ImportState.FAILED.value]))
                .order_by(of.id.desc()).limit(1)
            )
            row = found.one_or_none()
            return None if row is None else {"mapping": row.mapping, "options": row.options, "list_id": row.list_id}

    async def expired_files(self, before: datetime, limit: int = 100) -> tuple[tuple[int, str], ...]:
        of = imports.c
        ended = [ImportState.DONE.value, ImportState.FAILED.value, ImportState.UPLOADED.value]
        async with self._database.read() as connection:
            rows = await connection.execute(
                select(of.id, of.path)
                .where(of.path != "", of.state.in_(ended), func.coalesce(of.finished_at, of.created_at) < before)
                .order_by(of.id).limit(limit)
            )
            return tuple((row.id, row.path) for row in rows)

    async def forget_file(self, import_id: int) -> None:
        async with self._database.write() as connection:
            await connection.execute(update(imports).values(path="").where(imports.c.id == import_id))

    async def fail(self, claimed: Import, error: str, now: datetime) -> None:
        async with self._database.write() as connection:
            await connection.execute(
                update(imports).values(state=ImportState.FAILED.value, error=error, finished_at=now)
                .where(imports.c.id == claimed.id, imports.c.workspace_id == claimed.workspace_id,
                       imports.c.state.in_([ImportState.RUNNING.value, ImportState.UPLOADED.value]))
            )

    async def rejects(
        self, workspace_id: int, import_id: int, after_id: int = 0, limit: int = 1000,
    ) -> tuple[RejectRow, ...]:
        of = import_rejects.c
        async with self._database.read() as connection:
            await _read(connection, workspace_id, import_id)
            rows = await connection.execute(
                select(of.id, of.line, of.reason, of.row)
                .where(of.import_id == import_id, of.workspace_id == workspace_id, of.id > after_id)
                .order_by(of.id).limit(limit)
            )
            return tuple(RejectRow(row.id, Reject(row.line, row.reason, row.row)) for row in rows)
