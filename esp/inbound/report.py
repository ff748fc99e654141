"""What delivery reports (RFC 3464) and feedback reports (RFC 5965) say, as values."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from esp.inbound.message import Fields, ReadMessage

_STATUS: Final = re.compile(r"\b([245])\.(\d{1,3})\.(\d{1,3})\b")
_ADDRESS: Final = re.compile(r"[^\s<>;,\"]{1,200}@[A-Za-z0-9.-]{1,255}")


@dataclass(frozen=True, slots=True)
class RecipientReport:
    """What a report says of one recipient: ``action`` in lower case, ``status`` by RFC 3463 or empty."""

    recipient: str
    action: str
    status: str
    diagnostic: str


@dataclass(frozen=True, slots=True)
class Complaint:
    """A feedback report: its type (abuse, fraud, not-spam, ...) and the addresses in it that may carry our token."""

    type: str
    evidence: tuple[str, ...]


def recipient_reports(message: ReadMessage) -> tuple[RecipientReport, ...]:
    """Every recipient of every delivery report in the message, in order."""
    return tuple(
        _recipient(block)
        for part in message.reports if part.media_type != "message/feedback-report"
        for block in part.blocks if "final-recipient" in block or "action" in block or "status" in block
    )


def _recipient(block: Fields) -> RecipientReport:
    diagnostic = _after_type(block.get("diagnostic-code", ""))
    action = (block.get("action", "").split() or [""])[0].lower().strip(";,.")
    status = _STATUS.search(block.get("status", ""))
    recipient = _ADDRESS.search(_after_type(block.get("final-recipient", block.get("original-recipient", ""))))
    return RecipientReport(recipient[0] if recipient else "", action, status[0] if status else "", diagnostic)


def _after_type(value: str) -> str:
    """``rfc822; person@example`` and ``smtp; 550 no`` without the type (RFC 3464 section 2.1.2)."""
    kind, separator, rest = value.partition(";")
    return rest.strip() if separator and re.fullmatch(r"[A-Za-z0-9-]+", kind.strip()) else value.strip()


def complaint(message: ReadMessage) -> Complaint | None:
    """The feedback report in the message, or None."""
    for part in message.reports:
        if part.media_type == "message/feedback-report":
            fields: Fields = part.blocks[0] if part.blocks else {}
            return Complaint(fields.get("feedback-type", "abuse").lower(), tuple(_evidence(fields, message.original)))
    return None


def _evidence(report: Fields, original: Fields) -> Iterator[str]:
    # Whoever has the mail has its token, so where the token stands does not matter; that it verifies does.
    for value in (report.get("original-mail-from", ""), original.get("return-path", ""),
                  original.get("list-unsubscribe", "")):
        yield from (found.removeprefix("mailto:") for found in _ADDRESS.findall(value)[:4])
