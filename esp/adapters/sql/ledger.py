"""The ledger in SQL: read where the deliveries stand, fold, write what follows; all in bulk and in one transaction."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

import orjson
from sqlalchemy import bindparam, exists, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from esp.adapters.sql.among import among
from esp.adapters.sql.database import Database
from esp.adapters.sql.digests import keep_back
from esp.adapters.sql.schema import deliveries, suppressions
from esp.events.fold import MARK_COLUMNS, MOVING, Folded, Standing, TallyKey, fold
from esp.model.delivery import OPEN_STATES, DeliveryState, EventType, NewEvent
from esp.ports.ledger import NewSuppression

# SQLite before 3.32 takes 999 values a statement.
_CHUNK: Final = 500
_WITHOUT_ZONE: Final = len("2026-11-22 03:04:05.678901")
_STATES: Final = {state.value: state for state in DeliveryState}
_NO_MARKS: Final = frozenset[str]()
_Item = TypeVar("_Item")
_EVENT_COLUMNS: Final = (
    "workspace_id", "type", "at", "campaign_id", "delivery_id", "contact_id", "variant_id", "link_index", "provider",
    "agent", "ip", "user_agent", "detail",
)

# The statements below are run on the driver itself: through SQLAlchemy's per-row parameter processing they cost
# twice the time, and they are run for every message.
_MOVE_SQLITE: Final = """
UPDATE deliveries SET state = ?, reason = ?, reply_code = ?, reply = ?, ended_at = ?, attempts = max(attempts, ?),
       maybe_duplicate = max(maybe_duplicate, ?), batch_id = CASE WHEN ? THEN NULL ELSE batch_id END WHERE id = ?"""
_MOVE_POSTGRES: Final = """
UPDATE deliveries AS d SET state = v.state, reason = v.reason, reply_code = v.code, reply = v.reply,
       ended_at = v.ended_at, attempts = greatest(d.attempts, v.attempt),
       maybe_duplicate = d.maybe_duplicate OR v.dup, batch_id = CASE WHEN v.ended THEN NULL ELSE d.batch_id END
FROM unnest($1::text[], $2::text[], $3::int[], $4::text[], $5::timestamptz[], $6::int[], $7::bool[], $8::bool[],
            $9::bigint[]) AS v(state, reason, code, reply, ended_at, attempt, dup, ended, id)
WHERE d.id = v.id"""
EVENT_SQLITE: Final = (
    f"INSERT INTO events ({', '.join(_EVENT_COLUMNS)}) VALUES ({', '.join('?' * len(_EVENT_COLUMNS))})"  # noqa: S608
)


_TALLY_INSERT: Final = "INSERT INTO tallies (workspace_id, campaign_id, dimension, member, metric, n)"
_TALLY_CONFLICT: Final = """ON CONFLICT (workspace_id, campaign_id, dimension, member, metric)
DO UPDATE SET n = tallies.n + excluded.n"""
TALLY_SQLITE: Final = f"{_TALLY_INSERT} VALUES (?, ?, ?, ?, ?, ?) {_TALLY_CONFLICT}"
_TALLY_POSTGRES: Final = f"""{_TALLY_INSERT} SELECT * FROM unnest(
$1::bigint[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::bigint[]) {_TALLY_CONFLICT}"""  # noqa: S608


def chunked(items: Sequence[_Item]) -> Iterable[Sequence[_Item]]:
    """``items`` in slices that fit one statement."""
    return (items[start : start + _CHUNK] for start in range(0, len(items), _CHUNK))


def sqlite_instant(at: datetime | None) -> str | None:
    """A moment as SQLAlchemy keeps it on SQLite, for statements that go past it."""
    if at is None:
        return None
    return (at if at.tzinfo is UTC else at.astimezone(UTC)).isoformat(" ", "microseconds")[:_WITHOUT_ZONE]


class SqlLedger:
    """Ledger over SQLite or PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def apply(self, events: Sequence[NewEvent], suppressions: Sequence[NewSuppression] = ()) -> int:
        """See ``esp.ports.ledger.Ledger.apply``."""
        if not events and not suppressions:
            return 0
        async with self._database.write() as connection:
            applied = await append_events(connection, self._database.dialect, events)
            await append_suppressions(connection, suppressions)
        return applied


async def append_events(connection: AsyncConnection, dialect: str, events: Sequence[NewEvent]) -> int:
    """``Ledger.apply`` without suppressions, within the caller's write transaction; returns how many were applied."""
    ids = sorted({event.delivery_id for event in events if event.delivery_id is not None})
    # Most events move a delivery and mark nothing: then there is half as much to read.
    wanted = MARK_COLUMNS if any(event.type not in MOVING for event in events) else ()
    folded = fold(await _standings(connection, ids, wanted), events)
    await _write_moves(connection, dialect, folded)
    await _write_marks(connection, folded)
    await write_events(connection, dialect, folded.events)
    await add_tallies(connection, dialect, folded.tallies)
    await keep_back(connection, dialect, folded.events)
    return len(folded.events)


async def _standings(
    connection: AsyncConnection, ids: Sequence[int], wanted: Sequence[str]
) -> dict[int, Standing]:
    """Where the deliveries stand, locked in the order of their ids, so that two of us never wait for each other."""
    table = deliveries.c
    marks = [table[column].is_not(None).label(column) for column in wanted]
    columns = (table.id, table.workspace_id, table.campaign_id, table.contact_id, table.variant_id, table.provider,
               table.state, *marks)
    standings: dict[int, Standing] = {}
    for some in chunked(ids):
        rows = await connection.execute(
            select(*columns).where(among(connection, table.id, some)).order_by(table.id).with_for_update()
        )
        for row in rows:
            delivery_id, workspace_id, campaign_id, contact_id, variant_id, provider, state, *marked = row
            standings[delivery_id] = Standing(
                workspace_id, campaign_id, contact_id, variant_id, provider, _STATES[state],
                frozenset(column for column, is_set in zip(wanted, marked, strict=True) if is_set) or _NO_MARKS,
            )
    return standings


async def _write_moves(connection: AsyncConnection, dialect: str, folded: Folded) -> None:
    rows: list[tuple[Any, ...]] = []
    for delivery_id, event in folded.moves.items():
        detail = event.detail or {}
        ended = event.type is not EventType.DEFERRED
        assert not ended or _STATES[event.type.value] not in OPEN_STATES
        rows.append((event.type.value, str(detail.get("reason", "")), int(detail.get("code", 0)),
                     str(detail.get("reply", "")), event.at if ended else None, int(detail.get("attempt", 0)),
                     bool(detail.get("maybe_duplicate", False)), ended, delivery_id))
    if not rows:
        return
    if dialect == "sqlite":
        await connection.exec_driver_sql(
            _MOVE_SQLITE, [(*row[:4], sqlite_instant(row[4]), *row[5:]) for row in rows]
        )
    else:
        await connection.exec_driver_sql(_MOVE_POSTGRES, tuple(list(column) for column in zip(*rows, strict=True)))


async def _write_marks(connection: AsyncConnection, folded: Folded) -> None:
    for column, firsts in folded.marks.items():
        if firsts:
            statement = deliveries.update().where(deliveries.c.id == bindparam("delivery"))
            await connection.execute(
                statement.values({column: bindparam("first")}),
                [{"delivery": delivery_id, "first": at} for delivery_id, at in sorted(firsts.items())],
            )


async def write_events(connection: AsyncConnection, dialect: str, events: Sequence[NewEvent]) -> None:
    """Append facts as they are, within the caller's write transaction: such as move nothing and count nowhere."""
    if not events:
        return
    rows = event_rows(events, dialect)
    if dialect == "sqlite":
        await connection.exec_driver_sql(EVENT_SQLITE, rows)
    else:
        raw = await connection.get_raw_connection()
        assert raw.driver_connection is not None
        await raw.driver_connection.copy_records_to_table("events", records=rows, columns=_EVENT_COLUMNS)


def event_rows(events: Iterable[NewEvent], dialect: str) -> list[tuple[Any, ...]]:
    """``events`` as the driver takes them, in the order of the columns of ``EVENT_SQLITE``."""
    return [
        (event.workspace_id, event.type.value, sqlite_instant(event.at) if dialect == "sqlite" else event.at,
         event.campaign_id, event.delivery_id, event.contact_id, event.variant_id, event.link_index, event.provider,
         event.agent, event.ip, event.user_agent, orjson.dumps(event.detail).decode() if event.detail else None)
        for event in events
    ]


async def add_tallies(connection: AsyncConnection, dialect: str, counts: Mapping[TallyKey, int]) -> None:
    """Add ``counts`` to the rollups, always in the order of their keys: writers queue up instead of deadlocking."""
    rows = [(*key, n) for key, n in sorted(counts.items()) if n]
    if not rows:
        return
    if dialect == "sqlite":
        await connection.exec_driver_sql(TALLY_SQLITE, rows)
    else:
        await connection.exec_driver_sql(_TALLY_POSTGRES, tuple(map(list, zip(*rows, strict=True))))


async def append_suppressions(connection: AsyncConnection, wanted: Sequence[NewSuppression]) -> None:
    """Insert those suppressions that are not in force yet, within the caller's write transaction."""
    now = datetime.now(UTC)
    table = suppressions.c
    for item in dict.fromkeys(item for item in wanted if item.email_key):  # none is left of who was erased meanwhile
        same_list = table.list_id.is_(None) if item.list_id is None else table.list_id == item.list_id
        found = exists().where(
            table.workspace_id == item.workspace_id, table.email_key == item.email_key, same_list,
            or_(table.expires_at.is_(None), table.expires_at > now),
        )
        values = {"workspace_id": item.workspace_id, "email_key": item.email_key, "reason": item.reason.value,
                  "list_id": item.list_id, "delivery_id": item.delivery_id, "note": item.note, "created_at": now}
        if not (await connection.execute(select(found))).scalar():
            await connection.execute(suppressions.insert().values(values))
