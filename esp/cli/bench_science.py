"""``merpati bench decay`` and ``merpati bench experiments``: the mathematics proved by simulation, with fixed seeds."""

import time
from typing import Annotated, Any

import typer

from esp.cli.shared import JsonOption, out, print_json
from tracking.science import decay_trial, experiment_trial
from tracking.science.alive import History, Rates, alive, any_response, expected


def decay(
    contacts: Annotated[int, typer.Option(min=1000, help="People to simulate.")] = 50_000,
    mails: Annotated[int, typer.Option(min=2, max=200, help="Mails whose responses the model sees.")] = 30,
    next_mails: Annotated[int, typer.Option(min=1, max=100, help="Mails kept back to judge it by.")] = 10,
    seed: Annotated[int, typer.Option(help="Of the simulation.")] = 1,
    as_json: JsonOption = False,
) -> None:
    """Simulate people who stop listening, recover the parameters, foretell the next mails, and compare."""
    begun = time.perf_counter()
    trial = decay_trial.run(contacts, mails, next_mails, seed)
    seconds = time.perf_counter() - begun
    intervals = trial.fit.intervals()
    figures: dict[str, Any] = {
        "parameter_error_max": round(trial.parameter_error, 4),
        "calibration_error_max": round(trial.calibration_error, 4),
        "auc_model": round(trial.auc_model, 4),
        "auc_days_since_open": round(trial.auc_recency, 4),
        "auc_open_rate": round(trial.auc_rate, 4),
        "expected_responses_error": round(abs(trial.expected / trial.came - 1), 4),
        "expected_responses": round(trial.expected),
        "actual_responses": trial.came,
        "parameters": [_four(trial.true), _four(trial.fit.rates)],
        "intervals": None if intervals is None else [[round(one.low, 3), round(one.high, 3)] for one in intervals],
        "fit_converged": trial.fit.converged,
        "scored_per_second": _scored_per_second(trial, next_mails),
        "contacts": contacts,
        "seed": seed,
        "seconds": round(seconds, 1),
    }
    _show(figures, as_json)


def experiments(
    tests: Annotated[int, typer.Option(min=100, help="Simulated tests without a difference.")] = 10_000,
    recipients: Annotated[int, typer.Option(min=1000, help="Recipients of each of them.")] = 10_000,
    every: Annotated[int, typer.Option(min=10, help="Recipients between two looks.")] = 100,
    seed: Annotated[int, typer.Option(help="Of the simulation.")] = 1,
    as_json: JsonOption = False,
) -> None:
    """Simulate tests with and without a difference, looked at all the time, and a bandit against an equal split."""
    begun = time.perf_counter()
    few = max(100, tests // 4)
    null = {0.05: experiment_trial.looked_at(0.05, 0.05, recipients, every, tests, seed)}
    null |= {base: experiment_trial.looked_at(base, base, recipients, every, few, seed) for base in (0.005, 0.3)}
    uneven = experiment_trial.looked_at(0.02, 0.02, recipients, every, few, seed, first_weight=0.1)
    real = experiment_trial.planned_power(0.05, 0.01, every, few, seed)
    regret = experiment_trial.regret((0.03, 0.04, 0.05), 10_000, 200, 20, seed)
    everything = [*null.values(), uneven]
    figures: dict[str, Any] = {
        "false_winner_rate": round(max(one.called for one in everything), 4),
        "power": round(real.right, 4),
        "planned_power": round(real.right_once, 4),
        "bandit_regret": round(regret.bandit, 5),
        "equal_regret": round(regret.equal, 5),
        "coverage": round(min(one.held for one in (*everything, real)), 4),
        "false_winner_rates": {str(base): round(one.called, 4) for base, one in null.items()}
        | {"0.02, split 10 to 90": round(uneven.called, 4)},
        "tests": tests,
        "tests_of_each_other_kind": few,
        "looks_per_test": null[0.05].looks,
        "seed": seed,
        "seconds": round(time.perf_counter() - begun, 1),
    }
    _show(figures, as_json)


def _four(rates: Rates) -> list[float]:
    return [round(value, 4) for value in (rates.alpha, rates.beta, rates.gamma, rates.delta)]


def _scored_per_second(trial: decay_trial.Trial, ahead: int) -> int:
    """Distinct histories for which the three figures are computed in a second; people with the same share them."""
    begun, done = time.perf_counter(), 0
    for opportunities in range(1, 40):
        for last in range(1, opportunities + 1):
            history = History((last + 1) // 2, last, opportunities)
            alive(trial.fit.rates, history)
            expected(trial.fit.rates, history, ahead)
            any_response(trial.fit.rates, history, ahead)
            done += 1
    return round(done / (time.perf_counter() - begun))


def _show(figures: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(figures)
        return
    for name, value in figures.items():
        out.print(f"{name:28} {value}")
