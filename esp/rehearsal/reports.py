"""Mail that providers and people send back: delivery reports (RFC 3464) and vacation notices (RFC 3834), as octets."""

from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from enum import StrEnum
from typing import Final

from esp.rehearsal.people import fraction
from esp.rehearsal.providers import Provider


class Answer(StrEnum):
    FAILED = "failed"
    DELAYED = "delayed"
    VACATION = "vacation"


@dataclass(frozen=True, slots=True)
class Failure:
    status: str
    text: str


_FAILURES: Final = (
    Failure("5.1.1", "550 5.1.1 User unknown in virtual mailbox table"),
    Failure("5.2.2", "552 5.2.2 Mailbox is over quota"),
    Failure("5.7.1", "554 5.7.1 Message rejected as spam by content filter"),
)
_DELAY: Final = Failure("4.4.1", "451 4.4.1 Connection to the mail store timed out")


def answer_of(seed: str, provider: Provider, recipient: str) -> Answer | None:
    """What comes back for a mail to ``recipient`` after it was accepted, if anything does."""
    behaviour, chance = provider.behaviour, fraction(seed, recipient, "answer")
    for share, answer in ((behaviour.late_bounce_share, Answer.FAILED), (behaviour.delay_notice_share, Answer.DELAYED),
                          (behaviour.vacation_share, Answer.VACATION)):
        if chance < share:
            return answer
        chance -= share
    return None


def compose_answer(answer: Answer, seed: str, provider: Provider, recipient: str, return_path: str, message_id: str,
                   subject: str) -> bytes:
    """The message, with CRLF line ends."""
    now = format_datetime(datetime.now(UTC))
    number = int(fraction(seed, recipient, "number") * 10**9)
    if answer is Answer.VACATION:
        lines = [
            f"From: <{recipient}>", f"To: <{return_path}>", "Subject: Out of the office", f"Date: {now}",
            f"Message-ID: <{number}.vacation@{provider.host}>", f"In-Reply-To: {message_id}",
            "Auto-Submitted: auto-replied", "MIME-Version: 1.0", "Content-Type: text/plain; charset=utf-8", "",
            "I am away until Monday and read my mail then.",
        ]
        return "\r\n".join(lines).encode() + b"\r\n"
    failure = _DELAY if answer is Answer.DELAYED else _FAILURES[number % len(_FAILURES)]
    title = "Delayed Mail (still being tried)" if answer is Answer.DELAYED else "Undelivered Mail Returned to Sender"
    boundary = f"=_{number:08x}"
    lines = [
        f"From: Mail Delivery System <mailer-daemon@{provider.host}>", f"To: <{return_path}>", f"Subject: {title}",
        f"Date: {now}", f"Message-ID: <{number}.dsn@{provider.host}>", "Auto-Submitted: auto-replied",
        "MIME-Version: 1.0",
        f'Content-Type: multipart/report; report-type=delivery-status;\r\n boundary="{boundary}"', "",
        f"--{boundary}", "Content-Type: text/plain; charset=us-ascii", "",
        f"This is the mail system at {provider.host}.", "", f"<{recipient}>: {failure.text}", "",
        f"--{boundary}", "Content-Type: message/delivery-status", "",
        f"Reporting-MTA: dns; {provider.host}", f"Arrival-Date: {now}", "",
        f"Final-Recipient: rfc822; {recipient}", f"Action: {answer.value}", f"Status: {failure.status}",
        f"Diagnostic-Code: smtp; {failure.text}", "",
        f"--{boundary}", "Content-Type: text/rfc822-headers", "",
        f"Return-Path: <{return_path}>", f"Message-ID: {message_id}", f"Subject: {subject}", "",
        f"--{boundary}--",
    ]
    return "\r\n".join(lines).encode("utf-8", "replace") + b"\r\n"
