"""A campaign from draft to sent, on both databases: who gets it, once, whatever happens in between."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest

from esp.adapters.sql.database import Database
from esp.adapters.sql.outbox import SqlOutbox
from esp.audience.batches import plan_batches
from esp.errors import ConflictError, InputError, NotFoundError
from esp.flows import campaigns as flow
from esp.flows.plan import sending_plan
from esp.flows.walk import finish_done, start_due, walk_some, walk_step
from esp.model.campaign import CampaignAction, CampaignState
from esp.model.contact import ExclusionReason, SubscriptionState, SuppressionReason
from esp.model.delivery import EventType, NewEvent
from esp.ports.campaigns import BatchPlan, Campaign, Gathering, NewBatch, VariantEdit
from esp.ports.domains import NewKey
from esp.ports.network import DnsError
from tests.flows.audience_world import NEWS, NOW, World, open_world


@pytest.fixture
async def world(database: Database, tmp_path: Path) -> AsyncIterator[World]:
    async with open_world(database, tmp_path, batch_size=10) as world:
        yield world


async def started(world: World, *lists: object, **more: object) -> Campaign:
    draft = await flow.create(world.app, world.workspace, world.edit(*lists, **more))  # type: ignore[arg-type]
    return await flow.act(world.app, world.workspace, draft.id, CampaignAction.START)


async def walk(world: World) -> None:
    while await walk_some(world.app):
        pass


async def deliver_all(world: World, campaign: Campaign) -> None:
    """What the engine does, without the mail: every open delivery becomes delivered."""
    await world.app.store.ledger.apply([
        NewEvent(EventType.DELIVERED, NOW, world.workspace, campaign.id, number)
        for number in range(1, 3000)
    ])


async def test_everybody_is_counted_once_and_everyone_else_has_a_reason(world: World) -> None:
    people = [f"p{n}@x.example" for n in range(10)]
    news, events = await world.add_list("News", *people[:8]), await world.add_list("Events", *people[6:])
    barred = await world.add_list("Barred", people[0])
    contacts, workspace = world.app.store.contacts, world.workspace
    ids = [await world.id_of(email) for email in people]
    left, waits = SubscriptionState.UNSUBSCRIBED, SubscriptionState.PENDING
    await contacts.set_subscription(workspace, ids[1], news.id, left, NOW, source="page")
    await contacts.set_subscription(workspace, ids[2], news.id, waits, NOW, source="form")
    await contacts.suppress(workspace, people[3], SuppressionReason.HARD_BOUNCE, NOW)
    await contacts.suppress(workspace, people[3], SuppressionReason.COMPLAINT, NOW)  # the weightier reason is named
    await contacts.suppress(workspace, people[4], SuppressionReason.MANUAL, NOW)
    await contacts.suppress(workspace, people[5], SuppressionReason.MANUAL, NOW, expires_at=NOW)  # over
    await contacts.set_subscription(workspace, ids[6], news.id, left, NOW, source="page")  # still on the other list
    draft = await flow.create(world.app, workspace, world.edit(news, events, exclude_lists=(barred.id,)))

    forecast = await flow.precheck(world.app, workspace, draft.id)
    assert (forecast.targeted, forecast.will_get) == (10, 5)
    assert forecast.excluded == {
        ExclusionReason.EXCLUDED_LIST: 1, ExclusionReason.UNSUBSCRIBED: 1, ExclusionReason.UNCONFIRMED: 1,
        ExclusionReason.SUPPRESSED_COMPLAINT: 1, ExclusionReason.SUPPRESSED_MANUAL: 1,
    }
    (who,) = await flow.people_excluded(world.app, workspace, draft.id, ExclusionReason.UNCONFIRMED)
    assert who.address == people[2]

    campaign = await flow.act(world.app, workspace, draft.id, CampaignAction.START)
    await walk(world)
    assert await world.app.store.campaigns.states(workspace, campaign.id) == {"queued": 5, "suppressed": 5}
    counts = (await world.app.store.campaigns.get(workspace, campaign.id)).counts
    assert (counts["targeted"], counts["suppressed"]) == (10, 5)


async def test_a_walk_in_small_steps_finds_everybody_once(world: World) -> None:
    news = await world.add_list("News", *[f"p{n}@d{n % 7}.example" for n in range(50)])
    more = await world.add_list("More", *[f"p{n}@d{n % 7}.example" for n in range(25, 75)])
    campaign = await started(world, news, more)
    store = world.app.store.campaigns
    while await walk_step(world.app, campaign, limit=7):
        campaign = (await store.get(world.workspace, campaign.id)).campaign
    assert await store.states(world.workspace, campaign.id) == {"queued": 75}
    assert (await store.get(world.workspace, campaign.id)).campaign.walk_done


@pytest.mark.parametrize("joins", [True, False])
async def test_who_joins_or_is_erased_during_a_step_does_not_end_the_walk(world: World, joins: bool) -> None:
    people = [f"p{n:02}@x.example" for n in range(20)]
    await world.add_list("Other", *people)
    news = await world.add_list("News", *(people[:3] + people[4:]))
    campaign = await started(world, news)
    somebody = await world.id_of(people[3 if joins else 2])
    store = world.app.store.campaigns
    step = await store.next_step(campaign, 10)  # where the step ends is known, who is in it is not
    if joins:
        await world.app.store.contacts.set_subscription(
            world.workspace, somebody, news.id, SubscriptionState.SUBSCRIBED, NOW, source="form")
    else:
        await world.app.store.contacts.delete(world.workspace, somebody)
    gathering = Gathering(partial(plan_batches, size=10), NOW, lambda domain: domain)
    assert not await store.write_step(campaign, step, gathering, NOW)
    assert await store.states(world.workspace, campaign.id) == {"queued": 11 if joins else 9}
    await walk(world)
    assert await store.states(world.workspace, campaign.id) == {"queued": 20 if joins else 18}


async def test_two_walkers_at_once_write_nobody_twice(world: World) -> None:
    news = await world.add_list("News", *[f"p{n}@x.example" for n in range(40)])
    campaign = await started(world, news)
    await asyncio.gather(*(walk_step(world.app, campaign, limit=30) for _ in range(5)))
    assert await world.app.store.campaigns.states(world.workspace, campaign.id) == {"queued": 30}
    await asyncio.gather(*(walk_some(world.app) for _ in range(5)))
    assert await world.app.store.campaigns.states(world.workspace, campaign.id) == {"queued": 40}


async def test_a_chunk_that_fails_half_way_leaves_nothing_behind(world: World) -> None:
    news = await world.add_list("News", "a@x.example")
    campaign = await started(world, news)
    store = world.app.store.campaigns
    broken = Gathering(lambda people: BatchPlan(dict.fromkeys(people, "x"), [NewBatch("y", 1)], 10), NOW, str)
    with pytest.raises(RuntimeError):  # when the people have been staged and the batches made
        await store.write_step(campaign, await store.next_step(campaign, 10), broken, NOW)
    assert await store.states(world.workspace, campaign.id) == {}
    await walk(world)
    assert await store.states(world.workspace, campaign.id) == {"queued": 1}


async def test_the_walk_waits_while_enough_is_written_ahead(database: Database, tmp_path: Path) -> None:
    async with open_world(database, tmp_path, audience_backlog=1000) as world:
        news = await world.add_list("News", *[f"p{n}@x.example" for n in range(1500)])
        campaign = await started(world, news)
        await walk_step(world.app, campaign, limit=1200)
        assert not await walk_some(world.app)
        assert await world.app.store.campaigns.states(world.workspace, campaign.id) == {"queued": 1200}
        await deliver_all(world, campaign)
        await walk(world)
        states = await world.app.store.campaigns.states(world.workspace, campaign.id)
        assert states == {"queued": 300, "delivered": 1200}


async def test_who_joins_after_the_start_does_not_get_it(world: World) -> None:
    news = await world.add_list("News", "a@x.example")
    campaign = await started(world, news)
    await world.add_list("Later", "b@x.example")
    await world.app.store.contacts.set_subscription(
        world.workspace, await world.id_of("b@x.example"), news.id, SubscriptionState.SUBSCRIBED, NOW, source="form")
    await walk(world)
    assert await world.app.store.campaigns.states(world.workspace, campaign.id) == {"queued": 1}


async def test_fifty_starts_at_once_give_one_run(world: World) -> None:
    news = await world.add_list("News", "a@x.example")
    draft = await flow.create(world.app, world.workspace, world.edit(news))
    detail = await world.app.store.campaigns.get(world.workspace, draft.id)
    results = await asyncio.gather(*(flow.start(world.app, detail) for _ in range(50)), return_exceptions=True)
    assert sum(isinstance(result, Campaign) for result in results) == 1
    assert sum(isinstance(result, ConflictError) for result in results) == 49
    plan = await sending_plan(world.app, world.workspace, draft.id)
    assert sum(len(variant.links) for variant in plan.variants.values()) == 2  # frozen once


async def test_what_was_changed_after_one_looked_is_not_started(world: World) -> None:
    """The state alone would let a start send content that nobody has checked."""
    news = await world.add_list("News", "a@x.example")
    looked = await flow.create(world.app, world.workspace, world.edit(news))
    await flow.change(world.app, world.workspace, looked.id, world.edit(news, name="Changed"), looked.version)
    with pytest.raises(ConflictError):
        await world.app.store.campaigns.start(looked, [], NOW)
    assert (await world.app.store.campaigns.get(world.workspace, looked.id)).campaign.state is CampaignState.DRAFT


async def test_content_that_cannot_be_sent_leaves_a_draft_that_says_where(world: World) -> None:
    news = await world.add_list("News", "a@x.example")
    for source in ("<p>{{ contact.first_name", "{% for x in range(99999999) %}x{% endfor %}", "{{ 'x' * 10 ** 9 }}"):
        draft = await flow.create(world.app, world.workspace, world.edit(news, variants=(VariantEdit("Hi", source),)))
        with pytest.raises(InputError) as error:
            await flow.act(world.app, world.workspace, draft.id, CampaignAction.START)
        assert "variants.0.source" in error.value.problems
        detail = await world.app.store.campaigns.get(world.workspace, draft.id)
        assert detail.campaign.state is CampaignState.DRAFT


async def test_what_is_missing_is_named_field_by_field(world: World) -> None:
    draft = await flow.create(world.app, world.workspace, world.edit(
        domain_id=None, from_address="", variants=(VariantEdit("", ""),)))
    with pytest.raises(InputError) as error:
        await flow.act(world.app, world.workspace, draft.id, CampaignAction.START)
    assert set(error.value.problems) == {
        "include_lists", "domain_id", "from_address", "variants.0.subject", "variants.0.source"}
    preflight = await flow.preflight(world.app, world.workspace, draft.id)
    assert not preflight.ready


async def test_broken_input_is_not_even_kept(world: World) -> None:
    news = await world.add_list("News", "a@x.example")
    broken = {
        "from_name": {"from_name": "Toko\r\nBcc: victim@x.example"},
        "from_address": {"from_address": "nobody"},
        "throttle": {"throttle": "fast"},
        "variants.0.subject": {"variants": (VariantEdit("Hi\x85X: y", "text"),)},
        "variants.0.weight": {"variants": (VariantEdit("Hi", "text", weight=0),)},
        "variants": {"variants": tuple(VariantEdit("Hi", "text", label=str(n)) for n in range(9))},
        "exclude_lists": {"exclude_lists": (news.id,)},
    }
    for name, more in broken.items():
        with pytest.raises(InputError) as error:
            await flow.create(world.app, world.workspace, world.edit(news, **more))
        assert set(error.value.problems) == {name}
    with pytest.raises(InputError):
        await flow.create(world.app, world.workspace, world.edit(news, from_address="news@bank.example"))


async def test_links_count_through_all_variants_and_people_are_split_by_weight(world: World) -> None:
    news = await world.add_list("News", *[f"p{n}@x.example" for n in range(300)])
    variants = (NEWS, replace(NEWS, label="B", subject="Other", weight=2))
    campaign = await started(world, news, variants=variants)
    await walk(world)
    plan = await sending_plan(world.app, world.workspace, campaign.id)
    indexes = sorted(link.index for variant in plan.variants.values() for link in variant.links)
    assert indexes == [0, 1, 2, 3]
    shares = {variant.label: 0 for variant in plan.variants.values()}
    database = world.app.store.campaigns._database  # type: ignore[attr-defined]
    async with database.read() as connection:
        rows = await connection.exec_driver_sql("SELECT variant_id, count(*) FROM deliveries GROUP BY variant_id")
        for variant_id, n in rows:
            shares[plan.variants[variant_id].label] = n
    assert shares["A"] + shares["B"] == 300
    assert 60 < shares["A"] < 140


async def test_the_plan_names_the_list_the_domain_and_the_campaign(world: World) -> None:
    news = await world.add_list("News", "a@x.example")
    campaign = await started(world, news, throttle="600/min")
    plan = await sending_plan(world.app, world.workspace, campaign.id)
    envelope = plan.envelope
    assert (envelope.list_id, envelope.bounce_domain) == ("news.toko.example", "bounce.toko.example")
    assert envelope.feedback_id == f"{campaign.id}:{world.workspace}:broadcast:merpati"
    assert [key.algorithm for key in envelope.keys] == ["rsa-sha256", "ed25519-sha256"]
    assert plan.throttle is not None
    assert str(plan.throttle) == "600/min"
    draft = await flow.clone(world.app, world.workspace, campaign.id)
    with pytest.raises(ConflictError):
        await sending_plan(world.app, world.workspace, draft.id)


async def test_a_scheduled_campaign_starts_when_its_time_has_come(world: World) -> None:
    news = await world.add_list("News", "a@x.example")
    draft = await flow.create(world.app, world.workspace, world.edit(news))
    at = NOW + timedelta(hours=1)
    with pytest.raises(InputError):
        await flow.act(world.app, world.workspace, draft.id, CampaignAction.SCHEDULE, at=NOW)
    await flow.act(world.app, world.workspace, draft.id, CampaignAction.SCHEDULE, at=at)
    await start_due(world.app)
    assert (await world.app.store.campaigns.get(world.workspace, draft.id)).campaign.state is CampaignState.SCHEDULED
    world.clock.turn(timedelta(hours=1))
    await start_due(world.app)
    assert (await world.app.store.campaigns.get(world.workspace, draft.id)).campaign.state is CampaignState.SENDING


async def test_pause_stops_the_walk_and_resume_goes_on(world: World) -> None:
    news = await world.add_list("News", *[f"p{n}@x.example" for n in range(30)])
    campaign = await started(world, news)
    await walk_step(world.app, campaign, limit=10)
    stale = (await world.app.store.campaigns.get(world.workspace, campaign.id)).campaign
    await flow.act(world.app, world.workspace, campaign.id, CampaignAction.PAUSE)
    await walk(world)
    assert not await walk_step(world.app, stale, limit=10)
    assert await world.app.store.campaigns.states(world.workspace, campaign.id) == {"queued": 10}
    await flow.act(world.app, world.workspace, campaign.id, CampaignAction.RESUME)
    await walk(world)
    assert await world.app.store.campaigns.states(world.workspace, campaign.id) == {"queued": 30}


async def test_cancel_accounts_for_everybody(world: World) -> None:
    news = await world.add_list("News", *[f"p{n}@x.example" for n in range(30)])
    campaign = await started(world, news)
    await walk_step(world.app, campaign, limit=20)
    await flow.act(world.app, world.workspace, campaign.id, CampaignAction.CANCEL)
    while await finish_done(world.app):
        pass
    assert await world.app.store.campaigns.states(world.workspace, campaign.id) == {"cancelled": 20}
    counts = (await world.app.store.campaigns.get(world.workspace, campaign.id)).counts
    assert counts == {"targeted": 20, "cancelled": 20}


async def test_cancel_waits_for_what_a_worker_holds(world: World) -> None:
    """What is on its way may arrive; to call it cancelled would be a lie."""
    news = await world.add_list("News", *[f"p{n}@x.example" for n in range(30)])
    campaign = await started(world, news)
    await walk(world)
    outbox = SqlOutbox(world.app.store.campaigns._database)  # type: ignore[attr-defined]
    assert await outbox.claim("worker", 60, NOW) is not None
    await flow.act(world.app, world.workspace, campaign.id, CampaignAction.CANCEL)
    while await finish_done(world.app):
        pass
    assert await world.app.store.campaigns.states(world.workspace, campaign.id) == {"cancelled": 20, "queued": 10}
    world.clock.turn(timedelta(minutes=2))
    while await finish_done(world.app):
        pass
    assert await world.app.store.campaigns.states(world.workspace, campaign.id) == {"cancelled": 30}


async def test_a_campaign_with_nobody_left_is_sent(world: World) -> None:
    news = await world.add_list("News", "a@x.example")
    campaign = await started(world, news)
    await finish_done(world.app)
    assert (await world.app.store.campaigns.get(world.workspace, campaign.id)).campaign.state is CampaignState.SENDING
    await walk(world)
    await finish_done(world.app)
    assert (await world.app.store.campaigns.get(world.workspace, campaign.id)).campaign.state is CampaignState.SENDING
    await deliver_all(world, campaign)
    await finish_done(world.app)
    done = (await world.app.store.campaigns.get(world.workspace, campaign.id)).campaign
    assert (done.state, done.finished_at) == (CampaignState.SENT, NOW)


async def test_providers_are_asked_of_dns_once_and_failures_are_no_obstacle(world: World) -> None:
    world.dns.records = {
        "a.example": ("mx1.big.example",), "b.example": ("mx2.big.example",),
        "gone.example": DnsError("does not exist", permanent=True),
        "slow.example": DnsError("timeout", permanent=False),
    }
    domains = [*world.dns.records]
    news = await world.add_list("News", *[f"p@{domain}" for domain in domains])
    await started(world, news)
    await walk(world)
    assert sorted(world.dns.asked) == sorted(domains)
    known = await world.app.store.campaigns.providers(domains, NOW - timedelta(days=1))
    assert known == {"a.example": "big.example", "b.example": "big.example", "gone.example": "gone.example",
                     "slow.example": "slow.example"}
    assert "slow.example" not in await world.app.store.campaigns.providers(domains, NOW - timedelta(hours=2))


async def test_behind_a_smart_host_dns_is_not_asked(database: Database, tmp_path: Path) -> None:
    async with open_world(database, tmp_path, smart_host="127.0.0.1:2525") as world:
        await started(world, await world.add_list("News", "a@x.example"))
        await walk(world)
        assert world.dns.asked == []


async def test_a_test_send_is_a_real_message_that_is_never_counted(world: World) -> None:
    news = await world.add_list("News", "a@x.example")
    draft = await flow.create(world.app, world.workspace, world.edit(news))
    test = await flow.send_test(world.app, world.workspace, draft.id, "boss@toko.example")
    plan = await sending_plan(world.app, world.workspace, test.id)
    assert plan.sample["email"] == "a@x.example"
    assert await world.app.store.campaigns.states(world.workspace, test.id) == {"queued": 1}
    assert [line.campaign.id for line in await world.app.store.campaigns.list(world.workspace)] == [draft.id]
    assert (await world.app.store.campaigns.get(world.workspace, draft.id)).counts == {}
    await world.app.store.contacts.suppress(world.workspace, "boss@toko.example", SuppressionReason.MANUAL, NOW)
    for address in ("boss@toko.example", "not an address"):
        with pytest.raises(InputError):
            await flow.send_test(world.app, world.workspace, draft.id, address)


async def test_two_people_who_edit_at_once_do_not_overwrite_each_other(world: World) -> None:
    news = await world.add_list("News", "a@x.example")
    draft = await flow.create(world.app, world.workspace, world.edit(news))
    await flow.change(world.app, world.workspace, draft.id, world.edit(news, name="Mine"), draft.version)
    with pytest.raises(ConflictError):
        await flow.change(world.app, world.workspace, draft.id, world.edit(news, name="Yours"), draft.version)
    with pytest.raises(ConflictError):
        await flow.act(world.app, world.workspace, draft.id, CampaignAction.START, version=draft.version)
    detail = await world.app.store.campaigns.get(world.workspace, draft.id)
    assert detail.campaign.name == "Mine"


async def test_nobody_sends_from_a_domain_that_another_workspace_has_shown_to_be_its_own(world: World) -> None:
    domains, app = world.app.store.domains, world.app
    news = await world.add_list("News", "a@x.example")
    owner = (await app.store.accounts.create_workspace("Owner", "", NOW)).id
    theirs = await domains.add(owner, "toko.example", [NewKey("m1", "rsa-sha256", "secret", "public")], NOW)
    mine = await flow.create(app, world.workspace, world.edit(news))
    below = await flow.create(app, world.workspace, world.edit(news, from_address="news@kabar.toko.example"))
    await domains.record_check(world.workspace, world.domain, {}, NOW, verified=False)
    assert (await flow.preflight(app, world.workspace, mine.id)).ready, "as long as nobody has shown anything"
    await domains.record_check(owner, theirs.id, {}, NOW, verified=True)
    for draft in (mine, below):
        checked = await flow.preflight(app, world.workspace, draft.id)
        assert not checked.ready
        assert any(one.level == "error" and "toko.example" in one.message for one in checked.problems)
        for attempt in (
            flow.act(app, world.workspace, draft.id, CampaignAction.START),
            flow.act(app, world.workspace, draft.id, CampaignAction.SCHEDULE, at=NOW + timedelta(hours=1)),
            flow.send_test(app, world.workspace, draft.id, "me@x.example"),
        ):
            with pytest.raises(InputError) as refused:
                await attempt
            assert "domain_id" in refused.value.problems
        assert (await app.store.campaigns.get(world.workspace, draft.id)).campaign.state is CampaignState.DRAFT
    await domains.record_check(world.workspace, world.domain, {}, NOW, verified=True)
    await flow.act(app, world.workspace, mine.id, CampaignAction.START)  # both brands of one firm: both have published


async def test_nothing_of_another_workspace_can_be_reached(world: World) -> None:
    news = await world.add_list("News", "a@x.example")
    draft = await flow.create(world.app, world.workspace, world.edit(news))
    other = (await world.app.store.accounts.create_workspace("Other", "", NOW)).id
    app, number = world.app, draft.id
    reaching = [
        flow.create(app, other, world.edit(news, domain_id=None)), flow.create(app, other, world.edit()),
        flow.change(app, other, number, world.edit(domain_id=None), draft.version), flow.clone(app, other, number),
        flow.precheck(app, other, number), flow.preflight(app, other, number),
        flow.people_excluded(app, other, number, ExclusionReason.UNSUBSCRIBED),
        flow.act(app, other, number, CampaignAction.START), flow.send_test(app, other, number, "a@x.example"),
        sending_plan(app, other, number), app.store.campaigns.delete(other, number, draft.version),
        app.store.campaigns.get(other, number), app.store.campaigns.frozen(other, number),
        app.store.campaigns.start(replace(draft, workspace_id=other), [], NOW),
        app.store.campaigns.move(replace(draft, workspace_id=other), CampaignAction.SCHEDULE, NOW, scheduled_at=NOW),
    ]
    for attempt in reaching:
        with pytest.raises(NotFoundError):
            await attempt
    assert await app.store.campaigns.list(other) == ()
    assert await app.store.campaigns.states(other, number) == {}
    assert (await app.store.campaigns.get(world.workspace, number)).campaign == draft
