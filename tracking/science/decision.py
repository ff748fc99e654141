"""Which arm has won, if any: the always-valid judgement of the goal, and guards that may veto. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from tracking.science.proportions import Finding
from tracking.science.sequential import Arm, judge, judge_all


class Safety(StrEnum):
    """What is known of something that should not rise."""

    HARMED = "harmed"  # it rose by more than the margin
    SAFE = "safe"  # if it rose, then by less than the margin
    OPEN = "open"  # too little is known to say either


@dataclass(frozen=True, slots=True)
class Guard:
    """Something that should not rise, counted for each arm; ``margin`` (as a part of one) may be put up with."""

    arms: Sequence[Arm]
    margin: float = 0.0


@dataclass(frozen=True, slots=True)
class Decision:
    """``winner`` is better than every arm that is not vetoed, or the only one left; None while that is open."""

    winner: int | None
    vetoed: tuple[int, ...]


def safety(reference: Arm, arm: Arm, planned: tuple[int, int], margin: float, error: float = 0.05) -> Safety:
    """Whether ``arm`` has more of a bad thing than ``reference``, at whatever look."""
    gap = judge(reference, arm, planned, error).gap
    if gap is None:
        return Safety.OPEN
    if gap.low > margin:
        return Safety.HARMED
    return Safety.SAFE if gap.high <= margin else Safety.OPEN


def decide(arms: Sequence[Arm], planned: Sequence[int], guards: Sequence[Guard] = (), error: float = 0.05) -> Decision:
    """The winner on the goal. An arm is vetoed when a guard shows it worse than any other arm.

    ``error`` is the probability of naming a winner where all are equal, and again that of a veto without harm.
    """
    size = len(arms)
    each = error / max(1, size * (size - 1) * max(1, len(guards)))
    vetoed = tuple(one for one in range(size) if any(
        safety(guard.arms[other], guard.arms[one], (planned[other], planned[one]), guard.margin, each) is Safety.HARMED
        for guard in guards for other in range(size) if other != one))
    left = [one for one in range(size) if one not in vetoed]
    if vetoed and len(left) == 1:
        return Decision(left[0], vetoed)
    beaten: dict[int, int] = dict.fromkeys(left, 0)
    for judged in judge_all(arms, planned, error):
        if judged.first in beaten and judged.second in beaten:
            match judged.comparison.finding:
                case Finding.FIRST_BETTER:
                    beaten[judged.first] += 1
                case Finding.SECOND_BETTER:
                    beaten[judged.second] += 1
                case _:
                    pass
    winners = [one for one, wins in beaten.items() if wins == len(left) - 1 > 0]
    return Decision(winners[0] if winners else None, vetoed)
