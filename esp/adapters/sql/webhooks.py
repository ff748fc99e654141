"""Webhook endpoints in SQL: a cursor each over the events, and what was tried."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import delete, func, insert, select, update

from esp.adapters.sql.api import event_of, events_of
from esp.adapters.sql.database import Database
from esp.adapters.sql.listening import horizon
from esp.adapters.sql.schema import event_folds, events, webhook_endpoints, webhook_tries
from esp.adapters.sql.upsert import insert_for
from esp.errors import NotFoundError
from esp.model.ids import new_public_id
from esp.ports.webhooks import Endpoint, Portion, Try

_NAME: Final = "webhooks"
#: Rows of the events' table that one portion may look at, so that an endpoint of rare events costs little.
_WINDOW: Final = 20_000


class SqlWebhooks:
    """The port ``Webhooks`` on SQLite and PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(
        self, workspace_id: int, url: str, secret: str, types: Sequence[str], now: datetime,
    ) -> Endpoint:
        """See ``Webhooks.add``."""
        async with self._database.write() as connection:
            newest = (await connection.execute(select(func.coalesce(func.max(events.c.id), 0)))).scalar_one()
            made = await connection.execute(insert(webhook_endpoints).returning(webhook_endpoints), {
                "public_id": new_public_id(), "workspace_id": workspace_id, "url": url, "secret": secret,
                "types": list(types), "cursor": newest, "next_at": now, "created_at": now})
            return _endpoint_of(made.one())

    async def all(self, workspace_id: int) -> tuple[Endpoint, ...]:
        """See ``Webhooks.all``."""
        of = webhook_endpoints.c
        async with self._database.read() as connection:
            return tuple(map(_endpoint_of, await connection.execute(
                select(webhook_endpoints).where(of.workspace_id == workspace_id).order_by(of.id))))

    async def get(self, workspace_id: int, public_id: str) -> Endpoint:
        """See ``Webhooks.get``."""
        of = webhook_endpoints.c
        async with self._database.read() as connection:
            row = (await connection.execute(select(webhook_endpoints).where(
                of.workspace_id == workspace_id, of.public_id == public_id.replace("\0", "")))).one_or_none()
        if row is None:
            raise NotFoundError("There is no such webhook.")
        return _endpoint_of(row)

    async def change(
        self, endpoint: Endpoint, url: str, types: Sequence[str], paused_at: datetime | None, reason: str,
        now: datetime,
    ) -> Endpoint:
        """See ``Webhooks.change``."""
        of = webhook_endpoints.c
        values: dict[str, Any] = {"url": url, "types": list(types), "paused_at": paused_at, "paused_reason": reason}
        if paused_at is None:
            values |= {"next_at": now, "tries": 0, "failing_since": None}
        async with self._database.write() as connection:
            made = await connection.execute(
                update(webhook_endpoints).where(of.id == endpoint.id, of.workspace_id == endpoint.workspace_id)
                .values(**values).returning(webhook_endpoints))
            return _endpoint_of(made.one())

    async def delete(self, workspace_id: int, endpoint_id: int) -> None:
        """See ``Webhooks.delete``."""
        of = webhook_endpoints.c
        async with self._database.write() as connection:
            await connection.execute(delete(webhook_tries).where(webhook_tries.c.endpoint_id == endpoint_id,
                                                                 webhook_tries.c.workspace_id == workspace_id))
            await connection.execute(
                delete(webhook_endpoints).where(of.id == endpoint_id, of.workspace_id == workspace_id))

    async def tries(
        self, workspace_id: int, endpoint_id: int, before_id: int | None = None, limit: int = 50,
    ) -> tuple[tuple[int, Try], ...]:
        """See ``Webhooks.tries``."""
        of = webhook_tries.c
        query = select(webhook_tries).where(of.workspace_id == workspace_id, of.endpoint_id == endpoint_id)
        if before_id is not None:
            query = query.where(of.id < before_id)
        async with self._database.read() as connection:
            rows = (await connection.execute(query.order_by(of.id.desc()).limit(limit))).all()
        return tuple((row.id, Try(row.event_id, row.at, row.milliseconds, row.status, row.answer)) for row in rows)

    async def replay(self, endpoint: Endpoint, since: datetime, now: datetime) -> None:
        """See ``Webhooks.replay``."""
        async with self._database.write() as connection:
            low, high = 0, endpoint.cursor  # ids grow as time does, near enough: the first event since, by halves
            while low < high:
                middle = (low + high) // 2
                at = (await connection.execute(
                    select(events.c.at).where(events.c.id > middle).order_by(events.c.id).limit(1))).scalar()
                if at is not None and at < since:
                    low = middle + 1
                else:
                    high = middle
            it, tried = webhook_endpoints.c, webhook_tries.c
            await connection.execute(
                update(webhook_tries).where(tried.endpoint_id == endpoint.id, tried.event_id > low).values(taken=False))
            await connection.execute(
                update(webhook_endpoints).where(it.id == endpoint.id, it.workspace_id == endpoint.workspace_id)
                .values(cursor=low, next_at=now))

    # ---- the dispatcher

    async def safe_until(self) -> int:
        """See ``Webhooks.safe_until``."""
        of = event_folds.c
        if self._database.dialect == "sqlite":
            async with self._database.read() as connection:
                return int((await connection.execute(select(func.coalesce(func.max(events.c.id), 0)))).scalar_one())
        async with self._database.write() as connection:
            newest, oldest_writer, next_writer = await horizon(connection, self._database.dialect)
            await connection.execute(insert_for(self._database.dialect, event_folds).values(
                name=_NAME, cursor=0, ahead=0, mark=0).on_conflict_do_nothing())
            place = (await connection.execute(select(event_folds).where(of.name == _NAME).with_for_update())).one()
            # Every writer who may have held an id up to ``ahead`` has ended: none below it can appear any more.
            safe = place.ahead if 0 < place.mark <= oldest_writer else place.cursor
            further = {"ahead": newest, "mark": next_writer} if newest > place.ahead and (
                not place.mark or safe == place.ahead) else {}
            if safe != place.cursor or further:
                await connection.execute(update(event_folds).where(of.name == _NAME).values(cursor=safe, **further))
            return int(safe)

    async def due(self, now: datetime, safe: int, limit: int = 500) -> tuple[Endpoint, ...]:
        """See ``Webhooks.due``."""
        of = webhook_endpoints.c
        async with self._database.read() as connection:
            return tuple(map(_endpoint_of, await connection.execute(
                select(webhook_endpoints).where(of.paused_at.is_(None), of.next_at <= now, of.cursor < safe)
                .order_by(of.next_at, of.id).limit(limit))))

    async def portion(self, endpoint: Endpoint, safe: int, limit: int) -> Portion:
        """See ``Webhooks.portion``."""
        of, tried = events.c, webhook_tries.c
        until = min(safe, endpoint.cursor + _WINDOW)
        taken = select(tried.event_id).where(
            tried.endpoint_id == endpoint.id, tried.taken, tried.event_id > endpoint.cursor, tried.event_id <= until)
        query = events_of(endpoint.workspace_id).where(
            of.id > endpoint.cursor, of.id <= until, of.id.not_in(taken)).order_by(of.id).limit(limit)
        if endpoint.types:
            query = query.where(of.type.in_(endpoint.types))
        async with self._database.read() as connection:
            found = tuple(map(event_of, await connection.execute(query)))
        return Portion(found, found[-1].id if len(found) == limit else until)

    async def settle(
        self, endpoint: Endpoint, tries: Sequence[Try], until: int | None, next_at: datetime, now: datetime,
        pause: str = "",
    ) -> None:
        """See ``Webhooks.settle``."""
        of = webhook_endpoints.c
        values: dict[str, Any] = {"next_at": next_at}
        if until is not None:
            values |= {"cursor": until, "tries": 0, "failing_since": None}
        else:
            values |= {"tries": of.tries + 1, "failing_since": func.coalesce(of.failing_since, now)}
        if pause:
            values |= {"paused_at": now, "paused_reason": pause}
        async with self._database.write() as connection:
            if tries:
                await connection.execute(insert(webhook_tries), [
                    {"workspace_id": endpoint.workspace_id, "endpoint_id": endpoint.id, "event_id": one.event_id,
                     "at": one.at, "milliseconds": one.milliseconds, "status": one.status, "answer": one.answer,
                     "taken": one.good} for one in tries])
            # Where somebody asked for a replay meanwhile, that one's cursor stands.
            await connection.execute(
                update(webhook_endpoints).where(of.id == endpoint.id, of.cursor == endpoint.cursor).values(**values))

    async def forget_tries(self, before: datetime, limit: int = 1000) -> int:
        """See ``Webhooks.forget_tries``."""
        of = webhook_tries.c
        async with self._database.write() as connection:
            old = (await connection.execute(
                select(of.id).where(of.at < before).order_by(of.id).limit(limit))).scalars().all()
            if old:
                await connection.execute(delete(webhook_tries).where(of.id.in_(old)))
            return len(old)


def _endpoint_of(row: Any) -> Endpoint:
    return Endpoint(row.id, row.public_id, row.workspace_id, row.url, row.secret, tuple(row.types), row.cursor,
                    row.tries, row.failing_since, row.next_at, row.created_at, row.paused_at, row.paused_reason)
