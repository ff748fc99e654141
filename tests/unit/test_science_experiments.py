"""Tests looked at all the time, beliefs, plans, splits and bandits: against published values and against simulation."""

import random
from math import exp, lgamma, log, sqrt
from statistics import NormalDist

import pytest

from tracking.science.bandit import choose, shares
from tracking.science.decision import Decision, Guard, Safety, decide, safety
from tracking.science.experiment_trial import looked_at, planned_power, regret
from tracking.science.planning import detectable, power, size
from tracking.science.posterior import JEFFREYS, Beta, best, better, gain
from tracking.science.proportions import Finding, compare
from tracking.science.sequential import Arm, critical, judge, judge_all, multiplier
from tracking.science.split import check, chi_square_tail

_EVEN = (5000, 5000)


# ---- looks ----


def test_the_whole_of_a_brownian_motion_stays_within_the_boundary_with_ninety_five_percent() -> None:
    # Past the horizon too: up to four times as far. Each of the steps is a look.
    dice = random.Random(1)
    left = 0
    for _ in range(2000):
        position, out = 0.0, False
        for step in range(1, 161):
            position += dice.gauss(0, sqrt(1 / 40))
            out = out or abs(position) / sqrt(step / 40) > multiplier(step / 40)
        left += out
    assert left / 2000 <= 0.05


def test_the_boundary_at_its_landmarks() -> None:
    assert critical(0.05 / 0.9) == pytest.approx(2.2414, abs=1e-4)  # of a motion's greatest distance, tabulated
    assert multiplier(1) == pytest.approx(2.281, abs=1e-3)
    assert multiplier(0.25) == pytest.approx(2 * multiplier(1))
    assert multiplier(1.01) > multiplier(1)  # who goes on without a plan pays for it
    with pytest.raises(ValueError, match="nothing is known"):
        multiplier(0)
    with pytest.raises(ValueError, match="nobody"):
        judge(Arm(1, 2), Arm(1, 2), (0, 5))


def test_looking_all_the_time_calls_few_false_winners_where_the_look_once_interval_calls_many() -> None:
    found = looked_at(0.05, 0.05, 5000, 100, 300, seed=2)
    assert found.called <= 0.06
    assert found.held >= 0.94
    dice, naive = random.Random(2), 0
    for _ in range(300):
        a = b = 0
        called = False
        for look in range(1, 26):
            a += sum(dice.random() < 0.3 for _ in range(50))
            b += sum(dice.random() < 0.3 for _ in range(50))
            called = called or compare(a, 50 * look, b, 50 * look).finding is not Finding.NO_DIFFERENCE
        naive += called
    assert naive / 300 > 0.12


def test_power_is_near_that_of_a_single_look_at_the_planned_size() -> None:
    found = planned_power(0.2, 0.05, 100, 300, seed=3)
    assert found.right_once == pytest.approx(0.8, abs=0.07)
    assert found.right > found.right_once - 0.15
    assert found.held >= 0.93


def test_early_evidence_must_be_overwhelming_and_late_evidence_need_not() -> None:
    assert judge(Arm(2, 50), Arm(9, 50), _EVEN).finding is Finding.NO_DIFFERENCE
    assert judge(Arm(1, 500), Arm(120, 500), _EVEN).finding is Finding.SECOND_BETTER
    assert judge(Arm(300, 5000), Arm(250, 5000), _EVEN).finding is Finding.NO_DIFFERENCE
    assert judge(Arm(320, 5000), Arm(250, 5000), _EVEN).finding is Finding.FIRST_BETTER
    assert judge(Arm(0, 0), Arm(3, 5), _EVEN).finding is Finding.UNKNOWN


def test_among_many_pairs_each_is_held_to_more() -> None:
    two = judge_all([Arm(250, 5000), Arm(316, 5000)], _EVEN)
    assert [one.comparison.finding for one in two] == [Finding.SECOND_BETTER]
    four = judge_all([Arm(250, 5000), Arm(316, 5000), Arm(280, 5000), Arm(285, 5000)], [5000] * 4)
    assert len(four) == 6
    assert {one.comparison.finding for one in four} == {Finding.NO_DIFFERENCE}


# ---- beliefs ----


def closed(of: Beta, over: Beta) -> float:
    """The probability that ``of`` exceeds ``over``, for whole ``of.successes`` (Miller 2015)."""
    def lbeta(a: float, b: float) -> float:
        return lgamma(a) + lgamma(b) - lgamma(a + b)

    return sum(exp(lbeta(over.successes + i, of.failures + over.failures) - log(of.failures + i)
                   - lbeta(1 + i, of.failures) - lbeta(over.successes, over.failures))
               for i in range(round(of.successes)))


@pytest.mark.parametrize(("a", "b"), [
    (Beta(3, 8), Beta(5, 7)), (Beta(51, 951), Beta(71, 931)), (Beta(1, 1), Beta(1, 1)), (Beta(1, 400), Beta(4, 400)),
    (Beta(2, 3), Beta(5001, 5001)), (Beta(20001, 380001), Beta(20301, 379701)),
])
def test_the_probability_to_be_better_is_the_closed_form(a: Beta, b: Beta) -> None:
    assert better(b, a) == pytest.approx(closed(b, a), abs=2e-4)
    assert better(a, b) == pytest.approx(1 - better(b, a), abs=1e-9)


def test_of_equals_each_is_best_as_often_and_together_they_are_certain() -> None:
    assert best([Beta(30, 70)] * 4) == pytest.approx([0.25] * 4, abs=1e-9)
    found = best([JEFFREYS.seeing(Arm(3, 90)), JEFFREYS.seeing(Arm(0, 40)), JEFFREYS.seeing(Arm(9, 80))])
    assert sum(found) == pytest.approx(1)
    assert found[2] > found[0] > found[1]


def test_the_gain_is_what_sampling_says() -> None:
    a, b = JEFFREYS.seeing(Arm(40, 1000)), JEFFREYS.seeing(Arm(62, 900))
    dice = random.Random(4)
    drawn = sorted(dice.betavariate(b.successes, b.failures) - dice.betavariate(a.successes, a.failures)
                   for _ in range(40_000))
    found = gain(b, a)
    assert found.estimate == pytest.approx(sum(drawn) / len(drawn), abs=3e-4)
    assert (found.low, found.high) == pytest.approx((drawn[1000], drawn[39_000]), abs=6e-4)


def test_a_gain_over_nothing_seen_is_wide_and_stays_within_bounds() -> None:
    found = gain(JEFFREYS, JEFFREYS)
    assert found.estimate == 0
    assert -1 < found.low < -0.9 < 0.9 < found.high < 1
    with pytest.raises(ValueError, match="no share"):
        JEFFREYS.seeing(Arm(5, 4))


# ---- plans ----


def test_sizes_as_published() -> None:
    # Fleiss, Levin and Paik 2003, table A.4 without continuity correction; also any statistics course's example.
    assert size(0.05, 0.01, 0.8, every_look=False) == pytest.approx(8158, abs=3)
    assert size(0.25, 0.15, 0.9, every_look=False) == pytest.approx(203, abs=2)


def test_to_look_at_any_time_costs_some_more_and_its_power_is_as_foretold() -> None:
    once, always = size(0.2, 0.05, every_look=False), size(0.2, 0.05)
    assert 1.02 < always / once < 1.25
    found = looked_at(0.2, 0.25, 2 * always, 100, 400, seed=5)
    assert found.right == pytest.approx(0.8, abs=0.07)
    assert power(2.8016, every_look=False) == pytest.approx(0.8, abs=1e-3)
    assert power(60) == pytest.approx(1)


def test_what_so_many_can_find_is_what_needs_so_many() -> None:
    rise = detectable(0.05, 8000)
    assert rise is not None
    assert size(0.05, rise) == pytest.approx(8000, abs=3)
    assert detectable(0.05, 1) is None
    assert detectable(1.0, 1000) is None
    for wrong in ((0.05, 0.0), (0.9, 0.2), (-0.1, 0.2)):
        with pytest.raises(ValueError, match="no such test"):
            size(*wrong)


# ---- splits ----


@pytest.mark.parametrize(("value", "freedom", "tail"), [
    (3.841459, 1, 0.05), (10.827566, 1, 0.001), (5.991465, 2, 0.05), (18.307038, 10, 0.05), (0.0, 3, 1.0),
    (0.5, 4, 0.973501), (1000.0, 2, 7.124576e-218),
])
def test_chi_square_as_tabulated(value: float, freedom: int, tail: float) -> None:
    assert chi_square_tail(value, freedom) == pytest.approx(tail, rel=1e-5)


def test_a_mismatch_is_found_and_chance_is_not_called_one() -> None:
    # Fabijan and others 2019 begin with 821,588 against 815,482: p = 1.8e-6.
    known = check([821_588, 815_482], [1, 1])
    assert known.p_value == pytest.approx(1.8e-6, rel=0.05)
    assert known.mismatch
    assert not check([5020, 4980], [1, 1]).mismatch
    assert check([1200, 1010, 790], [1, 1, 1]).mismatch
    assert not check([900, 9100], [1, 9]).p_value < 0.0005
    assert check([0, 0], [1, 1]).p_value == 1
    with pytest.raises(ValueError, match="a split has"):
        check([1, 2], [1, 0])


def test_looking_at_the_split_all_the_time_raises_few_alarms() -> None:
    dice, alarms = random.Random(6), 0
    for _ in range(300):
        counts, alarm = [0, 0], False
        for _ in range(40):
            heads = sum(dice.random() < 0.5 for _ in range(50))
            counts = [counts[0] + heads, counts[1] + 50 - heads]
            alarm = alarm or check(counts, (1, 1)).mismatch
        alarms += alarm
    assert alarms <= 2


# ---- bandits ----


def test_a_bandit_misses_less_than_an_equal_split() -> None:
    found = regret((0.05, 0.10), 2000, 100, 8, seed=7)
    assert 0 < found.bandit < found.equal == pytest.approx(0.025)


def test_the_next_batch_is_divided_as_single_choices_would_be() -> None:
    arms = [Arm(10, 200), Arm(16, 200), Arm(9, 200)]
    dice, counts = random.Random(8), [0, 0, 0]
    for _ in range(8000):
        counts[choose([JEFFREYS.seeing(arm) for arm in arms], dice)] += 1
    assert shares(arms) == pytest.approx([count / 8000 for count in counts], abs=0.02)
    floored = shares([Arm(0, 1000), Arm(300, 1000)], floor=0.1)
    assert floored == pytest.approx([0.1, 0.9], abs=1e-6)
    with pytest.raises(ValueError, match="more than the whole"):
        shares(arms, floor=0.4)


# ---- decisions ----


def test_a_guard_can_veto_the_winner() -> None:
    goal = [Arm(250, 5000), Arm(350, 5000)]
    assert decide(goal, _EVEN) == Decision(1, ())
    complaints = Guard([Arm(2, 5000), Arm(40, 5000)])
    assert decide(goal, _EVEN, [complaints]) == Decision(0, (1,))
    harmless = Guard([Arm(2, 5000), Arm(4, 5000)])
    assert decide(goal, _EVEN, [harmless]) == Decision(1, ())
    assert decide([Arm(250, 5000), Arm(260, 5000)], _EVEN, [harmless]) == Decision(None, ())
    third = [*goal, Arm(290, 5000)]
    assert decide(third, [5000] * 3, [Guard([*complaints.arms, Arm(3, 5000)])]).winner is None
    assert decide([Arm(1, 5)], [5]) == Decision(None, ())


def test_harm_safety_and_not_knowing() -> None:
    before = Arm(10, 5000)
    assert safety(before, Arm(60, 5000), _EVEN, 0.002) is Safety.HARMED
    assert safety(before, Arm(11, 5000), _EVEN, 0.005) is Safety.SAFE
    assert safety(before, Arm(20, 5000), _EVEN, 0.001) is Safety.OPEN
    assert safety(Arm(0, 0), Arm(20, 5000), _EVEN, 0.001) is Safety.OPEN
    assert NormalDist().cdf(multiplier(1)) > 0.975
