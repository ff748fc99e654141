"""The decay model tried on people made by known rates: are they found again, and does it foretell what comes? Pure.

People are simulated, some opportunities are shown to the model, and the following ones are kept back to judge it by.
"""

import random
from dataclasses import dataclass
from typing import Final

from tracking.science.alive import History, Rates, any_response, expected
from tracking.science.alive_fit import Fit, counted, fit
from tracking.science.ranking import Tenth, area_under_curve, calibration

#: A quarter responds, very unequally; one in thirteen is lost at the first opportunity, the stubborn almost never.
TRUE_RATES: Final = Rates(0.9, 2.7, 0.5, 6.0)


@dataclass(frozen=True, slots=True)
class Person:
    """What was seen, and to how many of the opportunities kept back they responded."""

    history: History
    later: int


@dataclass(frozen=True, slots=True)
class Trial:
    """``rate_tenths`` are responses per opportunity, ``any_tenths`` the share with at least one response."""

    true: Rates
    fit: Fit
    rate_tenths: list[Tenth]
    any_tenths: list[Tenth]
    expected: float
    came: int
    auc_model: float
    auc_recency: float
    auc_rate: float

    @property
    def parameter_error(self) -> float:
        """The worst of the four, as a part of the true value."""
        pairs = ((self.fit.rates.alpha, self.true.alpha), (self.fit.rates.beta, self.true.beta),
                 (self.fit.rates.gamma, self.true.gamma), (self.fit.rates.delta, self.true.delta))
        return max(abs(found / true - 1) for found, true in pairs)

    @property
    def calibration_error(self) -> float:
        """The worst tenth of either prediction."""
        return max(tenth.error for tenth in (*self.rate_tenths, *self.any_tenths))


def people(rates: Rates, count: int, seen: int, later: int, dice: random.Random) -> list[Person]:
    """So many people with ``seen`` opportunities shown and ``later`` kept back."""
    found = []
    for _ in range(count):
        p = dice.betavariate(rates.alpha, rates.beta)
        q = dice.betavariate(rates.gamma, rates.delta)
        responses = last = after = 0
        for opportunity in range(1, seen + later + 1):
            if dice.random() < q:
                break
            if dice.random() < p:
                if opportunity <= seen:
                    responses, last = responses + 1, opportunity
                else:
                    after += 1
        found.append(Person(History(responses, last, seen), after))
    return found


def run(count: int = 50_000, seen: int = 30, later: int = 10, seed: int = 1, rates: Rates = TRUE_RATES) -> Trial:
    """Simulate, fit by maximum likelihood without any prior, foretell, compare."""
    crowd = people(rates, count, seen, later, random.Random(seed))  # noqa: S311 - a simulation
    histories = counted(person.history for person in crowd)
    found = fit(histories, prior=None)
    rate = {history: expected(found.rates, history, later) for history in histories}
    some = {history: any_response(found.rates, history, later) for history in histories}
    came = [person.later > 0 for person in crowd]

    def area(scores: list[float]) -> float:
        value = area_under_curve(scores, came)
        if value is None:
            raise ValueError("too few people to rank: all or none responded later")
        return value

    return Trial(
        rates, found,
        calibration([rate[person.history] / later for person in crowd], [person.later / later for person in crowd]),
        calibration([some[person.history] for person in crowd], [float(it) for it in came]),
        sum(rate[person.history] for person in crowd), sum(person.later for person in crowd),
        area([some[person.history] for person in crowd]),
        area([float(person.history.last) for person in crowd]),
        area([person.history.responses / seen for person in crowd]),
    )
