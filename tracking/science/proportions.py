"""Shares with honest intervals, and the comparison of two of them. Mathematics without e-mail words; pure.

Wilson's interval (Wilson 1927) for one share, Newcombe's hybrid score interval (Newcombe 1998, method 10) for the
difference of two: both stay inside their bounds and hold for few observations, where the textbook's does not.
"""

from dataclasses import dataclass
from enum import StrEnum
from math import sqrt
from typing import Final

#: Two-sided 95 %.
Z95: Final = 1.959963984540054


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate with its bounds, as parts of one (0.25 is 25 %)."""

    estimate: float
    low: float
    high: float

    def holds(self, value: float) -> bool:
        return self.low <= value <= self.high


def wilson(successes: int, trials: int, z: float = Z95) -> Interval | None:
    """The share of ``successes`` among ``trials``; None where there were no trials, for then nothing is known.

    Raises ValueError unless 0 <= successes <= trials.
    """
    if not 0 <= successes <= trials:
        raise ValueError(f"{successes} of {trials} is no share")
    if trials == 0:
        return None
    share = successes / trials
    scale = 1 + z * z / trials
    middle = (share + z * z / (2 * trials)) / scale
    half = z / scale * sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials))
    # At the ends the bound is exact; floating point would leave it a hair away.
    low = 0.0 if successes == 0 else max(0.0, middle - half)
    high = 1.0 if successes == trials else min(1.0, middle + half)
    return Interval(share, low, high)


def difference(a_successes: int, a_trials: int, b_successes: int, b_trials: int, z: float = Z95) -> Interval | None:
    """How much larger b's share is than a's, from -1 to 1; None where one of them had no trials."""
    a, b = wilson(a_successes, a_trials, z), wilson(b_successes, b_trials, z)
    if a is None or b is None:
        return None
    gap = b.estimate - a.estimate
    low = gap - sqrt((b.estimate - b.low) ** 2 + (a.high - a.estimate) ** 2)
    high = gap + sqrt((b.high - b.estimate) ** 2 + (a.estimate - a.low) ** 2)
    return Interval(gap, max(-1.0, low), min(1.0, high))


class Finding(StrEnum):
    """What two shares say about each other."""

    UNKNOWN = "unknown"  # one of them has not been tried
    NO_DIFFERENCE = "no_difference"  # none was found, which is not to say that there is none
    FIRST_BETTER = "first_better"
    SECOND_BETTER = "second_better"


@dataclass(frozen=True, slots=True)
class Comparison:
    """``gap`` is second minus first; None where unknown."""

    finding: Finding
    gap: Interval | None


def compare(a_successes: int, a_trials: int, b_successes: int, b_trials: int, z: float = Z95) -> Comparison:
    """Whether the second share differs from the first, looked at once and at the end.

    A fixed-sample answer: who looks again and again until it says "better" will be misled more often than one time in
    twenty; ``sequential.judge`` is for those.
    """
    gap = difference(a_successes, a_trials, b_successes, b_trials, z)
    if gap is None:
        return Comparison(Finding.UNKNOWN, None)
    if gap.low > 0:
        return Comparison(Finding.SECOND_BETTER, gap)
    if gap.high < 0:
        return Comparison(Finding.FIRST_BETTER, gap)
    return Comparison(Finding.NO_DIFFERENCE, gap)
