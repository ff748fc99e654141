"""The decaying score: the same in whatever order it is told, exact at every reading, comparable by its rank."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esp.events.score import Score, threshold

_HALF = 30 * 86_400.0
_THINGS = st.lists(st.tuples(st.floats(0.01, 10), st.floats(1.7e9, 1.8e9)), min_size=1, max_size=12)


def told(things: list[tuple[float, float]]) -> Score:
    score = Score()
    for weight, when in things:
        score = score.add(weight, when, _HALF)
    return score


def direct(things: list[tuple[float, float]], now: float) -> float:
    return sum(weight * 2 ** (-(now - when) / _HALF) for weight, when in things)


@given(_THINGS, st.floats(0, 1e8), st.randoms(use_true_random=False))
def test_it_is_the_sum_of_what_is_left_of_each_in_any_order(
    things: list[tuple[float, float]], later: float, dice: random.Random
) -> None:
    now = 1.8e9 + later
    shuffled = list(things)
    dice.shuffle(shuffled)
    assert told(things).read(now, _HALF) == pytest.approx(direct(things, now), rel=1e-9)
    assert told(shuffled).read(now, _HALF) == pytest.approx(direct(things, now), rel=1e-9)


@given(_THINGS, _THINGS)
def test_two_merged_are_all_things_told_to_one(one: list[tuple[float, float]], two: list[tuple[float, float]]) -> None:
    merged = told(one).merge(told(two), _HALF)
    assert merged.read(1.9e9, _HALF) == pytest.approx(told(one + two).read(1.9e9, _HALF), rel=1e-9)
    assert merged.at == max(when for _, when in one + two)
    assert Score().merge(told(one), _HALF) == told(one).merge(Score(), _HALF) == told(one)


@given(_THINGS, _THINGS, st.floats(0, 1e9))
def test_the_rank_orders_as_reading_does_at_any_time(
    one: list[tuple[float, float]], two: list[tuple[float, float]], later: float
) -> None:
    first, second, now = told(one), told(two), 1.8e9 + later
    if abs(first.rank(_HALF) - second.rank(_HALF)) > 1e-9 and first.read(now, _HALF) and second.read(now, _HALF):
        assert (first.rank(_HALF) < second.rank(_HALF)) == (first.read(now, _HALF) < second.read(now, _HALF))


@given(_THINGS, st.floats(0, 1e8), st.floats(0.01, 5))
def test_a_level_is_a_threshold_of_the_rank(things: list[tuple[float, float]], later: float, level: float) -> None:
    now = 1.8e9 + later
    value = told(things).read(now, _HALF)
    if abs(value / level - 1) > 1e-6:
        assert (value >= level) == (told(things).rank(_HALF) >= threshold(level, now, _HALF))


def test_half_after_a_half_life_and_never_more_by_waiting() -> None:
    score = Score().add(8, 1000, 100)
    assert [score.read(now, 100) for now in (1000, 1100, 1300)] == [8, 4, 1]
    assert score.read(0, 100) == 8  # a clock that jumped back
    assert score.read(1e12, 100) == 0
    assert Score().read(5, 100) == 0
    assert Score().rank(100) < score.rank(100)


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(ValueError, match="not negative"):
        Score().add(-1, 0, 100)
    with pytest.raises(ValueError, match="half-life"):
        Score().add(1, 0, 0)
