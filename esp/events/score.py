"""A score that halves with time: what happened lately counts, what happened long ago fades. Pure.

Kept are the value and its instant; decay is applied on reading, so that nothing has to be rewritten as time goes by and
the score is exact whenever it is read. Exponential ("forward") decay is the only kind for which this can be done with
two numbers (Cormode, Shkapenyuk, Srivastava, Xu 2009).
"""

import math
from dataclasses import dataclass
from math import inf, log2
from typing import Final


@dataclass(frozen=True, slots=True)
class Score:
    """``value`` as it stood at ``at`` (seconds of any fixed clock), after the latest of the things that count."""

    value: float = 0.0
    at: float = 0.0

    def add(self, weight: float, when: float, half_life: float) -> "Score":
        """With one thing more of ``weight`` at ``when``; in whatever order they are told, the score is the same.

        ``half_life`` is in the clock's seconds and must be one and the same for the whole of a score's life.
        Raises ValueError for a weight below nothing or a half-life that is none.
        """
        if weight < 0:
            raise ValueError(f"a weight is not negative: {weight}")
        return self.merge(Score(weight, when), half_life)

    def merge(self, other: "Score", half_life: float) -> "Score":
        """The score of two histories told together: exactly what adding all their things to one would have given."""
        if not half_life > 0:
            raise ValueError(f"a half-life is longer than nothing: {half_life}")
        # A score of nothing has no instant to speak of; its clock must not move the other's.
        if not other.value:
            return self
        if not self.value:
            return other
        early, late = (self, other) if self.at <= other.at else (other, self)
        return Score(late.value + early.value * _left(late.at - early.at, half_life), late.at)

    def read(self, now: float, half_life: float) -> float:
        """The score at ``now``; before its latest thing (a clock that jumped back) as at that thing, for it never grows
        by waiting."""
        return self.value * _left(max(0.0, now - self.at), half_life)

    def rank(self, half_life: float) -> float:
        """A number that orders scores as reading all of them at one moment would, whatever the moment.

        It does not change until something is added, so that a database can keep it in an index. ``read(now) >= level``
        is the same as ``rank >= threshold(level, now)``.
        """
        return log2(self.value) + self.at / half_life if self.value else -inf


def threshold(level: float, now: float, half_life: float) -> float:
    """The rank from which on a score read at ``now`` reaches ``level`` (above 0)."""
    return log2(level) + now / half_life


#: The rank of a score of nothing: below that of every other.
NO_RANK: Final = -1e300


def rank_of(level: float, now: float, half_life: float) -> float:
    """``threshold`` of any number, so that a score is on the same side of a level as its rank is of this."""
    if level > 0:
        return threshold(level, now, half_life)
    return NO_RANK if level == 0 else 2 * NO_RANK


def _left(seconds: float, half_life: float) -> float:
    # 2 ** -1075 is the last that a float can hold: older than a thousand half-lives is gone.
    return math.pow(2.0, -min(1100.0, seconds / half_life))
