"""Engagement in SQL: lookups for the edge; hits recorded in bulk with the offset of the journal they came from."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import and_, bindparam, delete, func, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from esp.adapters.sql.among import among
from esp.adapters.sql.database import Database
from esp.adapters.sql.ledger import add_tallies, append_events, chunked
from esp.adapters.sql.listening import mark_stale
from esp.adapters.sql.schema import (
    campaigns,
    contact_preferences,
    contacts,
    deliveries,
    events,
    journal_offsets,
    links,
    lists,
    messages,
    subscriptions,
    variants,
    workspaces,
)
from esp.adapters.sql.withdrawals import restore, withdraw
from esp.events.fold import Standing as FoldStanding
from esp.events.fold import TallyKey, fold
from esp.model.contact import SubscriptionState
from esp.model.delivery import DeliveryState, EventType, NewEvent
from esp.ports.engagement import (
    Hit,
    JournalMove,
    JudgedHit,
    Letter,
    LetterList,
    Original,
    Standing,
    StoredHit,
    Withdrawal,
)

_HITS: Final = (EventType.OPENED.value, EventType.CLICKED.value)
_MARKS: Final = ("opened_at", "machine_opened_at", "clicked_at", "machine_clicked_at")

# Once per person and link; the ledger's own ``clicked`` counts once per person and mail.
LINK_PEOPLE: Final = "link_clicked"
LINK_MACHINES: Final = "link_machine_clicked"


class _OffsetMovedError(Exception):
    """Another process folded these lines first: roll everything back."""


class SqlEngagement:
    """Engagement over SQLite or PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # ---- for the edge -----------------------------------------------------------------------------------------------

    async def link_urls(self, workspace_id: int, campaign_id: int) -> dict[int, str]:
        async with self._database.read() as connection:
            rows = await connection.execute(
                select(links.c.link_index, links.c.url)
                .where(links.c.campaign_id == campaign_id, links.c.workspace_id == workspace_id)
            )
            return {row.link_index: row.url for row in rows}

    async def letter(self, workspace_id: int, campaign_id: int, delivery_id: int) -> Letter | None:
        d, c, k, single = deliveries.c, contacts.c, campaigns.c, messages.c
        async with self._database.read() as connection:
            found = await connection.execute(
                select(func.coalesce(single.contact_id, d.contact_id).label("contact_id"), d.variant_id, d.address,
                       single.list_id, k.include_lists, k.test_of, k.sample, k.from_name,
                       workspaces.c.name.label("brand"), variants.c.subject, c.id.label("known"), c.email, c.first_name,
                       c.last_name, c.city, c.country, c.language, c.time_zone, c.birth_date, c.fields,
                       contact_preferences.c.tracking_off)
                .select_from(
                    deliveries
                    .join(campaigns, and_(k.id == d.campaign_id, k.workspace_id == d.workspace_id))
                    .join(workspaces, workspaces.c.id == d.workspace_id)
                    .outerjoin(messages, and_(single.delivery_id == d.id, single.workspace_id == d.workspace_id))
                    .outerjoin(variants, and_(variants.c.id == d.variant_id, variants.c.campaign_id == d.campaign_id))
                    .outerjoin(contacts, and_(c.id == func.coalesce(single.contact_id, d.contact_id),
                                              c.workspace_id == d.workspace_id))
                    .outerjoin(contact_preferences, contact_preferences.c.contact_id == c.id)
                )
                .where(d.id == delivery_id, d.workspace_id == workspace_id, d.campaign_id == campaign_id)
            )
            row = found.one_or_none()
            if row is None:
                return None
            ids = [int(list_id) for list_id in row.include_lists] + [row.list_id] * (row.list_id is not None)
            on_lists = await connection.execute(
                select(lists.c.id, lists.c.name, subscriptions.c.state)
                .join(subscriptions, subscriptions.c.list_id == lists.c.id)
                .where(lists.c.id.in_(ids), lists.c.workspace_id == workspace_id,
                       subscriptions.c.contact_id == row.contact_id)
                .order_by(lists.c.id)
            )
            letter_lists = tuple(
                LetterList(one.id, one.name, one.state != SubscriptionState.UNSUBSCRIBED.value) for one in on_lists
            )
        fields: Mapping[str, Any] = {}
        if row.test_of is not None:
            fields = row.sample or {}
        elif row.known is not None:
            fields = {
                **(row.fields or {}), "first_name": row.first_name, "last_name": row.last_name, "email": row.email,
                "city": row.city, "country": row.country, "language": row.language, "time_zone": row.time_zone,
                "birth_date": row.birth_date,
            }
        return Letter(
            workspace_id, campaign_id, delivery_id, row.contact_id, row.variant_id, row.address,
            row.from_name or row.brand, row.subject or "", row.language or "", letter_lists, fields,
            not row.tracking_off,
        )

    async def original(self, workspace_id: int, campaign_id: int, variant_id: int) -> Original | None:
        async with self._database.read() as connection:
            found = await connection.execute(
                select(variants.c.label, variants.c.compiled, campaigns.c.track_opens, campaigns.c.track_clicks)
                .join(campaigns, campaigns.c.id == variants.c.campaign_id)
                .where(variants.c.id == variant_id, variants.c.campaign_id == campaign_id,
                       variants.c.workspace_id == workspace_id, variants.c.compiled.is_not(None))
            )
            row = found.one_or_none()
        return Original(row.label, row.compiled, row.track_opens, row.track_clicks) if row else None

    async def unsubscribe(self, withdrawal: Withdrawal) -> bool:
        async with self._database.write() as connection:
            return await withdraw(connection, self._database.dialect, withdrawal)

    async def resubscribe(self, withdrawal: Withdrawal) -> bool:
        async with self._database.write() as connection:
            return await restore(connection, withdrawal)

    # ---- for the fold -----------------------------------------------------------------------------------------------

    async def offsets(self, journals: Sequence[str]) -> dict[str, int]:
        table = journal_offsets.c
        known = dict.fromkeys(journals, 0)
        async with self._database.read() as connection:
            for some in chunked(journals):
                rows = await connection.execute(select(table.journal, table.offset).where(table.journal.in_(some)))
                known.update({row[0]: row[1] for row in rows})
        return known

    async def forget(self, journals: Sequence[str]) -> None:
        async with self._database.write() as connection:
            for some in chunked(journals):
                await connection.execute(delete(journal_offsets).where(journal_offsets.c.journal.in_(some)))

    async def standings(self, workspace_id: int, delivery_ids: Sequence[int]) -> dict[int, Standing]:
        d = deliveries.c
        found: dict[int, Standing] = {}
        async with self._database.read() as connection:
            for some in chunked(delivery_ids):
                rows = (await connection.execute(
                    select(d.id, d.campaign_id, d.variant_id, d.state, d.ended_at)
                    .where(among(connection, d.id, some), d.workspace_id == workspace_id)
                )).all()
                counts = await connection.execute(
                    select(links.c.variant_id, func.count()).group_by(links.c.variant_id)
                    .where(links.c.campaign_id.in_({row.campaign_id for row in rows}),
                           links.c.workspace_id == workspace_id)
                )
                of_variant: dict[int, int] = {row[0]: row[1] for row in counts}
                for row in rows:
                    delivered = row.ended_at if row.state == DeliveryState.DELIVERED.value else None
                    links_in = of_variant.get(row.variant_id, 0)
                    found[row.id] = Standing(row.id, row.campaign_id, delivered, links_in)
        return found

    async def hits(self, workspace_id: int, delivery_ids: Sequence[int], since: datetime) -> list[Hit]:
        e = events.c
        found: list[Hit] = []
        async with self._database.read() as connection:
            for some in chunked(delivery_ids):
                rows = await connection.execute(
                    select(events).where(among(connection, e.delivery_id, some), e.workspace_id == workspace_id,
                                         e.type.in_(_HITS), e.at >= since)
                )
                found += [_hit(row) for row in rows]
        return sorted(found, key=lambda hit: hit.at)

    async def record(
        self, moves: Sequence[JournalMove], hits: Sequence[JudgedHit], withdrawals: Sequence[Withdrawal] = ()
    ) -> bool:
        try:
            async with self._database.write() as connection:
                for move in sorted(moves, key=lambda move: move.journal):
                    await self._move(connection, move)
                hits = await _wanted(connection, hits)
                await _lock(connection, sorted({judged.hit.delivery_id for judged in hits}))
                firsts = await _link_firsts(connection, hits)
                await append_events(connection, self._database.dialect, [_event(judged) for judged in hits])
                await add_tallies(connection, self._database.dialect, firsts)
                for withdrawal in withdrawals:
                    await withdraw(connection, self._database.dialect, withdrawal)
        except _OffsetMovedError:
            return False
        return True

    async def _move(self, connection: AsyncConnection, move: JournalMove) -> None:
        dialect = postgresql.insert if self._database.dialect == "postgresql" else sqlite.insert
        await connection.execute(
            dialect(journal_offsets).values(journal=move.journal, offset=0).on_conflict_do_nothing()
        )
        moved = await connection.execute(
            update(journal_offsets)
            .where(journal_offsets.c.journal == move.journal, journal_offsets.c.offset == move.old)
            .values(offset=move.new)
        )
        if moved.rowcount != 1:
            raise _OffsetMovedError

    # ---- judging anew -----------------------------------------------------------------------------------------------

    async def stored_hits(
        self, workspace_id: int, campaign_id: int, after_delivery: int, deliveries: int
    ) -> list[StoredHit]:
        e = events.c
        found: list[StoredHit] = []
        async with self._database.read() as connection:
            ids = await _engaged(connection, workspace_id, campaign_id, after_delivery, deliveries)
            for some in chunked(ids):
                rows = await connection.execute(
                    select(events)
                    .where(among(connection, e.delivery_id, some), e.workspace_id == workspace_id, e.type.in_(_HITS))
                )
                found += [
                    StoredHit(row.id, _hit(row), row.agent, int((row.detail or {}).get("version", 0))) for row in rows
                ]
        return sorted(found, key=lambda stored: (stored.hit.delivery_id, stored.hit.at, stored.event_id))

    async def rejudge(self, workspace_id: int, campaign_id: int, judged: Sequence[tuple[int, JudgedHit]]) -> bool:
        by_delivery: dict[int, dict[int, JudgedHit]] = defaultdict(dict)
        for event_id, one in judged:
            by_delivery[one.hit.delivery_id][event_id] = one
        ids = sorted(by_delivery)
        async with self._database.write() as connection:
            standings = await _lock(connection, ids, workspace_id, campaign_id)
            before = await _stored_events(connection, workspace_id, ids)
            whole = [id for id in ids if id in standings and before[id].keys() == by_delivery[id].keys()]
            change: Counter[TallyKey] = Counter()
            marks: list[dict[str, Any]] = []
            rows: list[dict[str, Any]] = []
            for id in whole:
                after = {event_id: _event(one) for event_id, one in by_delivery[id].items()}
                old, new = _in_order(before[id]), _in_order(after)
                change.subtract(_tallies(standings[id], id, old))
                change.update(_tallies(standings[id], id, new))
                first = fold({id: standings[id]}, new).marks
                marks.append({"delivery": id} | {f"new_{mark}": first.get(mark, {}).get(id) for mark in _MARKS})
                rows += [{"event": key, "new_agent": event.agent, "new_detail": event.detail}
                         for key, event in after.items()]
            if rows:
                await connection.execute(
                    update(events).where(events.c.id == bindparam("event"))
                    .values(agent=bindparam("new_agent"), detail=bindparam("new_detail")), rows,
                )
                await connection.execute(
                    update(deliveries).where(deliveries.c.id == bindparam("delivery"))
                    .values({mark: bindparam(f"new_{mark}") for mark in _MARKS}), marks,
                )
                await add_tallies(connection, self._database.dialect, change)
                await mark_stale(connection, sorted({standings[id].contact_id for id in whole}))
        return len(whole) == len(ids)


def _event(judged: JudgedHit) -> NewEvent:
    hit = judged.hit
    detail = {"rule": judged.rule, "version": judged.rules_version} | ({"trait": hit.trait} if hit.trait else {})
    return NewEvent(
        hit.type, hit.at, hit.workspace_id, hit.campaign_id, hit.delivery_id, link_index=hit.link_index,
        agent=judged.agent, ip=hit.ip, user_agent=hit.user_agent, detail=detail,
    )


def _in_order(stored: Mapping[int, NewEvent]) -> list[NewEvent]:
    """By id, which is the order in which the ledger counted them."""
    return [stored[event_id] for event_id in sorted(stored)]


def _hit(row: Any) -> Hit:
    return Hit(
        EventType(row.type), row.at, row.workspace_id, row.campaign_id, row.delivery_id, row.link_index, row.ip,
        row.user_agent, (row.detail or {}).get("trait", ""),
    )


async def _lock(
    connection: AsyncConnection, ids: Sequence[int], workspace_id: int | None = None, campaign_id: int | None = None
) -> dict[int, FoldStanding]:
    """The deliveries without their marks, locked in the order of their ids as the ledger does."""
    d = deliveries.c
    found: dict[int, FoldStanding] = {}
    for some in chunked(ids):
        query = select(d.id, d.workspace_id, d.campaign_id, d.contact_id, d.variant_id, d.provider, d.state)
        if workspace_id is not None:
            query = query.where(d.workspace_id == workspace_id, d.campaign_id == campaign_id)
        query = query.where(among(connection, d.id, some)).order_by(d.id).with_for_update()
        for row in await connection.execute(query):
            found[row.id] = FoldStanding(*row[1:6], DeliveryState(row.state))
    return found


async def _wanted(connection: AsyncConnection, hits: Sequence[JudgedHit]) -> list[JudgedHit]:
    """Without what people did who asked us to count nothing: also of mails that went out before they did."""
    d, p = deliveries.c, contact_preferences.c
    quiet: set[int] = set()
    for some in chunked(sorted({judged.hit.delivery_id for judged in hits})):
        rows = await connection.execute(
            select(d.id).join(contact_preferences, p.contact_id == d.contact_id)
            .where(d.id.in_(some), p.tracking_off, p.workspace_id == d.workspace_id)
        )
        quiet.update(rows.scalars())
    return [judged for judged in hits if judged.hit.delivery_id not in quiet]


async def _link_firsts(connection: AsyncConnection, hits: Sequence[JudgedHit]) -> Counter[TallyKey]:
    """Tallies of first clicks: once for each person and link, people and machines apart."""
    clicks = [judged for judged in hits if judged.hit.type is EventType.CLICKED and judged.hit.link_index is not None]
    ids = sorted({judged.hit.delivery_id for judged in clicks})
    e = events.c
    seen: set[tuple[int, int, str]] = set()
    for some in chunked(ids):
        rows = await connection.execute(
            select(e.delivery_id, e.link_index, e.agent).distinct()
            .where(among(connection, e.delivery_id, some), e.type == EventType.CLICKED.value)
        )
        seen |= {(row.delivery_id, row.link_index, _link_metric(row.agent)) for row in rows}
    counts: Counter[TallyKey] = Counter()
    for judged in clicks:
        hit, metric = judged.hit, _link_metric(judged.agent)
        assert hit.link_index is not None
        if (hit.delivery_id, hit.link_index, metric) not in seen:
            seen.add((hit.delivery_id, hit.link_index, metric))
            counts[TallyKey(hit.workspace_id, hit.campaign_id, "link", str(hit.link_index), metric)] += 1
    return counts


def _link_metric(agent: str) -> str:
    return LINK_PEOPLE if agent == "human" else LINK_MACHINES


def _tallies(standing: FoldStanding, delivery_id: int, made: Sequence[NewEvent]) -> Counter[TallyKey]:
    """What these events of one delivery, being all of its hits, have put into the rollups."""
    counts = Counter(fold({delivery_id: standing}, made).tallies)
    for index, metric in {(event.link_index, _link_metric(event.agent)) for event in made
                          if event.type is EventType.CLICKED and event.link_index is not None}:
        counts[TallyKey(standing.workspace_id, standing.campaign_id, "link", str(index), metric)] += 1
    return counts


async def _engaged(
    connection: AsyncConnection, workspace_id: int, campaign_id: int, after: int, limit: int
) -> list[int]:
    """The next deliveries with any hit, by id: four small indices merged, for one over all would cost every insert."""
    d = deliveries.c
    ids: set[int] = set()
    for mark in _MARKS:
        rows = await connection.execute(
            select(d.id).where(d.campaign_id == campaign_id, d.workspace_id == workspace_id, d.id > after,
                               d[mark].is_not(None)).order_by(d.id).limit(limit)
        )
        ids.update(rows.scalars())
    return sorted(ids)[:limit]


async def _stored_events(
    connection: AsyncConnection, workspace_id: int, ids: Sequence[int]
) -> dict[int, dict[int, NewEvent]]:
    e = events.c
    found: dict[int, dict[int, NewEvent]] = {id: {} for id in ids}
    for some in chunked(ids):
        rows = await connection.execute(
            select(events)
            .where(among(connection, e.delivery_id, some), e.workspace_id == workspace_id, e.type.in_(_HITS))
        )
        for row in rows:
            judged = JudgedHit(_hit(row), row.agent, "", 0)
            found[row.delivery_id][row.id] = _event(judged)
    return found

