"""Did a split come out as it was planned? The check for a sample-ratio mismatch. Pure.

A split that came out otherwise than by chance means that something lost members of one arm, and then no comparison of
the arms is worth anything (Fabijan and others 2019). Two answers: Pearson's chi-square for one look at the end, and the
Dirichlet-multinomial evidence of Lindon and Malek 2022, which may be looked at always.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, fsum, inf, lgamma, log
from typing import Final

#: A false alarm costs trust, and a real mismatch is seldom subtle: one in a thousand is the custom.
ALARM: Final = 0.001
#: How near to the plan a mismatch is looked for: by some tenths, some hundredths, some thousandths; each a third.
_CLOSENESS: Final = (50.0, 5_000.0, 500_000.0)


@dataclass(frozen=True, slots=True)
class Split:
    """``p_value`` for one look; ``evidence`` is a factor that under the plan reaches 1/x with probability x at most."""

    p_value: float
    evidence: float

    @property
    def mismatch(self) -> bool:
        """Whether something is wrong, by the answer that may be asked for at any time."""
        return self.evidence >= 1 / ALARM


def check(counts: Sequence[int], weights: Sequence[float]) -> Split:
    """The ``counts`` of the arms against the planned ``weights`` (above 0, of any sum). Raises ValueError otherwise."""
    if len(counts) != len(weights) or len(counts) < 2 or min(weights) <= 0 or min(counts) < 0:
        raise ValueError("a split has two arms or more, each with a weight above nothing")
    total, whole = sum(counts), fsum(weights)
    if not total:
        return Split(1.0, 1.0)
    shares = [weight / whole for weight in weights]
    statistic = fsum((count - total * share) ** 2 / (total * share)
                     for count, share in zip(counts, shares, strict=True))
    evidence = fsum(_evidence(counts, shares, closeness) for closeness in _CLOSENESS) / len(_CLOSENESS)
    return Split(chi_square_tail(statistic, len(counts) - 1), evidence)


def _evidence(counts: Sequence[int], shares: Sequence[float], closeness: float) -> float:
    """How much likelier the counts are under a split that is about the planned than under the planned itself."""
    found = lgamma(closeness) - lgamma(closeness + sum(counts))
    for count, share in zip(counts, shares, strict=True):
        found += lgamma(closeness * share + count) - lgamma(closeness * share) - count * log(share)
    return exp(found) if found < 700 else inf


def chi_square_tail(value: float, freedom: int) -> float:
    """The probability of a chi-square of ``freedom`` degrees at ``value`` or above: the regularised upper gamma
    function, by its series below the mean and Lentz's continued fraction above (Press and others 2007, 6.2)."""
    a, x = freedom / 2, value / 2
    if x <= 0:
        return 1.0
    front = exp(a * log(x) - x - lgamma(a))
    if x < a + 1:
        term = total = 1 / a
        step = a
        while term > total * 1e-16:
            step += 1
            term *= x / step
            total += term
        return max(0.0, 1 - front * total)
    b = x + 1 - a
    c, d = 1e300, 1 / b
    fraction, turn = d, 0
    while True:
        turn += 1
        down = -turn * (turn - a)
        b += 2
        d = 1 / (down * d + b)
        c = b + down / c
        fraction *= d * c
        if abs(d * c - 1) < 1e-15 or turn > 10_000:
            return front * fraction
