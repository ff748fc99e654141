"""Two shares compared while they are still growing: intervals that hold at every look at once. Pure.

A test knows how many it will have at most (its horizon), because those who are asked are listed beforehand. The
difference of two shares, times the information there is on it, moves like a Brownian motion whose time is that
information; by the reflection principle such a motion leaves the band of +-c within its whole time with probability
4(1 - Phi(c)) at most. So the look-once interval becomes valid at all looks together when its z is replaced by
c sqrt(horizon / seen): O'Brien and Fleming's boundary 1979, continuously as Lan and DeMets 1983. At the end c is 2.28
against 1.96, which is why it has nearly the power of a test that is looked at but once; a mixture boundary without a
horizon (Robbins 1970) would have z above 3 there and find little more than half as much.

Whoever goes on past the horizon gets that mixture's wider interval, for which a tenth of the error is kept. Both rest
on the normal approximation, here Newcombe's score interval; ``merpati bench experiments`` shows how well it holds for
shares of half a percent and looks from the first hundred on.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from math import log, sqrt
from statistics import NormalDist
from typing import Final

from tracking.science.proportions import Comparison, Finding, compare

_WITHIN: Final = 0.9  # of the error is spent up to the horizon
_MIXTURE: Final = 0.1  # where, as a part of the horizon, the boundary past it is tightest


@dataclass(frozen=True, slots=True)
class Arm:
    """So many ``successes`` of ``trials`` until now."""

    successes: int
    trials: int

    @property
    def share(self) -> float:
        return self.successes / self.trials if self.trials else 0.0


@dataclass(frozen=True, slots=True)
class Judgement:
    """``comparison.gap`` is second minus first."""

    first: int
    second: int
    comparison: Comparison


@lru_cache(maxsize=256)
def critical(error: float = 0.05) -> float:
    """How many standard errors at the horizon are surprising, when every look before counted as well."""
    return NormalDist().inv_cdf(1 - _WITHIN * error / 4)


def multiplier(progress: float, error: float = 0.05) -> float:
    """What stands in an interval for z, when ``progress`` (above 0; 1 at the horizon) of the information is there."""
    if not progress > 0:
        raise ValueError(f"nothing is known yet: {progress}")
    if progress <= 1:
        return critical(error) / sqrt(progress)
    reach = progress + _MIXTURE
    return sqrt(reach * (log(reach / _MIXTURE) - 2 * log((1 - _WITHIN) * error)) / progress)


def judge(first: Arm, second: Arm, planned: tuple[int, int], error: float = 0.05, ripe: float = 1.0) -> Comparison:
    """Whether the second share differs from the first, however often and whenever this is asked.

    ``planned`` is how many each is to have at the end, fixed before the first look; the error is that of a wrong answer
    at any look. Where successes come some time after the trials, ``ripe`` is the part of these trials' successes that
    has come by now; to take it for smaller than it is errs on the safe side. Raises ValueError for a plan of nobody.
    """
    if min(planned) <= 0:
        raise ValueError(f"a test of nobody: {planned}")
    if not first.trials or not second.trials or not ripe > 0:
        return Comparison(Finding.UNKNOWN, None)
    progress = ripe * _information(first.trials, second.trials) / _information(*planned)
    return compare(first.successes, first.trials, second.successes, second.trials, multiplier(progress, error))


def judge_all(arms: Sequence[Arm], planned: Sequence[int], error: float = 0.05) -> list[Judgement]:
    """Every pair. The error is that of any wrong answer among them, shared out equally (Bonferroni)."""
    pairs = list(combinations(range(len(arms)), 2))
    return [Judgement(i, j, judge(arms[i], arms[j], (planned[i], planned[j]), error / len(pairs))) for i, j in pairs]


def _information(first: int, second: int) -> float:
    """On a difference, up to the variance of one trial."""
    return first * second / (first + second)
