"""Reports through the admin's pages: every number opens exactly its people, and the file of them is safe to open."""

import csv
import io
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from html import unescape
from pathlib import Path

import pytest

from admin_ui.pages.reports.definitions import DEFINITIONS
from admin_ui.pages.reports.figures import compare_variants
from admin_ui.pages.reports.people import csv_lines
from esp.adapters.sql.database import Database
from esp.model.delivery import EventType, NewEvent
from esp.ports.reports import Figures, MemberFigures, Metric
from tests.admin_house import Browser, admin_house
from tests.campaign_seed import Seed, everybody, full
from tracking.experiments import Progress


@pytest.fixture
async def seed(sqlite_database: Database, tmp_path: Path) -> AsyncIterator[Seed]:
    async with admin_house(sqlite_database, tmp_path) as house:
        yield await full(house, 300)


@pytest.fixture
async def sri(seed: Seed) -> Browser:
    return await seed.house.logged_in()


async def people_of(sri: Browser, path: str) -> list[dict[str, str]]:
    """Everybody behind a number, from its file."""
    await sri.get(path.replace("/people?", "/people.csv?"))
    return list(csv.DictReader(io.StringIO(sri.last.removeprefix("\ufeff"))))


async def test_every_number_opens_as_many_people_as_it_says(seed: Seed, sri: Browser) -> None:
    assert seed.sent
    assert seed.sending
    seen = 0
    report, progress = f"/campaigns/{seed.sent.id}/report?machines=1", f"/campaigns/{seed.sending.id}"
    for page in (report, progress, "/campaigns", "/reports", "/"):
        await sri.get(page)
        text = sri.last
        for path, count in sorted(set(re.findall(r'href="(/campaigns/\d+/people\?[^"]+)">([\d,]+)</a>', text))):
            found = await people_of(sri, unescape(path))
            assert len(found) == int(count.replace(",", "")), (page, path)
            assert len({one["address"] for one in found}) == len(found), path
            seen += 1
    assert seen > 80


async def test_everybody_is_accounted_for(seed: Seed, sri: Browser) -> None:
    assert seed.sent
    await sri.get(f"/campaigns/{seed.sent.id}/report")
    box = sri.last.split('id="account-head"')[1].split("</section>")[0]
    *ends, whole = [int(count.replace(",", "")) for count in re.findall(r">([\d,]+)</a></dd>", box)]
    assert sum(ends) == whole == 300


async def test_machines_stand_apart_and_only_when_asked_for(seed: Seed, sri: Browser) -> None:
    assert seed.sent
    await sri.get(f"/campaigns/{seed.sent.id}/report")
    assert "Opened by machines" not in sri.last
    await sri.get(f"/campaigns/{seed.sent.id}/report?machines=1")
    assert "Opened by machines" in sri.last


async def test_people_are_paged_by_key(seed: Seed, sri: Browser) -> None:
    assert seed.sent
    page = f"/campaigns/{seed.sent.id}/people?metric=targeted"
    found: list[str] = []
    while page:
        await sri.get(page)
        found += re.findall(r'href="(/contacts/\d+)"', sri.last)
        onward = re.search(r'href="([^"]+)" rel="next"', sri.last)
        page = unescape(onward[1]) if onward else ""
    assert len(found) == len(set(found)) == 300


async def test_the_page_of_everybody_behind_a_figure_tells_what_happened(seed: Seed, sri: Browser) -> None:
    """One person of each figure: their timelines hold every kind of event that a campaign writes."""
    assert seed.sent
    told = {"delivered": "Delivered", "bounced": "Bounced", "opened": "Opened", "clicked": "Clicked",
            "unsubscribed": "Unsubscribed", "complained": "Marked as spam"}
    for metric, words in told.items():
        await sri.get(f"/campaigns/{seed.sent.id}/people?metric={metric}")
        person = re.search(r'href="(/contacts/\d+)"', sri.last)
        assert person, metric
        assert (await sri.get(person[1])).status == 200, metric
        timeline = sri.last.split('class="timeline"')[1].split("</ol>")[0]
        assert f"<strong>{words}</strong>" in timeline, metric


async def test_a_figure_there_is_not_is_not_found(seed: Seed, sri: Browser) -> None:
    assert seed.sent
    assert (await sri.get(f"/campaigns/{seed.sent.id}/people?metric=nonsense")).status == 404
    assert (await sri.get(f"/campaigns/{seed.sent.id}/people?metric=clicked&link=x&variant=-1&after=z")).status == 200


async def test_what_a_server_answered_never_becomes_markup(seed: Seed, sri: Browser) -> None:
    assert seed.sending
    evil = "550 <script>alert(1)</script>"
    one = (await everybody(seed, seed.sending, Metric.DEFERRED))[0]
    await seed.house.app.store.ledger.apply([NewEvent(
        EventType.BOUNCED, seed.house.clock.now(), seed.workspace, seed.sending.id, one.delivery_id, one.contact_id,
        provider=one.provider, detail={"reason": "<b>x</b>", "code": 550, "reply": evil})])
    for page in (f"/campaigns/{seed.sending.id}", f"/campaigns/{seed.sending.id}/people?metric=bounced",
                 f"/campaigns/{seed.sending.id}/report"):
        await sri.get(page)
        assert "<script>alert" not in sri.last, page
        assert "<b>x</b>" not in sri.last, page


def test_a_cell_that_a_spreadsheet_would_run_becomes_text() -> None:
    lines = csv_lines([("=1+1", "+62 812", "-x", "@SUM(A1)", "\tx", "plain", 'say "hi"')]).decode()
    assert next(csv.reader([lines])) == ["'=1+1", "'+62 812", "'-x", "'@SUM(A1)", "'\tx", "plain", 'say "hi"']


async def test_home_tells_what_stopped_and_what_runs(seed: Seed, sri: Browser) -> None:
    await sri.get("/")
    assert "“Undangan mitra” is paused" in sri.last
    assert "Under way" in sri.last
    assert "Ucapan akhir tahun" in sri.last


def variant(label: str, delivered: int, clicked: int) -> MemberFigures:
    return MemberFigures(label, label, Figures(targeted=delivered, delivered=delivered, clicked=clicked))


def test_a_small_lead_is_not_called_one() -> None:
    told = compare_variants([variant("A", 400, 40), variant("B", 400, 44)])
    assert told[0] == "B was clicked by 11.0% of the people, A by 10.0%."
    assert "No difference was found" in told[1]
    assert "B is the best with a probability of 67.8%" in told[2]
    assert "each variant would need about" in told[3]


def test_a_clear_lead_is_told_with_its_bounds_and_what_to_bet_on() -> None:
    told = compare_variants([variant("A", 4000, 400), variant("B", 4000, 600)])
    assert "The lead of B is more than chance" in told[1]
    assert "more than 99.9%" in told[2]
    assert len(told) == 3


def test_the_luckiest_of_many_is_held_to_more() -> None:
    pair = [variant("A", 1000, 100), variant("B", 1000, 140)]
    assert "more than chance" in compare_variants(pair)[1]
    many = pair + [variant(label, 1000, 100) for label in "CDEFGH"]
    assert "No difference was found" in compare_variants(many)[1]


def test_while_answers_are_to_come_a_lead_needs_more() -> None:
    pair = [variant("A", 1000, 100), variant("B", 1000, 150)]
    assert "more than chance" in compare_variants(pair, at=Progress(1.0, 1.0))[1]
    assert "No difference was found" in compare_variants(pair, at=Progress(1.0, 0.3))[1]
    assert "No difference was found" in compare_variants(pair, at=Progress(0.3, 1.0))[1]
    assert "too early" in compare_variants(pair, at=Progress(1.0, 0.0))[1]


def test_a_split_that_lost_people_is_not_judged() -> None:
    pair = [variant("A", 1000, 100), variant("B", 1400, 300)]
    assert "no comparison is worth anything" in compare_variants(pair, {"A": 1, "B": 1})[0]
    assert "more than chance" in compare_variants(pair, {"A": 5, "B": 7})[1]


def test_nothing_is_said_where_there_is_nothing_to_compare() -> None:
    assert compare_variants([variant("A", 100, 1)]) == []
    assert compare_variants([variant("A", 100, 1), variant("B", 0, 0)]) == []
    nobody_clicked = [replace(variant(label, 50, 0)) for label in "AB"]
    assert "No difference was found" in compare_variants(nobody_clicked)[1]


def test_every_metric_that_has_people_has_a_definition() -> None:
    assert set(DEFINITIONS) == set(Metric)
