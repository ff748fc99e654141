"""What is read of the listeners: one contact for their page, and everybody for the fit and the engagement report."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Select, and_, case, distinct, func, literal, or_, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from esp.adapters.sql.among import among
from esp.adapters.sql.exclusion import Narrowed, audience
from esp.adapters.sql.listening import heard_of
from esp.adapters.sql.listening_levels import SAME
from esp.adapters.sql.schema import (
    campaigns,
    contact_engagement,
    contacts,
    deliveries,
    engagement_odds,
    level_moves,
    subscriptions,
    suppressions,
)
from esp.adapters.sql.segments import read_segment_rules_of, zone_of
from esp.model.contact import SubscriptionState, SuppressionReason
from esp.model.delivery import DeliveryState
from esp.model.listening import Level
from esp.ports.campaigns import Campaign
from esp.ports.listening import Band, Counts, Flow, LevelMove, Listener, MailHeard, Odds, Sampled

_MONTH: Final = 30.44 * 86_400
_ROUND: Final = 500
_TIMES: Final = 50_000
_EVERYBODY: Final = 2**62
#: The first column of the select list: repeated, it would have other parameters and be another expression.
_FIRST: Final = text("1")
_g, _o, _d = contact_engagement.c, engagement_odds.c, deliveries.c


async def listener(connection: AsyncConnection, workspace_id: int, contact_id: int) -> Listener | None:
    row = (await connection.execute(
        select(contact_engagement, _o.alive, _o.expected, _o.next, _o.level.label("belongs"))
        .select_from(contact_engagement.outerjoin(engagement_odds, SAME))
        .where(_g.contact_id == contact_id, _g.workspace_id == workspace_id))).one_or_none()
    if row is None:
        return None
    counts = Counts(row.opportunities, row.responses, row.recency)
    odds = Odds(counts, row.alive, row.expected, row.next, Level(row.belongs)) if row.belongs is not None else None
    return Listener(heard_of(row), odds, Level(row.level), row.level_at)


async def moves(connection: AsyncConnection, workspace_id: int, contact_id: int, limit: int) -> list[LevelMove]:
    m = level_moves.c
    rows = await connection.execute(
        select(m.at, m.from_level, m.to_level).where(m.contact_id == contact_id, m.workspace_id == workspace_id)
        .order_by(m.id.desc()).limit(limit))
    return [LevelMove(row[0], Level(row[1]), Level(row[2])) for row in rows]


def _tracked() -> ColumnElement[bool]:
    return or_(campaigns.c.track_opens, campaigns.c.track_clicks)


async def mails(connection: AsyncConnection, workspace_id: int, contact_id: int, limit: int) -> list[MailHeard]:
    rows = await connection.execute(
        select(_d.ended_at, _d.campaign_id, _d.opened_at, _d.clicked_at)
        .join(campaigns, campaigns.c.id == _d.campaign_id)
        .where(_d.contact_id == contact_id, _d.workspace_id == workspace_id,
               _d.state == DeliveryState.DELIVERED.value, _tracked())
        .order_by(_d.id.desc()).limit(limit))
    return [MailHeard(*row) for row in reversed(rows.all())]


async def sample(connection: AsyncConnection, workspace_id: int, people: int) -> list[Sampled]:
    """Every n-th of those with opportunities, n such that at most ``people`` are found."""
    g = _g
    mine = and_(g.workspace_id == workspace_id, g.opportunities > 0)
    many = (await connection.execute(select(func.count()).select_from(contact_engagement).where(mine))).scalar() or 0
    # Consecutive numbers would all be of one import: every n-th is of all.
    step = -(-many // people) if people else 1
    ids = list((await connection.execute(
        select(g.contact_id).where(mine, g.contact_id % max(1, step) == 0).order_by(g.contact_id)
        .limit(people))).scalars())
    found: list[Sampled] = []
    for start in range(0, len(ids), _ROUND):
        found += await _sampled(connection, workspace_id, ids[start:start + _ROUND])
    return found


async def _sampled(connection: AsyncConnection, workspace_id: int, ids: Sequence[int]) -> list[Sampled]:
    about = {row.id: row for row in await connection.execute(
        select(contacts.c.id, contacts.c.source, contacts.c.created_at).where(among(connection, contacts.c.id, ids)))}
    on: dict[int, list[tuple[int, datetime]]] = defaultdict(list)
    s = subscriptions.c
    for row in await connection.execute(
            select(s.contact_id, s.list_id, s.changed_at, s.state).where(among(connection, s.contact_id, ids))):
        if row.state == SubscriptionState.SUBSCRIBED.value:
            on[row.contact_id].append((row.list_id, row.changed_at))
    got: dict[int, list[tuple[datetime, bool]]] = defaultdict(list)
    rows = await connection.execute(
        select(_d.contact_id, _d.ended_at, or_(_d.opened_at.is_not(None), _d.clicked_at.is_not(None)))
        .join(campaigns, campaigns.c.id == _d.campaign_id)
        .where(among(connection, _d.contact_id, ids), _d.workspace_id == workspace_id,
               _d.state == DeliveryState.DELIVERED.value, _tracked())
        .order_by(_d.contact_id, _d.id))
    for row in rows:
        if row[1] is not None:
            got[row[0]].append((row[1], bool(row[2])))
    return [
        Sampled(key, row.source, min([row.created_at, *(at for _, at in on[key])]),
                tuple(sorted(list_id for list_id, _ in on[key])), tuple(got[key]))
        for key, row in sorted(about.items()) if got[key]
    ]


def _seconds(dialect: str, later: Any, earlier: Any) -> Any:
    if dialect == "sqlite":
        return (func.julianday(later) - func.julianday(earlier)) * 86_400
    return func.extract("epoch", later - earlier)


async def bands(
    connection: AsyncConnection, dialect: str, workspace_id: int, bounds: Sequence[float]
) -> list[Band]:
    """Mails a month are those between the first and the last, over the time between them."""
    span = _seconds(dialect, _g.last_sent_at, _g.first_sent_at)
    rate = (_g.opportunities - 1) * _MONTH / func.nullif(span, 0)
    band = case(*((rate <= bound, number) for number, bound in enumerate(bounds)), else_=len(bounds))
    rows = await connection.execute(
        select(band.label("band"), func.count(), func.sum(_g.opportunities), func.sum(_g.responses),
               func.sum(_g.complaints))
        .where(_g.workspace_id == workspace_id, _g.opportunities > 1, span >= _MONTH)
        .group_by(_FIRST))
    found = {row[0]: Band(*map(int, row[1:])) for row in rows}
    return [found.get(number, Band(0, 0, 0, 0)) for number in range(len(bounds) + 1)]


async def times(connection: AsyncConnection, workspace_id: int) -> list[bytes]:
    rows = await connection.execute(
        select(_g.times).where(_g.workspace_id == workspace_id, _g.responses > 1, _g.times.is_not(None))
        .limit(_TIMES))
    return [bytes(value) for value in rows.scalars()]


def _month(dialect: str, column: Any) -> Any:
    return func.substr(column, 1, 7) if dialect == "sqlite" else func.to_char(func.timezone("UTC", column), "YYYY-MM")


async def flows(connection: AsyncConnection, dialect: str, workspace_id: int, since: datetime) -> list[Flow]:
    c, s, u, m = contacts.c, subscriptions.c, suppressions.c, level_moves.c
    quiet = (Level.DORMANT.value, Level.LOST.value)
    asked: dict[str, tuple[Any, Any, ColumnElement[bool]]] = {
        "joined": (c.created_at, func.count(), c.workspace_id == workspace_id),
        "unsubscribed": (s.changed_at, func.count(distinct(s.contact_id)), and_(
            s.workspace_id == workspace_id, s.state == SubscriptionState.UNSUBSCRIBED.value)),
        "bounced": (u.created_at, func.count(distinct(u.email_key)), and_(
            u.workspace_id == workspace_id, u.reason == SuppressionReason.HARD_BOUNCE.value)),
        "complained": (u.created_at, func.count(distinct(u.email_key)), and_(
            u.workspace_id == workspace_id, u.reason == SuppressionReason.COMPLAINT.value)),
        "fell_silent": (m.at, func.count(), and_(
            m.workspace_id == workspace_id, m.to_level.in_(quiet), m.from_level.not_in(quiet))),
        "came_back": (m.at, func.count(), and_(
            m.workspace_id == workspace_id, m.from_level.in_(quiet), m.to_level.not_in(quiet))),
    }
    months: dict[str, dict[str, int]] = defaultdict(dict)
    for name, (at, number, where) in asked.items():
        inner: Select[Any] = select(_month(dialect, at).label("month"), number.label("n")).where(where, at >= since)
        for row in await connection.execute(inner.group_by(_FIRST)):
            months[row.month][name] = row.n
    return [Flow(month, *(counts.get(name, 0) for name in Flow._fields[1:]))
            for month, counts in sorted(months.items())]


async def campaign_audience(
    connection: AsyncConnection, campaign: Campaign, now: datetime
) -> dict[Counts, tuple[int, Odds]]:
    """See ``Listening.audience``: those whom the walk would write to now, by what the model knows of them."""
    rules = await read_segment_rules_of(connection, campaign)
    narrowed = None
    if rules:
        narrowed = Narrowed(rules, now.astimezone(await zone_of(connection, campaign.workspace_id)), False)
    who = audience(campaign, now, 0, _EVERYBODY, narrowed).subquery()
    rows = await connection.execute(
        select(_o.opportunities, _o.responses, _o.recency, _o.alive, _o.expected, _o.next, _o.level, func.count())
        .select_from(who.join(contact_engagement, _g.contact_id == who.c.id).join(engagement_odds, SAME))
        .where(who.c.reason == literal(""))
        .group_by(_o.opportunities, _o.responses, _o.recency, _o.alive, _o.expected, _o.next, _o.level))
    found = {}
    for row in rows:
        counts = Counts(*row[:3])
        found[counts] = (row[7], Odds(counts, row[3], row[4], row[5], Level(row[6])))
    return found


async def complaints(connection: AsyncConnection, workspace_id: int) -> dict[Level, tuple[int, int]]:
    rows = await connection.execute(
        select(_g.level, func.sum(_g.opportunities), func.sum(_g.complaints))
        .where(_g.workspace_id == workspace_id).group_by(_g.level))
    return {Level(row[0]): (int(row[1]), int(row[2])) for row in rows}
