"""What a message is: one ordered table, read from top to bottom, of which the first rule that matches decides."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import getaddresses
from enum import StrEnum
from typing import Final

from esp.inbound.message import ReadMessage
from esp.inbound.report import Complaint, RecipientReport, complaint, recipient_reports
from esp.ports.mailroom import InboundKind

# RFC 3834 section 2: who answers these talks to a machine.
_MACHINES: Final = re.compile(r"^(?:owner-.*|.*-request|.*-owner|mailer-daemon|postmaster|no-?reply.*)@", re.IGNORECASE)
_DAEMONS: Final = re.compile(r"(?:mailer-daemon|postmaster|mail-daemon|mdaemon)@", re.IGNORECASE)


class Mailbox(StrEnum):
    """Which of our addresses a message came to."""

    RETURN_PATH = "return_path"
    UNSUBSCRIBE = "unsubscribe"
    CONFIRM = "confirm"
    COMMAND = "command"
    POSTMASTER = "postmaster"


@dataclass(frozen=True, slots=True)
class Recognition:
    """What a message is, by which rule, and what the reports in it say."""

    kind: InboundKind
    rule: str
    reports: tuple[RecipientReport, ...] = ()
    complaint: Complaint | None = None
    sender: str = ""  # the one address of From, which anybody can forge
    subject: str = ""
    message_id: str = ""


@dataclass(frozen=True, slots=True)
class Incoming:
    """A message with what the envelope says of it."""

    message: ReadMessage
    mailbox: Mailbox
    null_sender: bool


@dataclass(frozen=True, slots=True)
class Rule:
    name: str
    why: str
    matches: Callable[[Incoming], bool]
    kind: InboundKind


def _is_automatic(incoming: Incoming) -> bool:
    fields = incoming.message.fields
    submitted = fields.get("auto-submitted", "no").lower()
    return (
        not submitted.startswith("no")  # RFC 3834 section 5
        or "x-autoreply" in fields or "x-autorespond" in fields
        or fields.get("precedence", "").lower() == "auto_reply"
    )


def _is_bulk(incoming: Incoming) -> bool:
    if incoming.mailbox not in (Mailbox.CONFIRM, Mailbox.COMMAND):
        return False
    fields = incoming.message.fields
    return (
        incoming.null_sender or "list-id" in fields or "list-unsubscribe" in fields or "x-loop" in fields
        or fields.get("precedence", "").lower() in ("bulk", "list", "junk")
        or bool(_MACHINES.search(_sender(incoming.message)))
    )


def _sender(message: ReadMessage) -> str:
    """The address of From; empty where there is none or more than one."""
    found = getaddresses([message.fields.get("from", "")])
    return found[0][1] if len(found) == 1 and "@" in found[0][1] else ""


def _is_from_daemon(incoming: Incoming) -> bool:
    return incoming.null_sender and bool(_DAEMONS.search(incoming.message.fields.get("from", "")))


RULES: Final[tuple[Rule, ...]] = (
    Rule("feedback-report", "RFC 5965: a person pressed the junk button.",
         lambda incoming: complaint(incoming.message) is not None, InboundKind.COMPLAINT),
    Rule("delivery-report", "RFC 3464: a machine says what became of a mail; before auto-reply, for it is one too.",
         lambda incoming: bool(recipient_reports(incoming.message)), InboundKind.BOUNCE),
    Rule("daemon", "A bounce in prose only: nothing to judge it by yet, but nobody's answer either.",
         _is_from_daemon, InboundKind.BOUNCE),
    Rule("automatic", "RFC 3834: an out-of-office notice, which must not unsubscribe anybody, so before that rule.",
         _is_automatic, InboundKind.AUTO_REPLY),
    Rule("unsubscribe-address", "RFC 2369 section 3.2: all else that comes to that address is a wish to leave.",
         lambda incoming: incoming.mailbox is Mailbox.UNSUBSCRIBE, InboundKind.UNSUBSCRIBE),
    Rule("bulk", "RFC 3834 section 2: a list's mail or a machine's is nobody's command, and an answer would loop.",
         _is_bulk, InboundKind.AUTO_REPLY),
    Rule("confirm-address", "A person who answers a mail that asked for confirmation.",
         lambda incoming: incoming.mailbox is Mailbox.CONFIRM, InboundKind.CONFIRM),
    Rule("command-address", "A list's address for subscribing, leaving and help.",
         lambda incoming: incoming.mailbox is Mailbox.COMMAND, InboundKind.COMMAND),
    Rule("postmaster", "RFC 5321 section 4.5.1: mail to the people who run this server.",
         lambda incoming: incoming.mailbox is Mailbox.POSTMASTER, InboundKind.POSTMASTER),
)


def recognise(incoming: Incoming) -> Recognition:
    """The kind of a message, with its reports where it has any."""
    for rule in RULES:
        if rule.matches(incoming):
            message = incoming.message
            return Recognition(rule.kind, rule.name, recipient_reports(message), complaint(message), _sender(message),
                               message.fields.get("subject", ""), message.fields.get("message-id", ""))
    return Recognition(InboundKind.OTHER, "")
