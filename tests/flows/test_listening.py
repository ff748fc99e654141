"""From events to what is said of people: folded, fitted, scored, on levels, and a report of groups."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from esp import wiring
from esp.adapters.sql.database import Database
from esp.app import App
from esp.events.listening import HOURS
from esp.model.listening import Level
from esp.settings import load
from tests.listening_world import NOW, people, simulated
from tests.turned_clock import TurnedClock
from tracking import listening
from tracking.listening_model import history
from tracking.listening_report import make_report
from tracking.science.alive import alive, expected
from tracking.science.alive_fit import PRIOR_RATES


@pytest.fixture
async def house(database: Database, database_url: str, tmp_path: Path) -> AsyncIterator[App]:
    app = await wiring.build(load(database={"url": database_url}, server={"data_dir": tmp_path / "data"}))
    app.clock = TurnedClock(NOW)
    yield app
    await app.close()


async def test_people_who_live_by_the_model_are_read_by_it(house: App, database: Database) -> None:
    await simulated(database, 600, 12, seed=3)
    while await listening.keep_listening(house) or (await house.store.listening.fold(1, NOW)).behind:
        pass
    store = house.store.listening
    # Before any fit everybody is read by what is believed beforehand.
    one = await store.listener(1, 1)
    assert one is not None
    assert one.odds is not None
    assert one.odds.alive == pytest.approx(alive(PRIOR_RATES, history(one.odds.counts)))

    assert await listening.look_again(house) is False
    fitted = await store.fit(1)
    assert fitted is not None
    assert fitted.converged
    assert fitted.people == 600
    assert fitted.covariance is not None
    histories = await store.histories(1)
    assert sum(histories.values()) == 600
    rates = await listening.rates_of(house, 1)
    for found in [await store.listener(1, number) for number in range(1, 40)]:
        assert found is not None
        assert found.odds is not None
        it = history(found.odds.counts)
        assert found.odds.alive == pytest.approx(alive(rates, it))
        assert found.odds.expected == pytest.approx(expected(rates, it, 10))
        assert found.level is found.odds.level
        assert found.heard.times is None or sum(found.heard.times[:HOURS]) == found.heard.responses
    levels = (await store.days(1, NOW.date()))[NOW.date()]
    assert sum(levels.values()) == 600
    assert levels[Level.ACTIVE] > 50
    assert levels[Level.DORMANT] > 50
    assert sum(fitted.crowds["hours"]["shares"]) == pytest.approx(1)

    assert await listening.look_again(house) is False  # not before a day has gone by
    assert (await store.fit(1)) == fitted
    house.clock.turn(timedelta(days=1))  # type: ignore[attr-defined]
    await listening.look_again(house)
    assert (await store.fit(1)) != fitted

    before = await store.histories(1)
    assert await listening.rebuild(house, 1) == 600
    assert await store.histories(1) == before


async def test_the_report_shows_groups_that_decay(house: App, database: Database) -> None:
    await simulated(database, 600, 12, seed=5)
    await listening.catch_up(house)
    await listening.refit(house, 1)
    data = await make_report(house, 1)
    assert data["sampled"] == 600
    kinds = {group["kind"] for group in data["groups"]}
    assert kinds == {"all", "month", "source"}
    everybody = data["groups"][0]
    assert everybody["people"] == 600
    assert len(everybody["observed"]) == 12
    estimate, low, high = everybody["half_life"]
    # Of beta(0.5, 6) half are lost after 27 mails.
    assert low < estimate < high
    assert low < 27 < high
    for share, fitted in zip(everybody["observed"], everybody["fitted"], strict=True):
        assert share[1] - 0.03 < fitted < share[2] + 0.03
    assert data["months"][0]["share"][0] > data["months"][-1]["share"][0]
    assert sum(band["people"] for band in data["bands"]) == 600
    assert [band["people"] for band in data["bands"] if band["from"] == 2.5] == [600]  # one a week
    assert data["flows"][0]["month"] == "2026-01"
    assert data["flows"][0]["joined"] == 600
    assert [one["month"] for one in data["flows"]] == [f"2026-{month:02}" for month in range(1, 12)]
    assert data["loss"]["gone"] == 0
    kept = await house.store.listening.report(1)
    assert kept is not None
    assert kept[1] == data


async def test_nobody_yet(house: App, database: Database) -> None:
    await people(database, 3, 1)
    done = await listening.refit(house, 1)
    assert done.fit.people == 0
    assert done.fit.rates == pytest.approx(
        (PRIOR_RATES.alpha, PRIOR_RATES.beta, PRIOR_RATES.gamma, PRIOR_RATES.delta))
    data = await make_report(house, 1)
    assert data["sampled"] == 0
    assert data["groups"][0]["observed"] == []
