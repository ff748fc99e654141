"""One contact as a listener, put together for a person to read: score, chances, best time, how often. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any, Final

from esp.events.listening import HOURS, WEEKDAYS
from esp.model.listening import HALF_LIFE, Level
from esp.ports.listening import Counts, Listener, MailHeard, NewFit, Odds
from tracking.listening_model import history
from tracking.science.alive import Rates, alive, expected
from tracking.science.alive_fit import PRIOR_RATES, Fit
from tracking.science.proportions import Interval
from tracking.science.shrinkage import Crowd

_MONTH: Final = 30.44 * 86_400
#: Of somebody's own answers, below which the best time is the crowd's in all but name.
FEW_ANSWERS: Final = 3


@dataclass(frozen=True, slots=True)
class BestTime:
    """``slot`` is the hour of the day or the weekday (0 is Monday) in which most answers are to be expected; ``share``
    of them, ``own`` how many answers of the person it rests on beside everybody's."""

    slot: int
    share: float
    own: int


@dataclass(frozen=True, slots=True)
class Portrait:
    """``alive`` and ``expected`` with the bounds within which the model's parameters leave them; None before it looked.

    ``believed``: no data yet, so that the model says what is believed beforehand. ``monthly`` is how many mails a month
    the person got, None before there was a month.
    """

    score: float
    level: Level
    level_at: datetime | None
    counts: Counts
    alive: Interval
    expected: Interval
    believed: bool
    hour: BestTime | None
    weekday: BestTime | None
    monthly: float | None
    mails: Sequence[MailHeard]


def fit_of(kept: NewFit | None) -> Fit:
    """The fit as the mathematics knows it; without one, what is believed beforehand."""
    if kept is None:
        return Fit(PRIOR_RATES, 0.0, None, 0, False)
    covariance = [list(row) for row in kept.covariance] if kept.covariance else None
    return Fit(Rates(*kept.rates), kept.log_likelihood, covariance, kept.people, kept.converged)


def portrait(it: Listener, kept: NewFit | None, mails: Sequence[MailHeard], now: datetime) -> Portrait:
    """See ``Portrait``; what the model says is computed here and now from the three counts."""
    heard, fit = it.heard, fit_of(kept)
    counts = Counts(heard.opportunities, heard.responses, heard.recency)
    its = history(counts)
    living, coming = alive(fit.rates, its), expected(fit.rates, its, 10)
    crowds = kept.crowds if kept else {}
    return Portrait(
        heard.score.read(now.timestamp(), HALF_LIFE), it.level, it.level_at, counts,
        fit.share(lambda rates: alive(rates, its)) or Interval(living, living, living),
        fit.amount(lambda rates: expected(rates, its, 10)) or Interval(coming, coming, coming),
        fit.people == 0, _best(heard.times, 0, HOURS, crowds.get("hours")),
        _best(heard.times, HOURS, WEEKDAYS, crowds.get("weekdays")), _monthly(it), mails)


def _best(times: bytes | None, start: int, slots: int, crowd: Mapping[str, Any] | None) -> BestTime | None:
    if not crowd:
        return None
    own = list(times[start:start + slots]) if times else [0] * slots
    its = Crowd(tuple(crowd["shares"]), crowd["weight"])
    slot = its.best(own)
    return BestTime(slot, its.person(own)[slot], sum(own))


def _monthly(it: Listener) -> float | None:
    first, last = it.heard.first_sent_at, it.heard.last_sent_at
    if first is None or last is None or (last - first).total_seconds() < _MONTH:
        return None
    return (it.heard.opportunities - 1) * _MONTH / (last - first).total_seconds()


# ---- whom not to mail ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Coldest:
    """The part of an audience that is least likely to answer the next mail.

    ``below``: they are those of whom fewer responses to the next ten mails are expected. ``responses`` and
    ``complaints`` are what the mail would get from them; ``all_responses`` and ``all_complaints`` from everybody known.
    """

    people: int
    known: int
    below: float
    responses: float
    complaints: float
    all_responses: float
    all_complaints: float


#: What is believed about complaints before there are any: one in two thousand mails, worth ten thousand mails.
_COMPLAINTS: Final = (5.0, 10_000.0)
TENTH: Final = 0.1
_FEWEST: Final = 50  # people of an audience, below which nobody need be left out for the reputation's sake


def coldest(
    audience: Mapping[Counts, tuple[int, Odds]], complaints: Mapping[Level, tuple[int, int]], part: float = TENTH,
) -> Coldest | None:
    """The coldest ``part`` of an audience (who was never sent a mail is not in it); None where it is too small.

    People of the same history cannot be told apart, so that it may be less than that part, and never more, unless the
    coldest of all are more by themselves. ``complaints``: mails and complaints by level; a level's rate is drawn
    towards everybody's.
    """
    known = sum(many for many, _ in audience.values())
    if known < _FEWEST:
        return None
    rates = complaint_rates(complaints)
    ordered = sorted(audience.values(), key=lambda one: (one[1].expected, one[1].next))
    chosen: list[tuple[int, Odds]] = []
    below: float | None = None
    people = 0
    for coming, group in groupby(ordered, key=lambda one: one[1].expected):
        alike = list(group)
        people += sum(many for many, _ in alike)
        if chosen and people > part * known:
            below = (chosen[-1][1].expected + coming) / 2
            break
        chosen += alike
    if below is None:
        return None  # all are alike

    def told(some: Sequence[tuple[int, Odds]]) -> tuple[float, float]:
        return (sum(many * odds.next for many, odds in some), sum(many * rates[odds.level] for many, odds in some))

    responses, complained = told(chosen)
    all_responses, all_complained = told(ordered)
    return Coldest(sum(many for many, _ in chosen), known, below, responses, complained, all_responses, all_complained)


def complaint_rates(complaints: Mapping[Level, tuple[int, int]]) -> dict[Level, float]:
    """Complaints a mail by level: of each its own, drawn towards everybody's by what ten thousand mails would say."""
    mails, came = (sum(one[place] for one in complaints.values()) for place in (0, 1))
    overall = (came + _COMPLAINTS[0]) / (mails + _COMPLAINTS[1])
    found = {}
    for level in Level:
        own_mails, own = complaints.get(level, (0, 0))
        found[level] = (own + overall * _COMPLAINTS[1]) / (own_mails + _COMPLAINTS[1])
    return found
