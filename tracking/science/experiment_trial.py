"""The always-valid test and the bandit tried on simulated tests, of which the truth is known. Pure.

Outcomes are drawn in lots between looks, which is the same as one by one for whoever looks but then.
"""

import random
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import exp, lgamma, log, log1p

from tracking.science.bandit import choose
from tracking.science.planning import size
from tracking.science.posterior import JEFFREYS
from tracking.science.proportions import Finding, compare
from tracking.science.sequential import Arm, judge


@dataclass(frozen=True, slots=True)
class Looks:
    """Of many tests: the parts in which a winner was called at some look, the truly better arm was, the interval held
    the truth at every look, and a single look at the end called the better arm."""

    called: float
    right: float
    held: float
    right_once: float
    looks: int


@dataclass(frozen=True, slots=True)
class Regret:
    """Successes missed, as a part of all trials, against always choosing the best arm."""

    bandit: float
    equal: float


def looked_at(first: float, second: float, trials: int, every: int, tests: int, seed: int,
              first_weight: float = 0.5) -> Looks:
    """So many tests of ``trials`` in all, each looked at after ``every`` of them.

    ``first`` and ``second`` are the true shares; who goes to which arm is drawn too.
    """
    dice = random.Random(seed)  # noqa: S311 - a simulation
    draw = _binomials(dice)
    called = right = held = right_once = 0
    planned = (round(trials * first_weight), round(trials * (1 - first_weight)))
    truth, better = second - first, Finding.SECOND_BETTER if second > first else Finding.FIRST_BETTER
    for _ in range(tests):
        one, two, findings, holds = Arm(0, 0), Arm(0, 0), set[Finding](), True
        for done in range(0, trials, every):
            lot = min(every, trials - done)
            here = draw(lot, first_weight)
            one = Arm(one.successes + draw(here, first), one.trials + here)
            two = Arm(two.successes + draw(lot - here, second), two.trials + lot - here)
            found = judge(one, two, planned)
            findings.add(found.finding)
            holds = holds and (found.gap is None or found.gap.holds(truth))
        called += Finding.FIRST_BETTER in findings or Finding.SECOND_BETTER in findings
        right += better in findings
        held += holds
        right_once += compare(one.successes, one.trials, two.successes, two.trials).finding is better
    return Looks(called / tests, right / tests, held / tests, right_once / tests, -(-trials // every))


def planned_power(base: float, difference: float, every: int, tests: int, seed: int) -> Looks:
    """A real difference, in tests as large as a look-once test needs for a power of 80 %."""
    trials = 2 * size(base, difference, 0.8, every_look=False)
    return looked_at(base, base + difference, trials, every, tests, seed)


def regret(shares: Sequence[float], trials: int, batch: int, runs: int, seed: int) -> Regret:
    """The bandit, which learns after each ``batch``, against an equal split."""
    dice = random.Random(seed)  # noqa: S311 - a simulation
    draw = _binomials(dice)
    best, missed = max(shares), 0.0
    for _ in range(runs):
        beliefs = [JEFFREYS] * len(shares)
        for done in range(0, trials, batch):
            counts = [0] * len(shares)
            for _ in range(min(batch, trials - done)):
                counts[choose(beliefs, dice)] += 1
            missed += sum(count * (best - share) for count, share in zip(counts, shares, strict=True))
            beliefs = [belief.seeing(Arm(draw(count, share), count))
                       for belief, count, share in zip(beliefs, counts, shares, strict=True)]
    return Regret(missed / (runs * trials), best - sum(shares) / len(shares))


def _binomials(dice: random.Random) -> Callable[[int, float], int]:
    """A sampler that keeps the distribution's table for each (trials, share) it was asked for."""
    tables: dict[tuple[int, float], list[float]] = {}

    def draw(trials: int, share: float) -> int:
        if not trials:
            return 0
        table = tables.get((trials, share))
        if table is None:
            table = tables[trials, share] = _table(trials, share)
        return bisect_right(table, dice.random())

    return draw


def _table(trials: int, share: float) -> list[float]:
    """The cumulated probabilities, without the last, which is 1."""
    total, found = 0.0, []
    for count in range(trials):
        total += exp(lgamma(trials + 1) - lgamma(count + 1) - lgamma(trials - count + 1)
                     + count * log(share) + (trials - count) * log1p(-share))
        found.append(total)
    return found
