"""The maximum of a sum of smooth contributions in a few parameters, and how certain it is. Pure.

Berndt, Hall, Hall and Hausman's scoring (1974) damped after Levenberg and Marquardt: the outer products of the scores
stand for the Hessian, so that a step needs first derivatives only and always points upwards. At the end the true
Hessian is taken by differences (observed information, Efron and Hinkley 1978).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import fsum, sqrt
from typing import Final, TypeAlias

Vector: TypeAlias = list[float]
Matrix: TypeAlias = list[list[float]]

_STEP: Final = 1e-4  # of a central difference: its error is some 1e-9, that of rounding some 1e-12
_CURVE: Final = 2e-3  # of a second difference, where rounding counts twice


@dataclass(frozen=True, slots=True)
class Prior:
    """Independent normal beliefs about each parameter before there is data."""

    means: tuple[float, ...]
    deviations: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Peak:
    """Where the maximum is. ``covariance`` is the inverse of the observed information; None where it has none, for the
    data do not say enough about all the parameters."""

    at: Vector
    value: float
    covariance: Matrix | None
    converged: bool
    rounds: int


def maximise(contributions: Callable[[Sequence[float]], Sequence[float]], weights: Sequence[float],
             start: Sequence[float], prior: Prior | None = None, bounds: tuple[float, float] = (-9.0, 9.0),
             most_rounds: int = 200, tolerance: float = 1e-8) -> Peak:
    """Climb from ``start`` to where the weighted sum of ``contributions`` (and the prior's logarithm) is greatest.

    All parameters stay within ``bounds``. It has converged when a full step would gain less than ``tolerance`` times
    the number of observations, or 1e-6 in all where they are few. ``value`` is without the prior.
    """
    def total(at: Sequence[float], each: Sequence[float]) -> float:
        return fsum(map(float.__mul__, weights, each)) + _belief(prior, at)

    weights = [float(weight) for weight in weights]
    at = [min(max(value, bounds[0]), bounds[1]) for value in start]
    best, damping, converged, rounds = total(at, contributions(at)), 1e-3, False, 0
    enough = max(1e-6, tolerance * sum(weights))
    while rounds < most_rounds:
        rounds += 1
        slope, information = _scores(contributions, weights, at, prior)
        full = solve(information, slope)
        if full is not None and fsum(map(float.__mul__, full, slope)) / 2 < enough:
            converged = True
            break
        while damping < 1e12:
            damped = [[value * (1 + damping) + 1e-12 if row == column else value
                       for column, value in enumerate(values)] for row, values in enumerate(information)]
            step = solve(damped, slope)
            if step is not None:
                there = [min(max(a + b, bounds[0]), bounds[1]) for a, b in zip(at, step, strict=True)]
                reached = total(there, contributions(there))
                if reached >= best:
                    break
            damping *= 10
        else:
            break  # no step leads upwards any more
        best, at, damping = reached, there, max(damping / 10, 1e-12)
    information = _observed(lambda point: total(point, contributions(point)), at)
    return Peak(at, best - _belief(prior, at), invert(information), converged, rounds)


def slope_of(function: Callable[[Sequence[float]], float], at: Sequence[float]) -> Vector:
    """First derivatives by central differences."""
    return [(function(_moved(at, one, _STEP)) - function(_moved(at, one, -_STEP))) / (2 * _STEP)
            for one in range(len(at))]


def spread(slope: Sequence[float], covariance: Matrix) -> float:
    """The standard error of a function with this slope (the delta method)."""
    return sqrt(max(0.0, fsum(slope[i] * slope[j] * covariance[i][j]
                              for i in range(len(slope)) for j in range(len(slope)))))


def solve(matrix: Matrix, right: Sequence[float]) -> Vector | None:
    """x with matrix x = right, for a symmetric matrix above zero (Cholesky); None where it is not above zero."""
    lower = _cholesky(matrix)
    if lower is None:
        return None
    forward: Vector = []
    for row, value in enumerate(right):
        forward.append((value - fsum(lower[row][k] * forward[k] for k in range(row))) / lower[row][row])
    size = len(right)
    back = [0.0] * size
    for row in reversed(range(size)):
        back[row] = (forward[row] - fsum(lower[k][row] * back[k] for k in range(row + 1, size))) / lower[row][row]
    return back


def invert(matrix: Matrix) -> Matrix | None:
    """The inverse of a symmetric matrix above zero; None where it is not."""
    size = len(matrix)
    columns = [solve(matrix, [1.0 if row == column else 0.0 for row in range(size)]) for column in range(size)]
    found = [column for column in columns if column is not None]
    return [list(row) for row in zip(*found, strict=True)] if len(found) == size else None


def _cholesky(matrix: Matrix) -> Matrix | None:
    size = len(matrix)
    lower = [[0.0] * size for _ in range(size)]
    for row in range(size):
        for column in range(row + 1):
            rest = matrix[row][column] - fsum(lower[row][k] * lower[column][k] for k in range(column))
            if row == column:
                if not rest > 1e-14 * abs(matrix[row][row]):
                    return None
                lower[row][row] = sqrt(rest)
            else:
                lower[row][column] = rest / lower[column][column]
    return lower


def _scores(contributions: Callable[[Sequence[float]], Sequence[float]], weights: Sequence[float],
            at: Sequence[float], prior: Prior | None) -> tuple[Vector, Matrix]:
    """The slope of the sum, and the sum of the outer products of the contributions' slopes."""
    size = len(at)
    slopes = []
    for one in range(size):
        up, down = contributions(_moved(at, one, _STEP)), contributions(_moved(at, one, -_STEP))
        slopes.append([(high - low) / (2 * _STEP) for high, low in zip(up, down, strict=True)])
    weighted = [list(map(float.__mul__, weights, each)) for each in slopes]
    slope = [fsum(each) for each in weighted]
    matrix = [[0.0] * size for _ in range(size)]
    for i in range(size):
        for j in range(i + 1):
            matrix[i][j] = matrix[j][i] = fsum(map(float.__mul__, weighted[i], slopes[j]))
    if prior is not None:
        for one, (mean, deviation) in enumerate(zip(prior.means, prior.deviations, strict=True)):
            slope[one] += (mean - at[one]) / deviation**2
            matrix[one][one] += 1 / deviation**2
    return slope, matrix


def _observed(function: Callable[[Sequence[float]], float], at: Sequence[float]) -> Matrix:
    """Minus the second derivatives."""
    size, middle = len(at), function(at)
    sides = [(function(_moved(at, one, _CURVE)), function(_moved(at, one, -_CURVE))) for one in range(size)]
    matrix = [[0.0] * size for _ in range(size)]
    for i in range(size):
        matrix[i][i] = (2 * middle - sides[i][0] - sides[i][1]) / _CURVE**2
        for j in range(i):
            both = function(_moved(_moved(at, i, _CURVE), j, _CURVE))
            neither = function(_moved(_moved(at, i, -_CURVE), j, -_CURVE))
            mixed = (both + neither + 2 * middle - sum(sides[i]) - sum(sides[j])) / (2 * _CURVE**2)
            matrix[i][j] = matrix[j][i] = -mixed
    return matrix


def _belief(prior: Prior | None, at: Sequence[float]) -> float:
    if prior is None:
        return 0.0
    return -0.5 * fsum(((value - mean) / deviation) ** 2
                       for value, mean, deviation in zip(at, prior.means, prior.deviations, strict=True))


def _moved(at: Sequence[float], one: int, by: float) -> Vector:
    return [value + by if place == one else value for place, value in enumerate(at)]
