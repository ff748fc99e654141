"""Where our ledger and the world disagree, the account says so; each way of disagreeing has a sentence."""

from typing import Any

import pytest

from esp.ports.reports import Figures, Metric
from esp.rehearsal.account import COMPARED, LedgerView, settle

ALL = ("a@x", "b@x", "c@x", "d@x")


def _person(**did: Any) -> dict[str, Any]:
    nothing = {"copies": 1, "greylisted": 0, "unknown": 0, "dkim_valid": 1, "answered": "", "opened": False,
               "clicked": False, "unsubscribed": False}
    return {**nothing, **did}


def _report() -> dict[str, Any]:
    """a reads and clicks, b is greylisted and does nothing, c is unknown, d is suppressed and never written to."""
    providers = {"sealed.example": {"accepted": 1, "encrypted": 1}, "steady.example": {"accepted": 1, "encrypted": 0}}
    return {"failures": 0, "complaints": [], "providers": providers, "people": {
        "a@x": _person(opened=True, clicked=True), "b@x": _person(greylisted=2, answered="vacation"),
        "c@x": _person(copies=0, dkim_valid=0, unknown=1),
    }}


def _ledger(**people: set[str]) -> LedgerView:
    sets: dict[Metric, frozenset[str]] = dict.fromkeys(COMPARED, frozenset())
    sets |= {Metric.DELIVERED: frozenset({"a@x", "b@x"}), Metric.BOUNCED: frozenset({"c@x"}),
             Metric.SUPPRESSED: frozenset({"d@x"}), Metric.OPENED: frozenset({"a@x"}),
             Metric.CLICKED: frozenset({"a@x"})}
    sets |= {Metric(name): frozenset(found) for name, found in people.items()}
    figures = Figures(targeted=4, **{metric.value: len(found) for metric, found in sets.items()})
    return LedgerView(4, figures, 2, sets)


def test_two_sides_that_agree_give_figures_and_no_sentence() -> None:
    account = settle(_ledger(), _report())
    assert account.disagreements == ()
    assert account.figures == {
        "targeted": 4, "delivered": 2, "deferred": 2, "bounced": 1, "suppressed": 1, "opened": 1, "clicked": 1,
        "unsubscribed": 0, "dkim_valid": 2, "duplicates": 0, "missed": 0,
    }


@pytest.mark.parametrize(("metric", "people"), [
    ("delivered", {"a@x"}), ("bounced", set()), ("opened", set()), ("opened", {"a@x", "b@x"}), ("clicked", {"b@x"}),
    ("unsubscribed", {"a@x"}), ("suppressed", {"d@x", "b@x"}),
])
def test_one_person_of_difference_is_named(metric: str, people: set[str]) -> None:
    assert any("@x" in sentence for sentence in settle(_ledger(**{metric: people}), _report()).disagreements)


@pytest.mark.parametrize(("person", "did", "word"), [
    ("a@x", {"copies": 2, "dkim_valid": 2}, "duplicates"), ("a@x", {"dkim_valid": 0}, "signatures"),
    ("b@x", {"greylisted": 3}, "deferred"), ("b@x", {"copies": 0, "dkim_valid": 0}, "missed"),
    ("b@x", {"answered": "failed"}, "bounced"),
])
def test_what_the_world_saw_otherwise_is_said(person: str, did: dict[str, Any], word: str) -> None:
    report = _report()
    report["people"][person] |= did
    assert any(word in sentence for sentence in settle(_ledger(), report).disagreements)


def test_a_rollup_that_differs_from_its_rows_is_said() -> None:
    ledger = _ledger()
    wrong = Figures(targeted=4, delivered=3, bounced=1, suppressed=1, opened=1, clicked=1)
    found = settle(LedgerView(4, wrong, 2, ledger.people), _report()).disagreements
    assert any("rollup" in sentence for sentence in found)


def test_a_mail_in_clear_to_a_provider_that_offers_tls_is_said() -> None:
    report = _report()
    report["providers"]["sealed.example"]["encrypted"] = 0
    assert any("STARTTLS" in sentence for sentence in settle(_ledger(), report).disagreements)


def test_a_failed_request_and_a_providers_complaint_are_said() -> None:
    report = _report() | {"failures": 3, "complaints": ["a@x: not signed"]}
    found = settle(_ledger(), report).disagreements
    assert any("3 of" in sentence for sentence in found)
    assert "a@x: not signed" in found
