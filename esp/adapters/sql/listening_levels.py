"""What the model says of each history, and levels, in SQL: set-based, so that a million contacts move in a minute."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from sqlalchemy import ColumnElement, and_, delete, func, insert, literal, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from esp.adapters.sql.among import among
from esp.adapters.sql.schema import Instant, contact_engagement, engagement_odds, level_moves
from esp.adapters.sql.upsert import insert_for
from esp.model.listening import MOVES, Needs
from esp.ports.listening import Counts, Odds

_ROUND: Final = 5_000
_g, _o = contact_engagement.c, engagement_odds.c

#: A contact's row and what the model says of its history.
SAME: Final = and_(_o.workspace_id == _g.workspace_id, _o.opportunities == _g.opportunities,
                   _o.responses == _g.responses, _o.recency == _g.recency)


async def unscored(connection: AsyncConnection, contact_ids: Sequence[int]) -> dict[int, list[Counts]]:
    """See ``Listening.unscored``."""
    found: dict[int, list[Counts]] = {}
    for start in range(0, len(contact_ids), _ROUND):
        rows = await connection.execute(
            select(_g.workspace_id, _g.opportunities, _g.responses, _g.recency)
            .select_from(contact_engagement.outerjoin(engagement_odds, SAME))
            .where(among(connection, _g.contact_id, contact_ids[start:start + _ROUND]), _o.level.is_(None)).distinct())
        for row in rows:
            found.setdefault(row[0], []).append(Counts(*row[1:]))
    return {key: sorted(set(counts)) for key, counts in found.items()}


async def score(
    connection: AsyncConnection, dialect: str, workspace_id: int, odds: Sequence[Odds], replace: bool
) -> None:
    """See ``Listening.score``."""
    if replace:
        await connection.execute(delete(engagement_odds).where(_o.workspace_id == workspace_id))
    rows = [{"workspace_id": workspace_id, **one.counts._asdict(), "alive": one.alive, "expected": one.expected,
             "next": one.next, "level": one.level.value} for one in odds]
    into = insert_for(dialect, engagement_odds)
    statement = into.on_conflict_do_update(
        index_elements=[_o.workspace_id, _o.opportunities, _o.responses, _o.recency],
        set_={name: into.excluded[name] for name in ("alive", "expected", "next", "level")})
    for start in range(0, len(rows), _ROUND):
        await connection.execute(statement, rows[start:start + _ROUND])


def may_move() -> ColumnElement[bool]:
    """A contact's level (``contact_engagement``) is not where it belongs (``engagement_odds``), and MOVES has a way."""
    free = [and_(_g.level == before.value, _o.level == after.value) for (before, after), needs in MOVES.items()
            if needs is Needs.NOTHING]
    answered = [and_(_g.level == before.value, _o.level == after.value) for (before, after), needs in MOVES.items()
                if needs is Needs.RESPONSE]
    return and_(_g.level != _o.level,
                or_(*free, and_(_g.responses > _g.level_responses, or_(*answered))))


async def relevel(connection: AsyncConnection, contact_ids: Sequence[int], now: datetime) -> int:
    """See ``Listening.relevel``."""
    moved = 0
    for start in range(0, len(contact_ids), _ROUND):
        chosen = among(connection, _g.contact_id, contact_ids[start:start + _ROUND])
        moved += await _move(connection, and_(chosen, SAME, may_move()), now)
    return moved


async def relevel_some(
    connection: AsyncConnection, workspace_id: int, after_id: int, limit: int, now: datetime
) -> tuple[int, int]:
    """See ``Listening.relevel_some``."""
    some = (select(_g.contact_id).where(_g.workspace_id == workspace_id, _g.contact_id > after_id)
            .order_by(_g.contact_id).limit(limit).subquery())
    last, there = (await connection.execute(select(func.max(some.c.contact_id), func.count()))).one()
    if last is None:
        return 0, 0
    chosen = and_(_g.workspace_id == workspace_id, _g.contact_id > after_id, _g.contact_id <= last)
    moved = await _move(connection, and_(chosen, SAME, may_move()), now)
    return (last if there == limit else 0), moved


async def _move(connection: AsyncConnection, chosen: ColumnElement[bool], now: datetime) -> int:
    """The caller holds the fold's place, so that nobody answers between the note and the move."""
    noted = select(_g.workspace_id, _g.contact_id, literal(now, Instant), _g.level, _o.level).where(chosen)
    await connection.execute(
        insert(level_moves).from_select(["workspace_id", "contact_id", "at", "from_level", "to_level"], noted))
    done = await connection.execute(
        update(contact_engagement).where(chosen)
        .values(level=_o.level, level_at=now, level_responses=_g.responses))
    return int(done.rowcount)
