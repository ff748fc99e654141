"""What a message is: one ordered table, read from top to bottom, of which the first rule that matches decides."""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from email.utils import getaddresses
from enum import StrEnum
from typing import Final

from esp.inbound import automatic, feedback, notices, prose
from esp.inbound.message import ReadMessage
from esp.inbound.phrases import Family, Where, of_family, said
from esp.inbound.report import Complaint, RecipientReport, recipient_reports
from esp.ports.mailroom import InboundKind

# RFC 3834 section 2: who answers these talks to a machine.
_MACHINES: Final = re.compile(r"^(?:owner-.*|.*-request|.*-owner|mailer-daemon|postmaster|no-?reply.*)@", re.IGNORECASE)
_DAEMONS: Final = re.compile(r"(?:mailer-daemon|postmaster|mail-daemon|mdaemon)@", re.IGNORECASE)
_SUCCESSES: Final = frozenset(("delivered", "relayed", "expanded"))
_ID: Final = re.compile(r"<([^<>\s]{3,250})>")
_HEADER: Final = 8000  # characters of a header field that are looked at
_PROSE: Final = 1500  # characters of text around a recipient that go with its report


class Mailbox(StrEnum):
    """Which of our addresses a message came to."""

    RETURN_PATH = "return_path"
    UNSUBSCRIBE = "unsubscribe"
    CONFIRM = "confirm"
    COMMAND = "command"
    POSTMASTER = "postmaster"
    ELSEWHERE = "elsewhere"  # not one of ours: collected from a mailbox of the marketer's


# Where the systems on the way to a mailbox write for whom a mail was, the surest first.
_ADDRESSEES: Final = ("delivered-to", "x-original-to", "envelope-to", "x-envelope-to", "to", "cc")
_MOST_ADDRESSEES: Final = 20


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
    label: str = ""  # the finer word for its kind, as ``merpati classify`` prints it
    addressees: tuple[str, ...] = ()  # as its header names them
    evidence: tuple[str, ...] = ()  # addresses in the header of the mail that came back
    refers: tuple[str, ...] = ()  # Message-IDs that it answers or that came back, without brackets


@dataclass(frozen=True, slots=True)
class Incoming:
    """A message with what the envelope says of it."""

    message: ReadMessage
    mailbox: Mailbox
    null_sender: bool


def _is_bulk(incoming: Incoming) -> bool:
    if incoming.mailbox not in (Mailbox.CONFIRM, Mailbox.COMMAND):
        return False
    fields = incoming.message.fields
    return (
        _has_null_sender(incoming) or "list-id" in fields or "list-unsubscribe" in fields or "x-loop" in fields
        or fields.get("precedence", "").lower() in ("bulk", "list", "junk")
        or bool(_MACHINES.search(_sender(incoming.message)))
    )


def _has_null_sender(incoming: Incoming) -> bool:
    """As the envelope said, or what the last system on the way noted of it (RFC 5321 section 4.4)."""
    if incoming.mailbox is Mailbox.ELSEWHERE:
        return incoming.message.fields.get("return-path", "").strip() == "<>"
    return incoming.null_sender


def _sender(message: ReadMessage) -> str:
    """The address of From; empty where there is none or more than one."""
    found = getaddresses([message.fields.get("from", "")])
    return found[0][1] if len(found) == 1 and "@" in found[0][1] else ""


def _is_from_daemon(incoming: Incoming) -> bool:
    return _has_null_sender(incoming) and bool(_DAEMONS.search(incoming.message.fields.get("from", "")))


@dataclass(frozen=True, slots=True)
class Found:
    """What a rule found in a message beside its kind."""

    reports: tuple[RecipientReport, ...] = ()
    complaint: Complaint | None = None


@dataclass(frozen=True, slots=True)
class Rule:
    """One line of the table. ``find`` says what is there, or None where the rule does not apply."""

    name: str
    why: str
    find: Callable[[Incoming], Found | None]
    kind: InboundKind
    label: str


_NOTHING: Final = Found()


def _if(test: Callable[[ReadMessage], bool]) -> Callable[[Incoming], Found | None]:
    return lambda incoming: _NOTHING if test(incoming.message) else None


def _when(test: Callable[[Incoming], bool]) -> Callable[[Incoming], Found | None]:
    return lambda incoming: _NOTHING if test(incoming) else None


def _complained(test: Callable[[ReadMessage], Complaint | None]) -> Callable[[Incoming], Found | None]:
    def find(incoming: Incoming) -> Found | None:
        complaint = test(incoming.message)
        return None if complaint is None else Found(complaint=complaint)

    return find


def _provider_complaint(message: ReadMessage) -> Complaint | None:
    found = feedback.notice(message)
    return None if found is None else found.complaint


def _notice(incoming: Incoming) -> Found | None:
    found = feedback.notice(incoming.message)
    return Found(found.reports) if found is not None and found.reports else None


def _delivery_report(incoming: Incoming) -> Found | None:
    message = incoming.message
    reports = recipient_reports(message)
    if not reports and message.report_type != "delivery-status":
        return None
    named = [report for report in reports if report.recipient]
    if len(named) < len(reports) or not reports:
        # The report names nobody, or only some: what is written beside it may.
        known = {report.recipient.lower() for report in named}
        others = [one for one in prose.written_reports(message) if one.recipient.lower() not in known]
        if not reports:
            return Found(tuple(others))
        nameless = [report for report in reports if not report.recipient]
        named += [replace(report, recipient=one.recipient, prose=one.prose)
                  for report, one in zip(nameless, others, strict=False)]
        if not named:
            return Found(reports)
    return Found(tuple(_with_prose(message, report, len(named) == 1) for report in named))


def _with_prose(message: ReadMessage, report: RecipientReport, alone: bool) -> RecipientReport:
    """The report with what the text says of this recipient, or of the message if it has only one."""
    if report.prose or report.action in _SUCCESSES:
        return report
    at = message.lower.find(report.recipient.lower()) if report.recipient else -1
    if at < 0 and not alone:
        return report
    text = message.text[at : at + _PROSE // 2] if at >= 0 and not alone else message.text[:_PROSE]
    return replace(report, prose=text)


def _only_successes(incoming: Incoming) -> Found | None:
    reports = recipient_reports(incoming.message)
    return Found(reports) if reports and all(one.action in _SUCCESSES for one in reports) else None


def _provider_delivery(incoming: Incoming) -> Found | None:
    found = _notice(incoming)
    return found if found is not None and all(one.action in _SUCCESSES for one in found.reports) else None


def _prose(incoming: Incoming) -> Found | None:
    message = incoming.message
    return Found(prose.written_reports(message)) if prose.is_written(message) else None


def _asks_to_leave(incoming: Incoming) -> bool:
    """A mail program's unsubscribe button, which marks its mail as automatic as it should; people's one word, too."""
    if incoming.mailbox in (Mailbox.CONFIRM, Mailbox.COMMAND):
        return False
    message = incoming.message
    if said(Family.UNSUBSCRIBE, Where.TEXT, message.lower[:2000]) is not None:
        return True
    subject = message.subject.lower().strip(" .!<>\"'")
    commands = of_family(Family.UNSUBSCRIBE, Where.SUBJECT)
    return any(subject == pieces[0] for phrase in commands for pieces in phrase.pieces)


_K: Final = InboundKind

RULES: Final[tuple[Rule, ...]] = (
    Rule("feedback-report", "RFC 5965: a person pressed the junk button.",
         _complained(feedback.complaint), _K.COMPLAINT, "arf"),
    Rule("junk-report", "Feedback in other shapes: Hotmail's program, covering letters.",
         _complained(feedback.junk_report), _K.COMPLAINT, "feedback"),
    Rule("provider-complaint", "A provider's notice in JSON that somebody complained.",
         _complained(_provider_complaint), _K.COMPLAINT, "feedback"),
    Rule("provider-delivery", "The same of a mail that arrived.", _provider_delivery, _K.BOUNCE, "delivered"),
    Rule("provider-bounce", "The same of one that did not.", _notice, _K.BOUNCE, "bounce"),
    Rule("dmarc", "RFC 9990: somebody's daily figures about mail in our name.",
         _if(notices.is_dmarc), _K.DMARC_REPORT, "dmarc"),
    Rule("tls", "RFC 8460: the same about encryption on the way to us.",
         _if(notices.is_tls_report), _K.TLS_REPORT, "tlsrpt"),
    Rule("receipt", "RFC 8098: a program says that it showed the mail, or deleted it unread.",
         _if(notices.is_receipt), _K.RECEIPT, "mdn"),
    Rule("delivery-success", "RFC 3464: a machine says that a mail arrived.", _only_successes, _K.BOUNCE, "delivered"),
    Rule("challenge-report", "A challenge that is dressed as a delivery report.",
         _if(automatic.is_challenger), _K.CHALLENGE, "challenge"),
    Rule("delivery-report", "RFC 3464: a machine says what became of a mail; before automatic, for it is that too.",
         _delivery_report, _K.BOUNCE, "bounce"),
    Rule("prose", "A mail system that says so in its own words: before automatic, for the same reason.",
         _prose, _K.BOUNCE, "bounce"),
    Rule("daemon", "Nobody's answer, from a mail system whose words we do not know.",
         _when(_is_from_daemon), _K.BOUNCE, "bounce"),
    Rule("challenge", "A filter that wants the sender to prove that it is a person.",
         _if(automatic.is_challenge), _K.CHALLENGE, "challenge"),
    Rule("unsubscribe-word", "A mail program's unsubscribe button (RFC 2369), marked as automatic, so before that.",
         _when(_asks_to_leave), _K.UNSUBSCRIBE, "unsubscribe"),
    Rule("vacation", "RFC 3834: an absence notice, which must not unsubscribe anybody, so before that rule.",
         _if(lambda message: automatic.is_marked(message) and automatic.is_vacation(message)),
         _K.AUTO_REPLY, "vacation"),
    Rule("automatic", "RFC 3834: any other answer of a machine.",
         _if(automatic.is_marked), _K.AUTO_REPLY, "auto_reply"),
    Rule("vacation-words", "The same by its words, from the many that mark nothing.",
         _if(automatic.is_written_vacation), _K.AUTO_REPLY, "vacation"),
    Rule("automatic-words", "Confirmations of receipt by their words.",
         _if(automatic.is_automatic), _K.AUTO_REPLY, "auto_reply"),
    Rule("unsubscribe-address", "RFC 2369 section 3.2: all else that comes to that address is a wish to leave.",
         _when(lambda incoming: incoming.mailbox is Mailbox.UNSUBSCRIBE), _K.UNSUBSCRIBE, "unsubscribe"),
    Rule("bulk", "RFC 3834 section 2: a list's mail or a machine's is nobody's command, and an answer would loop.",
         _when(_is_bulk), _K.AUTO_REPLY, "auto_reply"),
    Rule("confirm-address", "A person who answers a mail that asked for confirmation.",
         _when(lambda incoming: incoming.mailbox is Mailbox.CONFIRM), _K.CONFIRM, "reply"),
    Rule("command-address", "A list's address for subscribing, leaving and help.",
         _when(lambda incoming: incoming.mailbox is Mailbox.COMMAND), _K.COMMAND, "other"),
    Rule("postmaster", "RFC 5321 section 4.5.1: mail to the people who run this server.",
         _when(lambda incoming: incoming.mailbox is Mailbox.POSTMASTER), _K.POSTMASTER, "other"),
    Rule("reply", "RFC 5322 section 3.6.4: somebody answers a mail.", _if(automatic.is_reply), _K.REPLY, "reply"),
)


def recognise(incoming: Incoming) -> Recognition:
    """The kind of a message, with its reports where it has any."""
    message = incoming.message
    for rule in RULES:
        found = rule.find(incoming)
        if found is not None:
            return Recognition(rule.kind, rule.name, found.reports, found.complaint, _sender(message), message.subject,
                               message.fields.get("message-id", ""), rule.label, *_about(message))
    about = _about(message)
    return Recognition(InboundKind.OTHER, "", (), None, _sender(message), message.subject,
                       message.fields.get("message-id", ""), "other", *about)


def _about(message: ReadMessage) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """For whom the message is, and what in it may tell which mail of ours it is about."""
    named = getaddresses([message.fields[name][:_HEADER] for name in _ADDRESSEES if name in message.fields])
    addressees = tuple(dict.fromkeys(address for _, address in named if "@" in address))[:_MOST_ADDRESSEES]
    ids = " ".join((message.original.get("message-id", ""), message.fields.get("in-reply-to", ""),
                    message.fields.get("references", "")))
    return addressees, feedback.evidence(message), tuple(dict.fromkeys(_ID.findall(ids[:_HEADER])))[:_MOST_ADDRESSEES]
