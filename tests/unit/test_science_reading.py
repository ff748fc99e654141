"""What a campaign's variants say, while it is being sent and while answers are still coming."""

import random
from datetime import UTC, datetime, timedelta

import pytest

from esp.ports.reports import Bucket, Figures, MemberFigures, Metric, TimeSeries
from tracking.experiments import Progress, progress, read
from tracking.science.proportions import Finding, compare
from tracking.science.sequential import Arm, judge

_NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def variant(label: str, delivered: int, clicked: int, opened: int = 0, waiting: int = 0) -> MemberFigures:
    figures = Figures(targeted=delivered + waiting, delivered=delivered, clicked=clicked, opened=opened,
                      waiting=waiting)
    return MemberFigures(label, label, figures)


def test_looking_every_hour_while_answers_come_in_calls_few_false_winners() -> None:
    # All are delivered at once; each answers, if at all, after a delay of which half is four hours. The information
    # grows though nobody is added: an interval that took it for complete would be wrong several times as often.
    dice, wrong, careless = random.Random(1), 0, 0
    for _ in range(400):
        arrivals = [sorted(dice.expovariate(0.693 / 4) for _ in range(2000) if dice.random() < 0.1) for _ in range(2)]
        careful_called = careless_called = False
        for hour in range(1, 73):
            one, two = (Arm(sum(at <= hour for at in arm), 2000) for arm in arrivals)
            ripe = 1 - 0.5 ** (hour / 12)
            careful_called |= judge(one, two, (2000, 2000), ripe=ripe).finding is not Finding.NO_DIFFERENCE
            careless_called |= compare(one.successes, 2000, two.successes, 2000).finding is not Finding.NO_DIFFERENCE
        wrong += careful_called
        careless += careless_called
    assert wrong / 400 <= 0.05
    assert careless / 400 > 0.10


def test_progress_is_the_ripeness_of_what_was_delivered() -> None:
    def bucket(hours: float, delivered: int) -> Bucket:
        return Bucket(_NOON - timedelta(hours=hours), Figures(delivered=delivered))

    fresh = TimeSeries(60, (bucket(1 / 60, 100),))
    assert progress(fresh, 0.5, _NOON) == Progress(0.5, 0.0)
    mixed = TimeSeries(3600, (bucket(13, 100), bucket(1, 100)))
    assert progress(mixed, 1.0, _NOON).ripe == pytest.approx(0.25)
    assert progress(TimeSeries(3600, (bucket(500, 10),)), 1.0, _NOON).ripe == pytest.approx(1)
    assert progress(TimeSeries(60, ()), 0.0, _NOON) == Progress(0.0, 0.0)


def test_those_still_to_come_count_in_the_plan() -> None:
    done = read([variant("A", 1000, 100), variant("B", 1000, 150)])
    assert done is not None
    assert done.found
    half = read([variant("A", 1000, 100, waiting=4000), variant("B", 1000, 150, waiting=4000)])
    assert half is not None
    assert not half.found
    assert done.gap is not None
    assert half.gap is not None
    assert half.gap.low < done.gap.low < done.gap.high < half.gap.high
    assert half.gain == done.gain  # a belief does not depend on how often one looked


def test_opens_are_compared_where_nobody_clicks() -> None:
    told = read([variant("A", 1000, 0, opened=200), variant("B", 1000, 0, opened=320)])
    assert told is not None
    assert told.metric is Metric.OPENED
    assert told.leader.label == "B"
    assert told.probability > 0.999
    assert told.needed is None


def test_where_nothing_was_found_it_says_how_many_it_would_take() -> None:
    told = read([variant("A", 1000, 50), variant("B", 1000, 55)])
    assert told is not None
    assert told.needed is not None
    assert 20_000 < told.needed < 50_000
    same = read([variant("A", 1000, 50), variant("B", 1000, 50)])
    assert same is not None
    assert same.needed is None


def test_variants_that_reached_nobody_are_not_compared() -> None:
    assert read([variant("A", 1000, 50), variant("B", 0, 0)]) is None
    skewed = read([variant("A", 1000, 50), variant("B", 1300, 60)], {"A": 1, "B": 1})
    assert skewed is not None
    assert skewed.skewed
    unknown = read([variant("A", 1000, 50), variant("B", 1300, 60)], {"A": 1})
    assert unknown is not None
    assert not unknown.skewed
