"""The walk over a campaign's audience in SQL: forecast, next people by key, one chunk written in one transaction."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Select, func, insert, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from esp.adapters.sql.campaign_rows import campaign_of, read_campaign
from esp.adapters.sql.database import Database
from esp.adapters.sql.exclusion import Narrowed, audience
from esp.adapters.sql.ledger import add_tallies, append_events, sqlite_instant
from esp.adapters.sql.schema import batches, campaigns, deliveries, destinations, subscriptions
from esp.adapters.sql.segments import read_segment_rules_of, zone_of
from esp.errors import ConflictError
from esp.events.fold import TallyKey
from esp.model.campaign import CampaignState
from esp.model.contact import ExclusionReason
from esp.model.delivery import OPEN_STATES, DeliveryState, EventType, NewEvent
from esp.ports.campaigns import AudienceChunk, AudienceMember, AudiencePage, Campaign, Forecast, NewDelivery

_EVERYBODY = 2**62
_COLUMNS = ("workspace_id", "campaign_id", "contact_id", "variant_id", "address", "domain", "provider", "state",
            "created_at", "batch_id", "due_at")
_INSERT_SQLITE = f"INSERT INTO deliveries ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))})"  # noqa: S608


def member_of(row: Any) -> AudienceMember:
    contact_id, address, domain, reason = row
    return AudienceMember(contact_id, address, domain, ExclusionReason(reason) if reason else None)


async def _narrowed(
    connection: AsyncConnection, campaign: Campaign, now: datetime, after: int, until: int, each: bool,
) -> Select[Any]:
    """The audience in this range of ids, narrowed by the campaign's segments: as frozen, or as they are now."""
    if not campaign.include_segments and not campaign.exclude_segments:
        return audience(campaign, now, after, until)
    here = await zone_of(connection, campaign.workspace_id)
    rules, at = campaign.segment_rules, campaign.started_at
    if rules is None or at is None:
        rules, at = await read_segment_rules_of(connection, campaign), now
    # A broadcast that has started is for those who were meant on that day, however long it takes.
    return audience(campaign, now, after, until, Narrowed(rules, at.astimezone(here), each))


class SqlWalk:
    """The half of the port ``Campaigns`` that is about people."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def _campaigns(self, query: Select[Any]) -> tuple[Campaign, ...]:
        async with self._database.read() as connection:
            return tuple(campaign_of(row) for row in await connection.execute(query))

    # ---- before

    async def forecast(self, campaign: Campaign, now: datetime) -> Forecast:
        async with self._database.read() as connection:
            people = (await _narrowed(connection, campaign, now, 0, _EVERYBODY, each=False)).subquery()
            rows = await connection.execute(select(people.c.reason, func.count()).group_by(people.c.reason))
            counted: dict[str, int] = {row[0]: row[1] for row in rows}
        will_get = counted.pop("", 0)
        excluded = {reason: counted[reason.value] for reason in ExclusionReason if reason.value in counted}
        return Forecast(will_get + sum(excluded.values()), will_get, excluded)

    async def people_excluded(
        self, campaign: Campaign, reason: ExclusionReason | None, now: datetime, after_id: int = 0, limit: int = 50,
    ) -> tuple[AudienceMember, ...]:
        async with self._database.read() as connection:
            people = (await _narrowed(connection, campaign, now, after_id, _EVERYBODY, each=True)).subquery()
            rows = await connection.execute(
                select(people).where(people.c.reason == (reason.value if reason else ""))
                .order_by(people.c.id).limit(limit)
            )
            return tuple(member_of(row) for row in rows)

    # ---- the walk

    async def walking(self, limit: int = 10) -> tuple[Campaign, ...]:
        return await self._campaigns(
            select(campaigns)
            .where(campaigns.c.state == CampaignState.SENDING.value, campaigns.c.walk_done.is_(False),
                   campaigns.c.digest == "")  # a digest has a walk of its own
            .order_by(campaigns.c.started_at, campaigns.c.id).limit(limit)
        )

    async def backlog(self, campaign: Campaign, limit: int) -> int:
        waiting = (
            select(deliveries.c.id)
            .where(deliveries.c.campaign_id == campaign.id, deliveries.c.state == DeliveryState.QUEUED.value)
            .limit(limit).subquery()
        )
        async with self._database.read() as connection:
            return int((await connection.execute(select(func.count()).select_from(waiting))).scalar_one())

    async def next_members(self, campaign: Campaign, now: datetime, limit: int) -> AudiencePage:
        # Each list is read by its own key, so that a small list in a big workspace costs what it holds.
        it = subscriptions.c
        pages = [
            select(
                select(it.contact_id)
                .where(it.list_id == list_id, it.workspace_id == campaign.workspace_id,
                       it.contact_id > campaign.walk_cursor, it.contact_id <= campaign.walk_until)
                .order_by(it.contact_id).limit(limit).subquery().c.contact_id
            )
            for list_id in campaign.include_lists
        ]
        if not pages:
            return AudiencePage()
        together = pages[0].union(*pages[1:]).subquery()
        page = select(together.c.contact_id).order_by(together.c.contact_id).limit(limit).subquery()
        async with self._database.read() as connection:
            last, count = (await connection.execute(select(func.max(page.c.contact_id), func.count()))).one()
            if last is None:
                return AudiencePage()
            # On PostgreSQL this statement sees a later moment than the one above: who joined or was erased in between
            # makes the page longer or shorter, but does not make it the last.
            people = (await _narrowed(connection, campaign, now, campaign.walk_cursor, last, each=True)).subquery()
            rows = await connection.execute(select(people).order_by(people.c.id))
            return AudiencePage(tuple(member_of(row) for row in rows), last if count == limit else None)

    async def write_chunk(self, campaign: Campaign, chunk: AudienceChunk, now: datetime) -> Campaign:
        async with self._database.write() as connection:
            moved = await connection.execute(
                update(campaigns).values(walk_cursor=chunk.walk_to, walk_done=chunk.done)
                .where(campaigns.c.id == campaign.id, campaigns.c.workspace_id == campaign.workspace_id,
                       campaigns.c.state == CampaignState.SENDING.value, campaigns.c.walk_done.is_(False),
                       campaigns.c.walk_cursor == chunk.walk_from)
            )
            if moved.rowcount != 1:
                raise ConflictError("The campaign was paused, cancelled or walked by somebody else meanwhile.")
            await self._write_deliveries(connection, campaign, chunk, now)
            return await read_campaign(connection, campaign.workspace_id, campaign.id)

    async def _write_deliveries(
        self, connection: AsyncConnection, campaign: Campaign, chunk: AudienceChunk, now: datetime,
    ) -> None:
        common = {"workspace_id": campaign.workspace_id, "campaign_id": campaign.id}
        batch_ids: Sequence[int] = ()
        if chunk.batches:
            made = await connection.execute(
                insert(batches).returning(batches.c.id, sort_by_parameter_order=True),
                [{**common, "provider": batch.provider, "size": batch.size, "state": "ready", "due_at": now}
                 for batch in chunk.batches],
            )
            batch_ids = made.scalars().all()
        if not chunk.deliveries:
            return
        await self._insert_deliveries(connection, campaign, chunk.deliveries, batch_ids, now)
        counts = {
            TallyKey(campaign.workspace_id, campaign.id, dimension, member, "targeted"): n
            for dimension, members in (
                ("total", {"": len(chunk.deliveries)}),
                ("provider", Counter(it.provider for it in chunk.deliveries)),
                ("variant", Counter(str(it.variant_id) for it in chunk.deliveries)),
            )
            for member, n in members.items()
        }
        await add_tallies(connection, self._database.dialect, counts)
        await self._suppress_excluded(connection, campaign, chunk, now)

    async def _insert_deliveries(
        self, connection: AsyncConnection, campaign: Campaign, people: Sequence[NewDelivery], batch_ids: Sequence[int],
        now: datetime,
    ) -> None:
        # Past SQLAlchemy's handling of each parameter, which costs more than the insert: this runs for every message.
        sqlite_dialect = self._database.dialect == "sqlite"
        at = sqlite_instant(now) if sqlite_dialect else now
        queued = DeliveryState.QUEUED.value
        rows = [
            (campaign.workspace_id, campaign.id, it.contact_id, it.variant_id, it.address, it.domain, it.provider,
             queued, at, None if it.batch is None else batch_ids[it.batch], None if it.batch is None else at)
            for it in people
        ]
        if sqlite_dialect:
            await connection.exec_driver_sql(_INSERT_SQLITE, rows)
        else:
            raw = await connection.get_raw_connection()
            assert raw.driver_connection is not None
            await raw.driver_connection.copy_records_to_table("deliveries", records=rows, columns=_COLUMNS)

    async def _suppress_excluded(
        self, connection: AsyncConnection, campaign: Campaign, chunk: AudienceChunk, now: datetime,
    ) -> None:
        reasons = {it.contact_id: it.reason for it in chunk.deliveries if it.reason is not None}
        if not reasons:
            return
        # They are few as a rule; found again by the range of the chunk instead of by a thousand parameters.
        it = deliveries.c
        rows = await connection.execute(
            select(it.id, it.contact_id).where(
                it.campaign_id == campaign.id, it.contact_id > chunk.walk_from, it.contact_id <= chunk.walk_to,
                it.batch_id.is_(None),
            )
        )
        await append_events(connection, self._database.dialect, [
            NewEvent(EventType.SUPPRESSED, now, campaign.workspace_id, campaign.id, row.id, row.contact_id,
                     detail={"reason": str(reasons[row.contact_id])})
            for row in rows if row.contact_id in reasons
        ])

    # ---- providers

    async def providers(self, domains: Sequence[str], fresh_after: datetime) -> dict[str, str]:
        known: dict[str, str] = {}
        async with self._database.read() as connection:
            for start in range(0, len(domains), 500):
                rows = await connection.execute(
                    select(destinations.c.domain, destinations.c.provider)
                    .where(destinations.c.domain.in_(domains[start:start + 500]),
                           destinations.c.resolved_at > fresh_after)
                )
                known.update((row.domain, row.provider) for row in rows)
        return known

    async def remember_providers(self, providers: Mapping[str, str], now: datetime) -> None:
        make = postgresql.insert if self._database.dialect == "postgresql" else sqlite.insert
        statement = make(destinations)
        statement = statement.on_conflict_do_update(
            index_elements=[destinations.c.domain],
            set_={"provider": statement.excluded.provider, "resolved_at": statement.excluded.resolved_at},
        )
        async with self._database.write() as connection:
            # In one order everywhere, so that two who remember the same never wait for each other in a ring.
            await connection.execute(statement, [
                {"domain": domain, "provider": provider, "resolved_at": now}
                for domain, provider in sorted(providers.items())
            ])

    # ---- the end

    async def cancelled_with_open(self, limit: int = 10) -> tuple[Campaign, ...]:
        still = select(deliveries.c.id).where(
            deliveries.c.campaign_id == campaigns.c.id, deliveries.c.state.in_([state.value for state in OPEN_STATES])
        )
        return await self._campaigns(
            select(campaigns).where(campaigns.c.state == CampaignState.CANCELLED.value, still.exists())
            .order_by(campaigns.c.id).limit(limit)
        )

    async def cancel_open(self, campaign: Campaign, now: datetime, limit: int = 1000) -> int:
        it = deliveries.c
        # What a worker holds just now may be on its way: it is cancelled once the lease has ended without a result.
        held = select(batches.c.id).where(batches.c.campaign_id == campaign.id, batches.c.state == "leased",
                                          batches.c.lease_until > now)
        async with self._database.write() as connection:
            rows = await connection.execute(
                select(it.id).where(it.campaign_id == campaign.id, it.workspace_id == campaign.workspace_id,
                                    it.state.in_([state.value for state in OPEN_STATES]),
                                    or_(it.batch_id.is_(None), it.batch_id.not_in(held)))
                .order_by(it.id).limit(limit)
            )
            ids = rows.scalars().all()
            await connection.execute(
                update(batches).values(state="done")
                .where(batches.c.campaign_id == campaign.id, batches.c.state == "ready")
            )
            return await append_events(connection, self._database.dialect, [
                NewEvent(EventType.CANCELLED, now, campaign.workspace_id, campaign.id, delivery_id)
                for delivery_id in ids
            ])

    async def states(self, workspace_id: int, campaign_id: int) -> dict[str, int]:
        it = deliveries.c
        async with self._database.read() as connection:
            rows = await connection.execute(
                select(it.state, func.count()).where(it.campaign_id == campaign_id, it.workspace_id == workspace_id)
                .group_by(it.state)
            )
            return {row[0]: row[1] for row in rows}
