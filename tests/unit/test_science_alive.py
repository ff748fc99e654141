"""The decay model against published fits, against another package's, and against direct summation."""

import csv
import random
from collections.abc import Iterator
from math import comb, exp, fsum, lgamma, log
from pathlib import Path

import pytest

from tracking.science.alive import (
    History,
    Rates,
    alive,
    any_response,
    expected,
    expected_from_new,
    half_life,
    log_beta,
    log_likelihood,
)
from tracking.science.alive_fit import PRIOR_RATES, counted, fit
from tracking.science.decay_trial import people, run

_DATA = Path(__file__).parent.parent / "corpus" / "science"
_PAPER = Rates(1.204, 0.750, 0.657, 2.783)


def read(name: str) -> dict[History, int]:
    with (_DATA / name).open() as file:
        return {History(int(row["responses"]), int(row["last"]), int(row["opportunities"])): int(row["people"])
                for row in csv.DictReader(file)}


def sequences(opportunities: int) -> Iterator[tuple[History, int]]:
    """Every history of so many opportunities, and how many sequences of responses share it."""
    yield History(0, 0, opportunities), 1
    for last in range(1, opportunities + 1):
        for responses in range(1, last + 1):
            yield History(responses, last, opportunities), comb(last - 1, responses - 1)


def test_donations_as_published() -> None:
    found = fit(read("donations.csv"), prior=None)
    assert found.converged
    assert found.people == 11_104
    assert found.log_likelihood == pytest.approx(-33225.58127, abs=1e-3)  # lifetimes 0.11.3; the paper: -33225.6
    rates = (found.rates.alpha, found.rates.beta, found.rates.gamma, found.rates.delta)
    assert rates == pytest.approx((1.204, 0.750, 0.657, 2.783), abs=1e-3)


def test_foretelling_as_another_package_does() -> None:
    # lifetimes 0.11.3 with its fit: conditional_probability_alive(1, ...) and the expected number of the next five.
    rates = fit(read("donations.csv"), prior=None).rates
    histories = [History(6, 6, 6), History(0, 0, 6), History(3, 5, 6)]
    assert [alive(rates, one, 1) for one in histories] == pytest.approx([0.93043, 0.10813, 0.76683], abs=2e-5)
    assert [expected(rates, one, 5) for one in histories] == pytest.approx([3.75254, 0.07286, 1.80470], abs=2e-5)


def test_purchases_by_week_where_the_other_package_does_not_converge() -> None:
    found = fit(read("cdnow_weeks.csv"), prior=None)
    assert found.converged
    # Its likelihood at our maximum, which it blurs by adding 1e-15 to every person's: see the corpus' README.
    assert found.log_likelihood == pytest.approx(-8772.727, rel=1e-3)
    assert found.log_likelihood == pytest.approx(-8776.2526, abs=1e-3)


def direct(rates: Rates, history: History) -> float:
    """The paper's (6), term by term with gamma functions."""
    def lbeta(a: float, b: float) -> float:
        return lgamma(a) + lgamma(b) - lgamma(a + b)

    a, b, c, d = rates.alpha, rates.beta, rates.gamma, rates.delta
    x, last, n = history.responses, history.last, history.opportunities
    terms = [lbeta(a + x, b + n - x) + lbeta(c, d + n)]
    terms += [lbeta(a + x, b + done - x) + lbeta(c + 1, d + done) for done in range(last, n)]
    return log(fsum(exp(term - lbeta(a, b) - lbeta(c, d)) for term in terms))


@pytest.mark.parametrize("rates", [_PAPER, Rates(0.3, 40.0, 1.0, 9.0), Rates(5.0, 2.0, 0.05, 0.4)])
def test_likelihood_by_recurrence_is_the_papers(rates: Rates) -> None:
    for history, _ in sequences(9):
        assert log_likelihood(rates, history) == pytest.approx(direct(rates, history), abs=1e-10)


@pytest.mark.parametrize("rates", [_PAPER, PRIOR_RATES, Rates(3.0, 1.0, 1.0, 1.0)])
def test_all_sequences_together_are_certain_and_prediction_agrees_with_them(rates: Rates) -> None:
    assert fsum(many * exp(log_likelihood(rates, one)) for one, many in sequences(10)) == pytest.approx(1, abs=1e-12)
    # From nothing seen: the expected number over all sequences, and the share that have any response.
    count = fsum(many * one.responses * exp(log_likelihood(rates, one)) for one, many in sequences(10))
    assert expected(rates, History(), 10) == pytest.approx(count, abs=1e-12)
    assert sum(expected_from_new(rates, 10)) == pytest.approx(count, abs=1e-12)
    silent = exp(log_likelihood(rates, History(0, 0, 10)))
    assert any_response(rates, History(), 10) == pytest.approx(1 - silent, abs=1e-12)


def test_prediction_after_a_history_is_the_ratio_of_likelihoods() -> None:
    seen = exp(log_likelihood(_PAPER, History(2, 3, 6)))
    one_more = exp(log_likelihood(_PAPER, History(3, 7, 7)))
    assert expected(_PAPER, History(2, 3, 6), 1) == pytest.approx(one_more / seen, abs=1e-12)
    silence = exp(log_likelihood(_PAPER, History(2, 3, 16)))
    assert any_response(_PAPER, History(2, 3, 6), 10) == pytest.approx(1 - silence / seen, abs=1e-12)


def test_a_very_long_silence_neither_overflows_nor_divides_by_nothing() -> None:
    silent = History(40, 40, 20_000)
    assert 0 <= alive(_PAPER, silent) < 1e-6
    assert expected(_PAPER, silent, 10) < 1e-5
    assert alive(_PAPER, History(20_000, 20_000, 20_000)) == pytest.approx(1, abs=1e-3)


def test_log_beta_keeps_its_digits_for_large_arguments() -> None:
    # B(1, b) = 1/b and B(2, b) = 1/(b(b+1)) exactly.
    for b in (0.5, 900, 1.1e3, 1e5, 1e12):
        assert log_beta(1, b) == pytest.approx(-log(b), rel=1e-12, abs=3e-12)
        assert log_beta(b, 2) == pytest.approx(-log(b) - log(b + 1), rel=1e-12, abs=3e-12)


def test_a_history_is_moved_in_constant_time_whatever_the_order_of_late_responses() -> None:
    sent = History().offered().offered().offered()
    assert sent.responded(3).responded(1) == sent.responded(1).responded(3) == History(2, 3, 3)
    with pytest.raises(ValueError, match="no such history"):
        sent.responded(4)
    with pytest.raises(ValueError, match="no such history"):
        History(2, 1, 3)


def test_before_there_is_data_the_prior_speaks_and_little_data_move_it_little() -> None:
    nothing = fit({})
    assert nothing.people == 0
    assert nothing.rates.response == pytest.approx(PRIOR_RATES.response)
    assert fit({History(0, 0, 0): 500}).people == 0  # nobody has had an opportunity: nothing was learnt
    few = fit({History(1, 1, 1): 1, History(0, 0, 1): 1})
    assert 0.1 < few.rates.response < 0.4
    wide, narrow = nothing.share(lambda rates: rates.response), fit(read("donations.csv")).share(lambda r: r.response)
    assert wide is not None
    assert narrow is not None
    assert wide.high - wide.low > 10 * (narrow.high - narrow.low)
    assert fit(read("donations.csv")).rates.alpha == pytest.approx(1.2035, rel=0.01)  # much data outweigh it


def test_data_that_leave_a_parameter_open_are_said_to_do_so() -> None:
    # One opportunity each: response and loss cannot be told apart.
    found = fit({History(1, 1, 1): 300, History(0, 0, 1): 700}, prior=None)
    assert found.covariance is None or max(found.covariance[i][i] for i in range(4)) > 100
    assert fit({History(1, 1, 1): 300, History(0, 0, 1): 700}).intervals() is not None


def test_a_fit_from_the_last_one_is_the_same_fit() -> None:
    people_seen = read("donations.csv")
    first = fit(people_seen, prior=None)
    again = fit(people_seen, prior=None, start=first.rates)
    assert again.converged
    assert again.rates.delta == pytest.approx(first.rates.delta, rel=1e-3)


def test_intervals_hold_the_truth() -> None:
    found = run(count=8_000, seen=15, later=5, seed=4)
    intervals = found.fit.intervals()
    assert intervals is not None
    truth = (found.true.alpha, found.true.beta, found.true.gamma, found.true.delta)
    assert all(interval.holds(value) for interval, value in zip(intervals, truth, strict=True))
    some = found.fit.amount(lambda rates: expected(rates, History(3, 10, 15), 10))
    assert some is not None
    assert some.holds(expected(found.true, History(3, 10, 15), 10))


def test_it_ranks_and_foretells_better_than_what_is_usual() -> None:
    found = run(count=8_000, seen=15, later=5, seed=5)
    assert found.auc_model > found.auc_recency > 0.5
    assert found.auc_model > found.auc_rate > 0.5
    assert found.calibration_error < 0.04
    assert found.expected == pytest.approx(found.came, rel=0.05)


def test_half_of_new_people_are_lost_after_so_many() -> None:
    # The mean survival of gamma = delta = 1 after n opportunities is 1/(1+n).
    assert half_life(Rates(1, 1, 1, 1)) == 1
    assert half_life(Rates(1, 1, 1, 9)) == 9
    assert half_life(Rates(1, 1, 1e-9, 1e4), most=100) is None


def test_counting_loses_nobody() -> None:
    crowd = people(_PAPER, 500, 6, 0, random.Random(3))
    assert sum(counted(person.history for person in crowd).values()) == 500
