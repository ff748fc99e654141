"""Figures for showing: a count, its share with an interval, where its people are, and what it means."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from urllib.parse import urlencode

from admin_ui.pages.reports.definitions import DEFINITIONS, Definition
from admin_ui.render import percent
from admin_ui.words import _
from esp.ports.reports import Figures, MemberFigures, Metric
from tracking.science.proportions import Interval, difference, wilson


@dataclass(frozen=True, slots=True)
class Shown:
    """One figure of the report. ``share`` is from 0 to 1 of ``whole``; None where the whole is nothing."""

    metric: Metric
    definition: Definition
    count: int
    whole: int
    href: str

    @property
    def share(self) -> float | None:
        return self.count / self.whole if self.whole else None

    @property
    def interval(self) -> Interval | None:
        """Where the share would lie for other people like these, with 95 % certainty."""
        return wilson(self.count, self.whole) if self.count <= self.whole else None


def people_href(campaign_id: int, metric: Metric, **part: str | int) -> str:
    """Where the people behind a number are."""
    return f"/campaigns/{campaign_id}/people?{urlencode({'metric': metric.value, **part})}"


def sent(figures: Figures) -> int:
    """Those whose server was asked at all and has answered for good."""
    return figures.delivered + figures.bounced + figures.expired


def whole_of(figures: Figures, metric: Metric) -> int:
    match DEFINITIONS[metric].of:
        case "sent":
            return sent(figures)
        case "delivered":
            return figures.delivered
        case _:
            return figures.targeted


def shown(campaign_id: int, figures: Figures, metric: Metric) -> Shown:
    return Shown(metric, DEFINITIONS[metric], int(getattr(figures, metric.value)), whole_of(figures, metric),
                 people_href(campaign_id, metric))


def range_words(found: Interval | None) -> str:
    """``3.1–4.6%``, or nothing to say."""
    if found is None:
        return ""
    return f"{percent(found.low)[:-1]}–{percent(found.high)}"


def compare_variants(variants: Sequence[MemberFigures]) -> str:
    """What can honestly be said about two or more variants, in a sentence; empty where there is nothing to compare."""
    told = [one for one in variants if one.figures.delivered]
    if len(told) < 2:
        return ""
    clicks = any(one.figures.clicked for one in told)

    def count(one: MemberFigures) -> int:
        return one.figures.clicked if clicks else one.figures.opened

    ranked = sorted(told, key=lambda one: count(one) / one.figures.delivered, reverse=True)
    best, second = ranked[0], ranked[1]
    # With more than two variants the best of them is lucky by choice: each pair there is is held to a stricter
    # certainty (Bonferroni), so that one in twenty such reports as a whole is wrong, and not one in twenty pairs.
    pairs = len(told) * (len(told) - 1) // 2
    found = difference(count(second), second.figures.delivered, count(best), best.figures.delivered,
                       NormalDist().inv_cdf(1 - 0.025 / pairs))
    if found is None:
        return ""
    what = _("clicked") if clicks else _("opened")
    rates = _("{a} was {what} by {x} of the people, {b} by {y}.").format(
        a=best.label, b=second.label, what=what, x=percent(count(best), best.figures.delivered, 1),
        y=percent(count(second), second.figures.delivered, 1))
    low, high = _points(found.low), _points(found.high)
    if found.low > 0:
        return rates + " " + _("The lead of {a} is more than chance: it lies between {low} and {high} percentage "
                               "points.").format(a=best.label, low=low, high=high)
    return rates + " " + _("No difference was found that chance could not explain: {a} may be {low} percentage points "
                           "behind or {high} ahead.").format(a=best.label, low=_points(-found.low), high=high)


def _points(share: float) -> str:
    return f"{100 * share:.1f}"
