"""Campaigns in SQL: drafts, the guarded moves between states, and what is frozen at the start."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from esp.adapters.sql.campaign_rows import (
    campaign_of,
    read_campaign,
    read_compiled,
    read_counts,
    read_variants,
    segment_rules_json,
)
from esp.adapters.sql.ledger import add_tallies
from esp.adapters.sql.schema import batches, campaigns, contacts, deliveries, links, variants
from esp.adapters.sql.walk import SqlWalk
from esp.errors import ConflictError
from esp.events.fold import TallyKey
from esp.model.campaign import CampaignAction, CampaignState, next_state
from esp.model.content import CompiledVariant
from esp.model.delivery import OPEN_STATES, DeliveryState
from esp.model.ids import new_public_id
from esp.model.permission import Stream
from esp.ports.campaigns import (
    Campaign,
    CampaignDetail,
    CampaignEdit,
    CampaignLine,
    FrozenCampaign,
    FrozenVariant,
    SegmentRules,
)

_CHANGED = "Somebody else changed this campaign a moment ago. Nothing of yours was written; look at it again."


def _columns(edit: CampaignEdit) -> dict[str, Any]:
    return {
        "name": edit.name, "include_lists": list(edit.include_lists), "exclude_lists": list(edit.exclude_lists),
        "domain_id": edit.domain_id, "from_name": edit.from_name, "from_address": edit.from_address,
        "reply_to": edit.reply_to, "throttle": edit.throttle, "track_opens": edit.track_opens,
        "track_clicks": edit.track_clicks, "topic_id": edit.topic_id, "in_archive": edit.in_archive,
        "include_segments": list(edit.include_segments), "exclude_segments": list(edit.exclude_segments),
    }


async def _insert(connection: AsyncConnection, workspace_id: int, now: datetime, values: Mapping[str, Any]) -> int:
    made = await connection.execute(
        insert(campaigns).returning(campaigns.c.id),
        {"public_id": new_public_id(), "workspace_id": workspace_id, "created_at": now, "updated_at": now,
         "sample": {}, "version": 1, **values},
    )
    return int(made.scalar_one())


async def _insert_variants(
    connection: AsyncConnection, workspace_id: int, campaign_id: int, edit: CampaignEdit,
) -> None:
    await connection.execute(insert(variants), [
        {"workspace_id": workspace_id, "campaign_id": campaign_id, "label": it.label, "subject": it.subject,
         "preheader": it.preheader, "kind": it.kind.value, "source": it.source, "weight": it.weight}
        for it in edit.variants
    ])


async def _freeze(connection: AsyncConnection, campaign: Campaign, variant_id: int, compiled: CompiledVariant) -> None:
    await connection.execute(
        update(variants).values(compiled=compiled.payload)
        .where(variants.c.id == variant_id, variants.c.campaign_id == campaign.id)
    )
    if compiled.links:
        await connection.execute(insert(links), [
            {"workspace_id": campaign.workspace_id, "campaign_id": campaign.id, "variant_id": variant_id,
             "link_index": link.index, "url": link.url, "text": link.text}
            for link in compiled.links
        ])


class SqlCampaigns(SqlWalk):
    """The port ``Campaigns`` on SQLite and PostgreSQL; the walk over the audience is in ``SqlWalk``."""

    # ---- drafts

    async def create(self, workspace_id: int, edit: CampaignEdit, now: datetime) -> Campaign:
        async with self._database.write() as connection:
            campaign_id = await _insert(connection, workspace_id, now, _columns(edit))
            await _insert_variants(connection, workspace_id, campaign_id, edit)
            return await read_campaign(connection, workspace_id, campaign_id)

    async def edit(
        self, workspace_id: int, campaign_id: int, edit: CampaignEdit, version: int, now: datetime,
    ) -> Campaign:
        async with self._database.write() as connection:
            changed = await connection.execute(
                update(campaigns).values(**_columns(edit), version=version + 1, updated_at=now)
                .where(campaigns.c.id == campaign_id, campaigns.c.workspace_id == workspace_id,
                       campaigns.c.version == version, campaigns.c.state == CampaignState.DRAFT.value)
            )
            if changed.rowcount != 1:
                await self._refuse_edit(connection, workspace_id, campaign_id)
            await connection.execute(delete(variants).where(variants.c.campaign_id == campaign_id))
            await _insert_variants(connection, workspace_id, campaign_id, edit)
            return await read_campaign(connection, workspace_id, campaign_id)

    async def _refuse_edit(self, connection: AsyncConnection, workspace_id: int, campaign_id: int) -> None:
        campaign = await read_campaign(connection, workspace_id, campaign_id)
        if campaign.state is not CampaignState.DRAFT:
            raise ConflictError(f"The campaign is {campaign.state}, so it cannot be changed now. Clone it instead.")
        raise ConflictError(_CHANGED)

    async def delete(self, workspace_id: int, campaign_id: int, version: int) -> None:
        async with self._database.write() as connection:
            campaign = await read_campaign(connection, workspace_id, campaign_id)
            if campaign.state is not CampaignState.DRAFT:
                raise ConflictError(f"The campaign is {campaign.state}; only drafts can be deleted.")
            if campaign.version != version:
                raise ConflictError(_CHANGED)
            await connection.execute(delete(variants).where(variants.c.campaign_id == campaign_id))
            await connection.execute(delete(campaigns).where(campaigns.c.id == campaign_id))

    async def get(self, workspace_id: int, campaign_id: int) -> CampaignDetail:
        async with self._database.read() as connection:
            campaign = await read_campaign(connection, workspace_id, campaign_id)
            found = await read_variants(connection, campaign)
            counts = await read_counts(connection, [campaign_id])
        return CampaignDetail(campaign, found, counts[campaign_id])

    async def list(
        self, workspace_id: int, before_id: int | None = None, limit: int = 50, states: Sequence[CampaignState] = (),
    ) -> tuple[CampaignLine, ...]:
        query = select(campaigns).where(campaigns.c.workspace_id == workspace_id, campaigns.c.test_of.is_(None))
        if before_id is not None:
            query = query.where(campaigns.c.id < before_id)
        if states:
            query = query.where(campaigns.c.state.in_([state.value for state in states]))
        async with self._database.read() as connection:
            rows = (await connection.execute(query.order_by(campaigns.c.id.desc()).limit(limit))).all()
            counts = await read_counts(connection, [row.id for row in rows])
        return tuple(CampaignLine(campaign_of(row), counts[row.id]) for row in rows)

    # ---- states

    async def move(
        self, campaign: Campaign, action: CampaignAction, now: datetime, *, reason: str = "",
        scheduled_at: datetime | None = None,
    ) -> Campaign:
        target = next_state(campaign.state, action)
        values: dict[str, Any] = {"state_reason": reason}
        match action:
            case CampaignAction.SCHEDULE:
                values["scheduled_at"] = scheduled_at
            case CampaignAction.UNSCHEDULE:
                values["scheduled_at"] = None
            case CampaignAction.FINISH | CampaignAction.CANCEL:
                values["finished_at"] = now
        async with self._database.write() as connection:
            return await self._move(connection, campaign, target, now, values)

    async def _move(
        self, connection: AsyncConnection, campaign: Campaign, target: CampaignState, now: datetime,
        values: Mapping[str, Any],
    ) -> Campaign:
        it = campaigns.c
        changed = await connection.execute(
            update(campaigns).values(state=target.value, version=it.version + 1, updated_at=now, **values)
            .where(it.id == campaign.id, it.workspace_id == campaign.workspace_id,
                   it.state == campaign.state.value, it.version == campaign.version)
        )
        if changed.rowcount != 1:
            await read_campaign(connection, campaign.workspace_id, campaign.id)
            raise ConflictError(_CHANGED)
        return await read_campaign(connection, campaign.workspace_id, campaign.id)

    async def start(
        self, campaign: Campaign, frozen: Sequence[FrozenVariant], now: datetime,
        segment_rules: SegmentRules | None = None,
    ) -> Campaign:
        target = next_state(campaign.state, CampaignAction.START)
        async with self._database.write() as connection:
            highest = await connection.execute(
                select(func.max(contacts.c.id)).where(contacts.c.workspace_id == campaign.workspace_id)
            )
            # The guard comes before the variants are touched: of fifty starts at once, forty-nine stop here.
            started = await self._move(connection, campaign, target, now, {
                "state_reason": "", "started_at": now, "walk_cursor": 0, "walk_until": highest.scalar() or 0,
                "walk_done": False, "segment_rules": segment_rules_json(segment_rules),
            })
            for variant in frozen:
                await _freeze(connection, campaign, variant.variant_id, variant.compiled)
            return started

    async def create_test(
        self, campaign: Campaign, edit: CampaignEdit, compiled: CompiledVariant, address: str, domain: str,
        provider: str, sample: Mapping[str, Any], now: datetime,
    ) -> Campaign:
        workspace_id = campaign.workspace_id
        async with self._database.write() as connection:
            test_id = await _insert(connection, workspace_id, now, {
                **_columns(edit), "state": CampaignState.SENDING.value, "started_at": now, "walk_done": True,
                "test_of": campaign.id, "sample": dict(sample),
            })
            await _insert_variants(connection, workspace_id, test_id, edit)
            test = await read_campaign(connection, workspace_id, test_id)
            (variant,) = await read_variants(connection, test)
            await _freeze(connection, test, variant.id, compiled)
            batch = await connection.execute(insert(batches).returning(batches.c.id), {
                "workspace_id": workspace_id, "campaign_id": test_id, "provider": provider, "state": "ready",
                "due_at": now, "size": 1,
            })
            await connection.execute(insert(deliveries), {
                "workspace_id": workspace_id, "campaign_id": test_id, "contact_id": 0, "variant_id": variant.id,
                "batch_id": batch.scalar_one(), "address": address, "domain": domain, "provider": provider,
                "state": DeliveryState.QUEUED.value, "created_at": now, "due_at": now,
            })
            targeted = TallyKey(workspace_id, test_id, "total", "", "targeted")
            await add_tallies(connection, self._database.dialect, {targeted: 1})
            return test

    async def due(self, now: datetime, limit: int = 10) -> tuple[Campaign, ...]:
        return await self._campaigns(
            select(campaigns).where(campaigns.c.state == CampaignState.SCHEDULED.value, campaigns.c.scheduled_at <= now)
            .order_by(campaigns.c.scheduled_at, campaigns.c.id).limit(limit)
        )

    async def frozen(self, workspace_id: int, campaign_id: int) -> FrozenCampaign:
        async with self._database.read() as connection:
            campaign = await read_campaign(connection, workspace_id, campaign_id)
            return FrozenCampaign(campaign, await read_compiled(connection, campaign))

    # ---- the end

    async def finishable(self, limit: int = 20) -> tuple[Campaign, ...]:
        still = select(deliveries.c.id).where(
            deliveries.c.campaign_id == campaigns.c.id, deliveries.c.state.in_([state.value for state in OPEN_STATES])
        )
        return await self._campaigns(
            select(campaigns)
            .where(campaigns.c.state == CampaignState.SENDING.value, campaigns.c.walk_done.is_(True), ~still.exists(),
                   campaigns.c.stream == Stream.BROADCAST.value)  # what carries single messages is never done
            .order_by(campaigns.c.id).limit(limit)
        )
