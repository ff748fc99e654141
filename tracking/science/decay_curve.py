"""The curve by which a group decays: observed at each opportunity, and fitted, with its half-life. Pure.

Observed are those who got so many mails; what they would have done with more is the model's part, so that a group of
last week and one of last year can be laid beside each other.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp

from tracking.science.alive import History, Rates, expected_from_new, log_beta
from tracking.science.alive_fit import Fit, counted, fit
from tracking.science.proportions import Interval, wilson


@dataclass(frozen=True, slots=True)
class Curve:
    """``observed`` is the share that responded to the first, second, ... opportunity, ``trials`` of how many;
    ``fitted`` the model's, as long; ``half_life`` after how many opportunities half of the people are lost, None where
    the data do not say within ``furthest``."""

    people: int
    observed: tuple[Interval, ...]
    trials: tuple[int, ...]
    fitted: tuple[float, ...]
    half_life: Interval | None


def curve(people: Sequence[Sequence[bool]], fewest: int = 30, furthest: float = 2_000) -> Curve:
    """From each person's opportunities in order, and whether they responded; to the last one that ``fewest`` got."""
    longest = max(map(len, people), default=0)
    trials, successes = [0] * longest, [0] * longest
    for one in people:
        for place, responded in enumerate(one):
            trials[place] += 1
            successes[place] += responded
    length = sum(many >= fewest for many in trials)
    shares = [wilson(successes[place], trials[place]) for place in range(length)]
    found = fit(counted(map(summed, people)))
    return Curve(
        sum(1 for one in people if one), tuple(share for share in shares if share), tuple(trials[:length]),
        tuple(expected_from_new(found.rates, length)), half_life_of(found, furthest))


def summed(responses: Sequence[bool]) -> History:
    """What the model has to know of somebody."""
    last = max((place for place, responded in enumerate(responses, 1) if responded), default=0)
    return History(sum(responses), last, len(responses))


def half_life_of(found: Fit, furthest: float = 2_000) -> Interval | None:
    """After how many opportunities half of new people are lost, between opportunities too, with its interval."""
    if found.covariance is None or left(found.rates, furthest) > 0.5:
        return None
    return found.amount(half_life)


def half_life(rates: Rates) -> float:
    """After how many opportunities half of new people are left, as a real number; a million where it is more."""
    low, high = 0.0, 1e6
    if left(rates, high) > 0.5:
        return high
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if left(rates, middle) > 0.5 else (low, middle)
    return (low + high) / 2


def left(rates: Rates, opportunities: float) -> float:
    """The share of new people who are still there after so many opportunities, which need not be whole."""
    return exp(log_beta(rates.gamma, rates.delta + opportunities) - log_beta(rates.gamma, rates.delta))
