"""Work that waits in a table and is done by one process at a time: taken up, taken over, and given up after some tries.

The tables have ``state`` (queued, running, failed and ends of their own), ``heartbeat_at``, ``started_at``,
``finished_at``, ``error``, and ``tries``: how often something unexpected happened since the work last moved on.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, Final, NamedTuple

from sqlalchemy import ColumnElement, Table, and_, case, func, or_, select, true, update
from sqlalchemy.ext.asyncio import AsyncConnection

from esp.adapters.sql.database import Database

MAX_TRIES: Final = 3
_QUEUED: Final = "queued"
_RUNNING: Final = "running"
_FAILED: Final = "failed"


class Taken(NamedTuple):
    """A job that is ours now, within the transaction that makes it so."""

    connection: AsyncConnection
    workspace_id: int
    id: int


@asynccontextmanager
async def take(
    database: Database, table: Table, now: datetime, stale_before: datetime, only: ColumnElement[bool] | None = None,
) -> AsyncIterator[Taken | None]:
    """The oldest job that is queued, or running with a heartbeat older than ``stale_before``, now running; or None.

    It is asked for every second, and mostly there is none: so the look is a read, and nobody's turn to write is taken.
    """
    of = table.c
    waiting = (
        select(of.id, of.workspace_id)
        .where(or_(of.state == _QUEUED, and_(of.state == _RUNNING, of.heartbeat_at < stale_before)),
               true() if only is None else only)
        .order_by(of.id).limit(1)
    )
    async with database.read() as connection:
        there = (await connection.execute(waiting)).first() is not None
    if not there:
        yield None
        return
    async with database.write() as connection:
        row = (await connection.execute(waiting.with_for_update(skip_locked=True))).first()
        if row is None:
            yield None
            return
        await connection.execute(update(table).where(of.id == row.id).values(
            state=_RUNNING, heartbeat_at=now, started_at=func.coalesce(of.started_at, now)))
        yield Taken(connection, row.workspace_id, row.id)


def stumbled(table: Table, error: str, now: datetime) -> dict[str, Any]:
    """What a running job's row becomes when something unexpected happened: queued once more, or after the last try
    failed. What it has done until then stays."""
    last = table.c.tries + 1 >= MAX_TRIES
    return {"tries": table.c.tries + 1, "error": error, "state": case((last, _FAILED), else_=_QUEUED),
            "finished_at": case((last, now), else_=None)}
