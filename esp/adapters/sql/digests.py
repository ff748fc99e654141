"""Digests in SQL: a mail kept back becomes an item; a period's items become one campaign, in one transaction, once."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Select, and_, case, delete, exists, func, insert, literal, not_, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from esp.adapters.sql.campaign_rows import campaign_of, read_campaign
from esp.adapters.sql.database import Database
from esp.adapters.sql.exclusion import barred_or, choice, chosen_frequency, join_choice, suppression_rank
from esp.adapters.sql.schema import (
    campaigns,
    contact_preferences,
    contact_topics,
    contacts,
    deliveries,
    digest_items,
    digests,
    lists,
    subscriptions,
    variants,
    workspaces,
)
from esp.model.campaign import CampaignState, ContentKind
from esp.model.contact import ExclusionReason, SubscriptionState
from esp.model.delivery import EventType, NewEvent
from esp.model.ids import new_public_id
from esp.model.preference import Cadence, Frequency
from esp.ports.campaigns import Campaign, FrozenVariant
from esp.ports.digests import DigestItem, Edition, Waiting

_CHUNK: Final = 500
_ON: Final = SubscriptionState.SUBSCRIBED.value
#: Whoever went back to getting each mail still gets, in the next daily digest, what was kept back before.
_FITS: Final = {
    Cadence.DAILY: (Frequency.EACH.value, Frequency.DAILY.value), Cadence.WEEKLY: (Frequency.WEEKLY.value,),
}


async def keep_back(connection: AsyncConnection, dialect: str, events: Iterable[NewEvent]) -> None:
    """Make items of those ``events`` by which a delivery was kept for a digest, in the ledger's own transaction."""
    rows = [
        {"workspace_id": event.workspace_id, "contact_id": event.contact_id, "campaign_id": event.campaign_id,
         "delivery_id": event.delivery_id, "at": event.at}
        for event in events
        if event.type is EventType.SUPPRESSED and (event.detail or {}).get("reason") == ExclusionReason.DIGEST.value
    ]
    if rows:
        make = postgresql.insert if dialect == "postgresql" else sqlite.insert
        await connection.execute(make(digest_items).on_conflict_do_nothing(), rows)


class SqlDigests:
    """Digests over SQLite or PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def waiting(self) -> tuple[Waiting, ...]:
        it, w = digest_items.c, workspaces.c
        oldest = (
            select(it.at).where(it.workspace_id == w.id, it.digest_id.is_(None)).order_by(it.at).limit(1)
            .scalar_subquery()
        )
        places = select(w.id, w.time_zone, w.language, oldest.label("since")).subquery()
        async with self._database.read() as connection:
            rows = await connection.execute(select(places).where(places.c.since.is_not(None)).order_by(places.c.id))
            return tuple(Waiting(row.id, row.time_zone, row.language, row.since) for row in rows)

    async def make(
        self, workspace_id: int, cadence: Cadence, period: str, until: datetime, name: str, variant: FrozenVariant,
        now: datetime,
    ) -> Campaign | None:
        dialect = postgresql.insert if self._database.dialect == "postgresql" else sqlite.insert
        mine = {"workspace_id": workspace_id, "cadence": cadence.value, "period": period}
        wanted = _wanted(workspace_id, cadence, until, now).subquery()
        async with self._database.read() as connection:  # what takes long is read before anybody has to wait for it
            sources = (await connection.execute(
                select(campaigns).where(campaigns.c.id.in_(select(wanted.c.campaign_id))).order_by(campaigns.c.id)
            )).all()
            highest = int(await connection.scalar(select(func.max(wanted.c.contact_id))) or 0) if sources else 0
        async with self._database.write() as connection:
            claimed = await connection.execute(
                dialect(digests).values(**mine, made_at=now).on_conflict_do_nothing()
            )
            if claimed.rowcount != 1 or not sources:
                return None
            digest_id = await self._insert(connection, sources, cadence, name, variant, highest, now)
            # Who changed their mind since it was read waits for the next one, where the digest does not know the mail.
            known = select(wanted.c.id).where(
                wanted.c.campaign_id.in_([source.id for source in sources]), wanted.c.contact_id <= highest)
            await connection.execute(
                update(digest_items).values(digest_id=digest_id).where(digest_items.c.id.in_(known))
            )
            await connection.execute(
                update(digests).values(campaign_id=digest_id).where(*(digests.c[key] == value
                                                                      for key, value in mine.items()))
            )
            return await read_campaign(connection, workspace_id, digest_id)

    async def _insert(
        self, connection: AsyncConnection, sources: Sequence[Any], cadence: Cadence, name: str, variant: FrozenVariant,
        until: int, now: datetime,
    ) -> int:
        """The digest as a campaign: from whoever wrote last, to the lists of all that it gathers."""
        last = sources[-1]
        include = dict.fromkeys(int(one) for source in sources for one in source.include_lists)
        made = await connection.execute(insert(campaigns).returning(campaigns.c.id), {
            "public_id": new_public_id(), "workspace_id": last.workspace_id, "created_at": now, "updated_at": now,
            "started_at": now, "sample": {}, "version": 1, "name": name, "state": CampaignState.SENDING.value,
            "domain_id": last.domain_id, "from_name": last.from_name, "from_address": last.from_address,
            "reply_to": last.reply_to, "include_lists": list(include), "exclude_lists": [], "walk_until": until,
            "track_opens": all(source.track_opens for source in sources),
            "track_clicks": all(source.track_clicks for source in sources), "in_archive": False,
            "digest": cadence.value,
        })
        digest_id = int(made.scalar_one())
        await connection.execute(insert(variants), {
            "workspace_id": last.workspace_id, "campaign_id": digest_id, "label": variant.compiled.label,
            "subject": name, "kind": ContentKind.HTML.value, "source": "", "weight": 1,
            "compiled": variant.compiled.payload,
        })
        return digest_id

    async def is_made(self, workspace_id: int, cadence: Cadence, period: str) -> bool:
        of = digests.c
        made = select(of.made_at).where(
            of.workspace_id == workspace_id, of.cadence == cadence.value, of.period == period)
        async with self._database.read() as connection:
            return (await connection.execute(made)).first() is not None

    async def walking(self, limit: int = 10) -> tuple[Campaign, ...]:
        async with self._database.read() as connection:
            rows = await connection.execute(
                select(campaigns)
                .where(campaigns.c.state == CampaignState.SENDING.value, campaigns.c.walk_done.is_(False),
                       campaigns.c.digest != "")
                .order_by(campaigns.c.started_at, campaigns.c.id).limit(limit)
            )
            return tuple(campaign_of(row) for row in rows)

    async def editions(self, workspace_id: int, digest_id: int) -> dict[int, Edition]:
        it = digest_items.c
        gathered = select(it.campaign_id).where(it.digest_id == digest_id, it.workspace_id == workspace_id).distinct()
        async with self._database.read() as connection:
            rows = (await connection.execute(
                select(variants.c.id, variants.c.compiled, campaigns.c.include_lists)
                .join(campaigns, campaigns.c.id == variants.c.campaign_id)
                .where(variants.c.campaign_id.in_(gathered), variants.c.workspace_id == workspace_id,
                       variants.c.compiled.is_not(None))
            )).all()
            wanted = {int(one) for row in rows for one in row.include_lists[:1]}
            found = await connection.execute(
                select(lists.c.id, lists.c.name).where(lists.c.workspace_id == workspace_id, lists.c.id.in_(wanted))
            )
            names: dict[int, str] = {row.id: row.name for row in found}
        return {
            row.id: Edition(row.compiled, names.get(int(row.include_lists[0]), "") if row.include_lists else "")
            for row in rows
        }

    async def forget(self, before: datetime, limit: int = 1000) -> int:
        old = select(digest_items.c.id).where(digest_items.c.at < before).order_by(digest_items.c.id).limit(limit)
        async with self._database.write() as connection:
            gone = await connection.execute(delete(digest_items).where(digest_items.c.id.in_(old)))
            return int(gone.rowcount)

    async def of(
        self, workspace_id: int, digest_id: int, contact_ids: Sequence[int]
    ) -> dict[int, tuple[DigestItem, ...]]:
        async with self._database.read() as connection:
            return await items_of(connection, workspace_id, digest_id, contact_ids)


def _wanted(workspace_id: int, cadence: Cadence, until: datetime, now: datetime) -> Select[Any]:
    """Items of readers whose wish, as it is now, is this cadence; whoever pauses keeps theirs for later."""
    it, p = digest_items.c, contact_preferences.c
    joined = (
        digest_items.join(campaigns, campaigns.c.id == it.campaign_id)
        .outerjoin(contact_preferences, p.contact_id == it.contact_id)
        .outerjoin(contact_topics, and_(contact_topics.c.contact_id == it.contact_id,
                                        contact_topics.c.topic_id == campaigns.c.topic_id))
    )
    return select(it.id, it.contact_id, it.campaign_id).select_from(joined).where(
        it.workspace_id == workspace_id, it.digest_id.is_(None), it.at < until,
        or_(p.paused_until.is_(None), p.paused_until <= now), chosen_frequency().in_(_FITS[cadence]),
    )


def readers(digest: Campaign, now: datetime, after: int, until: int) -> Select[Any]:
    """Rows ``id, email, domain, reason`` as ``exclusion.audience`` has them, of those for whom something is in it."""
    it, s = digest_items.c, subscriptions.c
    reader = exists().where(it.digest_id == digest.id, it.contact_id == contacts.c.id)
    subscribed = exists().where(s.contact_id == contacts.c.id, s.workspace_id == digest.workspace_id,
                                s.list_id.in_(digest.include_lists), s.state == _ON)
    people = (
        select(contacts.c.id, contacts.c.email, contacts.c.domain, subscribed.label("subscribed"),
               suppression_rank(digest.workspace_id, digest.include_lists, now).label("suppressed"),
               choice(now, digest=True).label("choice"))
        .select_from(join_choice(contacts, contacts.c.id, None))
        .where(contacts.c.workspace_id == digest.workspace_id, contacts.c.id > after, contacts.c.id <= until, reader)
        .subquery()
    )
    otherwise = case((not_(people.c.subscribed), literal(ExclusionReason.UNSUBSCRIBED.value)), else_=people.c.choice)
    return select(people.c.id, people.c.email, people.c.domain,
                  barred_or(people.c.suppressed, otherwise).label("reason"))


async def items_of(
    connection: AsyncConnection, workspace_id: int, digest_id: int, contact_ids: Sequence[int]
) -> dict[int, tuple[DigestItem, ...]]:
    """See ``Digests.of``; within the caller's connection."""
    found: dict[int, list[DigestItem]] = defaultdict(list)
    for start in range(0, len(contact_ids), _CHUNK):
        some = contact_ids[start:start + _CHUNK]
        it = digest_items.c
        rows = (await connection.execute(
            select(it.contact_id, it.campaign_id, it.delivery_id, it.at, deliveries.c.variant_id,
                   campaigns.c.include_lists, contact_topics.c.frequency)
            .select_from(
                digest_items.join(deliveries, deliveries.c.id == it.delivery_id)
                .join(campaigns, campaigns.c.id == it.campaign_id)
                .outerjoin(contact_topics, and_(contact_topics.c.contact_id == it.contact_id,
                                                contact_topics.c.topic_id == campaigns.c.topic_id))
            )
            .where(it.digest_id == digest_id, it.workspace_id == workspace_id, it.contact_id.in_(some))
            .order_by(it.at, it.id)
        )).all()
        member = await _memberships(connection, workspace_id, some)
        for row in rows:
            stays = member[row.contact_id] & {int(one) for one in row.include_lists}
            if stays and row.frequency != Frequency.NONE.value:
                found[row.contact_id].append(DigestItem(row.campaign_id, row.delivery_id, row.variant_id, row.at))
    return {contact_id: tuple(items) for contact_id, items in found.items()}


async def _memberships(
    connection: AsyncConnection, workspace_id: int, contact_ids: Sequence[int]
) -> Mapping[int, set[int]]:
    s = subscriptions.c
    member: dict[int, set[int]] = defaultdict(set)
    for row in await connection.execute(
        select(s.contact_id, s.list_id).where(s.workspace_id == workspace_id, s.contact_id.in_(contact_ids),
                                              s.state == _ON)
    ):
        member[row.contact_id].add(row.list_id)
    return member


async def lists_of_digest(connection: AsyncConnection, digest_id: int, contact_id: int) -> list[int]:
    """The lists by which somebody got what stands in their digest: those that one click there leaves."""
    it = digest_items.c
    rows = await connection.execute(
        select(campaigns.c.include_lists).join(digest_items, it.campaign_id == campaigns.c.id)
        .where(it.digest_id == digest_id, it.contact_id == contact_id)
    )
    return sorted({int(one) for found in rows.scalars() for one in found})
