"""Who still responds, and how often: the beta-geometric/beta-Bernoulli model. Pure.

Fader, Hardie and Shang 2010, "Customer-Base Analysis in a Discrete-Time Noncontractual Setting", Marketing Science
29:6, 1086-1108. Everybody has a rate of their own: as long as they are alive they respond to each opportunity with
probability p, and before each opportunity they are lost for good with probability q. Over people p is beta distributed
(``alpha``, ``beta``) and q likewise (``gamma``, ``delta``). All that has to be known of a person are three numbers: how
many opportunities there were, how many responses, and which opportunity the last response was to.

Everything here is a sum of positive terms by a recurrence from the largest: no differences of large numbers and no
gamma function beyond the first term; the paper's (13) divides by gamma - 1, and this does not.
"""

from dataclasses import dataclass
from math import exp, lgamma, log, log1p


@dataclass(frozen=True, slots=True)
class Rates:
    """The four parameters, all above 0."""

    alpha: float
    beta: float
    gamma: float
    delta: float

    @property
    def response(self) -> float:
        """The mean probability of a response from someone who is alive."""
        return self.alpha / (self.alpha + self.beta)

    @property
    def loss(self) -> float:
        """The mean probability of being lost before the first opportunity."""
        return self.gamma / (self.gamma + self.delta)


@dataclass(frozen=True, slots=True)
class History:
    """One person: ``responses`` to ``opportunities``, the last to the ``last``-th of them (0 where none)."""

    responses: int = 0
    last: int = 0
    opportunities: int = 0

    def __post_init__(self) -> None:
        if not (0 <= self.responses <= self.last <= self.opportunities and (self.responses > 0) == (self.last > 0)):
            raise ValueError(f"no such history: {self.responses} responses, last {self.last} of {self.opportunities}")

    def offered(self) -> "History":
        """With one opportunity more."""
        return History(self.responses, self.last, self.opportunities + 1)

    def responded(self, to: int) -> "History":
        """With the first response to the ``to``-th opportunity, from 1; late ones may come in any order.

        Whoever calls sees to it that an opportunity is answered once. Raises ValueError for one that there was not.
        """
        return History(self.responses + 1, max(self.last, to), self.opportunities)


def log_likelihood(rates: Rates, history: History) -> float:
    """The logarithm of the probability of exactly this sequence of responses: the paper's (6)."""
    lost, living = _ways(rates, history.responses, history.last, history.opportunities)
    return _first(rates, history.responses, history.last) + log(lost + living)


def alive(rates: Rates, history: History, ahead: int = 0) -> float:
    """The probability of being alive ``ahead`` opportunities from now (the paper's (11), (A10))."""
    lost, living = _ways(rates, history.responses, history.last, history.opportunities)
    return living / (lost + living) * _survival(rates, history.opportunities, ahead)


def expected(rates: Rates, history: History, opportunities: int) -> float:
    """How many responses to expect to the next ``opportunities``: the paper's (13), summed term by term."""
    total, staying = 0.0, 1.0
    base = rates.delta + history.opportunities
    for step in range(opportunities):
        staying *= (base + step) / (base + step + rates.gamma)
        total += staying
    return alive(rates, history) * _response(rates, history) * total


def any_response(rates: Rates, history: History, opportunities: int) -> float:
    """The probability of at least one response to the next ``opportunities``."""
    # Silence: lost before the (step+1)-th and silent till then, or alive through all and silent.
    silence, staying, silent = 0.0, 1.0, 1.0
    base = rates.delta + history.opportunities
    a, b = rates.alpha + history.responses, rates.beta + history.opportunities - history.responses
    for step in range(opportunities):
        silence += staying * silent * rates.gamma / (base + step + rates.gamma)
        staying *= (base + step) / (base + step + rates.gamma)
        silent *= (b + step) / (a + b + step)
    return alive(rates, history) * (1 - silence - staying * silent)


def expected_from_new(rates: Rates, opportunities: int) -> list[float]:
    """The mean response of new people to their first, second, ... opportunity: the curve by which a group decays."""
    curve, staying = [], 1.0
    for step in range(opportunities):
        staying *= (rates.delta + step) / (rates.delta + step + rates.gamma)
        curve.append(rates.response * staying)
    return curve


def half_life(rates: Rates, most: int = 100_000) -> int | None:
    """After how many opportunities half of new people are lost; None where that takes more than ``most``."""
    staying = 1.0
    for step in range(most):
        staying *= (rates.delta + step) / (rates.delta + step + rates.gamma)
        if staying <= 0.5 + 1e-12:
            return step + 1
    return None


def _response(rates: Rates, history: History) -> float:
    """The mean probability of a response of someone with this history who is alive."""
    return (rates.alpha + history.responses) / (rates.alpha + rates.beta + history.opportunities)


def _survival(rates: Rates, done: int, ahead: int) -> float:
    left = 1.0
    for step in range(ahead):
        left *= (rates.delta + done + step) / (rates.delta + done + step + rates.gamma)
    return left


def _ways(rates: Rates, responses: int, last: int, opportunities: int) -> tuple[float, float]:
    """Lost somewhere after the last response, and alive to the end, both over the likelihood's first term."""
    lost, term = 0.0, 1.0
    silent, both = rates.beta - responses, rates.alpha + rates.beta
    for done in range(last, opportunities):
        lost += term
        term *= (silent + done) / (both + done) * (rates.delta + done) / (rates.gamma + rates.delta + 1 + done)
    return lost, term * (rates.gamma + rates.delta + opportunities) / rates.gamma


def _first(rates: Rates, responses: int, last: int) -> float:
    """The logarithm of the probability of being lost straight after the last response."""
    return (log_beta(rates.alpha + responses, rates.beta + last - responses) - log_beta(rates.alpha, rates.beta)
            + log_beta(rates.gamma + 1, rates.delta + last) - log_beta(rates.gamma, rates.delta))


def log_beta(a: float, b: float) -> float:
    """ln B(a, b). For one large and one small argument the plain sum of three would lose all its digits."""
    small, large = (a, b) if a <= b else (b, a)
    if large < 1e3:
        return lgamma(small) + lgamma(large) - lgamma(small + large)
    # Stirling's series for ln G(large) - ln G(large + small) (Abramowitz and Stegun 6.1.41).
    total = large + small
    return (lgamma(small) + small - small * log(total) - (large - 0.5) * log1p(small / large)
            + (1 / large - 1 / total) / 12 - (large**-3 - total**-3) / 360)


def odds(probability: float) -> float:
    """The logarithm of the odds."""
    return log(probability) - log1p(-probability)


def from_odds(value: float) -> float:
    return 1 / (1 + exp(-value)) if value >= 0 else exp(value) / (1 + exp(value))
