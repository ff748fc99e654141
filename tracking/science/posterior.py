"""What to believe of shares after seeing some: beta posteriors, which is best, and what the gain is. Pure.

Unlike a test's error this may be read at any moment anyway; but it is a belief that starts from a prior, not a promise
about how often one will be wrong. The prior is Jeffreys' (a half each), which is worth one observation. Integrals are
by trapezoids over the arc sine of the root, where each posterior is bounded and nearly normal.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import asin, cos, exp, log, pi, sin, sqrt
from typing import Final

from tracking.science.proportions import Interval
from tracking.science.sequential import Arm

_POINTS: Final = 2000
_REACH: Final = 8.0  # standard deviations to each side; beyond lies 1e-15


@dataclass(frozen=True, slots=True)
class Beta:
    """A belief about a share; both above 0."""

    successes: float = 0.5
    failures: float = 0.5

    @property
    def mean(self) -> float:
        return self.successes / (self.successes + self.failures)

    def seeing(self, arm: Arm) -> "Beta":
        """The belief after this as well. Raises ValueError for more successes than trials."""
        if not 0 <= arm.successes <= arm.trials:
            raise ValueError(f"{arm.successes} of {arm.trials} is no share")
        return Beta(self.successes + arm.successes, self.failures + arm.trials - arm.successes)


JEFFREYS: Final = Beta()


def best(beliefs: Sequence[Beta]) -> list[float]:
    """For each the probability that its share is the greatest of all; together 1."""
    grid = _grid(beliefs)
    densities = [_density(belief, grid) for belief in beliefs]
    below = [_cumulated(density) for density in densities]
    found = []
    for one, density in enumerate(densities):
        total = 0.0
        for point, value in enumerate(density):
            for other, cumulated in enumerate(below):
                if other != one:
                    value *= cumulated[point]
            total += value
        found.append(total)
    whole = sum(found)
    return [value / whole for value in found]


def gain(of: Beta, over: Beta, certainty: float = 0.95) -> Interval:
    """By how much the one share exceeds the other: the mean, and the bounds that hold it with so much probability."""
    grid = _grid((of, over))
    density, below = _density(over, grid), _cumulated(_density(of, grid))
    shares = [sin(angle) ** 2 for angle in grid]
    pairs = [(share, value) for share, value in zip(shares, density, strict=True) if value > 1e-14]

    def under(gap: float) -> float:
        """The probability that the gain is below ``gap``."""
        return sum(value * _read(grid, below, share + gap) for share, value in pairs)

    def quantile(probability: float) -> float:
        low, high = -1.0, 1.0
        for _ in range(40):
            middle = (low + high) / 2
            low, high = (middle, high) if under(middle) < probability else (low, middle)
        return (low + high) / 2

    return Interval(of.mean - over.mean, quantile((1 - certainty) / 2), quantile((1 + certainty) / 2))


def _grid(beliefs: Sequence[Beta]) -> list[float]:
    """Angles over all that any of them holds possible."""
    middles = [(asin(sqrt(one.mean)), _REACH / (2 * sqrt(one.successes + one.failures))) for one in beliefs]
    low = max(0.0, min(middle - reach for middle, reach in middles))
    high = min(pi / 2, max(middle + reach for middle, reach in middles))
    # Half a step from the ends, where a logarithm would be of nothing.
    step = (high - low) / _POINTS
    return [low + (point + 0.5) * step for point in range(_POINTS)]


def _density(belief: Beta, grid: Sequence[float]) -> list[float]:
    """On the angle, summing to 1 over the grid."""
    a, b = 2 * belief.successes - 1, 2 * belief.failures - 1
    logs = [a * log(sin(angle)) + b * log(cos(angle)) for angle in grid]
    top = max(logs)
    raw = [exp(value - top) for value in logs]
    whole = sum(raw)
    return [value / whole for value in raw]


def _cumulated(density: Sequence[float]) -> list[float]:
    """The probability of being below each point: half of the point's own, and all before."""
    total, found = 0.0, []
    for value in density:
        found.append(total + value / 2)
        total += value
    return found


def _read(grid: Sequence[float], below: Sequence[float], share: float) -> float:
    if share <= 0:
        return 0.0
    if share >= 1:
        return 1.0
    place = (asin(sqrt(share)) - grid[0]) / (grid[1] - grid[0])
    point = int(place) if place >= 0 else -1
    if point < 0:
        return max(0.0, below[0] * (1 + 2 * place)) if place > -0.5 else 0.0
    if point >= len(below) - 1:
        return 1.0
    return below[point] + (place - point) * (below[point + 1] - below[point])


def better(of: Beta, over: Beta) -> float:
    """The probability that the one share exceeds the other."""
    return best((of, over))[0]
