"""The walk over a campaign's audience in SQL: forecast, next people by key, one chunk written in one transaction."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Select, func, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from esp.adapters.sql.campaign_rows import campaign_of, read_variants
from esp.adapters.sql.database import Database
from esp.adapters.sql.digests import readers
from esp.adapters.sql.exclusion import Narrowed, audience
from esp.adapters.sql.ledger import append_events
from esp.adapters.sql.schema import batches, campaigns, deliveries, destinations, digest_items, subscriptions
from esp.adapters.sql.segments import read_segment_rules_of, zone_of
from esp.adapters.sql.walk_write import Crowd, StepWriter
from esp.errors import ConflictError
from esp.model.campaign import CampaignState
from esp.model.contact import ExclusionReason
from esp.model.delivery import OPEN_STATES, DeliveryState, EventType, NewEvent
from esp.ports.campaigns import AudienceMember, Campaign, Forecast, Gathering, WalkStep

_EVERYBODY = 2**62


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


async def _aimed_at(connection: AsyncConnection, campaign: Campaign, now: datetime, until: int) -> Select[Any]:
    """The people of a step, as ``exclusion.audience`` has them: of the campaign's lists, or a digest's readers."""
    if campaign.digest:
        return readers(campaign, now, campaign.walk_cursor, until)
    return await _narrowed(connection, campaign, now, campaign.walk_cursor, until, each=True)


def _people_of(campaign: Campaign, list_id: int, limit: int) -> Select[Any]:
    """The next ids of one list, by its own key, so that a small list in a big workspace costs what it holds."""
    it = subscriptions.c
    return select(
        select(it.contact_id)
        .where(it.list_id == list_id, it.workspace_id == campaign.workspace_id,
               it.contact_id > campaign.walk_cursor, it.contact_id <= campaign.walk_until)
        .order_by(it.contact_id).limit(limit).subquery().c.contact_id
    )


def _readers_of(digest: Campaign, limit: int) -> Select[Any]:
    it = digest_items.c
    return select(
        select(it.contact_id).distinct()
        .where(it.digest_id == digest.id, it.contact_id > digest.walk_cursor, it.contact_id <= digest.walk_until)
        .order_by(it.contact_id).limit(limit).subquery().c.contact_id
    )


class _ProvidersUnknownError(Exception):
    """Rolls a step back: somebody's provider has to be asked of DNS first."""

    def __init__(self, domains: frozenset[str]) -> None:
        super().__init__()
        self.domains = domains


async def _providers_of(
    connection: AsyncConnection, crowds: Collection[Crowd], gathering: Gathering,
) -> dict[str, str]:
    """The provider of each domain of those who will get it."""
    wanted = sorted({crowd.domain for crowd in crowds if not crowd.reason})
    if gathering.provider_of is not None:
        return {domain: gathering.provider_of(domain) for domain in wanted}
    known = await _remembered(connection, wanted, gathering.fresh_after)
    if len(known) < len(wanted):
        raise _ProvidersUnknownError(frozenset(wanted) - known.keys())
    return known


async def _remembered(connection: AsyncConnection, domains: Sequence[str], fresh_after: datetime) -> dict[str, str]:
    known: dict[str, str] = {}
    it = destinations.c
    for start in range(0, len(domains), 500):
        rows = await connection.execute(
            select(it.domain, it.provider)
            .where(it.domain.in_(domains[start:start + 500]), it.resolved_at > fresh_after))
        known.update((row.domain, row.provider) for row in rows)
    return known


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

    async def next_step(self, campaign: Campaign, limit: int) -> WalkStep:
        pages = [_readers_of(campaign, limit)] if campaign.digest else [
            _people_of(campaign, list_id, limit) for list_id in campaign.include_lists]
        if not pages:
            return WalkStep(campaign.walk_until, True)
        together = pages[0].union(*pages[1:]).subquery()
        page = select(together.c.contact_id).order_by(together.c.contact_id).limit(limit).subquery()
        async with self._database.read() as connection:
            last, count = (await connection.execute(select(func.max(page.c.contact_id), func.count()))).one()
        return WalkStep(last, False) if count == limit else WalkStep(campaign.walk_until, True)

    async def write_step(
        self, campaign: Campaign, step: WalkStep, gathering: Gathering, now: datetime,
    ) -> frozenset[str]:
        # What is staged is seen at a later moment than where the step ends: who joined or was erased in between makes
        # the step longer or shorter, but does not make it the last.
        try:
            async with self._database.write() as connection:
                await self._move_cursor(connection, campaign, step)
                writer = StepWriter(connection, self._database.dialect, campaign, now)
                people = await _aimed_at(connection, campaign, now, step.until)
                crowds = await writer.stage(people, await read_variants(connection, campaign))
                providers = await _providers_of(connection, crowds, gathering)
                of_each = Counter[str]()
                for crowd in crowds:
                    if not crowd.reason:
                        of_each[providers[crowd.domain]] += crowd.people
                plan = gathering.batches(of_each)
                await writer.write(crowds, providers, plan)
        except _ProvidersUnknownError as unknown:
            return unknown.domains
        return frozenset()

    async def _move_cursor(self, connection: AsyncConnection, campaign: Campaign, step: WalkStep) -> None:
        it = campaigns.c
        moved = await connection.execute(
            update(campaigns).values(walk_cursor=step.until, walk_done=step.done)
            .where(it.id == campaign.id, it.workspace_id == campaign.workspace_id,
                   it.state == CampaignState.SENDING.value, it.walk_done.is_(False),
                   it.walk_cursor == campaign.walk_cursor)
        )
        if moved.rowcount != 1:
            raise ConflictError("The campaign was paused, cancelled or walked by somebody else meanwhile.")

    # ---- providers

    async def providers(self, domains: Sequence[str], fresh_after: datetime) -> dict[str, str]:
        async with self._database.read() as connection:
            return await _remembered(connection, domains, fresh_after)

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
