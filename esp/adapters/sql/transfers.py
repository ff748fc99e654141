"""Transfers and their runs in SQL."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Row, delete, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from esp.adapters.sql.database import Database
from esp.adapters.sql.schema import transfer_runs, transfers
from esp.errors import NotFoundError
from esp.model.ids import new_public_id
from esp.model.schedule import Schedule
from esp.ports.transfers import Direction, NewTransfer, PlaceKind, Run, RunState, Transfer


def _transfer_of(row: Row[Any]) -> Transfer:
    it = row._mapping
    values: dict[str, Any] = {name: it[name] for name in Transfer.__slots__}
    values |= {"direction": Direction(it["direction"]), "kind": PlaceKind(it["kind"]),
               "schedule": Schedule.of(it["schedule"])}
    return Transfer(**values)


async def _read(connection: AsyncConnection, workspace_id: int, transfer_id: int) -> Transfer:
    found = await connection.execute(
        select(transfers).where(transfers.c.id == transfer_id, transfers.c.workspace_id == workspace_id))
    row = found.one_or_none()
    if row is None:
        raise NotFoundError("There is no such transfer.")
    return _transfer_of(row)


def _values(it: NewTransfer) -> dict[str, Any]:
    values = {"name": it.name, "direction": it.direction.value, "kind": it.kind.value, "place": dict(it.place),
              "options": dict(it.options), "schedule": it.schedule.plain()}
    return values if it.secret is None else {**values, "secret": it.secret}


class SqlTransfers:
    """The port ``Transfers`` on SQLite and PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, workspace_id: int, it: NewTransfer, next_at: datetime, now: datetime) -> Transfer:
        async with self._database.write() as connection:
            made = await connection.execute(insert(transfers).returning(transfers.c.id), {
                **_values(it), "workspace_id": workspace_id, "public_id": new_public_id(), "next_at": next_at,
                "created_at": now})
            return await _read(connection, workspace_id, made.scalar_one())

    async def change(self, workspace_id: int, transfer_id: int, it: NewTransfer, next_at: datetime) -> Transfer:
        async with self._database.write() as connection:
            await self._set(connection, workspace_id, transfer_id, {**_values(it), "next_at": next_at})
            return await _read(connection, workspace_id, transfer_id)

    async def _set(
        self, connection: AsyncConnection, workspace_id: int, transfer_id: int, values: Mapping[str, Any],
    ) -> None:
        await _read(connection, workspace_id, transfer_id)
        await connection.execute(update(transfers).values(**values).where(
            transfers.c.id == transfer_id, transfers.c.workspace_id == workspace_id))

    async def get(self, workspace_id: int, transfer_id: int) -> Transfer:
        async with self._database.read() as connection:
            return await _read(connection, workspace_id, transfer_id)

    async def page(self, workspace_id: int, after_id: int = 0, limit: int = 50) -> tuple[Transfer, ...]:
        of = transfers.c
        async with self._database.read() as connection:
            rows = await connection.execute(
                select(transfers).where(of.workspace_id == workspace_id, of.id > after_id).order_by(of.id).limit(limit))
            return tuple(_transfer_of(row) for row in rows)

    async def pause(self, workspace_id: int, transfer_id: int, at: datetime | None, next_at: datetime) -> None:
        async with self._database.write() as connection:
            await self._set(connection, workspace_id, transfer_id, {"paused_at": at, "next_at": next_at})

    async def hurry(self, workspace_id: int, transfer_id: int, now: datetime) -> None:
        async with self._database.write() as connection:
            await self._set(connection, workspace_id, transfer_id, {"next_at": now})

    async def delete(self, workspace_id: int, transfer_id: int) -> None:
        async with self._database.write() as connection:
            await _read(connection, workspace_id, transfer_id)
            await connection.execute(delete(transfer_runs).where(transfer_runs.c.transfer_id == transfer_id))
            await connection.execute(delete(transfers).where(transfers.c.id == transfer_id))

    # ---- runs

    async def due(self, now: datetime) -> tuple[int, int] | None:
        of = transfers.c
        async with self._database.read() as connection:
            found = await connection.execute(
                select(of.workspace_id, of.id)
                .where(of.next_at <= now, of.paused_at.is_(None), or_(of.running_until.is_(None),
                                                                      of.running_until < now))
                .order_by(of.next_at, of.id).limit(1))
            row = found.one_or_none()
            return None if row is None else (row.workspace_id, row.id)

    async def begin(
        self, transfer: Transfer, next_at: datetime, until: datetime, now: datetime,
    ) -> tuple[Transfer, int] | None:
        of, mine = transfers.c, transfer_runs.c
        async with self._database.write() as connection:
            taken = await connection.execute(
                update(transfers).values(next_at=next_at, running_until=until)
                .where(of.id == transfer.id, of.workspace_id == transfer.workspace_id, of.next_at == transfer.next_at,
                       or_(of.running_until.is_(None), of.running_until < now)))
            if taken.rowcount != 1:
                return None
            await connection.execute(
                update(transfer_runs).where(mine.transfer_id == transfer.id, mine.state == RunState.RUNNING.value)
                .values(state=RunState.FAILED.value, finished_at=now, error="It was interrupted and did not end."))
            made = await connection.execute(insert(transfer_runs).returning(mine.id), {
                "workspace_id": transfer.workspace_id, "transfer_id": transfer.id, "state": RunState.RUNNING.value,
                "started_at": now})
            return await _read(connection, transfer.workspace_id, transfer.id), made.scalar_one()

    async def end(
        self, transfer: Transfer, run_id: int, state: RunState, now: datetime, *, error: str = "", octets: int = 0,
        import_id: int | None = None, export_id: int | None = None,
    ) -> None:
        async with self._database.write() as connection:
            await connection.execute(
                update(transfer_runs)
                .where(transfer_runs.c.id == run_id, transfer_runs.c.workspace_id == transfer.workspace_id)
                .values(state=state.value, error=error, octets=octets, import_id=import_id, export_id=export_id,
                        finished_at=now))
            await connection.execute(update(transfers).values(running_until=None).where(
                transfers.c.id == transfer.id, transfers.c.running_until == transfer.running_until))

    async def runs(
        self, workspace_id: int, transfer_id: int, before_id: int | None = None, limit: int = 50,
    ) -> tuple[Run, ...]:
        of = transfer_runs.c
        query = select(transfer_runs).where(of.workspace_id == workspace_id, of.transfer_id == transfer_id)
        if before_id is not None:
            query = query.where(of.id < before_id)
        async with self._database.read() as connection:
            await _read(connection, workspace_id, transfer_id)
            rows = await connection.execute(query.order_by(of.id.desc()).limit(limit))
            return tuple(Run(row.id, row.transfer_id, RunState(row.state), row.error, row.octets, row.import_id,
                             row.export_id, row.started_at, row.finished_at) for row in rows)
