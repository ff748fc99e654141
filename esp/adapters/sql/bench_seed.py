"""Events for a measurement, made inside the database: as many as asked for, spread over people and a campaign."""

from datetime import datetime
from typing import Any

from sqlalchemy import BindParameter, bindparam, text

from esp.adapters.sql.database import Database
from esp.adapters.sql.schema import Id, Instant

_ROUND = 500_000


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
