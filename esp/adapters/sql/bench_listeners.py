"""Contacts with histories, and one more mail to all of them, written straight into the tables for a measurement."""

from collections.abc import Iterable
from datetime import datetime
from itertools import islice
from typing import Any, Final

from sqlalchemy import bindparam, text

from esp.adapters.sql.database import Database
from esp.adapters.sql.ledger import sqlite_instant
from esp.adapters.sql.schema import Id, Instant
from esp.model.ids import new_public_id
from esp.ports.listening import Counts

_ROUND: Final = 20_000
_PEOPLE: Final = ("public_id", "workspace_id", "email", "email_key", "domain", "created_at", "updated_at")
_COUNTS: Final = ("contact_id", "workspace_id", "opportunities", "responses", "recency", "first_sent_at",
                  "last_sent_at", "level_at")
_ONE_MAIL: Final = """
INSERT INTO events (workspace_id, type, at, campaign_id, delivery_id, contact_id, agent)
SELECT workspace_id, '{kind}', {now}, :campaign, id, id, '{agent}' FROM contacts
WHERE workspace_id = :workspace AND id % {every} = 0 ORDER BY id"""


async def seed_listeners(
    database: Database, workspace_id: int, histories: Iterable[Counts], first: datetime, last: datetime
) -> int:
    """A contact for each history, in an empty database; returns how many."""
    lite = database.dialect == "sqlite"
    began, ended = (sqlite_instant(at) if lite else at for at in (first, last))
    made, source = 0, iter(histories)
    while some := list(islice(source, _ROUND)):
        people = [(new_public_id(), workspace_id, f"p{number}@bench.example", f"p{number}@bench.example",
                   "bench.example", began, began) for number in range(made + 1, made + len(some) + 1)]
        counts = [(number, workspace_id, *one, began, ended, began) for number, one in enumerate(some, made + 1)]
        async with database.write() as connection:
            for table, columns, rows in (("contacts", _PEOPLE, people), ("contact_engagement", _COUNTS, counts)):
                if lite:
                    await connection.exec_driver_sql(
                        f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})",  # noqa: S608
                        rows)
                else:
                    raw: Any = await connection.get_raw_connection()
                    await raw.driver_connection.copy_records_to_table(table, records=rows, columns=columns)
        made += len(some)
    if not lite:
        async with database.write() as connection:
            for table in ("contacts", "contact_engagement"):
                await connection.execute(text(f"ANALYZE {table}"))
    return made


async def seed_one_mail(database: Database, workspace_id: int, campaign_id: int, now: datetime) -> int:
    """Events of one mail to everybody: delivered to all, opened by every fifth; returns how many."""
    made = 0
    lite = database.dialect == "sqlite"
    for kind, agent, every in (("delivered", "", 1), ("opened", "human", 5)):
        async with database.write() as connection:
            done = await connection.execute(
                text(_ONE_MAIL.format(kind=kind, agent=agent, every=every,
                                      now=":now" if lite else "CAST(:now AS timestamptz)"))
                .bindparams(bindparam("now", now, Instant), bindparam("campaign", campaign_id, Id),
                            bindparam("workspace", workspace_id, Id)))
            made += done.rowcount
    if not lite:
        async with database.write() as connection:
            await connection.execute(text("ANALYZE events"))
    return made
