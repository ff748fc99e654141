"""Sending more of what seems best while still learning: Thompson's sampling. Pure.

Each next one goes to an arm with the probability that this arm is the best, as believed now (Thompson 1933; Russo and
others 2018). Shares seen under a bandit are not an even test's: judge them by the posterior, not by ``sequential``.
"""

import random
from collections.abc import Sequence

from tracking.science.posterior import JEFFREYS, Beta, best
from tracking.science.sequential import Arm


def choose(beliefs: Sequence[Beta], dice: random.Random) -> int:
    """The arm for the next one: a share is drawn from each belief, and the greatest wins."""
    drawn = [dice.betavariate(belief.successes, belief.failures) for belief in beliefs]
    return max(range(len(drawn)), key=drawn.__getitem__)


def shares(arms: Sequence[Arm], floor: float = 0.0, prior: Beta = JEFFREYS) -> list[float]:
    """How to divide the next batch: what ``choose`` would do on average, and at least ``floor`` for each arm, so that
    one that began unluckily is heard again. Raises ValueError for a floor that leaves nothing to divide."""
    if not 0 <= floor * len(arms) <= 1:
        raise ValueError(f"{len(arms)} times {floor} is more than the whole")
    left = 1 - floor * len(arms)
    return [floor + left * share for share in best([prior.seeing(arm) for arm in arms])]
