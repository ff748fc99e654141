"""Judging two arms: whichever is called the first, and never outside of what shares can be."""

from hypothesis import given
from hypothesis import strategies as st

from tracking.science.decision import decide
from tracking.science.planning import power
from tracking.science.posterior import JEFFREYS, best
from tracking.science.proportions import Finding
from tracking.science.sequential import Arm, judge, multiplier
from tracking.science.split import check


@st.composite
def arms(draw: st.DrawFn) -> Arm:
    trials = draw(st.integers(0, 100_000))
    return Arm(draw(st.integers(0, trials)), trials)


_PLANS = st.tuples(st.integers(1, 200_000), st.integers(1, 200_000))
_OTHER = {Finding.FIRST_BETTER: Finding.SECOND_BETTER, Finding.SECOND_BETTER: Finding.FIRST_BETTER}


@given(arms(), arms(), _PLANS, st.floats(0.01, 1))
def test_the_order_of_the_two_does_not_matter(a: Arm, b: Arm, planned: tuple[int, int], ripe: float) -> None:
    there = judge(a, b, planned, ripe=ripe)
    back = judge(b, a, (planned[1], planned[0]), ripe=ripe)
    assert back.finding is _OTHER.get(there.finding, there.finding)
    if there.gap is not None and back.gap is not None:
        assert -1 <= there.gap.low <= there.gap.high <= 1
        assert abs(there.gap.low + back.gap.high) < 1e-9


@given(arms(), arms(), _PLANS, st.floats(0.01, 0.99))
def test_answers_still_to_come_never_narrow_the_bounds(a: Arm, b: Arm, planned: tuple[int, int], ripe: float) -> None:
    # Within the plan; past it the boundary is another.
    within = (max(planned[0], a.trials), max(planned[1], b.trials))
    now, then = judge(a, b, within, ripe=ripe).gap, judge(a, b, within).gap
    if now is not None and then is not None:
        assert now.low <= then.low + 1e-12
        assert then.high <= now.high + 1e-12


@given(st.floats(0.001, 100), st.floats(0.0001, 0.2))
def test_every_look_costs_more_than_one_look(progress: float, error: float) -> None:
    assert multiplier(progress, error) > multiplier(1, 2 * error)


@given(st.floats(0, 30), st.floats(0.001, 0.2))
def test_a_power_is_a_probability_and_looking_always_costs_some(shift: float, error: float) -> None:
    assert 0 <= power(shift, error) <= 1
    assert power(shift, error) <= power(shift, error, every_look=False) + 1e-9


@given(st.lists(arms(), min_size=2, max_size=5))
def test_beliefs_are_certain_together_and_a_winner_is_the_greatest(seen: list[Arm]) -> None:
    shares = best([JEFFREYS.seeing(arm) for arm in seen])
    assert abs(sum(shares) - 1) < 1e-9
    winner = decide(seen, [100_000] * len(seen)).winner
    if winner is not None:
        assert seen[winner].share == max(arm.share for arm in seen)


@given(st.lists(st.integers(0, 1_000_000), min_size=2, max_size=6))
def test_a_splits_answers_are_probabilities_and_factors(counts: list[int]) -> None:
    found = check(counts, [1.0] * len(counts))
    assert 0 <= found.p_value <= 1
    assert found.evidence >= 0
