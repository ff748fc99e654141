"""People and events for a measurement, written straight into the tables, so that nobody waits for an import of them."""

import csv
from collections.abc import Iterable
from datetime import datetime
from itertools import islice
from typing import Any, Final

from sqlalchemy import BindParameter, bindparam, text

from esp.adapters.sql.database import Database
from esp.adapters.sql.ledger import sqlite_instant
from esp.adapters.sql.schema import Id, Instant
from esp.model.ids import new_public_id

_ROUND = 500_000
_PEOPLE: Final = 20_000  # a transaction
_COLUMNS: Final = (
    "public_id", "workspace_id", "email", "email_key", "name_key", "last_name_key", "domain", "first_name", "last_name",
    "city", "country", "birth_date", "fields", "source", "created_at", "updated_at")
_INSERT: Final = f"INSERT INTO contacts ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))})"  # noqa: S608


async def seed_people(
    database: Database, workspace_id: int, list_id: int, lines: Iterable[str], now: datetime,
) -> int:
    """The people of a generated CSV as contacts, subscribed to the list with a consent each, as an import leaves them.

    Returns how many. Nothing is validated: the file is our own.
    """
    at: Any = sqlite_instant(now) if database.dialect == "sqlite" else now
    people = csv.DictReader(line for piece in lines for line in piece.splitlines())
    made = 0
    while some := list(islice(people, _PEOPLE)):
        rows = [_row(one, workspace_id, at) for one in some]
        async with database.write() as connection:
            if database.dialect == "sqlite":
                await connection.exec_driver_sql(_INSERT, rows)
            else:
                raw = await connection.get_raw_connection()
                assert raw.driver_connection is not None
                await raw.driver_connection.copy_records_to_table("contacts", records=rows, columns=_COLUMNS)
        made += len(rows)
    for statement in (
        "INSERT INTO subscriptions (workspace_id, list_id, contact_id, state, changed_at)"
        " SELECT workspace_id, :list, id, 'subscribed', created_at FROM contacts WHERE workspace_id = :workspace"
        " AND source = 'bench' ORDER BY id",
        "INSERT INTO consents (workspace_id, contact_id, list_id, action, at, source)"
        " SELECT workspace_id, id, :list, 'subscribed', created_at, 'bench' FROM contacts"
        " WHERE workspace_id = :workspace AND source = 'bench' ORDER BY id",
        "UPDATE lists SET subscribed_count = (SELECT count(*) FROM subscriptions WHERE list_id = :list)"
        " WHERE id = :list AND workspace_id = :workspace",
    ):
        async with database.write() as connection:
            await connection.execute(text(statement).bindparams(_b("workspace", workspace_id), _b("list", list_id)))
    return made


def _row(one: dict[str, str], workspace_id: int, at: Any) -> tuple[Any, ...]:
    email, first, last = one["email"], one["first_name"], one["last_name"]
    return (new_public_id(), workspace_id, email, email.lower(), f"{first} {last}".lower(), last.lower(),
            email.rpartition("@")[2], first, last, one["city"], one["country"], one["birth_date"], one["attributes"],
            "bench", at, at)


async def seed_events(database: Database, workspace_id: int, campaign_id: int, events: int, now: datetime) -> int:
    """``events`` of them over the campaign's deliveries in turn: one delivered, one opened, then clicks.

    Returns how many were made. The campaign's deliveries must be there.
    """
    from_, until = await _range(database, campaign_id)
    made, turn = 0, 0
    while made < events and until >= from_:
        kind = ("delivered", "opened", "opened", "clicked")[turn % 4]
        for start in range(from_, until + 1, _ROUND):
            if made >= events:
                break
            async with database.write() as connection:
                done = await connection.execute(
                    text(
                        "INSERT INTO events (workspace_id, type, at, campaign_id, delivery_id, contact_id, variant_id,"
                        " link_index, provider, agent, ip, user_agent)"
                        " SELECT d.workspace_id, :kind, CAST(:now AS timestamptz), d.campaign_id, d.id, d.contact_id,"
                        " d.variant_id, CASE WHEN :kind2 = 'clicked' THEN d.id % 5 END, d.provider,"
                        " CASE WHEN d.id % 7 = 0 THEN 'machine' ELSE 'human' END, '', ''"
                        " FROM deliveries d WHERE d.campaign_id = :campaign AND d.id >= :start AND d.id < :stop"
                        " ORDER BY d.id LIMIT :most".replace(
                            "CAST(:now AS timestamptz)", ":now" if database.dialect == "sqlite" else
                            "CAST(:now AS timestamptz)")
                    ).bindparams(_b("now", now), _b("campaign", campaign_id), _b("start", start),
                                 _b("stop", start + _ROUND), _b("most", events - made)),
                    {"kind": kind, "kind2": kind})
                made += done.rowcount
        turn += 1
    async with database.write() as connection:
        for mark, share in (("opened_at", 3), ("clicked_at", 9)):
            await connection.execute(
                text(f"UPDATE deliveries SET {mark} = :now WHERE campaign_id = :campaign AND id % {share} = 0")  # noqa: S608
                .bindparams(_b("now", now), _b("campaign", campaign_id)))
    if database.dialect == "postgresql":
        async with database.write() as connection:
            for table in ("contacts", "deliveries", "events", "subscriptions"):
                await connection.execute(text(f"ANALYZE {table}"))
    return made


def _b(name: str, value: object) -> BindParameter[Any]:
    return bindparam(name, value, Instant if isinstance(value, datetime) else Id)


async def _range(database: Database, campaign_id: int) -> tuple[int, int]:
    async with database.read() as connection:
        row = (await connection.execute(
            text("SELECT coalesce(min(id), 1), coalesce(max(id), 0) FROM deliveries WHERE campaign_id = :campaign")
            .bindparams(_b("campaign", campaign_id)))).one()
    return int(row[0]), int(row[1])
