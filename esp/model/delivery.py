"""One message to one recipient: its states, the events that move it, and which moves are allowed."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final


class EventType(StrEnum):
    """A fact about a delivery or a contact. Past participles: they have happened and are never taken back."""

    ACCEPTED = "accepted"  # an app's message is kept for this recipient; moves nothing
    DELIVERED = "delivered"
    DEFERRED = "deferred"
    BOUNCED = "bounced"
    EXPIRED = "expired"
    SUPPRESSED = "suppressed"
    CANCELLED = "cancelled"
    COMPLAINED = "complained"
    OPENED = "opened"
    CLICKED = "clicked"
    UNSUBSCRIBED = "unsubscribed"
    RETRIED = "retried"


class DeliveryState(StrEnum):
    """Where a delivery stands. ``queued`` and ``deferred`` are open; all others are ends."""

    QUEUED = "queued"
    DEFERRED = "deferred"
    DELIVERED = "delivered"
    BOUNCED = "bounced"
    EXPIRED = "expired"
    SUPPRESSED = "suppressed"
    CANCELLED = "cancelled"


OPEN_STATES: Final = frozenset({DeliveryState.QUEUED, DeliveryState.DEFERRED})

_S, _E = DeliveryState, EventType

# What is not in this table does not happen: a test walks every pair, so that silence is a decision.
# ``delivered -> bounced`` is the one move out of an end: a server that said 250 may still report failure
# later by DSN (RFC 3464). ``bounced -> delivered`` is not allowed, whatever a late report says, for a state
# never goes backwards (invariant I5).
TRANSITIONS: Final[dict[tuple[DeliveryState, EventType], DeliveryState]] = {
    (_S.QUEUED, _E.DELIVERED): _S.DELIVERED,
    (_S.QUEUED, _E.DEFERRED): _S.DEFERRED,
    (_S.QUEUED, _E.BOUNCED): _S.BOUNCED,
    (_S.QUEUED, _E.EXPIRED): _S.EXPIRED,
    (_S.QUEUED, _E.SUPPRESSED): _S.SUPPRESSED,
    (_S.QUEUED, _E.CANCELLED): _S.CANCELLED,
    (_S.DEFERRED, _E.DELIVERED): _S.DELIVERED,
    (_S.DEFERRED, _E.DEFERRED): _S.DEFERRED,
    (_S.DEFERRED, _E.BOUNCED): _S.BOUNCED,
    (_S.DEFERRED, _E.EXPIRED): _S.EXPIRED,
    (_S.DEFERRED, _E.SUPPRESSED): _S.SUPPRESSED,
    (_S.DEFERRED, _E.CANCELLED): _S.CANCELLED,
    (_S.DELIVERED, _E.BOUNCED): _S.BOUNCED,
}


@dataclass(frozen=True, slots=True)
class NewEvent:
    """A fact to be appended to the ledger. Ids are of one workspace; ``detail`` is small JSON (reply, reason, ...).

    ``agent`` is who acted, as far as told apart: ``human``, ``proxy`` (a privacy proxy's image fetch) or ``scanner``;
    empty for facts that are not engagement.
    """

    type: EventType
    at: datetime
    workspace_id: int
    campaign_id: int | None = None
    delivery_id: int | None = None
    contact_id: int | None = None
    variant_id: int | None = None
    link_index: int | None = None
    provider: str = ""
    agent: str = ""
    ip: str = ""
    user_agent: str = ""
    detail: dict[str, Any] | None = None
