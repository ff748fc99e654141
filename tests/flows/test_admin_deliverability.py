"""The page of deliverability: every number of it opens campaigns, and their numbers as many people."""

import re
from collections.abc import AsyncIterator
from html import unescape
from pathlib import Path

import pytest

from admin_ui.pages.reports.deliverability import bounces_kind, complaints_kind
from esp.adapters.sql.database import Database
from esp.ports.reports import Figures
from tests.admin_house import admin_house
from tests.campaign_seed import Seed, full


@pytest.fixture
async def seed(sqlite_database: Database, tmp_path: Path) -> AsyncIterator[Seed]:
    async with admin_house(sqlite_database, tmp_path) as house:
        yield await full(house, 300)


async def test_every_number_opens_what_it_is_made_of(seed: Seed) -> None:
    browser = await seed.house.logged_in()
    await browser.get("/deliverability?days=90")
    links = set(re.findall(r'href="(/deliverability/campaigns\?[^"]+)">([\d,]+)</a>', browser.last))
    assert len(links) > 10
    for path, count in sorted(links):
        await browser.get(unescape(path))
        parts = re.findall(r'href="(/campaigns/\d+/people\?[^"]+)">([\d,]+)</a>', browser.last)
        assert sum(int(number) for _, number in parts) == int(count.replace(",", "")), path
        for people, number in parts[:1]:
            file = await (await browser.client.get(unescape(people).replace("/people?", "/people.csv?"))).text()
            assert len(file.strip().splitlines()) - 1 == int(number), people


async def test_there_is_a_page_before_there_is_a_campaign(sqlite_database: Database, tmp_path: Path) -> None:
    async with admin_house(sqlite_database, tmp_path) as house:
        await house.owner()
        browser = await house.logged_in()
        await browser.get("/deliverability?days=nonsense")
        assert "No campaign in this time" in browser.last
        assert (await browser.client.get("/deliverability/campaigns?metric=nonsense")).status == 404


@pytest.mark.parametrize(("delivered", "bounced", "complained", "said"), [
    (199, 0, 1, ("", "")),  # too few to say anything
    (10_000, 100, 7, ("good", "good")),
    (10_000, 300, 9, ("warn", "warn")),
    (10_000, 600, 20, ("harm", "harm")),
])
def test_what_is_too_much(delivered: int, bounced: int, complained: int, said: tuple[str, str]) -> None:
    figures = Figures(delivered=delivered, bounced=bounced, complained=complained)
    assert (bounces_kind(figures), complaints_kind(figures)) == said
