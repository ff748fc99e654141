"""Segments in the flows: what is refused in words, and campaigns that are sent to them."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import select, update

from esp.adapters.sql.database import Database
from esp.adapters.sql.schema import contacts, deliveries, segments
from esp.errors import ConflictError, InputError, NotFoundError
from esp.flows import campaigns as campaign_flow
from esp.flows import segments as flow
from esp.flows.contacts import create_list
from esp.flows.walk import walk_step
from esp.model.contact import ExclusionReason
from esp.model.names import HIDDEN
from esp.model.segment import Group
from esp.model.segment_json import parse_rule, rule_json
from esp.ports.campaigns import Campaign
from tests.flows.audience_world import World, open_world

CITY = parse_rule({"rules": [{"field": "city", "op": "is", "value": "bandung"}]})


@pytest.fixture
async def world(database: Database, tmp_path: Path) -> AsyncIterator[World]:
    async with open_world(database, tmp_path) as world:
        yield world


def rule(*conditions: dict[str, object]) -> Group:
    return parse_rule({"match": "all", "rules": list(conditions)})


async def move(world: World, city: str, *emails: str) -> None:
    database: Database = world.app.store.database  # type: ignore[attr-defined]
    async with database.write() as connection:
        await connection.execute(update(contacts).where(contacts.c.email_key.in_(emails)).values(city=city))


async def reasons(world: World, campaign: Campaign) -> dict[str, ExclusionReason | None]:
    """The whole walk, a few people at a step: address -> why not, as written down."""
    store = world.app.store.campaigns
    while not campaign.walk_done:
        await walk_step(world.app, campaign, 3)
        campaign = (await store.get(world.workspace, campaign.id)).campaign
    database: Database = world.app.store.database  # type: ignore[attr-defined]
    of = deliveries.c
    async with database.read() as connection:
        rows = await connection.execute(select(of.address, of.reason).where(of.campaign_id == campaign.id))
        return {row.address: ExclusionReason(row.reason) if row.reason else None for row in rows}


async def test_a_campaign_goes_to_the_people_of_its_lists_who_are_in_its_segments(world: World) -> None:
    people = [f"p{number}@x.example" for number in range(12)]
    news = await world.add_list("News", *people)
    await world.add_list("Other", "elsewhere@x.example")
    await move(world, "Bandung", *people[:5], "elsewhere@x.example")
    await move(world, "Medan", *people[5:8])
    await move(world, "Bandung", people[8])
    made = [await flow.create(world.app, world.workspace, name, "", rule(condition)) for name, condition in (
        ("Bandung", {"field": "city", "op": "is", "value": "bandung"}),
        ("Medan", {"field": "city", "op": "is", "value": "Medan"}),
        ("First", {"field": "email", "op": "starts_with", "value": "p0"}))]
    bandung, medan, first = (one.id for one in made)
    edit = world.edit(news, include_segments=(bandung, medan), exclude_segments=(first,))
    draft = await campaign_flow.create(world.app, world.workspace, edit)
    forecast = await campaign_flow.precheck(world.app, world.workspace, draft.id)
    assert (forecast.targeted, forecast.will_get, dict(forecast.excluded)) == (
        9, 8, {ExclusionReason.EXCLUDED_SEGMENT: 1})
    behind = await campaign_flow.people_excluded(
        world.app, world.workspace, draft.id, ExclusionReason.EXCLUDED_SEGMENT)
    assert [one.address for one in behind] == [people[0]]

    started = await campaign_flow.start(world.app, await world.app.store.campaigns.get(world.workspace, draft.id))
    # What is edited afterwards changes nothing any more: not the rule, and not that the segment is there.
    elsewhere = rule({"field": "city", "op": "is", "value": "X"})
    await flow.change(world.app, world.workspace, bandung, "Bandung", "", elsewhere)
    await flow.delete(world.app, world.workspace, medan)
    found = await reasons(world, started)
    assert set(found) == set(people[:9])
    assert {address for address, reason in found.items() if reason} == {people[0]}
    states = await world.app.store.campaigns.states(world.workspace, draft.id)
    assert states == {"queued": 8, "suppressed": 1}


@pytest.mark.parametrize("broken", [
    {"field": "fields.gone", "op": "is", "value": "x"}, {"list": 99}, {"tag": 99}, {"topic": 99}, {"segment": 99},
    {"snapshot": 99}, {"did": "opened", "campaigns": [99]},
])
async def test_a_rule_about_what_is_gone_says_so_and_is_not_sent_to(world: World, broken: dict[str, object]) -> None:
    news = await world.add_list("News", "a@x.example")
    with pytest.raises(InputError) as refused:
        await flow.create(world.app, world.workspace, "Broken", "", rule(broken))
    assert list(refused.value.problems) == ["rules[0]"]

    segment = await flow.create(world.app, world.workspace, "Broken", "", CITY)
    database: Database = world.app.store.database  # type: ignore[attr-defined]
    async with database.write() as connection:  # as it is once what it speaks of was deleted
        await connection.execute(update(segments).values(rule=rule_json(rule(broken))))
    checked = await flow.read(world.app, world.workspace, segment.id)
    assert [one.path for one in checked.problems] == ["rules[0]"]
    with pytest.raises(InputError):
        await flow.count(world.app, world.workspace, checked.segment.rule, segment.id)
    for edit in (world.edit(news, include_segments=(segment.id,)), world.edit(news, exclude_segments=(segment.id,))):
        draft = await campaign_flow.create(world.app, world.workspace, edit)
        preflight = await campaign_flow.preflight(world.app, world.workspace, draft.id)
        assert not preflight.ready
        assert any("Broken" in problem.message for problem in preflight.problems)
        with pytest.raises(InputError):
            await campaign_flow.start(world.app, await world.app.store.campaigns.get(world.workspace, draft.id))
    # And a segment made of it is as broken.
    with pytest.raises(InputError):
        await flow.create(world.app, world.workspace, "Outer", "", rule({"segment": segment.id}))


async def test_no_segment_contains_itself(world: World) -> None:
    one = await flow.create(world.app, world.workspace, "One", "", CITY)
    two = await flow.create(world.app, world.workspace, "Two", "", rule({"segment": one.id}))
    for inner in (one.id, two.id):
        with pytest.raises(InputError, match="not saved") as refused:
            await flow.change(world.app, world.workspace, one.id, "One", "", rule({"segment": inner}))
        assert "made of itself" in refused.value.problems["rules[0]"]
    # Two people who save at once could still make a ring: it is said, and nothing goes round in it.
    database: Database = world.app.store.database  # type: ignore[attr-defined]
    async with database.write() as connection:
        await connection.execute(
            update(segments).where(segments.c.id == one.id).values(rule=rule_json(rule({"segment": two.id}))))
    assert (await flow.read(world.app, world.workspace, one.id)).problems
    with pytest.raises(InputError):
        await flow.count(world.app, world.workspace, rule({"segment": two.id}))
    news = await world.add_list("News", "a@x.example")
    draft = await campaign_flow.create(world.app, world.workspace, world.edit(news, include_segments=(two.id,)))
    assert (await campaign_flow.precheck(world.app, world.workspace, draft.id)).targeted == 0


async def test_segments_are_made_of_segments(world: World) -> None:
    await world.add_list("News", "a@x.example", "b@x.example")
    await move(world, "Bandung", "a@x.example")
    inner = await flow.create(world.app, world.workspace, "Inner", "", CITY)
    outer = rule({"segment": inner.id, "not": True})
    assert [one.email for one in await flow.people(world.app, world.workspace, outer)] == ["b@x.example"]
    made = await flow.create(world.app, world.workspace, "Outer", "", outer)
    assert await flow.count(world.app, world.workspace, outer, made.id) == 1
    with pytest.raises(ConflictError, match="Outer"):
        await flow.delete(world.app, world.workspace, inner.id)


async def test_a_segment_in_a_draft_is_not_deleted(world: World) -> None:
    news = await world.add_list("News", "a@x.example")
    segment = await flow.create(world.app, world.workspace, "One", "", CITY)
    await campaign_flow.create(world.app, world.workspace, world.edit(news, exclude_segments=(segment.id,)))
    with pytest.raises(ConflictError, match="November"):
        await flow.delete(world.app, world.workspace, segment.id)


@pytest.mark.parametrize(("name", "problem"), [
    ("\u200fقائمة العملاء\u200f", ""), ("Keluarga \U0001f468\u200d\U0001f469", ""),
    ("Solo \u202eevil", HIDDEN), ("Solo\x07", HIDDEN), ("\u200f \u200e", flow._NAME_WORDS),
    ("x" * 121, flow._NAME_WORDS),
])
async def test_a_name_may_be_written_in_any_script_and_what_garbles_it_is_said(
    world: World, name: str, problem: str,
) -> None:
    if not problem:
        assert (await flow.create(world.app, world.workspace, name, "", CITY)).name == name
        assert (await create_list(world.app, world.workspace, name)).name == name
        assert (await world.app.store.people.make_tag(world.workspace, name)).name == name
        return
    with pytest.raises(InputError) as refused:
        await flow.create(world.app, world.workspace, name, "", CITY)
    assert refused.value.problems == {"name": problem}
    for made in (create_list(world.app, world.workspace, name), world.app.store.people.make_tag(world.workspace, name)):
        with pytest.raises(InputError) as refused:
            await made
        assert (HIDDEN in refused.value.problems.values()) is (problem == HIDDEN)


async def test_a_campaign_cannot_take_another_workspaces_segment(world: World) -> None:
    news = await world.add_list("News", "a@x.example")
    other = await world.app.store.accounts.create_workspace("Lain", "", world.clock.now())
    segment = await flow.create(world.app, other.id, "Theirs", "", CITY)
    with pytest.raises(NotFoundError):
        await campaign_flow.create(world.app, world.workspace, world.edit(news, include_segments=(segment.id,)))
    one = await flow.create(world.app, world.workspace, "Mine", "", CITY)
    with pytest.raises(InputError):
        await campaign_flow.create(world.app, world.workspace, world.edit(
            news, include_segments=(one.id,), exclude_segments=(one.id,)))


async def test_days_begin_where_the_workspace_is(world: World) -> None:
    """At 20:30 UTC it is the next day in Jakarta: whose birthday that is has it today."""
    await world.add_list("News", "a@x.example")
    accounts = world.app.store.accounts
    place = await accounts.workspace(world.workspace)
    await accounts.update_workspace(world.workspace, name=place.name, postal_address=place.postal_address,
                                    language="en", time_zone="Asia/Jakarta")
    world.clock.at = world.clock.at.replace(hour=20, minute=30)
    database: Database = world.app.store.database  # type: ignore[attr-defined]
    async with database.write() as connection:
        await connection.execute(update(contacts).values(birth_date="1990-11-22"))
    today = rule({"field": "birth_date", "op": "anniversary", "value": 0})
    assert await flow.count(world.app, world.workspace, today) == 1


async def test_a_snapshot_becomes_a_segment(world: World) -> None:
    await world.add_list("News", "a@x.example", "b@x.example")
    await move(world, "Bandung", "a@x.example")
    segment = await flow.create(world.app, world.workspace, "Bandung", "", CITY)
    taken = await flow.snapshot(world.app, world.workspace, segment.id)
    await move(world, "Bandung", "b@x.example")
    fixed = await flow.segment_of_snapshot(world.app, world.workspace, taken.id)
    assert await flow.count(world.app, world.workspace, fixed.rule, fixed.id) == 1
    assert await flow.count(world.app, world.workspace, segment.rule, segment.id) == 2
    again = await flow.duplicate(world.app, world.workspace, segment.id, "Bandung")
    assert replace(again, id=0).rule == segment.rule
    assert again.name == "Bandung 2"
