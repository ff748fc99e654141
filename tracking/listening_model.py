"""What the model says of what is kept: histories into rates, rates into odds. Pure, and small enough for a process."""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final

from esp.events.listening import HOURS
from esp.model.listening import NEXT_MAILS, level_of
from esp.ports.listening import Counts, NewFit, Odds
from tracking.science.alive import History, Rates, alive, expected
from tracking.science.alive_fit import Fit, fit
from tracking.science.shrinkage import Crowd, crowd

_HABITS: Final = 5_000  # different habits looked at: past that the crowd's weight is known well enough


def history(counts: Counts) -> History:
    """The model's words for what is kept."""
    return History(counts.responses, counts.recency, counts.opportunities)


def odds_of(rates: Rates, some: Iterable[Counts]) -> list[Odds]:
    """What the model says of everybody with these counts."""
    found = []
    for counts in some:
        it = history(counts)
        living, coming = alive(rates, it), expected(rates, it, NEXT_MAILS)
        level = level_of(counts.opportunities, counts.responses, living, coming)
        found.append(Odds(counts, living, coming, expected(rates, it, 1), level))
    return found


def fit_counts(
    at: datetime, histories: dict[Counts, int], times: Sequence[bytes],
    start: tuple[float, float, float, float] | None,
) -> NewFit:
    """The model and the crowds of hours and weekdays, from what is kept. Pure."""
    found: Fit = fit({history(counts): many for counts, many in histories.items()},
                     start=Rates(*start) if start else None)
    it = found.rates
    crowds = {
        "hours": _plain(_crowd((bytes(value[:HOURS]) for value in times), HOURS)),
        "weekdays": _plain(_crowd((bytes(value[HOURS:]) for value in times), 7)),
    }
    return NewFit(at, (it.alpha, it.beta, it.gamma, it.delta), found.covariance, found.log_likelihood, found.people,
                  found.converged, crowds)


def fitted_and_scored(
    at: datetime, histories: dict[Counts, int], times: Sequence[bytes],
    start: tuple[float, float, float, float] | None,
) -> tuple[NewFit, list[Odds]]:
    """``fit_counts``, and what the fit says of each history. Pure."""
    made = fit_counts(at, histories, times, start)
    return made, odds_of(Rates(*made.rates), histories)


def _crowd(habits: Iterable[bytes], slots: int) -> Crowd:
    counted = Counter(tuple(habit) for habit in habits)
    return crowd(dict(counted.most_common(_HABITS)), slots)


def _plain(it: Crowd) -> dict[str, object]:
    return {"shares": list(it.shares), "weight": it.weight}
