"""What a step of the walk writes: batches that hold together, variants as Python says, events and counts of all."""

from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import func, select

from esp.adapters.sql.database import Database
from esp.adapters.sql.schema import batches, deliveries, events, tallies
from esp.flows import campaigns as flow
from esp.flows.walk import walk_step
from esp.model.campaign import CampaignAction
from esp.model.contact import SubscriptionState, SuppressionReason
from esp.model.split import cell
from esp.ports.campaigns import Campaign
from tests.flows.audience_world import NEWS, World, open_world
from tests.turned_clock import NOW


@pytest.fixture
async def world(database: Database, tmp_path: Path) -> AsyncIterator[World]:
    async with open_world(database, tmp_path, batch_size=10) as world:
        world.dns.records |= {f"c{n}.example": (f"mx{n % 3}.host.example",) for n in range(40)}
        yield world


async def walked(world: World, *lists: object, limit: int = 1000, **more: object) -> Campaign:
    draft = await flow.create(world.app, world.workspace, world.edit(*lists, **more))  # type: ignore[arg-type]
    campaign = await flow.act(world.app, world.workspace, draft.id, CampaignAction.START)
    while await walk_step(world.app, campaign, limit):
        campaign = (await world.app.store.campaigns.get(world.workspace, campaign.id)).campaign
    return campaign


async def test_batches_are_as_large_as_they_say_and_of_one_provider(world: World, database: Database) -> None:
    people = [f"p{n}@{'big' if n % 2 else f'c{n % 40}'}.example" for n in range(70)]
    campaign = await walked(world, await world.add_list("News", *people), limit=33)
    d, b = deliveries.c, batches.c
    async with database.read() as connection:
        kept = {row.id: row for row in await connection.execute(select(batches).where(b.campaign_id == campaign.id))}
        rows = (await connection.execute(select(deliveries).where(d.campaign_id == campaign.id))).all()
    assert len(rows) == 70
    assert Counter(row.batch_id for row in rows) == {batch.id: batch.size for batch in kept.values()}
    assert all(0 < batch.size <= 10 for batch in kept.values())
    for row in rows:
        batch = kept[row.batch_id]
        assert batch.provider in (row.provider, "various")
        assert (row.state, row.due_at, batch.due_at, batch.state) == ("queued", NOW, NOW, "ready")
        assert row.provider == world.app.shaping.provider_of(row.domain, world.dns.records.get(
            row.domain, (f"mx.{row.domain}",)))  # type: ignore[arg-type]


@pytest.mark.parametrize("weights", [(1,), (1, 1), (1, 5, 2)])
async def test_the_database_and_python_choose_the_same_variant(
    world: World, database: Database, weights: tuple[int, ...]
) -> None:
    variants = tuple(replace(NEWS, label=label, weight=weight) for label, weight in zip("ABC", weights, strict=False))
    news = await world.add_list("News", *[f"p{n}@x.example" for n in range(200)])
    campaign = await walked(world, news, variants=variants)
    ids = [one.id for one in (await world.app.store.campaigns.get(world.workspace, campaign.id)).variants]
    async with database.read() as connection:
        rows = (await connection.execute(select(deliveries.c.contact_id, deliveries.c.variant_id))).all()
    assert {row.contact_id: row.variant_id for row in rows} == {
        row.contact_id: ids[cell(campaign.id, row.contact_id, weights)] for row in rows}
    assert len({row.variant_id for row in rows}) == len(weights)


async def test_the_excluded_are_told_of_and_counted_as_by_the_ledger(world: World, database: Database) -> None:
    people = [f"p{n}@x.example" for n in range(8)]
    news = await world.add_list("News", *people)
    contacts = world.app.store.contacts
    await contacts.suppress(world.workspace, people[1], SuppressionReason.HARD_BOUNCE, NOW)
    await contacts.suppress(world.workspace, people[2], SuppressionReason.HARD_BOUNCE, NOW)
    await contacts.set_subscription(
        world.workspace, await world.id_of(people[3]), news.id, SubscriptionState.UNSUBSCRIBED, NOW, source="page")
    campaign = await walked(world, news, limit=5)
    d, e, t = deliveries.c, events.c, tallies.c
    async with database.read() as connection:
        told = (await connection.execute(
            select(events, d.reason, d.ended_at, d.batch_id, d.due_at, d.state, d.contact_id.label("whose"))
            .join(deliveries, d.id == e.delivery_id).order_by(e.contact_id))).all()
        counted = {(row.dimension, row.member, row.metric): row.n for row in await connection.execute(
            select(tallies).where(t.campaign_id == campaign.id))}
        variant = await connection.scalar(select(func.min(d.variant_id)))
    assert [(row.detail, row.reason, row.state) for row in told] == [
        ({"reason": reason}, reason, "suppressed") for reason in ("suppressed_bounce", "suppressed_bounce",
                                                                  "unsubscribed")]
    for row in told:
        assert (row.type, row.at, row.ended_at, row.batch_id, row.due_at) == ("suppressed", NOW, NOW, None, None)
        assert (row.workspace_id, row.campaign_id, row.variant_id) == (world.workspace, campaign.id, variant)
        assert (row.contact_id, row.agent, row.ip) == (row.whose, "", "")
    minute = NOW.strftime("%Y-%m-%dT%H:%MZ")
    provider = world.app.shaping.provider_of("x.example")
    assert counted == {
        ("total", "", "targeted"): 8, ("provider", provider, "targeted"): 8, ("variant", str(variant), "targeted"): 8,
        ("total", "", "suppressed"): 3, ("provider", provider, "suppressed"): 3,
        ("variant", str(variant), "suppressed"): 3, ("minute", minute, "suppressed"): 3,
        ("reason", "suppressed_bounce", "suppressed"): 2, ("reason", "unsubscribed", "suppressed"): 1,
    }
    assert world.dns.asked == ["x.example"], "asked once, and remembered for the next step"


async def test_nobody_asks_dns_for_those_who_do_not_get_it(world: World) -> None:
    news = await world.add_list("News", "a@x.example", "b@gone.example")
    await world.app.store.contacts.suppress(world.workspace, "b@gone.example", SuppressionReason.MANUAL, NOW)
    campaign = await walked(world, news)
    assert await world.app.store.campaigns.states(world.workspace, campaign.id) == {"queued": 1, "suppressed": 1}
    assert world.dns.asked == ["x.example"]
