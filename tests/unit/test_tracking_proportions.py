"""Intervals against published values and against simulation."""

import random

import pytest

from esp.ports.reports import Figures, Metric
from tracking.reports import share
from tracking.science.proportions import Finding, compare, difference, wilson


@pytest.mark.parametrize(("successes", "trials", "low", "high"), [
    (81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718),
])
def test_wilson_as_newcombe_published(successes: int, trials: int, low: float, high: float) -> None:
    # Newcombe 1998, Statistics in Medicine 17:857, table I, method 3.
    found = wilson(successes, trials)
    assert found is not None
    assert (found.low, found.high) == pytest.approx((low, high), abs=5e-5)


@pytest.mark.parametrize(("a", "m", "b", "n", "low", "high"), [
    (56, 70, 48, 80, 0.0524, 0.3339), (9, 10, 3, 10, 0.1705, 0.8090), (6, 7, 2, 7, 0.0582, 0.8062),
    (5, 56, 0, 29, -0.0381, 0.1926), (10, 10, 0, 10, 0.6075, 1.0),
])
def test_difference_as_newcombe_published(a: int, m: int, b: int, n: int, low: float, high: float) -> None:
    # Newcombe 1998, Statistics in Medicine 17:873, table II, method 10; his difference is first minus second.
    found = difference(b, n, a, m)
    assert found is not None
    assert (found.low, found.high) == pytest.approx((low, high), abs=5e-5)


def test_nothing_tried_is_nothing_known() -> None:
    assert wilson(0, 0) is None
    assert compare(0, 0, 5, 10).finding is Finding.UNKNOWN
    with pytest.raises(ValueError, match="no share"):
        wilson(3, 2)


def test_equal_shares_are_called_different_one_time_in_twenty_at_most() -> None:
    dice = random.Random(1)

    def drawn() -> int:
        return sum(dice.random() < 0.2 for _ in range(400))

    wrong = sum(compare(drawn(), 400, drawn(), 400).finding is not Finding.NO_DIFFERENCE for _ in range(600))
    assert wrong / 600 < 0.07


def test_a_share_never_exceeds_its_base() -> None:
    # Opened, and bounced afterwards: taken out of delivered, yet it was read.
    found = share(Figures(targeted=5, delivered=0, bounced=1, opened=1), Metric.OPENED)
    assert found is not None
    assert found.estimate == 1.0
