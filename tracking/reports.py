"""Shares of a report with their intervals."""

from typing import Final

from esp.ports.reports import Figures, Metric
from tracking.science.proportions import Interval, wilson

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
