"""What a campaign's variants say about each other, at whatever moment one looks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from esp.ports.reports import MemberFigures, Metric, TimeSeries
from tracking.science.planning import size
from tracking.science.posterior import JEFFREYS, best, gain
from tracking.science.proportions import Finding, Interval
from tracking.science.sequential import Arm, judge
from tracking.science.split import check

#: Half of the answers to a mail are in after so long at the latest. In most audiences it is a few hours; to assume it
#: slow makes early bounds wider than they need be, and never too narrow.
ANSWERED_HALF: Final = timedelta(hours=12)


@dataclass(frozen=True, slots=True)
class Progress:
    """``walked`` is the part of the audience that has been gone over, ``ripe`` the part of the answers to what was
    delivered that should be in."""

    walked: float = 1.0
    ripe: float = 1.0


@dataclass(frozen=True, slots=True)
class Reading:
    """The best variant against the next: ``gap`` holds at every look together, and is None while nothing is known.

    ``probability`` is that of being the best of all, ``gain`` over the next with 95 % belief. ``needed`` is how many
    each variant would need to find the present difference, None where there is none or it has been found. ``skewed``:
    the split did not come out as planned, so something loses mails of one variant and no comparison is worth anything.
    """

    metric: Metric
    leader: MemberFigures
    other: MemberFigures
    found: bool
    gap: Interval | None
    probability: float
    gain: Interval
    needed: int | None
    skewed: bool


def progress(series: TimeSeries, walked: float, now: datetime) -> Progress:
    """How far a campaign is, from its deliveries over time."""
    total = ripe = 0.0
    for bucket in series.buckets:
        age = max(0.0, (now - bucket.start).total_seconds() - series.seconds)
        total += bucket.figures.delivered
        ripe += bucket.figures.delivered * (1 - 0.5 ** (age / ANSWERED_HALF.total_seconds()))
    return Progress(walked, ripe / total if total else 0.0)


def read(variants: Sequence[MemberFigures], weights: Mapping[str, int] | None = None,
         at: Progress | None = None) -> Reading | None:
    """What can be said about two or more variants; None where there is nothing to compare.

    They are compared by people who clicked, or where nobody has, by those who opened. ``weights`` by the variants'
    members are the planned shares.
    """
    at = at or Progress()
    told = [one for one in variants if one.figures.delivered]
    if len(told) < 2:
        return None
    metric = Metric.CLICKED if any(one.figures.clicked for one in told) else Metric.OPENED
    ranked = sorted(told, key=lambda one: _arm(one, metric).share, reverse=True)
    leader, other = _arm(ranked[0], metric), _arm(ranked[1], metric)
    # With more than two the best is lucky by choice: each pair that there is is held to a stricter certainty.
    error = 0.05 / (len(told) * (len(told) - 1) // 2)
    planned = (_planned(ranked[1], at.walked), _planned(ranked[0], at.walked))
    judged = judge(other, leader, planned, error, at.ripe)
    found = judged.finding is Finding.SECOND_BETTER
    beliefs = [JEFFREYS.seeing(_arm(one, metric)) for one in ranked]
    return Reading(
        metric, ranked[0], ranked[1], found, judged.gap, best(beliefs)[0], gain(beliefs[0], beliefs[1]),
        None if found or leader.share <= other.share else size(other.share, leader.share - other.share, error=error),
        weights is not None and _skewed(told, weights))


def _arm(one: MemberFigures, metric: Metric) -> Arm:
    # A mail that bounced late may have been answered before, so the base is never smaller than the number itself.
    number = int(getattr(one.figures, metric.value))
    return Arm(number, max(one.figures.delivered, number))


def _planned(one: MemberFigures, walked: float) -> int:
    """How many will have got it in the end; what was cancelled had been planned as well."""
    figures = one.figures
    return round((figures.delivered + figures.waiting + figures.deferred + figures.cancelled) / max(walked, 1e-6))


def _skewed(variants: Sequence[MemberFigures], weights: Mapping[str, int]) -> bool:
    """By those whom it reached: mails of one variant that are refused more often than the other's are a skew too."""
    known = [one for one in variants if weights.get(one.member)]
    if len(known) < 2:
        return False
    return check([one.figures.delivered for one in known], [weights[one.member] for one in known]).mismatch
