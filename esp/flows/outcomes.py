"""From what a server said to what becomes of the delivery: pure, for the flow, the recovery and the tests."""

from datetime import datetime, timedelta
from typing import Final

from esp.deliver.retry import GiveUp, next_try
from esp.model.attempt import Attempt
from esp.model.contact import SuppressionReason
from esp.model.delivery import EventType
from esp.model.verdict import Permanence, Reason, Scope, Verdict
from esp.ports.outbox import OutboxRow, Outcome
from esp.settings import DeliverySettings
from esp.verdict.judge import hard

_LONGEST_REPLY: Final = 500  # characters that are kept


def outcome_of(
    row: OutboxRow, attempt: Attempt, verdict: Verdict, now: datetime, settings: DeliverySettings, jitter: float,
    first_retry: timedelta | None = None,
) -> Outcome:
    """What ``attempt``, judged as ``verdict``, makes of ``row``. ``jitter`` is random in [0, 1).

    A connection lost between the dot and its answer is tried once more and then left: the message may lie in the
    mailbox twice already, and a server that always hangs up there would otherwise get a copy every hour for days.
    """
    code, reply = 0, attempt.detail or str(attempt.failure or "")
    if attempt.reply is not None:
        code, reply = attempt.reply.code, f"{attempt.reply.enhanced} {attempt.reply.text}".strip()

    def outcome(
        kind: EventType, reason: Reason, due_at: datetime | None = None, suppress: SuppressionReason | None = None
    ) -> Outcome:
        return Outcome(
            row, kind, now, "" if reason is Reason.OK else reason.value, verdict.rule, code, reply[:_LONGEST_REPLY],
            attempt.host, attempt.tls, due_at, maybe_duplicate=attempt.ambiguous, suppress=suppress,
        )

    if verdict.permanence is Permanence.SUCCESS:
        return outcome(EventType.DELIVERED, Reason.OK)
    reason = Reason.AMBIGUOUS if attempt.ambiguous else verdict.reason
    if attempt.ambiguous and row.reason == Reason.AMBIGUOUS:
        return outcome(EventType.EXPIRED, reason)
    if verdict.permanence is Permanence.PERMANENT and not attempt.ambiguous:
        dead = hard(verdict) and verdict.scope is Scope.RECIPIENT
        return outcome(EventType.BOUNCED, reason, suppress=SuppressionReason.HARD_BOUNCE if dead else None)
    greylisted = first_retry if reason is Reason.GREYLISTED else None
    step = next_try(row.attempts + 1, now - row.created_at, settings.retry_delays, settings.give_up_after,
                    settings.minimum_tries, jitter, greylisted)
    if isinstance(step, GiveUp):
        return outcome(EventType.EXPIRED, reason)
    return outcome(EventType.DEFERRED, reason, due_at=now + step.delay)


def refused_outcome(row: OutboxRow, reason: str, now: datetime) -> Outcome:
    """The person must not get it any more: they left, or the address was suppressed, since the delivery was written."""
    return Outcome(row, EventType.SUPPRESSED, now, reason, tried=False)


def unrenderable_outcome(row: OutboxRow, problem: Exception, now: datetime) -> Outcome:
    """This one message cannot be made from its contact's data; the others of the campaign can."""
    return Outcome(row, EventType.BOUNCED, now, Reason.CONTENT.value, "not_rendered", tried=False,
                   reply=str(problem)[:_LONGEST_REPLY])


def doubtful_outcome(row: OutboxRow, now: datetime, settings: DeliverySettings, jitter: float) -> Outcome:
    """A worker died between the dot and the answer: tried once more, later, and marked."""
    delay = settings.retry_delays[0] * (0.75 + jitter / 2)
    return Outcome(row, EventType.DEFERRED, now, Reason.AMBIGUOUS.value, "worker_died", due_at=now + delay,
                   maybe_duplicate=True)
