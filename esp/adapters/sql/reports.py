"""Reports in SQL: figures from tallies, people by key along small indices; nothing here counts deliveries."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy import ColumnElement, and_, case, func, literal_column, select
from sqlalchemy.ext.asyncio import AsyncConnection

from esp.adapters.sql.database import Database
from esp.adapters.sql.engagement import LINK_MACHINES, LINK_PEOPLE
from esp.adapters.sql.people import people_query
from esp.adapters.sql.schema import campaigns, deliveries, events, links, lists, tallies, variants
from esp.model.campaign import CampaignState
from esp.model.delivery import DeliveryState, EventType
from esp.ports.reports import (
    ALL_OF_THEM,
    Bucket,
    CampaignLine,
    Dashboard,
    Figures,
    MemberFigures,
    Metric,
    PeopleFilter,
    Person,
    Progress,
    ProviderProgress,
    ReasonCount,
    TimeSeries,
)

_WEEK: Final = timedelta(days=7)
_MINUTE: Final = 60
_HOUR: Final = 3600
_DAY: Final = 86400
_BUCKETS: Final = (60, 300, 900, 1800, 3600, 3 * 3600, 6 * 3600, 12 * 3600, 86400)
_ENDS: Final = ("delivered", "bounced", "expired", "suppressed", "cancelled")
_COUNTED: Final = frozenset(field.name for field in fields(Figures)) - {"waiting", "deferred"}
#: More deferred deliveries than this at once are counted as "at least so many".
_MOST_DEFERRED: Final = 20_000
REASONS: Final = (Metric.BOUNCED, Metric.SUPPRESSED, Metric.EXPIRED, Metric.UNSUBSCRIBED)

Counts = dict[str, int]


def figures_from(counts: Mapping[str, int], deferred: int = 0) -> Figures:
    """From tallies: whoever is at no end and is not deferred waits (invariant I4)."""
    known = {name: max(0, n) for name, n in counts.items() if name in _COUNTED}
    open_now = max(0, known.get("targeted", 0) - sum(known.get(end, 0) for end in _ENDS))
    deferred = min(deferred, open_now)
    return Figures(**known, deferred=deferred, waiting=open_now - deferred)


class SqlReports:
    """Reports over SQLite or PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def figures(self, workspace_id: int, campaign_id: int) -> Figures:
        async with self._database.read() as connection:
            counts = await _members(connection, workspace_id, campaign_id, "total")
            deferred = await _deferred(connection, workspace_id, campaign_id)
        return figures_from(counts.get("", {}), sum(deferred.values()))

    async def figures_of(self, workspace_id: int, campaign_ids: Sequence[int]) -> dict[int, Figures]:
        async with self._database.read() as connection:
            return await _figures_of(connection, workspace_id, campaign_ids)

    async def progress(self, workspace_id: int, campaign_id: int, now: datetime) -> Progress | None:
        k = campaigns.c
        async with self._database.read() as connection:
            row = (await connection.execute(
                select(k.state, k.started_at, k.walk_done, k.include_lists)
                .where(k.id == campaign_id, k.workspace_id == workspace_id)
            )).one_or_none()
            if row is None:
                return None
            totals = (await _members(connection, workspace_id, campaign_id, "total")).get("", {})
            by_provider = await _members(connection, workspace_id, campaign_id, "provider")
            deferred = await _deferred(connection, workspace_id, campaign_id)
            replies = await _last_replies(connection, workspace_id, campaign_id)
            recent = await _minutes(connection, workspace_id, campaign_id, now - timedelta(minutes=1))
            expected = 0 if row.walk_done else await _on_lists(connection, workspace_id, row.include_lists)
        figures = figures_from(totals, sum(deferred.values()))
        per_minute = _rate(recent, row.started_at, now)
        expected = max(figures.targeted, expected)
        left = expected - figures.ended
        seconds = left / per_minute * 60 if per_minute > 0 and row.state == CampaignState.SENDING.value else None
        providers = []
        for provider, counts in by_provider.items():
            of = figures_from(counts, deferred.get(provider, 0))
            reply, at = replies.get(provider, ("", None))
            providers.append(ProviderProgress(
                provider, of.targeted, of.waiting, of.delivered, of.deferred, of.bounced, reply, at
            ))
        providers.sort(key=lambda one: (-one.targeted, one.provider))
        return Progress(
            row.state, figures.ended, expected, per_minute, 0.0 if left <= 0 else seconds, figures, tuple(providers)
        )

    async def over_time(self, workspace_id: int, campaign_id: int, buckets: int = 60) -> TimeSeries:
        async with self._database.read() as connection:
            reach = await _first_and_last(connection, workspace_id, campaign_id)
            if reach is None:
                return TimeSeries(_MINUTE, ())
            first, last = reach
            span = (last - first).total_seconds() + _MINUTE
            length = next((length for length in _BUCKETS if span / length <= buckets), _BUCKETS[-1])
            start = _floor(first, length)
            # The newest that fit: a mail from years ago is opened now and then, and would make thousands of buckets.
            start = max(start, _floor(last, length) - timedelta(seconds=length * (buckets * 4 - 1)))
            moments = await _moments(connection, workspace_id, campaign_id, length, start)
        summed: dict[datetime, Counts] = defaultdict(lambda: defaultdict(int))
        for minute, counts in moments.items():
            for metric, n in counts.items():
                summed[max(start, _floor(minute, length))][metric] += n
        number = int((_floor(last, length) - start).total_seconds()) // length + 1
        starts = (start + timedelta(seconds=length * position) for position in range(number))
        return TimeSeries(length, tuple(Bucket(at, _happened(summed.get(at, {}))) for at in starts))

    async def by_provider(self, workspace_id: int, campaign_id: int) -> list[MemberFigures]:
        async with self._database.read() as connection:
            members = await _members(connection, workspace_id, campaign_id, "provider")
            deferred = await _deferred(connection, workspace_id, campaign_id)
        found = [
            MemberFigures(name, name, figures_from(counts, deferred.get(name, 0)))
            for name, counts in members.items()
        ]
        return sorted(found, key=lambda member: (-member.figures.targeted, member.member))

    async def by_variant(self, workspace_id: int, campaign_id: int) -> list[MemberFigures]:
        v = variants.c
        async with self._database.read() as connection:
            members = await _members(connection, workspace_id, campaign_id, "variant")
            rows = (await connection.execute(
                select(v.id, v.label, v.subject).order_by(v.label)
                .where(v.campaign_id == campaign_id, v.workspace_id == workspace_id)
            )).all()
        return [
            MemberFigures(str(row.id), row.label, figures_from(members.get(str(row.id), {})), row.subject)
            for row in rows
        ]

    async def by_link(self, workspace_id: int, campaign_id: int) -> list[MemberFigures]:
        async with self._database.read() as connection:
            members = await _members(connection, workspace_id, campaign_id, "link")
            rows = (await connection.execute(
                select(links.c.link_index, links.c.url, links.c.text).order_by(links.c.link_index)
                .where(links.c.campaign_id == campaign_id, links.c.workspace_id == workspace_id)
            )).all()
        found = []
        for row in rows:
            counts = members.get(str(row.link_index), {})
            figures = Figures(
                clicked=counts.get(LINK_PEOPLE, 0), machine_clicked=counts.get(LINK_MACHINES, 0),
                clicks=counts.get("clicks", 0),
            )
            found.append(MemberFigures(str(row.link_index), row.url, figures, row.text))
        return found

    async def reasons(self, workspace_id: int, campaign_id: int) -> list[ReasonCount]:
        async with self._database.read() as connection:
            members = await _members(connection, workspace_id, campaign_id, "reason")
        found = [
            ReasonCount(metric, reason, counts[metric.value])
            for reason, counts in members.items() for metric in REASONS if counts.get(metric.value, 0) > 0
        ]
        return sorted(found, key=lambda one: (-one.count, one.reason))

    async def people(
        self, workspace_id: int, campaign_id: int, metric: Metric, part: PeopleFilter = ALL_OF_THEM,
        after: int = 0, limit: int = 50,
    ) -> list[Person]:
        async with self._database.read() as connection:
            rows = await connection.execute(people_query(workspace_id, campaign_id, metric, part, after, limit))
            return [
                Person(row.key, row.id, row.contact_id, row.public_id or "", row.address,
                       f"{row.first_name or ''} {row.last_name or ''}".strip(), row.provider, row.state, row.reason,
                       row.reply, row.happened_at)
                for row in rows
            ]

    async def dashboard(self, workspace_id: int, now: datetime) -> Dashboard:
        k = campaigns.c
        columns = (k.id, k.public_id, k.name, k.state, k.started_at)
        ours = and_(k.workspace_id == workspace_id, k.test_of.is_(None))
        live = (CampaignState.SENDING.value, CampaignState.PAUSED.value)
        async with self._database.read() as connection:
            recent = (await connection.execute(
                select(*columns).where(ours, k.started_at.is_not(None)).order_by(k.id.desc()).limit(10)
            )).all()
            running = (await connection.execute(select(*columns).where(ours, k.state.in_(live)).order_by(k.id))).all()
            fortnight = (await connection.execute(
                select(k.id, k.started_at).where(ours, k.started_at >= now - 2 * _WEEK)
            )).all()
            ids = {row.id for row in (*recent, *running, *fortnight)}
            figures = await _figures_of(connection, workspace_id, sorted(ids))
        since = now - _WEEK

        def lines(rows: Iterable[Any]) -> tuple[CampaignLine, ...]:
            return tuple(
                CampaignLine(row.id, row.public_id, row.name, row.state, row.started_at, figures[row.id])
                for row in rows
            )

        return Dashboard(
            since, _sum(figures[row.id] for row in fortnight if row.started_at >= since),
            _sum(figures[row.id] for row in fortnight if row.started_at < since), lines(running), lines(recent),
        )


async def _members(
    connection: AsyncConnection, workspace_id: int, campaign_id: int, dimension: str
) -> dict[str, Counts]:
    """Counts by member and metric."""
    t = tallies.c
    found: dict[str, Counts] = defaultdict(dict)
    rows = await connection.execute(
        select(t.member, t.metric, t.n)
        .where(t.workspace_id == workspace_id, t.campaign_id == campaign_id, t.dimension == dimension)
    )
    for row in rows:
        found[row.member][row.metric] = row.n
    return found


async def _figures_of(
    connection: AsyncConnection, workspace_id: int, campaign_ids: Sequence[int]
) -> dict[int, Figures]:
    """Deferred are counted among the waiting here: a list of campaigns does not tell them apart."""
    t = tallies.c
    counts: dict[int, Counts] = {campaign_id: {} for campaign_id in campaign_ids}
    rows = await connection.execute(
        select(t.campaign_id, t.metric, t.n)
        .where(t.workspace_id == workspace_id, t.campaign_id.in_(campaign_ids), t.dimension == "total", t.member == "")
    )
    for row in rows:
        counts[row.campaign_id][row.metric] = row.n
    return {campaign_id: figures_from(of) for campaign_id, of in counts.items()}


async def _deferred(connection: AsyncConnection, workspace_id: int, campaign_id: int) -> Counts:
    """Deferred now, by provider: the one figure that no sum of events gives. Read off an index, and bounded."""
    d = deliveries.c
    some = (
        select(d.provider)
        .where(d.workspace_id == workspace_id, d.campaign_id == campaign_id, d.state == DeliveryState.DEFERRED.value)
        .limit(_MOST_DEFERRED).subquery()
    )
    rows = await connection.execute(select(some.c.provider, func.count()).group_by(some.c.provider))
    return {row[0]: row[1] for row in rows}


async def _on_lists(connection: AsyncConnection, workspace_id: int, list_ids: Sequence[int]) -> int:
    """How many are or were on these lists: the audience of a campaign, but for those who are on two of them."""
    total = await connection.scalar(
        select(func.sum(lists.c.subscribed_count + lists.c.unsubscribed_count))
        .where(lists.c.workspace_id == workspace_id, lists.c.id.in_(list_ids))
    )
    return int(total or 0)


async def _last_replies(
    connection: AsyncConnection, workspace_id: int, campaign_id: int
) -> dict[str, tuple[str, datetime | None]]:
    """The last refusal or deferral of each provider, among the last two hundred of each kind."""
    e = events.c
    found: dict[str, tuple[int, str, datetime]] = {}
    for kind in (EventType.DEFERRED, EventType.BOUNCED):
        rows = await connection.execute(
            select(e.id, e.provider, e.detail, e.at)
            .where(e.campaign_id == campaign_id, e.type == kind.value, e.workspace_id == workspace_id)
            .order_by(e.id.desc()).limit(200)
        )
        for row in rows:
            if row.provider not in found or found[row.provider][0] < row.id:
                detail = row.detail or {}
                code, text = detail.get("code"), str(detail.get("reply", "") or detail.get("reason", ""))
                reply = text if not code or text.startswith(str(code)) else f"{code} {text}"
                found[row.provider] = (row.id, reply, row.at)
    return {provider: (reply, at) for provider, (_, reply, at) in found.items()}


def _of_minutes(workspace_id: int, campaign_id: int) -> ColumnElement[bool]:
    t = tallies.c
    return and_(t.workspace_id == workspace_id, t.campaign_id == campaign_id, t.dimension == "minute")


async def _first_and_last(
    connection: AsyncConnection, workspace_id: int, campaign_id: int
) -> tuple[datetime, datetime] | None:
    """The first and the last minute in which anything happened; None where nothing did."""
    t = tallies.c
    row = (await connection.execute(
        select(func.min(t.member), func.max(t.member)).where(_of_minutes(workspace_id, campaign_id))
    )).one()
    return None if row[0] is None else (datetime.fromisoformat(row[0]), datetime.fromisoformat(row[1]))


async def _moments(
    connection: AsyncConnection, workspace_id: int, campaign_id: int, length: int, start: datetime
) -> dict[datetime, Counts]:
    """Counts by minute, or added up by hour or day where a bucket of ``length`` seconds holds whole ones.

    So a report reads some thousand rows at most, however long a campaign lives; what lies before ``start`` comes as
    one sum, at ``start``. ``member`` is ISO text in UTC, whose beginning is its hour or its day.
    """
    t = tallies.c
    kept, rest = (10, "T00:00Z") if length % _DAY == 0 else (13, ":00Z") if length % _HOUR == 0 else (17, "")
    earliest = start.astimezone(UTC).strftime("%Y-%m-%dT%H:%MZ")
    moment = case((t.member < earliest, earliest[:kept]), else_=func.substr(t.member, 1, kept)).label("moment")
    query = select(moment, t.metric, func.sum(t.n).label("n")).where(_of_minutes(workspace_id, campaign_id))
    found: dict[datetime, Counts] = defaultdict(dict)
    for row in await connection.execute(query.group_by(literal_column("moment"), t.metric)):
        found[datetime.fromisoformat(row.moment + rest)][row.metric] = int(row.n)
    return found


async def _minutes(
    connection: AsyncConnection, workspace_id: int, campaign_id: int, since: datetime
) -> dict[datetime, Counts]:
    """Counts of every minute, from that of ``since`` on."""
    t = tallies.c
    query = select(t.member, t.metric, t.n).where(
        _of_minutes(workspace_id, campaign_id),
        t.member >= since.astimezone(UTC).strftime("%Y-%m-%dT%H:%M"),
    )
    found: dict[datetime, Counts] = defaultdict(dict)
    for row in await connection.execute(query):
        found[datetime.fromisoformat(row.member)][row.metric] = row.n
    return found


def _rate(minutes: Mapping[datetime, Counts], started: datetime | None, now: datetime) -> float:
    """Ends a minute: the minute that runs, and of the one before it as much as makes up a whole minute."""
    this = _floor(now, _MINUTE)
    part = (now - this).total_seconds() / _MINUTE

    def ends(minute: datetime) -> int:
        return sum(minutes.get(minute, {}).get(end, 0) for end in _ENDS)

    count = ends(this) + ends(this - timedelta(seconds=_MINUTE)) * (1 - part)
    age = (now - started).total_seconds() / _MINUTE if started else 1.0
    # In its first minute a send has not had a whole one yet.
    return (ends(this) + ends(this - timedelta(seconds=_MINUTE))) / max(age, 1 / 60) if age < 1 else count


def _floor(at: datetime, seconds: int) -> datetime:
    stamp = int(at.timestamp())
    return datetime.fromtimestamp(stamp - stamp % seconds, UTC)


def _happened(counts: Mapping[str, int]) -> Figures:
    """What happened in a bucket. ``deferred`` is how often here; nobody waits in a bucket."""
    known = {name: max(0, n) for name, n in counts.items() if name in _COUNTED}
    return Figures(**known, deferred=counts.get("deferred", 0))


def _sum(many: Iterable[Figures]) -> Figures:
    total = Figures()
    for one in many:
        total = replace(total, **{field.name: getattr(total, field.name) + getattr(one, field.name)
                                  for field in fields(Figures)})
    return total
