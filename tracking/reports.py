"""Figures in words: shares with their intervals, and what the comparison of two variants honestly says."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Final

from esp.ports.reports import Figures, MemberFigures, Metric
from tracking.science.proportions import Comparison, Finding, Interval, compare, wilson

#: What each share is a part of. Opens and clicks are people's among those whom the mail reached.
_BASES: Final = {
    Metric.DELIVERED: Metric.TARGETED, Metric.BOUNCED: Metric.TARGETED, Metric.SUPPRESSED: Metric.TARGETED,
    Metric.OPENED: Metric.DELIVERED, Metric.CLICKED: Metric.DELIVERED, Metric.UNSUBSCRIBED: Metric.DELIVERED,
    Metric.COMPLAINED: Metric.DELIVERED, Metric.MACHINE_OPENED: Metric.DELIVERED,
    Metric.MACHINE_CLICKED: Metric.DELIVERED,
}


def share(figures: Figures, metric: Metric) -> Interval | None:
    """The share of ``metric`` with its 95 % interval; None before anything is known.

    A mail that bounced late may have been opened before, so the base is never smaller than the number itself.
    """
    number = getattr(figures, metric.value)
    base = max(getattr(figures, _BASES[metric].value), number)
    return wilson(number, base)


@dataclass(frozen=True, slots=True)
class VariantVerdict:
    """What is known about two variants; ``sentence`` says it in English for people."""

    first: str
    second: str
    metric: Metric
    comparison: Comparison
    sentence: str


def compare_variants(variants: Sequence[MemberFigures], metric: Metric = Metric.CLICKED) -> list[VariantVerdict]:
    """Every pair of variants by the share of people who opened or clicked.

    With more than two variants the intervals are widened (Bonferroni), for among many pairs one differs by chance.
    """
    pairs = list(combinations(variants, 2))
    z = _Z.get(len(pairs), _Z_MANY)
    found = []
    for first, second in pairs:
        comparison = compare(
            getattr(first.figures, metric.value), max(first.figures.delivered, getattr(first.figures, metric.value)),
            getattr(second.figures, metric.value), max(second.figures.delivered, getattr(second.figures, metric.value)),
            z,
        )
        sentence = _sentence(first.label, second.label, comparison)
        found.append(VariantVerdict(first.label, second.label, metric, comparison, sentence))
    return found


#: Two-sided 5 % shared among so many pairs.
_Z: Final = {0: 1.960, 1: 1.959963984540054, 3: 2.394, 6: 2.638, 10: 2.807, 15: 2.935}
_Z_MANY: Final = 3.3


def _points(part: float) -> str:
    return f"{abs(part) * 100:.1f}"


def _sentence(first: str, second: str, comparison: Comparison) -> str:
    gap = comparison.gap
    if gap is None:
        return f"Nothing is known about {first} and {second} yet."
    if comparison.finding is Finding.NO_DIFFERENCE:
        widest = max(abs(gap.low), abs(gap.high))
        bound = f"if there is one, it is most likely below {_points(widest)} points"
        return f"No difference found between {first} and {second}; {bound}."
    better, other = (second, first) if comparison.finding is Finding.SECOND_BETTER else (first, second)
    low, high = sorted((abs(gap.low), abs(gap.high)))
    return f"{better} is better than {other} by {_points(low)}–{_points(high)} points."
