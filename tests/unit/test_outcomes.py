"""What a server says makes of a delivery: one outcome, and the reasons for it."""

from datetime import UTC, datetime, timedelta

import pytest

from esp.flows.outcomes import doubtful_outcome, outcome_of
from esp.model.attempt import Attempt, Failure, Phase
from esp.model.contact import SuppressionReason
from esp.model.delivery import EventType
from esp.model.verdict import Reply
from esp.ports.outbox import OutboxRow, Outcome
from esp.settings import DeliverySettings
from esp.verdict.judge import judge_attempt

NOW = datetime(2026, 11, 2, 9, 0, tzinfo=UTC)
SETTINGS = DeliverySettings()


def row(attempts: int = 0, age: timedelta = timedelta(), reason: str = "") -> OutboxRow:
    return OutboxRow(5, 6, 7, "p@a.example", "p@a.example", "a.example", "a.example", attempts, NOW - age, reason)


def after(attempt: Attempt, of: OutboxRow | None = None, first_retry: timedelta | None = None) -> Outcome:
    return outcome_of(of or row(), attempt, judge_attempt(attempt), NOW, SETTINGS, 0.5, first_retry)


def said(code: int, enhanced: str, text: str, phase: Phase = Phase.RCPT) -> Attempt:
    return Attempt(phase, Reply(code, enhanced, text), dot_sent=phase is Phase.DOT, host="mx.a.example")


LOST = Attempt(Phase.DOT, failure=Failure.CLOSED, dot_sent=True)


def test_taken() -> None:
    outcome = after(said(250, "2.0.0", "queued as 7", Phase.DOT))
    assert (outcome.type, outcome.code, outcome.reply, outcome.host) == (
        EventType.DELIVERED, 250, "2.0.0 queued as 7", "mx.a.example")
    assert not outcome.reason
    assert outcome.due_at is None


@pytest.mark.parametrize(("attempt", "suppress"), [
    (said(550, "5.1.1", "no such user"), SuppressionReason.HARD_BOUNCE),
    (said(554, "5.7.1", "message looks like spam", Phase.DOT), None),
    (said(552, "5.3.4", "message too big", Phase.DOT), None),
])
def test_refused_for_good(attempt: Attempt, suppress: SuppressionReason | None) -> None:
    outcome = after(attempt)
    assert (outcome.type, outcome.suppress) == (EventType.BOUNCED, suppress)


def test_refused_for_now() -> None:
    outcome = after(said(451, "4.3.0", "try later"))
    assert outcome.type is EventType.DEFERRED
    assert outcome.due_at == NOW + SETTINGS.retry_delays[0]
    assert not outcome.maybe_duplicate


def test_greylisting_is_answered_at_the_providers_own_pace() -> None:
    outcome = after(said(451, "4.7.1", "greylisted, please try again"), first_retry=timedelta(minutes=7))
    assert outcome.due_at == NOW + timedelta(minutes=7)


def test_too_old_and_tried_often_enough() -> None:
    busy = said(451, "4.3.0", "try later")
    days = timedelta(days=5)
    assert after(busy, row(attempts=3, age=days)).type is EventType.EXPIRED
    # A clock that jumps ahead by days bounces nobody.
    assert after(busy, row(attempts=2, age=days)).type is EventType.DEFERRED
    assert after(busy, row(attempts=30)).type is EventType.DEFERRED


def test_a_connection_lost_after_the_dot_is_tried_once_more() -> None:
    first = after(LOST)
    assert (first.type, first.reason, first.maybe_duplicate) == (EventType.DEFERRED, "ambiguous", True)
    second = after(LOST, row(attempts=1, reason=first.reason))
    assert (second.type, second.maybe_duplicate) == (EventType.EXPIRED, True)


def test_a_dead_workers_dot_is_tried_once_more() -> None:
    outcome = doubtful_outcome(row(), NOW, SETTINGS, 0.5)
    assert (outcome.type, outcome.reason, outcome.maybe_duplicate) == (EventType.DEFERRED, "ambiguous", True)
    assert after(LOST, row(attempts=1, reason=outcome.reason)).type is EventType.EXPIRED


def test_a_reply_is_kept_in_bounds() -> None:
    assert len(after(said(550, "5.0.0", "x" * 10_000)).reply) <= 500
