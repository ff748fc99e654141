"""The everyday case on SQLite: plain messages to people who may be written to, kept by one visit to the database.

Whatever is not plain (an idempotency key, a first message of its domain, a sandbox, somebody suppressed) goes the
general way of ``relay_keep``. Whoever changes what either writes changes the other: no test compares their rows yet.
"""

import sqlite3
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import orjson

from esp.adapters.sql.database import Database
from esp.adapters.sql.ledger import EVENT_SQLITE, TALLY_SQLITE, event_rows, sqlite_instant
from esp.adapters.sql.relay_rows import (
    BATCH_COLUMNS,
    BODY_COLUMNS,
    DELIVERY_COLUMNS,
    MESSAGE_COLUMNS,
    Carrier,
    Rows,
    add,
    batched,
    number_batches,
)
from esp.model.relay import Accepted, MessageState, Refused
from esp.ports.relay import NewRelayMessage


def _insert(table: str, columns: Sequence[str]) -> str:
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"  # noqa: S608


_MESSAGES: Final = _insert("messages", MESSAGE_COLUMNS)
_BODIES: Final = _insert("message_bodies", BODY_COLUMNS)
_BATCHES: Final = _insert("batches", BATCH_COLUMNS)
_DELIVERIES: Final = _insert("deliveries", DELIVERY_COLUMNS)
_ASKED: Final = "json_each(?) AS asked CROSS JOIN"
_SUPPRESSED: Final = f"""SELECT 1 FROM {_ASKED} suppressions AS it
ON it.workspace_id = json_extract(asked.value, '$[0]') AND it.email_key = json_extract(asked.value, '$[1]')
WHERE it.list_id IS NULL AND (it.expires_at IS NULL OR it.expires_at > ?) LIMIT 1"""  # noqa: S608
_CONTACTS: Final = f"""SELECT it.workspace_id, it.email_key, it.id FROM {_ASKED} contacts AS it
ON it.workspace_id = json_extract(asked.value, '$[0]') AND it.email_key = json_extract(asked.value, '$[1]')"""  # noqa: S608
_TOPS: Final = """SELECT (SELECT coalesce(max(id), 0) FROM messages), (SELECT coalesce(max(id), 0) FROM deliveries),
(SELECT coalesce(max(id), 0) FROM batches)"""


async def keep_at_once(
    database: Database, wanted: Sequence[NewRelayMessage], now: datetime, carriers: Mapping[Carrier, int]
) -> list[Accepted | Refused] | None:
    """``Relay.keep`` where all of ``wanted`` is plain, else None with nothing written."""
    if any(it.idempotency_key or it.state is MessageState.SANDBOX
           or (it.workspace_id, it.domain_id, it.stream.id) not in carriers for it in wanted):
        return None
    people = {(it.workspace_id, one.address.casefold()) for it in wanted for one in it.addressees}
    keys = people | {(workspace, address[address.index("@"):]) for workspace, address in people}
    asked, single = _json(keys), _json({
        (it.workspace_id, it.addressees[0].address.casefold()) for it in wanted if len(it.addressees) == 1})
    moment = sqlite_instant(now)

    def work(connection: sqlite3.Connection) -> list[Accepted | Refused] | None:
        if connection.execute(_SUPPRESSED, (asked, moment)).fetchone() is not None:
            return None
        known = {(row[0], row[1]): row[2] for row in connection.execute(_CONTACTS, (single,))}
        top, top_delivery, top_batch = connection.execute(_TOPS).fetchone()
        numbers = iter(range(top_delivery + 1, top_delivery + 1 + sum(len(it.addressees) for it in wanted)))
        rows = Rows()
        results: list[Accepted | Refused] = [
            add(rows, it, top + place, carriers[it.workspace_id, it.domain_id, it.stream.id], numbers, {}, known, now)
            for place, it in enumerate(wanted, 1)]
        groups = batched(rows)
        number_batches(rows, groups, list(range(top_batch + 1, top_batch + 1 + len(groups))))
        connection.executemany(_MESSAGES, map(_values, rows.messages))
        connection.executemany(_BODIES, rows.bodies)
        connection.executemany(_BATCHES, map(_values, rows.batch_rows))
        connection.executemany(_DELIVERIES, map(_values, rows.deliveries))
        connection.executemany(EVENT_SQLITE, event_rows(rows.accepted, "sqlite"))
        connection.executemany(TALLY_SQLITE, [(*key, n) for key, n in sorted(rows.targeted.items())])
        return results

    return await database.write_at_once(work)


def _json(pairs: set[tuple[int, str]]) -> str:
    return orjson.dumps(sorted(pairs)).decode()


def _values(row: Sequence[Any]) -> tuple[Any, ...]:
    return tuple([sqlite_instant(value) if isinstance(value, datetime) else value for value in row])
