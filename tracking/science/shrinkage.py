"""Where among slots (hours of the day, days of the week) someone's few observations lie, drawn towards everybody's.

Two responses at nine in the evening do not make a habit. Each person's shares are taken as drawn from a Dirichlet
distribution around the crowd's; how near people are to the crowd is fitted from all of them (Dirichlet-multinomial;
empirical Bayes after Robbins 1956, Minka 2000), and a person's own shares are the posterior mean. Pure.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import exp, lgamma, log
from typing import Final

from tracking.science.fitting import Prior, maximise

#: Before there is data a person's habit counts as much as the crowd's after twenty observations, give or take ten-fold.
_PRIOR: Final = Prior((log(20.0),), (2.3,))


@dataclass(frozen=True, slots=True)
class Crowd:
    """``shares`` of everybody's observations in each slot, summing to 1; ``weight`` is how many observations of their
    own it takes for a person's habit to count as much as the crowd's."""

    shares: tuple[float, ...]
    weight: float

    def person(self, counts: Sequence[int]) -> tuple[float, ...]:
        """The shares to expect of someone with these counts in each slot; with none, the crowd's."""
        total = sum(counts) + self.weight
        return tuple((count + self.weight * share) / total for count, share in zip(counts, self.shares, strict=True))

    def best(self, counts: Sequence[int]) -> int:
        """The slot of which most is to be expected; of equals the first."""
        shares = self.person(counts)
        return max(range(len(shares)), key=lambda slot: (shares[slot], -slot))


def crowd(people: Mapping[tuple[int, ...], int], slots: int) -> Crowd:
    """The crowd of people by their counts in each of so many slots, and how many have the same.

    A slot in which nothing was ever seen keeps a small share (half an observation). Raises ValueError for a person
    with another number of slots.
    """
    if any(len(counts) != slots for counts in people):
        raise ValueError(f"each person has {slots} slots")
    totals = [0.5] * slots
    for counts, many in people.items():
        for slot, count in enumerate(counts):
            totals[slot] += count * many
    whole = sum(totals)
    shares = tuple(total / whole for total in totals)
    # One observation says where somebody was, not whether they would be there again.
    telling = {counts: many for counts, many in people.items() if sum(counts) > 1}

    def contributions(at: Sequence[float]) -> list[float]:
        weight = exp(at[0])
        return [_log_likelihood(counts, shares, weight) for counts in telling]

    peak = maximise(contributions, list(telling.values()), [log(20.0)], _PRIOR, (log(0.05), log(1e5)))
    return Crowd(shares, exp(peak.at[0]))


def _log_likelihood(counts: Sequence[int], shares: Sequence[float], weight: float) -> float:
    total = lgamma(weight) - lgamma(weight + sum(counts))
    for count, share in zip(counts, shares, strict=True):
        if count:
            total += lgamma(weight * share + count) - lgamma(weight * share)
    return total
