"""The listeners in SQL: events folded into ``contact_engagement`` exactly once, and counted anew from all events."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import Any, Final
from zoneinfo import ZoneInfo

from sqlalchemy import (
    ColumnElement,
    Row,
    and_,
    bindparam,
    case,
    delete,
    exists,
    false,
    func,
    not_,
    or_,
    select,
    text,
    true,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from esp.adapters.sql.among import among
from esp.adapters.sql.database import Database
from esp.adapters.sql.schema import (
    campaigns,
    contact_engagement,
    contact_preferences,
    contacts,
    event_folds,
    events,
    lists,
    workspaces,
)
from esp.adapters.sql.upsert import insert_for
from esp.events.listening import Fact, Heard, MailFacts, by_mail, count, hear, respond, saw
from esp.events.score import Score
from esp.model.delivery import EventType
from esp.model.listening import HALF_LIFE
from esp.ports.listening import Folded

_NAME: Final = "engagement"
_TOLD: Final = (EventType.DELIVERED.value, EventType.BOUNCED.value, EventType.OPENED.value, EventType.CLICKED.value,
                EventType.COMPLAINED.value)
_HITS: Final = (EventType.OPENED.value, EventType.CLICKED.value)
_HUMAN: Final = "human"
_MOST_STALE: Final = 1_000  # contacts counted anew in one step
_SOME: Final = 5_000
_COUNTED: Final = ("opportunities", "responses", "recency", "opens", "clicks", "complaints", "first_sent_at",
                   "last_sent_at", "last_opened_at", "last_clicked_at", "score", "score_at", "score_rank", "times",
                   "waiting")

_g = contact_engagement.c


@dataclass(frozen=True, slots=True)
class _Step:
    """Events with ids in (after, until]. ``untracked`` campaigns make no opportunities: nobody would see a response."""

    after: int
    until: int
    untracked: frozenset[int]

    def holds(self, e: Any = events.c) -> ColumnElement[bool]:
        return and_(e.id > self.after, e.id <= self.until)

    def offers(self, e: Any = events.c) -> ColumnElement[bool]:
        """The event makes an opportunity."""
        tracked = e.campaign_id.not_in(sorted(self.untracked)) if self.untracked else true()
        return and_(e.type == EventType.DELIVERED.value, tracked)


async def fold(database: Database, limit: int, now: datetime) -> Folded:
    """See ``Listening.fold``."""
    if (idle := await _nothing_new(database)) is not None:
        return Folded(0, (), idle, 0, False)
    async with database.write() as connection:
        newest, oldest_writer, next_writer = await horizon(connection, database.dialect)
        place = await take_place(connection, database.dialect)
        ended = 0 < place.mark <= oldest_writer  # every writer who may have held an id up to ``ahead``
        safe = newest if database.dialect == "sqlite" else place.ahead if ended else place.cursor
        some = (select(events.c.id).where(events.c.id > place.cursor, events.c.id <= safe)
                .order_by(events.c.id).limit(limit).subquery())
        until = (await connection.execute(select(func.max(some.c.id)))).scalar()
        until = int(until) if until is not None else place.cursor
        step = _Step(place.cursor, until, await _untracked(connection))
        folded = await _fold(connection, database.dialect, step) if until > place.cursor else set()
        anew = await _stale(connection, database.dialect, step)
        further = {"ahead": newest, "mark": next_writer} if newest > place.ahead and (
            not place.mark or (ended and until >= place.ahead)) else {}
        await connection.execute(
            update(event_folds).where(event_folds.c.name == _NAME).values(cursor=until, moved_at=now, **further))
    return Folded(until - place.cursor, tuple(sorted(folded | set(anew))), until, max(0, newest - until),
                  until < safe or len(anew) == _MOST_STALE)


async def _nothing_new(database: Database) -> int | None:
    """The cursor where all is folded, which is most of the time and should write nothing; None where it is not."""
    f = event_folds.c
    async with database.read() as connection:
        row = (await connection.execute(
            select(f.cursor, select(func.max(events.c.id)).scalar_subquery(),
                   select(_g.contact_id).where(_g.stale).limit(1).scalar_subquery())
            .where(f.name == _NAME))).one_or_none()
    return int(row[0]) if row and row[0] >= (row[1] or 0) and row[2] is None else None


async def rebuild(database: Database, workspace_id: int, after_id: int, limit: int) -> tuple[int, int]:
    """See ``Listening.rebuild``."""
    async with database.write() as connection:
        place = await take_place(connection, database.dialect)
        found = await connection.execute(
            select(contacts.c.id).where(contacts.c.workspace_id == workspace_id, contacts.c.id > after_id)
            .order_by(contacts.c.id).limit(limit))
        ids = list(found.scalars())
        await _count_anew(
            connection, database.dialect, ids, _Step(0, place.cursor, await _untracked(connection)))
    return (ids[-1] if len(ids) == limit else 0), len(ids)


async def mark_stale(connection: AsyncConnection, contact_ids: Sequence[int]) -> None:
    """Within the caller's transaction that changed these contacts' events: the fold counts them anew."""
    if contact_ids:
        await connection.execute(
            update(contact_engagement).where(among(connection, _g.contact_id, contact_ids)).values(stale=True))


async def take_place(connection: AsyncConnection, dialect: str) -> Row[Any]:
    """How far the fold has come, locked: one at a time writes counts and levels."""
    await connection.execute(
        insert_for(dialect, event_folds).values(name=_NAME, cursor=0, ahead=0, mark=0).on_conflict_do_nothing())
    return (await connection.execute(
        select(event_folds).where(event_folds.c.name == _NAME).with_for_update())).one()


async def horizon(connection: AsyncConnection, dialect: str) -> tuple[int, int, int]:
    """The newest event, the oldest transaction that still writes, and the number the next writer would get.

    PostgreSQL hands ids out before they are committed, so that a lower one may appear later; but only from a writer
    who was there already. On SQLite there is one writer at a time, and it is we.
    """
    if dialect == "sqlite":
        newest = (await connection.execute(select(func.max(events.c.id)))).scalar()
        return newest or 0, 1, 1
    row = (await connection.execute(text(
        "SELECT coalesce((SELECT max(id) FROM events), 0), pg_snapshot_xmin(s)::text::bigint,"
        " pg_snapshot_xmax(s)::text::bigint FROM pg_current_snapshot() s"))).one()
    return row[0], row[1], row[2]


async def _untracked(connection: AsyncConnection) -> frozenset[int]:
    """Campaigns whose mails nobody can be seen to answer: without tracking, or to a list without."""
    c = campaigns.c
    silent = await connection.execute(select(c.id).where(not_(or_(c.track_opens, c.track_clicks))))
    found = set(silent.scalars())
    quiet = set((await connection.execute(select(lists.c.id).where(lists.c.tracking == false()))).scalars())
    if quiet:
        found.update(row.id for row in await connection.execute(select(c.id, c.include_lists))
                     if quiet.intersection(row.include_lists))
    return frozenset(found)


# ---- the next events -------------------------------------------------------------------------------------------------


async def _fold(connection: AsyncConnection, dialect: str, step: _Step) -> set[int]:
    """Fold a step; returns the contacts whose counts may be others now."""
    offered = await _offer(connection, dialect, step)
    answered = await _answers(connection, dialect, step)
    await _complain(connection, step)
    await _bounce(connection, step)
    return offered | answered


def _known(e: Any) -> ColumnElement[bool]:
    """Of a contact who is there and did not ask us to count nothing."""
    quiet = exists().where(contact_preferences.c.contact_id == e.contact_id, contact_preferences.c.tracking_off)
    return and_(e.contact_id > 0, not_(quiet))


async def _offer(connection: AsyncConnection, dialect: str, step: _Step) -> set[int]:
    """Opportunities: one statement for all of them."""
    e = events.c
    made = (
        select(contacts.c.workspace_id, e.contact_id, func.count(), func.min(e.at), func.max(e.at), func.min(e.at))
        .select_from(events.join(contacts, and_(contacts.c.id == e.contact_id,
                                                contacts.c.workspace_id == e.workspace_id)))
        .where(step.holds(), step.offers(), _known(e))
        .group_by(contacts.c.workspace_id, e.contact_id).order_by(e.contact_id)
    )
    into = insert_for(dialect, contact_engagement).from_select(
        ["workspace_id", "contact_id", "opportunities", "first_sent_at", "last_sent_at", "level_at"], made)
    new = into.excluded
    statement = into.on_conflict_do_update(index_elements=[_g.contact_id], set_={
        "opportunities": _g.opportunities + new.opportunities,
        "first_sent_at": case((_g.first_sent_at < new.first_sent_at, _g.first_sent_at), else_=new.first_sent_at),
        "last_sent_at": case((_g.last_sent_at > new.last_sent_at, _g.last_sent_at), else_=new.last_sent_at),
        "stale": or_(_g.stale, _g.waiting),
    }).returning(_g.contact_id)
    return set((await connection.execute(statement)).scalars())


async def _answers(connection: AsyncConnection, dialect: str, step: _Step) -> set[int]:
    """Opens and clicks by people: looked at one by one, for most mails are never answered."""
    e = events.c
    rows = (await connection.execute(
        select(e.contact_id, e.delivery_id, e.type, e.at)
        .where(step.holds(), e.type.in_(_HITS), e.agent == _HUMAN, _known(e), e.delivery_id.is_not(None))
        .order_by(e.id))).all()
    if not rows:
        return set()
    people = {row.contact_id for row in rows}
    mails = await _mails(connection, sorted({row.delivery_id for row in rows}), step)
    later = await _later(connection, [
        mail.opportunity for mail in mails.values()
        if mail.opportunity and mail.response and mail.response.id > step.after], step)
    await _make(connection, dialect, sorted(people))
    heard = await _heard(connection, sorted(people))
    for row in rows:
        if row.contact_id in heard:
            saw(heard[row.contact_id][0], "opened" if row.type == EventType.OPENED.value else "clicked", row.at)
    owner = {row.delivery_id: row.contact_id for row in rows}
    firsts = [(mail, heard[owner[key]]) for key, mail in mails.items() if owner[key] in heard]
    for mail, (one, zone) in sorted(firsts, key=lambda first: first[0].response.id if first[0].response else 0):
        _answer(one, mail, zone, later, step)
    await _write(connection, {key: one for key, (one, _) in heard.items()})
    return people


def _answer(one: Heard, mail: MailFacts, zone: tzinfo, later: Mapping[int, int], step: _Step) -> None:
    fresh = [fact if fact and fact.id > step.after else None for fact in (mail.opened, mail.clicked)]
    count(one, *fresh)
    response = mail.response
    if response is None or response.id <= step.after:
        return
    if mail.delivered is None:
        one.waiting = True
    elif mail.opportunity is not None and mail.opportunity in later:
        respond(one, one.opportunities - later[mail.opportunity], response.at, zone)


async def _mails(connection: AsyncConnection, delivery_ids: Sequence[int], step: _Step) -> dict[int, MailFacts]:
    """What was ever known of these mails up to the end of the step."""
    e = events.c
    facts: list[Fact] = []
    for start in range(0, len(delivery_ids), _SOME):
        rows = await connection.execute(
            select(e.id, e.type, e.at, e.campaign_id, e.delivery_id, e.agent)
            .where(among(connection, e.delivery_id, delivery_ids[start:start + _SOME]), e.type.in_(_TOLD),
                   e.id <= step.until)
            .order_by(e.delivery_id, e.id))
        facts += [_fact(row, step) for row in rows]
    return by_mail(facts)


def _fact(row: Any, step: _Step) -> Fact:
    return Fact(row.id, EventType(row.type), row.at, row.delivery_id or 0, row.agent == _HUMAN,
                row.campaign_id not in step.untracked)


async def _later(connection: AsyncConnection, offers: Sequence[int], step: _Step) -> dict[int, int]:
    """How many opportunities each of these (an event's id) was followed by: few, for people answer what is new."""
    e, then, b = events.c, events.alias("later"), events.alias("bounced")
    bounced = exists().where(b.c.delivery_id == then.c.delivery_id, b.c.type == EventType.BOUNCED.value,
                             b.c.id > then.c.id, b.c.id <= step.until)
    followed = (select(func.count()).where(then.c.contact_id == e.contact_id, then.c.id > e.id, then.c.id <= step.until,
                                           step.offers(then.c), not_(bounced))
                .correlate(events).scalar_subquery())
    found: dict[int, int] = {}
    for start in range(0, len(offers), _SOME):
        rows = await connection.execute(
            select(e.id, followed).where(among(connection, e.id, offers[start:start + _SOME])))
        found.update((row[0], row[1]) for row in rows)
    return found


async def _make(connection: AsyncConnection, dialect: str, ids: Sequence[int]) -> None:
    """Rows for those who have none: they answered before a delivery was recorded."""
    there = select(contacts.c.id, contacts.c.workspace_id).where(
        among(connection, contacts.c.id, ids), not_(exists().where(_g.contact_id == contacts.c.id)))
    await connection.execute(
        insert_for(dialect, contact_engagement).from_select(["contact_id", "workspace_id"], there)
        .on_conflict_do_nothing())


async def _heard(connection: AsyncConnection, ids: Sequence[int]) -> dict[int, tuple[Heard, tzinfo]]:
    """What is kept of these contacts, but for those who are counted anew anyway, and where their clocks are."""
    found: dict[int, tuple[Heard, tzinfo]] = {}
    rows = await connection.execute(
        select(contact_engagement, contacts.c.time_zone, workspaces.c.time_zone.label("usual"))
        .select_from(contact_engagement.join(contacts, contacts.c.id == _g.contact_id)
                     .join(workspaces, workspaces.c.id == contacts.c.workspace_id))
        .where(among(connection, _g.contact_id, ids), not_(_g.stale)).order_by(_g.contact_id))
    for row in rows:
        found[row.contact_id] = heard_of(row), zone_of(row.time_zone, row.usual)
    return found


def heard_of(row: Any) -> Heard:
    """A row of ``contact_engagement``."""
    score = Score(row.score, row.score_at.timestamp()) if row.score_at else Score()
    return Heard(row.opportunities, row.responses, row.recency, row.opens, row.clicks, row.complaints,
                 row.first_sent_at, row.last_sent_at, row.last_opened_at, row.last_clicked_at, score, row.times,
                 row.waiting)


def zone_of(own: str, usual: str) -> tzinfo:
    """Where a contact's clock is: as they said, else as their workspace's."""
    for name in (own, usual):
        if name:
            try:
                return ZoneInfo(name)
            except (KeyError, ValueError, OSError):
                continue
    return UTC


def _values(one: Heard) -> dict[str, Any]:
    score = one.score
    return {
        "opportunities": one.opportunities, "responses": one.responses, "recency": one.recency, "opens": one.opens,
        "clicks": one.clicks, "complaints": one.complaints, "first_sent_at": one.first_sent_at,
        "last_sent_at": one.last_sent_at, "last_opened_at": one.last_opened_at, "last_clicked_at": one.last_clicked_at,
        "score": score.value, "score_at": datetime.fromtimestamp(score.at, UTC) if score.value else None,
        "score_rank": score.rank(HALF_LIFE) if score.value else None, "times": one.times, "waiting": one.waiting,
    }


async def _write(connection: AsyncConnection, heard: Mapping[int, Heard]) -> None:
    """What answers change; opportunities and complaints are counted by statements of their own."""
    if heard:
        changed = [name for name in _COUNTED if name not in ("opportunities", "complaints", "first_sent_at",
                                                             "last_sent_at")]
        await connection.execute(
            update(contact_engagement).where(_g.contact_id == bindparam("_id"))
            .values({name: bindparam(f"_{name}") for name in changed}),
            [{"_id": key, **{f"_{name}": value for name, value in _values(one).items() if name in changed}}
             for key, one in sorted(heard.items())])


async def _complain(connection: AsyncConnection, step: _Step) -> None:
    e = events.c
    found = await connection.execute(
        select(e.contact_id, func.count()).where(step.holds(), e.type == EventType.COMPLAINED.value, e.contact_id > 0)
        .group_by(e.contact_id).order_by(e.contact_id))
    rows = [{"_id": row[0], "_n": row[1]} for row in found]
    if rows:
        await connection.execute(
            update(contact_engagement).where(_g.contact_id == bindparam("_id"))
            .values(complaints=_g.complaints + bindparam("_n")), rows)


async def _bounce(connection: AsyncConnection, step: _Step) -> None:
    """A mail that had counted as delivered was not: its contact is counted anew."""
    e, before = events.c, events.alias("before")
    delivered = exists().where(before.c.delivery_id == e.delivery_id, before.c.id < e.id,
                               before.c.type == EventType.DELIVERED.value)
    found = await connection.execute(
        select(e.contact_id).where(step.holds(), e.type == EventType.BOUNCED.value, e.contact_id > 0, delivered)
        .distinct())
    await mark_stale(connection, sorted(found.scalars()))


# ---- counted anew ----------------------------------------------------------------------------------------------------


async def _stale(connection: AsyncConnection, dialect: str, step: _Step) -> list[int]:
    found = await connection.execute(
        select(_g.contact_id).where(_g.stale).order_by(_g.contact_id).limit(_MOST_STALE))
    ids = list(found.scalars())
    await _count_anew(connection, dialect, ids, _Step(0, step.until, step.untracked))
    return ids


async def _count_anew(connection: AsyncConnection, dialect: str, ids: Sequence[int], step: _Step) -> None:
    """These contacts from all their events, as if they had been folded one after the other."""
    if not ids:
        return
    e = events.c
    about = (
        select(contacts.c.id, contacts.c.workspace_id, contacts.c.time_zone, workspaces.c.time_zone.label("usual"),
               func.coalesce(contact_preferences.c.tracking_off, false()).label("quiet"))
        .select_from(contacts.join(workspaces, workspaces.c.id == contacts.c.workspace_id)
                     .outerjoin(contact_preferences, contact_preferences.c.contact_id == contacts.c.id))
        .where(among(connection, contacts.c.id, ids)))
    people = {row.id: row for row in await connection.execute(about)}
    facts: dict[int, list[Fact]] = {key: [] for key, row in people.items() if not row.quiet}
    rows = await connection.execute(
        select(e.id, e.contact_id, e.campaign_id, e.type, e.at, e.delivery_id, e.agent)
        .where(among(connection, e.contact_id, list(facts)), e.id <= step.until, e.type.in_(_TOLD))
        .order_by(e.contact_id, e.id))
    for row in rows:
        facts[row.contact_id].append(_fact(row, step))
    made = [{"contact_id": key, "workspace_id": people[key].workspace_id, "stale": False,
             **_values(hear(told, zone_of(people[key].time_zone, people[key].usual)))}
            for key, told in sorted(facts.items()) if told]
    gone = sorted(set(ids) - {row["contact_id"] for row in made})
    if gone:
        await connection.execute(delete(contact_engagement).where(among(connection, _g.contact_id, gone)))
    if made:
        for one in made:
            one["level_at"] = one["first_sent_at"]
        into = insert_for(dialect, contact_engagement)
        await connection.execute(
            into.on_conflict_do_update(
                index_elements=[_g.contact_id], set_={name: into.excluded[name] for name in (*_COUNTED, "stale")}),
            made)
