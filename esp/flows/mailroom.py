"""The way of a message in: kept by the MX, recognised, correlated, judged like any other refusal, applied, filed.

Only a token of ours ties a message to a delivery, and only a report by it changes anything: whatever else is written in
a message is a stranger's word (a forged bounce must not silence a subscriber).
"""

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Final

import structlog

from esp.app import App
from esp.flows import commands
from esp.inbound.correlate import addressed
from esp.inbound.recognise import Mailbox, Recognition
from esp.inbound.report import Complaint, RecipientReport
from esp.inbound.service import Reader
from esp.model.contact import SuppressionReason
from esp.model.delivery import TRANSITIONS, DeliveryState, EventType, NewEvent
from esp.model.verdict import Permanence, Reason, Verdict
from esp.ports.engagement import Withdrawal
from esp.ports.ledger import NewSuppression
from esp.ports.mailroom import Filed, InboundKind, InboundMessage, Outcome, ReportedDelivery
from esp.verdict import hard, judge_report, version
from esp.wire.tokens import Claims

log = structlog.get_logger(__name__)

WAKES: Final = "inbound"  # coordination topic: a message was kept
BATCH: Final = 50
OLDEST: Final = timedelta(days=30)  # no server tries for longer; what reports on an older mail is a replay
# What would change something, or says something of a delivery, if it could be believed.
_CLAIMS: Final = frozenset(
    (InboundKind.BOUNCE, InboundKind.COMPLAINT, InboundKind.UNSUBSCRIBE, InboundKind.AUTO_REPLY, InboundKind.CHALLENGE)
)
_REPLY_LENGTH: Final = 500
_TEXT_LENGTH: Final = 2000
# A full mailbox may have room tomorrow: not one that was full four times, over two weeks, with nothing arriving.
_FULL_TIMES: Final = 4
_FULL_FOR: Final = timedelta(days=14)
_PAST: Final = 50
# Judged as bad news of the address: ``not-spam`` (RFC 5965 section 7.3) is the opposite of a complaint.
_COMPLAINTS: Final = frozenset(("abuse", "fraud", "virus", "other", "opt-out", "opt-out-list", ""))


class Proof(StrEnum):
    """Where the token stood that ties a message to a delivery."""

    ENVELOPE = "envelope"  # in the address that it came to
    RETURNED = "returned"  # in the header of the mail that came back


@dataclass(frozen=True, slots=True)
class Received:
    """A message as read: to which of our addresses it came, what proves whose it is, and what it is."""

    mailbox: Mailbox
    proof: Proof
    found: Recognition


async def process_new(app: App, reader: Reader) -> bool:
    """Judge some messages that the MX kept; True where more may wait. A crash in between changes nothing twice.

    One that cannot be judged is tried once more after the others and then filed as unreadable: it must not stand in
    front of everybody's bounces for ever. A store that is away raises, and all of it comes again.
    """
    waiting = await app.store.mailroom.waiting(BATCH)
    failed = [message for message in waiting if not await _file(app, reader, message)]
    for message in failed:
        if not await _file(app, reader, message):
            await app.store.mailroom.file((Filed(message.id, InboundKind.UNREADABLE, Outcome.FILED),))
    return len(waiting) == BATCH


async def _file(app: App, reader: Reader, message: InboundMessage) -> bool:
    """Judge one message and file it; False where that failed."""
    try:
        filed = await _process(app, reader, message)
        await app.store.mailroom.file((filed,))
    except Exception as problem:  # its kind only: what a database says of an error quotes the mail
        log.error("inbound_not_judged", message=message.id, error=type(problem).__name__)
        return False
    log.info("inbound_filed", message=filed.id, kind=filed.kind.value, outcome=filed.outcome.value,
             delivery=filed.delivery_id)
    return True


async def forget_old(app: App) -> bool:
    """Delete what was judged so long ago that no report could still be about it; its facts are in the ledger."""
    return await app.store.mailroom.forget(app.clock.now() - app.settings.retention.inbound_mail, BATCH) == BATCH


async def _process(app: App, reader: Reader, message: InboundMessage) -> Filed:
    recipients, found = message.recipients, None
    if message.pickup_id is not None:
        # It has no envelope: whose it is stands in its header, where our tokens prove as much as in an envelope.
        found = await reader.recognise(message.raw, Mailbox.ELSEWHERE, False)
        recipients = found.addressees
    to = addressed(app.tokens, recipients)
    commanded = await commands.addressed_list(app, recipients) if to.claims is None else None
    mailbox = Mailbox.COMMAND if commanded is not None else to.mailbox
    if found is None or mailbox is not Mailbox.POSTMASTER:
        found = await reader.recognise(message.raw, mailbox, not message.mail_from)
    if message.workspace_id is not None and _is_foreign(message.workspace_id, to.claims, commanded):
        return Filed(message.id, found.kind, Outcome.UNTRUSTED)
    if found.kind is InboundKind.COMMAND and commanded is not None:
        outcome = await commands.command(app, commanded, found)
        return Filed(message.id, found.kind, outcome, commanded.one.workspace_id)
    if to.mailbox is Mailbox.CONFIRM and to.claims is not None:
        outcome = await commands.confirm(app, to.claims, found)
        return Filed(message.id, found.kind, outcome, to.claims.workspace_id)
    claims, proof = to.claims, Proof.ENVELOPE
    # At our own door a bounce that comes to no valid return path is a forger's; a mailbox elsewhere has no return path.
    if claims is None and (found.kind is InboundKind.COMPLAINT
                           or (found.kind is InboundKind.BOUNCE and message.pickup_id is not None)):
        told = found.complaint.evidence if found.complaint is not None else found.evidence
        claims, proof = addressed(app.tokens, told).claims, Proof.RETURNED
        if message.workspace_id is not None and _is_foreign(message.workspace_id, claims, None):
            claims = None
    delivery = await _delivery(app, claims)
    if delivery is None:
        return Filed(message.id, found.kind, Outcome.UNTRUSTED if found.kind in _CLAIMS else Outcome.FILED)
    outcome = await _apply(app, message, Received(to.mailbox, proof, found), delivery)
    return Filed(message.id, found.kind, outcome, delivery.workspace_id, delivery.id)


def _is_foreign(workspace_id: int, claims: Claims | None, commanded: commands.Commanded | None) -> bool:
    """Whether what a workspace's mailbox brought speaks of another's people: a mailbox is its owner's word alone."""
    if claims is not None:
        return claims.workspace_id != workspace_id
    return commanded is not None and commanded.one.workspace_id != workspace_id


async def _delivery(app: App, claims: Claims | None) -> ReportedDelivery | None:
    if claims is None:
        return None
    return await app.store.mailroom.delivery(claims.workspace_id, claims.campaign_id, claims.delivery_id)


async def _apply(app: App, message: InboundMessage, it: Received, delivery: ReportedDelivery) -> Outcome:
    found = it.found
    match found.kind:
        case InboundKind.UNSUBSCRIBE:  # works for as long as somebody has the mail, so it is never too old
            changed = await app.store.engagement.unsubscribe(Withdrawal(
                delivery.workspace_id, delivery.campaign_id, delivery.id, message.received_at, "mailto",
            ))
            return Outcome.APPLIED if changed else Outcome.UNCHANGED
        case InboundKind.BOUNCE | InboundKind.COMPLAINT if message.received_at - delivery.created_at > OLDEST:
            return Outcome.TOO_OLD
        case InboundKind.BOUNCE if it.mailbox is Mailbox.RETURN_PATH or it.proof is Proof.RETURNED:
            return await _bounce(app, message, it, delivery)
        case InboundKind.COMPLAINT if found.complaint is not None:
            return await _complain(app, message, found.complaint, delivery)
        case _:
            return Outcome.FILED


async def _bounce(app: App, message: InboundMessage, it: Received, delivery: ReportedDelivery) -> Outcome:
    found = it.found
    judged = (
        (report, judge_report(report.status, report.action, report.diagnostic, report.prose))
        for report in found.reports
        # The mail that came back may have been forwarded by its reader, and bounced there: not this person's address.
        if it.proof is Proof.ENVELOPE or report.recipient.casefold() == delivery.email_key.casefold()
    )
    final = next(((report, verdict) for report, verdict in judged if _is_final(report, verdict)), None)
    # Without a final word it is a delay, a success, or nothing that a machine can read; without an arrow in the table
    # it is a second report, or one on a mail that never left.
    if final is None or (DeliveryState(delivery.state), EventType.BOUNCED) not in TRANSITIONS:
        return Outcome.UNCHANGED
    report, verdict = final
    reply = " ".join(part for part in (report.status, report.diagnostic or report.prose) if part)[:_REPLY_LENGTH]
    event = _event(delivery, message, EventType.BOUNCED, {
        "reason": verdict.reason.value, "reply": reply, "rule": verdict.rule, "reported": True,
        # What was written and which rules read it: so that history can be judged anew by better ones.
        "text": report.prose[:_TEXT_LENGTH], "rules": version(), "recognised": found.rule,
    })
    dead = hard(verdict) or (verdict.reason is Reason.MAILBOX_FULL and await _long_full(app, message, delivery))
    suppressions = [_suppression(delivery, SuppressionReason.HARD_BOUNCE, reply)] if dead else []
    applied = await app.store.ledger.apply((event,), suppressions)
    return Outcome.APPLIED if applied else Outcome.UNCHANGED


async def _long_full(app: App, message: InboundMessage, delivery: ReportedDelivery) -> bool:
    """Whether the mailbox has been full for so long, and so often, that nobody can be reading it."""
    if delivery.contact_id is None:
        return False
    past = await app.store.mailroom.recent(delivery.workspace_id, delivery.contact_id, _PAST)
    bounced = {event.delivery_id for event in past if event.type == EventType.BOUNCED}
    times, first = 1, message.received_at
    for event in past:
        if event.type == EventType.DELIVERED and event.delivery_id not in bounced | {delivery.id}:
            break  # something arrived since: there was room
        if event.type == EventType.BOUNCED:
            if event.reason != Reason.MAILBOX_FULL:
                break
            times, first = times + 1, event.at
    return times >= _FULL_TIMES and message.received_at - first >= _FULL_FOR


def _is_final(report: RecipientReport, verdict: Verdict) -> bool:
    """Whether the report says that the mail will not arrive. Transient trouble counts only where ``failed`` ends it."""
    return report.action in ("failed", "") and verdict.permanence is Permanence.PERMANENT


async def _complain(app: App, message: InboundMessage, complaint: Complaint, delivery: ReportedDelivery) -> Outcome:
    if complaint.type == "not-spam":
        return await _take_back(app, delivery)
    if complaint.type not in _COMPLAINTS:
        return Outcome.FILED
    event = _event(delivery, message, EventType.COMPLAINED, {"reason": complaint.type})
    applied = await app.store.ledger.apply((event,), (_suppression(delivery, SuppressionReason.COMPLAINT, ""),))
    return Outcome.APPLIED if applied else Outcome.UNCHANGED


async def _take_back(app: App, delivery: ReportedDelivery) -> Outcome:
    """RFC 5965 section 7.3: the person says that it was a mistake, so what their complaint stopped goes on."""
    found = await app.store.contacts.suppressions(delivery.workspace_id, email_key=delivery.email_key)
    complained = [one for one in found if one.reason == SuppressionReason.COMPLAINT]
    for one in complained:
        await app.store.suppressions.remove(delivery.workspace_id, one.id, "not-spam", app.clock.now())
    return Outcome.APPLIED if complained else Outcome.UNCHANGED


def _event(
    delivery: ReportedDelivery, message: InboundMessage, kind: EventType, detail: dict[str, object]
) -> NewEvent:
    return NewEvent(
        kind, message.received_at, delivery.workspace_id, delivery.campaign_id, delivery.id, delivery.contact_id,
        delivery.variant_id, provider=delivery.provider, detail={**detail, "inbound": message.id},
    )


def _suppression(delivery: ReportedDelivery, reason: SuppressionReason, note: str) -> NewSuppression:
    return NewSuppression(delivery.workspace_id, delivery.email_key, reason, delivery.id, note=note)
