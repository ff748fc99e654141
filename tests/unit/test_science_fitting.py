"""Climbing and its linear algebra against answers known in closed form."""

from collections.abc import Sequence
from math import exp, log

import pytest

from tracking.science.fitting import Prior, invert, maximise, slope_of, solve, spread
from tracking.science.ranking import area_under_curve, calibration


def test_a_share_is_found_with_its_textbook_standard_error() -> None:
    def contributions(at: Sequence[float]) -> list[float]:
        return [-log(1 + exp(-at[0])), -log(1 + exp(at[0]))]

    found = maximise(contributions, [30, 70], [2.0])
    assert found.converged
    assert found.at[0] == pytest.approx(log(30 / 70), abs=1e-4)
    assert found.covariance is not None
    assert found.covariance[0][0] == pytest.approx(1 / (100 * 0.3 * 0.7), rel=1e-3)


def test_without_data_the_prior_is_the_answer() -> None:
    found = maximise(lambda at: [], [], [0.0, 0.0], Prior((1.0, -2.0), (0.5, 2.0)))
    assert found.at == pytest.approx([1.0, -2.0], abs=1e-6)
    assert found.covariance is not None
    assert found.covariance[1][1] == pytest.approx(4, rel=1e-6)


def test_a_direction_that_nothing_speaks_of_has_no_covariance() -> None:
    assert maximise(lambda at: [-(at[0] ** 2)], [1], [1.0, 1.0]).covariance is None


def test_solving_and_inverting() -> None:
    matrix = [[4.0, 1.0, 0.5], [1.0, 3.0, 0.2], [0.5, 0.2, 2.0]]
    found = solve(matrix, [1.0, 2.0, 3.0])
    assert found is not None
    assert [sum(a * b for a, b in zip(row, found, strict=True)) for row in matrix] == pytest.approx([1, 2, 3])
    inverse = invert(matrix)
    assert inverse is not None
    row = [sum(matrix[1][k] * inverse[k][j] for k in range(3)) for j in range(3)]
    assert row == pytest.approx([0, 1, 0], abs=1e-12)
    assert solve([[1.0, 2.0], [2.0, 1.0]], [1.0, 1.0]) is None


def test_the_delta_method_on_a_product() -> None:
    slope = slope_of(lambda at: at[0] * at[1], [2.0, 3.0])
    assert slope == pytest.approx([3, 2])
    assert spread(slope, [[0.04, 0.01], [0.01, 0.09]]) == pytest.approx((9 * 0.04 + 4 * 0.09 + 12 * 0.01) ** 0.5)


def test_area_under_the_curve_counts_ties_half() -> None:
    assert area_under_curve([1, 2, 3, 4], [False, False, True, True]) == 1
    assert area_under_curve([4, 3, 2, 1], [False, False, True, True]) == 0
    assert area_under_curve([1, 1, 1, 1], [False, True, True, False]) == 0.5
    assert area_under_curve([1, 2, 2, 3], [False, True, False, True]) == pytest.approx(3.5 / 4)
    assert area_under_curve([1, 2], [True, True]) is None


def test_tenths_cover_everybody_once() -> None:
    tenths = calibration([i / 100 for i in range(105)], [i / 100 + 0.01 for i in range(105)])
    assert sum(tenth.size for tenth in tenths) == 105
    assert all(tenth.error == pytest.approx(0.01) for tenth in tenths)
    assert [tenth.predicted for tenth in tenths] == sorted(tenth.predicted for tenth in tenths)
