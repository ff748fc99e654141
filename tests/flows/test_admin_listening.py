"""Screens about who listens: a person's page, the engagement report, and whom to leave out of a campaign."""

import re
from collections.abc import AsyncIterator
from html import unescape
from pathlib import Path

import pytest

from esp.adapters.sql.database import Database
from esp.flows import campaigns as flow
from esp.model.listening import Level
from esp.model.segment import FieldOp, FieldRule, Group, Match
from esp.ports.campaigns import CampaignEdit, VariantEdit
from tests.admin_house import Browser, House, admin_house
from tests.listening_world import on_a_list, simulated
from tracking import listening
from tracking.listening_report import make_report


@pytest.fixture
async def house(sqlite_database: Database, tmp_path: Path) -> AsyncIterator[House]:
    async with admin_house(sqlite_database, tmp_path) as house:
        await house.owner()
        yield house


async def lived(house: House, database: Database, people: int = 300, mails: int = 12) -> Browser:
    await simulated(database, people, mails, seed=8, workspace=False)
    await on_a_list(database, people)
    await listening.catch_up(house.app)
    await listening.refit(house.app, 1)
    await make_report(house.app, 1)
    return await house.logged_in()


def words(page: str) -> str:
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", page)).split())


async def test_a_persons_page_says_how_they_listen(house: House, sqlite_database: Database) -> None:
    browser = await lived(house, sqlite_database)
    found = await house.app.store.listening.listener(1, 7)
    assert found is not None
    assert (await browser.get("/contacts/7")).status == 200
    text = words(browser.last)
    assert "How they listen" in text
    assert f"{found.heard.responses} of {found.heard.opportunities} mails" in text
    assert browser.last.count('class="bar-') == 12
    assert "There is not enough data" not in text
    assert (await browser.get("/contacts?q=p7")).status == 200


async def test_before_there_is_data_it_is_said(house: House, sqlite_database: Database) -> None:
    await simulated(sqlite_database, 1, 1, seed=1, workspace=False)
    browser = await house.logged_in()
    await browser.get("/contacts/1")
    assert "How they listen" not in words(browser.last)  # nothing folded yet
    await listening.keep_listening(house.app)
    await browser.get("/contacts/1")
    assert "There is not enough data of your own yet" in words(browser.last)
    assert (await browser.get("/engagement")).status == 200
    assert "Nothing to learn from yet" in words(browser.last)


async def test_the_engagement_report(house: House, sqlite_database: Database) -> None:
    browser = await lived(house, sqlite_database)
    assert (await browser.get("/engagement")).status == 200
    text = words(browser.last)
    assert "How response fades, mail by mail" in text
    assert "How often is too often" in text
    assert browser.last.count("decay-dot") == 12
    levels = await house.app.store.listening.days(1, house.clock.now().date())
    active = next(iter(levels.values()))
    assert str(max(active.values())) in text
    link = unescape(next(one for one in re.findall(r'href="(/segments/new\?rule=[^"]+)"', browser.last)))
    assert (await browser.get(link)).status == 200
    assert "engagement.level" in browser.last
    for group in ("1", "2", "99", "x"):
        assert (await browser.get(f"/engagement?group={group}")).status == 200


async def test_sunset_asks_once_more_first(house: House, sqlite_database: Database) -> None:
    browser = await lived(house, sqlite_database)
    assert (await browser.get("/engagement/sunset")).status == 200
    levels = next(iter((await house.app.store.listening.days(1, house.clock.now().date())).values()))
    silent = levels.get(Level.DORMANT, 0) + levels.get(Level.LOST, 0)
    assert f"{silent} people are dormant or lost" in words(browser.last)
    # The last campaign asked: of the silent all got it long ago, and who is silent did not open it.
    assert (await browser.get("/engagement/sunset?campaign=12&days=14")).status == 200
    assert f"{silent} people got it" in words(browser.last)
    # After the third some were silent who are so no more, and some opened it who are silent now.
    await browser.get("/engagement/sunset?campaign=3&days=14")
    fewer = re.search(r"(\d+) people got it", words(browser.last))
    assert fewer
    assert 0 < int(fewer[1]) < silent
    link = unescape(re.findall(r'href="(/segments/new\?rule=[^"]+)"', browser.last)[-1])
    assert (await browser.get(link)).status == 200
    assert "engagement.level" in browser.last
    for odd in ("?campaign=99", "?campaign=x&days=x", "?campaign=12&days=0"):
        assert (await browser.get("/engagement/sunset" + odd)).status == 200


async def test_the_coldest_are_left_out_by_one_click(house: House, sqlite_database: Database) -> None:
    browser = await lived(house, sqlite_database)
    made = await flow.create(house.app, 1, CampaignEdit(
        name="Kopi", include_lists=(1,), variants=(VariantEdit("Kopi", "<p>Kopi</p>"),)))
    here = f"/campaigns/{made.id}/check"
    before = (await flow.precheck(house.app, 1, made.id)).will_get
    assert (await browser.get(here)).status == 200
    assert "Who could be left out" in words(browser.last)
    below = re.search(r'name="below" value="([^"]+)"', browser.last)
    shown = re.search(r"The coldest (\d+) people", words(browser.last))
    assert below
    assert shown
    await browser.submit(f"/campaigns/{made.id}/leave-out-coldest",
                         {"version": made.version, "below": below[1]}, page=here)
    forecast = await flow.precheck(house.app, 1, made.id)
    assert 0 < before - forecast.will_get == int(shown[1]) <= before
    (segment,) = await house.app.store.segments.list(1, limit=10)
    assert segment.rule == Group(Match.ALL, (
        FieldRule("engagement.expected", segment.rule.rules[0].type, FieldOp.LESS, (float(below[1]),)),))  # type: ignore[union-attr]
    # The same again makes no second segment, and what is gone is not offered.
    campaign = (await house.app.store.campaigns.get(1, made.id)).campaign
    await browser.submit(f"/campaigns/{made.id}/leave-out-coldest",
                         {"version": campaign.version, "below": below[1]}, page=here)
    assert len(await house.app.store.segments.list(1, limit=10)) == 1
