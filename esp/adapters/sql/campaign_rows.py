"""Campaign rows as the port's dataclasses, and the reads that several files share."""

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Row, select
from sqlalchemy.ext.asyncio import AsyncConnection

from esp.adapters.sql.schema import campaigns, links, tallies, variants
from esp.errors import NotFoundError
from esp.model.campaign import CampaignState, ContentKind
from esp.model.content import CompiledVariant, Link
from esp.model.segment_json import parse_rule, rule_json
from esp.ports.campaigns import Campaign, SegmentRules, Variant, VariantEdit


def segment_rules_of(kept: Any) -> SegmentRules | None:
    """The frozen rules of a campaign's segments from their JSON."""
    if not kept:
        return None
    return SegmentRules(tuple(map(parse_rule, kept["include"])), tuple(map(parse_rule, kept["exclude"])))


def segment_rules_json(rules: SegmentRules | None) -> dict[str, Any] | None:
    if rules is None:
        return None
    return {"include": [rule_json(one) for one in rules.include], "exclude": [rule_json(one) for one in rules.exclude]}


def campaign_of(row: Row[Any]) -> Campaign:
    it = row._mapping
    return Campaign(
        id=it["id"], public_id=it["public_id"], workspace_id=it["workspace_id"], name=it["name"],
        state=CampaignState(it["state"]), state_reason=it["state_reason"], domain_id=it["domain_id"],
        from_name=it["from_name"], from_address=it["from_address"], reply_to=it["reply_to"],
        include_lists=tuple(it["include_lists"]), exclude_lists=tuple(it["exclude_lists"]), throttle=it["throttle"],
        track_opens=it["track_opens"], track_clicks=it["track_clicks"],
        created_at=it["created_at"], updated_at=it["updated_at"], scheduled_at=it["scheduled_at"],
        started_at=it["started_at"], finished_at=it["finished_at"],
        walk_cursor=it["walk_cursor"], walk_until=it["walk_until"], walk_done=it["walk_done"],
        version=it["version"], test_of=it["test_of"], sample=it["sample"],
        topic_id=it["topic_id"], in_archive=it["in_archive"], digest=it["digest"],
        include_segments=tuple(it["include_segments"]), exclude_segments=tuple(it["exclude_segments"]),
        segment_rules=segment_rules_of(it["segment_rules"]),
    )


async def read_campaign(connection: AsyncConnection, workspace_id: int, campaign_id: int) -> Campaign:
    """Raises NotFoundError, also for another workspace's campaign."""
    found = await connection.execute(
        select(campaigns).where(campaigns.c.id == campaign_id, campaigns.c.workspace_id == workspace_id)
    )
    row = found.one_or_none()
    if row is None:
        raise NotFoundError("There is no such campaign.")
    return campaign_of(row)


async def read_variants(connection: AsyncConnection, campaign: Campaign) -> tuple[Variant, ...]:
    """By label, without their compiled form."""
    of = variants.c
    found = await connection.execute(
        select(of.id, of.label, of.subject, of.preheader, of.kind, of.source, of.weight)
        .where(of.campaign_id == campaign.id, of.workspace_id == campaign.workspace_id).order_by(of.label)
    )
    return tuple(
        Variant(it.id, VariantEdit(it.subject, it.source, ContentKind(it.kind), it.preheader, it.label, it.weight))
        for it in found
    )


async def read_compiled(connection: AsyncConnection, campaign: Campaign) -> dict[int, CompiledVariant]:
    """The frozen variants by id; empty while the campaign has not started."""
    by_variant: dict[int, list[Link]] = {}
    rows = await connection.execute(
        select(links.c.variant_id, links.c.link_index, links.c.url, links.c.text)
        .where(links.c.campaign_id == campaign.id, links.c.workspace_id == campaign.workspace_id)
        .order_by(links.c.link_index)
    )
    for row in rows:
        by_variant.setdefault(row.variant_id, []).append(Link(row.link_index, row.url, row.text))
    found = await connection.execute(
        select(variants.c.id, variants.c.label, variants.c.compiled)
        .where(variants.c.campaign_id == campaign.id, variants.c.workspace_id == campaign.workspace_id,
               variants.c.compiled.is_not(None))
    )
    return {row.id: CompiledVariant(row.label, tuple(by_variant.get(row.id, ())), row.compiled) for row in found}


async def read_counts(connection: AsyncConnection, campaign_ids: Iterable[int]) -> dict[int, dict[str, int]]:
    """The total of every metric, by campaign."""
    it = tallies.c
    counts: dict[int, dict[str, int]] = {campaign_id: {} for campaign_id in campaign_ids}
    rows = await connection.execute(
        select(it.campaign_id, it.metric, it.n)
        .where(it.campaign_id.in_(list(counts)), it.dimension == "total", it.member == "")
    )
    for row in rows:
        counts[row.campaign_id][row.metric] = row.n
    return counts
