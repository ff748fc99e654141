"""Segments on the screen: built without script, counted, saved, used; and what is broken is said, never a 500."""

import html
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from sqlalchemy import update

from admin_ui.pages.segments import builder
from esp.adapters.sql.database import Database
from esp.adapters.sql.schema import segments
from esp.flows import segments as flow
from esp.model.segment import Group
from esp.model.segment_json import parse_rule, rule_json
from esp.ports.reports import Metric, PeopleFilter
from esp.ports.segments import Vocabulary
from tests.admin_house import House, admin_house
from tests.campaign_seed import Seed, full, small
from tests.segment_people import WHOLE_RULES

CITY = {"0.kind": "group", "0.match": "all", "0.0.what": "field:city", "0.0.op": "is", "0.0.value": "bandung"}


@pytest.fixture
async def house(sqlite_database: Database, tmp_path: Path) -> AsyncIterator[House]:
    async with admin_house(sqlite_database, tmp_path) as house:
        yield house


@pytest.fixture
async def seed(house: House) -> Seed:
    return await small(house)


def controls(page: str) -> dict[str, str]:
    """The builder's controls of a page with their values, as a browser without script would send them again."""
    found = {name: html.unescape(value) for name, value in re.findall(
        r'<input(?! type="checkbox")[^>]* name="(0[\d.]*\.\w+)"[^>]* value="([^"]*)"', page)}
    for name, inside in re.findall(r'<select[^>]* name="(0[\d.]*\.\w+)"[^>]*>(.*?)</select>', page, re.S):
        chosen = re.search(r'<option value="([^"]*)" selected', inside)
        if chosen:
            found[name] = html.unescape(chosen[1])
    return found


async def test_a_segment_is_built_with_buttons_alone(house: House, seed: Seed) -> None:
    browser = await house.logged_in()
    token = await browser.token("/segments/new")
    typed = {"csrf": token, "name": "Orang Bandung", **controls(browser.last), "0.0.value": "BANDUNG"}
    await browser.post("/segments/build", {**typed, "do": "add:0"})
    typed |= controls(browser.last)
    assert typed["0.0.value"] == "BANDUNG"
    typed |= {"0.1.what": "did:opened"}
    await browser.post("/segments/build", {**typed, "do": "update"})
    typed |= controls(browser.last)
    typed["0.1.count"] = "never"
    await browser.post("/segments/build", {**typed, "do": "group:0"})
    typed |= controls(browser.last)
    assert typed["0.2.kind"] == "group"
    await browser.post("/segments/build", {**typed, "do": "remove:0.2"})
    assert "0.2.kind" not in controls(browser.last)
    typed = {"csrf": token, "name": typed["name"], **controls(browser.last)}
    answer = await browser.post("/segments/build", {**typed, "do": "count"})
    assert answer.status == 200
    assert re.search(r"<strong[^>]*>8</strong>\s*people", browser.last), browser.last
    answer = await browser.post("/segments/new", typed)
    assert answer.status == 303
    await browser.get(answer.headers["Location"])
    assert "City is “BANDUNG”" in browser.last
    assert "did not open any mail" in browser.last
    (kept,) = await house.app.store.segments.list(seed.workspace)
    assert rule_json(kept.rule)["rules"][1] == {"did": "opened", "count": "at_most", "times": 0}
    await browser.get(f"/segments/{kept.id}/edit")
    assert controls(browser.last)["0.1.count"] == "never"


async def test_what_is_not_filled_in_is_said_beside_it(house: House, seed: Seed) -> None:
    browser = await house.logged_in()
    token = await browser.token("/segments/new")
    for wrong in ({"0.0.value": ""}, {"0.0.what": "field:birth_date", "0.0.op": "before", "0.0.value": "yesterday"},
                  {"0.0.what": "list", "0.0.item": "x"}, {"0.0.what": "nothing"}, {"0.0.what": ""},
                  {"0.0.what": "list", "0.0.item": "999999"}, {"0.0.what": "field:fields.gone"},
                  {"0.0.what": "did:clicked", "0.0.times": "many"}, {"0.0.what": "did:dreamt"}):
        answer = await browser.post("/segments/new", {"csrf": token, "name": "X", **CITY, **wrong})
        assert answer.status == 422, wrong
        assert 'class="condition has-error"' in browser.last, wrong
        answer = await browser.post("/segments/count", {"csrf": token, "name": "X", **CITY, **wrong})
        assert answer.status == 200
        assert "<strong" not in browser.last
    answer = await browser.post("/segments/new", {"csrf": token, "name": " ", **CITY})
    assert answer.status == 422
    assert (await browser.post("/segments/new", {"csrf": token, "name": "X", "0.kind": "group"})).status == 422
    assert (await browser.post("/segments/new", {"csrf": token, "name": "X", **CITY})).status == 303
    assert (await browser.post("/segments/new", {"csrf": token, "name": "X", **CITY})).status == 409


async def test_a_segment_is_looked_at_copied_kept_and_deleted(house: House, seed: Seed) -> None:
    browser = await house.logged_in()
    await browser.get("/segments")
    assert "No segments yet" in browser.last
    made = await flow.create(house.app, seed.workspace, "Bandung <b>", "untuk", parse_rule(
        {"rules": [{"field": "city", "op": "is", "value": "<script>alert(1)</script>"}]}))
    for page in ("/segments", f"/segments/{made.id}", f"/segments/{made.id}/edit"):
        assert (await browser.get(page)).status == 200
        assert "<script>alert" not in browser.last
        assert "Bandung &lt;b&gt;" in browser.last
    await browser.get(f"/segments/{made.id}/count", **{"HX-Request": "true"})
    assert "<strong" in browser.last
    assert (await browser.get(f"/segments/{made.id}/count")).headers["Location"] == f"/segments/{made.id}"
    await browser.get(f"/segments/{made.id}/rule.json")
    assert parse_rule(json.loads(browser.last)) == made.rule
    assert (await browser.submit(f"/segments/{made.id}/duplicate", {}, f"/segments/{made.id}")).status == 303
    assert (await browser.submit(f"/segments/{made.id}/snapshot", {}, f"/segments/{made.id}")).status == 303
    (taken,) = await house.app.store.segments.snapshots(seed.workspace)
    answer = await browser.submit(f"/segments/snapshots/{taken.id}/segment", {}, f"/segments/{made.id}")
    assert (await browser.get(answer.headers["Location"])).status == 200
    assert (await browser.submit(f"/segments/{made.id}/delete", {}, f"/segments/{made.id}")).status == 303
    assert (await browser.get(f"/segments/{made.id}")).status == 404
    assert (await browser.submit(f"/segments/snapshots/{taken.id}/delete", {}, "/segments/new")).status == 303
    assert len(await house.app.store.segments.list(seed.workspace)) == 2
    for one in await house.app.store.segments.list(seed.workspace):  # one of which lost its snapshot
        assert (await browser.get(f"/segments/{one.id}")).status == 200
    assert "cannot be used" in browser.last or "was deleted" in browser.last


async def test_a_broken_segment_is_shown_with_what_is_wrong(
    house: House, seed: Seed, sqlite_database: Database,
) -> None:
    made = await flow.create(house.app, seed.workspace, "Patah", "", parse_rule(
        {"rules": [{"field": "city", "op": "is", "value": "x"}]}))
    broken = {"version": 1, "match": "all", "rules": [
        {"field": "fields.hilang", "type": "number", "op": "greater", "value": 1}, {"list": 999}, {"tag": 999},
        {"segment": made.id}, {"did": "clicked", "campaigns": [999]}]}
    async with sqlite_database.write() as connection:
        await connection.execute(update(segments).values(rule=broken))
    browser = await house.logged_in()
    for page in ("/segments", f"/segments/{made.id}", f"/segments/{made.id}/edit", f"/segments/{made.id}/count"):
        assert (await browser.get(page, **{"HX-Request": "true"})).status == 200, page
    await browser.get(f"/segments/{made.id}")
    assert "The field hilang is not there any more." in browser.last
    assert "cannot be made of itself" in browser.last
    assert "Use in a campaign" not in browser.last
    answer = await browser.submit(f"/segments/{made.id}/snapshot", {}, f"/segments/{made.id}/edit")
    assert 400 <= answer.status < 500


async def test_a_campaign_is_sent_to_a_segment(house: House, seed: Seed) -> None:
    made = await flow.create(house.app, seed.workspace, "Bandung", "", parse_rule(
        {"rules": [{"field": "city", "op": "is", "value": "Bandung"}]}))
    browser = await house.logged_in()
    answer = await browser.submit(f"/segments/{made.id}/use", {}, f"/segments/{made.id}")
    edit = answer.headers["Location"]
    await browser.get(edit)
    assert re.search(rf'name="only" value="{made.id}" checked', browser.last)
    number = int(re.findall(r"\d+", edit)[0])
    detail = await house.app.store.campaigns.get(seed.workspace, number)
    assert detail.campaign.include_segments == (made.id,)
    forecast = await house.app.store.campaigns.forecast(detail.campaign, house.clock.now())
    assert 0 < forecast.targeted <= 8
    await browser.get(f"/campaigns/{number}/check")
    assert f'<a href="/segments/{made.id}">Bandung</a>' in browser.last
    answer = await browser.submit(f"/segments/{made.id}/delete", {}, f"/segments/{made.id}")
    assert answer.status == 409


async def test_other_workspaces_segments_do_not_exist(house: House, seed: Seed) -> None:
    other = await house.app.store.accounts.create_workspace("Lain", "", house.clock.now())
    theirs = await flow.create(house.app, other.id, "Rahasia", "", parse_rule(
        {"rules": [{"field": "city", "op": "is", "value": "x"}]}))
    browser = await house.logged_in()
    for page in ("", "/edit", "/count", "/rule.json"):
        assert (await browser.get(f"/segments/{theirs.id}{page}")).status == 404
    for action in ("delete", "duplicate", "snapshot", "use", "edit"):
        answer = await browser.submit(f"/segments/{theirs.id}/{action}", {**CITY, "name": "x"}, "/segments/new")
        assert answer.status == 404, action
    answer = await browser.submit("/segments/build", {"segment": str(theirs.id), **CITY}, "/segments/new")
    assert answer.status == 404


async def test_a_rule_in_the_address_begins_the_builder(house: House, seed: Seed) -> None:
    browser = await house.logged_in()
    rule = quote(json.dumps({"rules": [{"did": "clicked", "campaigns": [seed.draft.id]}]}))
    await browser.get(f"/segments/new?rule={rule}")
    assert controls(browser.last)["0.0.what"] == "did:clicked"
    await browser.get("/segments/new?q=ayu")
    assert controls(browser.last)["0.0.0.value"] == "ayu"
    for odd in ("[]", "{", "[" * 1500, '{"rules": [{"tag": "x"}]}'):
        assert (await browser.get(f"/segments/new?rule={quote(odd)}")).status == 200


@given(WHOLE_RULES)
@settings(deadline=None, database=None, max_examples=50)
def test_the_builder_shows_every_rule_and_reads_it_back(rule: Group) -> None:
    """What is shown and sent again unchanged is the same rule (custom fields apart, whose types are asked for)."""
    plain = json.loads(json.dumps(rule_json(rule)))
    if "fields." in json.dumps(plain) or any(one in json.dumps(plain) for one in ('"in"', '" "', '"_"')):
        return
    nothing = Vocabulary({}, {}, {}, {}, {}, {}, {})
    shown = builder.to_json(builder.nodes_of(rule), nothing)
    assert _without_never(parse_rule(shown)) == _without_never(rule)


def _without_never(rule: Group) -> str:
    """At most none and exactly none are both "never"."""
    return json.dumps(rule_json(rule)).replace('"exactly", "times": 0', '"at_most", "times": 0')


async def test_every_number_of_a_report_becomes_a_segment(house: House) -> None:
    seed = await full(house)
    assert seed.sent is not None
    browser = await house.logged_in()
    for metric, count in (("opened", Metric.OPENED), ("clicked", Metric.CLICKED), ("delivered", Metric.DELIVERED)):
        await browser.get(f"/campaigns/{seed.sent.id}/people?metric={metric}")
        link = html.unescape(re.findall(r'href="(/segments/new\?[^"]+)"', browser.last)[0])
        token = await browser.token(link)
        answer = await browser.post("/segments/new", {"csrf": token, "name": metric, **controls(browser.last),
                                                      "0.0.campaigns": str(seed.sent.id)})
        segment_id = int(answer.headers["Location"].rpartition("/")[2])
        segment = await house.app.store.segments.get(seed.workspace, segment_id)
        behind = await house.app.store.reports.people(seed.workspace, seed.sent.id, count, PeopleFilter(), 0, 10_000)
        assert await flow.count(house.app, seed.workspace, segment.rule) == len(behind) > 0
    await browser.get("/contacts?q=ayu")
    assert "/segments/new?q=ayu" in browser.last
