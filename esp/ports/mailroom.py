"""Mail that came in, as the MX keeps it and the mailroom judges it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol


class InboundKind(StrEnum):
    """What a message is, as far as it matters to us; what no rule recognises is ``other``."""

    BOUNCE = "bounce"
    COMPLAINT = "complaint"
    AUTO_REPLY = "auto_reply"
    CHALLENGE = "challenge"
    RECEIPT = "receipt"  # of reading, RFC 8098
    DMARC_REPORT = "dmarc_report"
    TLS_REPORT = "tls_report"
    REPLY = "reply"
    UNSUBSCRIBE = "unsubscribe"
    CONFIRM = "confirm"
    COMMAND = "command"
    POSTMASTER = "postmaster"
    UNREADABLE = "unreadable"
    OTHER = "other"


class Outcome(StrEnum):
    """What the mailroom did with a message."""

    APPLIED = "applied"
    UNCHANGED = "unchanged"  # true, but it changes nothing: a delay, a repeated report
    TOO_OLD = "too_old"
    UNTRUSTED = "untrusted"  # no valid token of ours, so it is evidence of nothing
    FILED = "filed"


@dataclass(frozen=True, slots=True)
class NewInbound:
    """A message as received; ``recipients`` are the accepted RCPT addresses, ``raw`` the octets of DATA.

    One that was collected from a mailbox has no envelope, but that mailbox and its workspace.
    """

    received_at: datetime
    peer: str
    mail_from: str
    recipients: tuple[str, ...]
    raw: bytes
    workspace_id: int | None = None
    pickup_id: int | None = None


@dataclass(frozen=True, slots=True)
class InboundMessage:
    id: int
    received_at: datetime
    peer: str
    mail_from: str
    recipients: tuple[str, ...]
    raw: bytes
    workspace_id: int | None = None  # known from the start where it was collected from a workspace's mailbox
    pickup_id: int | None = None


@dataclass(frozen=True, slots=True)
class Filed:
    """The end of a message's road: what it was, what came of it, and whose delivery it was about."""

    id: int
    kind: InboundKind
    outcome: Outcome
    workspace_id: int | None = None
    delivery_id: int | None = None


@dataclass(frozen=True, slots=True)
class ReportedDelivery:
    """The delivery that a signed token names, as much of it as judging a report needs."""

    id: int
    workspace_id: int
    campaign_id: int
    contact_id: int | None
    variant_id: int
    provider: str
    email_key: str
    state: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class PastEvent:
    """A delivery or a bounce of one person, as far as counting needs it."""

    type: str
    at: datetime
    delivery_id: int | None
    reason: str


class Mailroom(Protocol):
    async def keep(self, message: NewInbound) -> int:
        """Store a message; it is on the disk when this returns, so that 250 may be said (RFC 5321 section 4.2.5)."""
        ...

    async def keep_all(self, messages: Sequence[NewInbound]) -> None:
        """Store several at once."""
        ...

    async def waiting(self, limit: int) -> tuple[InboundMessage, ...]:
        """Messages that nobody has judged yet, oldest first. They may be of any workspace: correlation tells which."""
        ...

    async def file(self, filed: Sequence[Filed]) -> None:
        """Record what became of messages; each is judged once."""
        ...

    async def forget(self, received_before: datetime, limit: int) -> int:
        """Delete up to ``limit`` judged messages that are older, the oldest first; how many."""
        ...

    async def delivery(self, workspace_id: int, campaign_id: int, delivery_id: int) -> ReportedDelivery | None:
        """The delivery that all three ids name together, or None."""
        ...

    async def recent(self, workspace_id: int, contact_id: int, limit: int) -> tuple[PastEvent, ...]:
        """The person's last ``limit`` events of any kind, newest first."""
        ...

    async def receiving_domains(self) -> frozenset[str]:
        """Every sending domain of every workspace, in lower case: the MX takes mail for these and their subdomains."""
        ...
