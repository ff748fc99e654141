"""The parameters of ``alive`` from many people: maximum likelihood on sufficient statistics, with uncertainty. Pure.

A million people have but a few thousand different histories; only these and how often each occurs are looked at.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import exp, inf, log
from typing import Final

from tracking.science.alive import History, Rates, from_odds, log_beta, odds
from tracking.science.fitting import Matrix, Prior, maximise, slope_of, spread
from tracking.science.proportions import Z95, Interval

#: What is believed before there is data: one in five responds, from 3 % to 60 % of them in extreme groups, and one in
#: forty is lost at each opportunity. Worth little evidence: a factor of three up or down for each parameter is one
#: standard deviation, so that some hundred people with some opportunities each outweigh it.
PRIOR_RATES: Final = Rates(0.8, 3.2, 0.5, 19.5)
PRIOR: Final = Prior((log(0.8), log(3.2), log(0.5), log(19.5)), (1.1, 1.1, 1.1, 1.1))
_BOUNDS: Final = (log(1e-3), log(1e4))


@dataclass(frozen=True, slots=True)
class Fit:
    """``rates`` with their uncertainty. ``covariance`` is that of their logarithms; None where the data leave some
    parameter open. ``people`` is how many the fit rests on: 0 means that the rates are the prior's, no more."""

    rates: Rates
    log_likelihood: float
    covariance: Matrix | None
    people: int
    converged: bool

    def intervals(self, z: float = Z95) -> tuple[Interval, Interval, Interval, Interval] | None:
        """Alpha, beta, gamma and delta, each with bounds."""
        if self.covariance is None:
            return None
        a, b, c, d = (Interval(value, value * exp(-z * self.covariance[one][one] ** 0.5),
                               value * exp(z * self.covariance[one][one] ** 0.5))
                      for one, value in enumerate(_four(self.rates)))
        return a, b, c, d

    def share(self, function: Callable[[Rates], float], z: float = Z95) -> Interval | None:
        """A probability that follows from the rates, with bounds by the delta method on its log odds."""
        value = function(self.rates)
        if self.covariance is None or not 0 < value < 1:
            return None
        half = z * spread(slope_of(lambda at: odds(function(_rates(at))), _logs(self.rates)), self.covariance)
        return Interval(value, from_odds(odds(value) - half), from_odds(odds(value) + half))

    def amount(self, function: Callable[[Rates], float], z: float = Z95) -> Interval | None:
        """A positive number that follows from the rates, with bounds by the delta method on its logarithm.

        It says how well the rates are known, not how much one person may differ from the mean of those like them.
        """
        value = function(self.rates)
        if self.covariance is None or not value > 0:
            return None
        half = z * spread(slope_of(lambda at: log(function(_rates(at))), _logs(self.rates)), self.covariance)
        return Interval(value, value * exp(-half), value * exp(half))


def counted(histories: Iterable[History]) -> dict[History, int]:
    """How often each history occurs."""
    found: dict[History, int] = {}
    for history in histories:
        found[history] = found.get(history, 0) + 1
    return found


def fit(people: Mapping[History, int], prior: Prior | None = PRIOR, start: Rates | None = None) -> Fit:
    """The rates under which the histories are likeliest; with ``prior=None`` by them alone.

    The prior keeps the answer sensible where there is little data (with none the answer is the prior itself) and fades
    as data come. ``start`` may be the last fit, which is then soon improved upon.
    """
    groups = _Groups(history for history, count in people.items() if count > 0 and history.opportunities > 0)
    weights = [people[history] for history in groups.order]
    begin = start or PRIOR_RATES
    peak = maximise(lambda at: groups.log_likelihoods(_rates(at)), weights, _logs(begin), prior, _BOUNDS)
    return Fit(_rates(peak.at), peak.value, peak.covariance, sum(weights), peak.converged)


class _Groups:
    """Histories so ordered that those with the same last response share one run through the recurrence."""

    def __init__(self, histories: Iterable[History]) -> None:
        ends: dict[tuple[int, int], list[History]] = {}
        for history in histories:
            ends.setdefault((history.responses, history.last), []).append(history)
        for same in ends.values():
            same.sort(key=lambda history: history.opportunities)
        self._ends = [(*key, [history.opportunities for history in same]) for key, same in ends.items()]
        self.order = [history for same in ends.values() for history in same]

    def log_likelihoods(self, rates: Rates) -> list[float]:
        """One for each of ``order``; the same as ``alive.log_likelihood``, for all in one go."""
        alpha, beta, gamma, delta = _four(rates)
        both, all_lost, each = alpha + beta, gamma + delta, []
        constant = -log_beta(alpha, beta) - log_beta(gamma, delta)
        latest = max((last for _, last, _ in self._ends), default=0)
        most = max((ends[-1] for _, _, ends in self._ends), default=0)
        leaving = [log_beta(gamma + 1, delta + last) for last in range(latest + 1)]
        staying = [(delta + done) / ((all_lost + 1 + done) * (both + done)) for done in range(most)]
        for responses, last, ends in self._ends:
            first = constant + log_beta(alpha + responses, beta + last - responses) + leaving[last]
            lost, term, done, silent = 0.0, 1.0, last, beta - responses
            for end in ends:
                for step in range(done, end):
                    lost += term
                    term *= (silent + step) * staying[step]
                done = end
                likelihood = lost + term * (all_lost + end) / gamma
                each.append(first + log(likelihood) if likelihood > 0 else -inf)
        return each


def _four(rates: Rates) -> tuple[float, float, float, float]:
    return rates.alpha, rates.beta, rates.gamma, rates.delta


def _rates(logs: Sequence[float]) -> Rates:
    alpha, beta, gamma, delta = (exp(value) for value in logs)
    return Rates(alpha, beta, gamma, delta)


def _logs(rates: Rates) -> list[float]:
    return [log(value) for value in _four(rates)]
