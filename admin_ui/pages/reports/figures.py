"""Figures for showing: a count, its share with an interval, where its people are, and what it means."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from admin_ui.pages.reports.definitions import DEFINITIONS, Definition
from admin_ui.render import number, percent
from admin_ui.words import _
from esp.ports.reports import Figures, MemberFigures, Metric
from tracking.experiments import Progress, Reading, read
from tracking.science.proportions import Interval, wilson


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


def compare_variants(
    variants: Sequence[MemberFigures], weights: Mapping[str, int] | None = None, at: Progress | None = None,
) -> list[str]:
    """What can honestly be said about two or more variants, in sentences; none where there is nothing to compare.

    They hold at whatever moment one looks. ``weights`` are the planned shares by the variants' ids.
    """
    told = read(variants, weights, at)
    if told is None:
        return []
    if told.skewed:
        return [_("The variants did not reach as many people as their shares planned, by more than chance. Something "
                  "loses mails of one of them; until it is found, no comparison is worth anything.")]
    leader, other = told.leader.label, told.other.label
    metric = told.metric.value
    sentences = [_("{a} was {what} by {x} of the people, {b} by {y}.").format(
        a=leader, b=other, what=_("clicked") if told.metric is Metric.CLICKED else _("opened"),
        x=percent(getattr(told.leader.figures, metric), told.leader.figures.delivered, 1),
        y=percent(getattr(told.other.figures, metric), told.other.figures.delivered, 1))]
    if told.gap is None:
        return [*sentences, _("It is too early to say anything: answers take hours to come.")]
    low, high = _points(told.gap.low), _points(told.gap.high)
    if told.found:
        sentences.append(_("The lead of {a} is more than chance: it lies between {low} and {high} percentage "
                           "points.").format(a=leader, low=low, high=high))
    else:
        sentences.append(_("No difference was found that chance could not explain: {a} may be {low} percentage points "
                           "behind or {high} ahead.").format(a=leader, low=_points(-told.gap.low), high=high))
    sentences.append(_belief(told))
    if told.needed is not None:
        sentences.append(_("To find a difference as small as the present one, each variant would need about {number} "
                           "people.").format(number=number(_about(told.needed))))
    return sentences


def _belief(told: Reading) -> str:
    """The Bayesian reading: what to bet on, for whoever has to choose now."""
    return _("If you had to choose now: {a} is the best with a probability of {p}, and its gain over {b} is most "
             "likely between {low} and {high} points.").format(
        a=told.leader.label, b=told.other.label, p=_certainty(told.probability),
        low=_points(told.gain.low), high=_points(told.gain.high))


def _certainty(probability: float) -> str:
    """Never all of it: nothing that was counted is certain."""
    return _("more than 99.9%") if probability > 0.999 else percent(probability)


def _about(count: int) -> int:
    """Two digits that count, rounded up: more would promise more than is known."""
    step: int = 10 ** max(0, len(str(count)) - 2)
    return -(-count // step) * step


def _points(share: float) -> str:
    """Percentage points, as the reader writes numbers."""
    return percent(share)[:-1].replace("-", "−")
