"""The outbox: batches of deliveries claimed by lease and fence, recipients loaded, outcomes recorded in bulk."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from esp.model.contact import SuppressionReason
from esp.model.delivery import EventType
from esp.ports.digests import DigestItem


@dataclass(frozen=True, slots=True)
class ClaimedBatch:
    """A batch that is ours until ``lease_until``, as long as its fence is still ``fence``.

    ``taken_from`` names the owner whose lease ran out, or is empty: that owner may have sent some of it.
    """

    id: int
    workspace_id: int
    campaign_id: int
    provider: str
    size: int
    owner: str
    fence: int
    lease_until: datetime
    taken_from: str = ""


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """One delivery to be made. ``refused`` says why this person must not get it any more (an ExclusionReason), or "".

    ``attempts`` counts those made; ``reason`` is why the last one failed; ``fields`` is the flat ``contact`` mapping.
    ``tracked``: they did not ask us to count nothing. ``digest`` is what stands in their digest, where this is one.
    """

    delivery_id: int
    contact_id: int
    variant_id: int
    address: str
    email_key: str
    domain: str
    provider: str
    attempts: int
    created_at: datetime
    reason: str = ""
    maybe_duplicate: bool = False
    refused: str = ""
    fields: Mapping[str, Any] = field(default_factory=dict)
    tracked: bool = True
    digest: tuple[DigestItem, ...] = ()
    raw: bytes = b""  # a single message, whole but for its signatures; then nothing is merged
    can_leave: bool = False  # it is mail of a list, which its reader may leave with one click
    message_id: int = 0  # of a single message


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one delivery of a batch went. ``type`` is delivered, deferred, bounced, expired or suppressed.

    ``due_at`` is when a deferred one is tried again. ``tried``: an attempt was made and counts. ``maybe_duplicate``:
    the server may have it although nobody said so. ``suppress``: why the address must not be written to any more.
    """

    row: OutboxRow
    type: EventType
    at: datetime
    reason: str = ""
    rule: str = ""
    code: int = 0
    reply: str = ""
    host: str = ""
    tls: str = ""
    due_at: datetime | None = None
    tried: bool = True
    maybe_duplicate: bool = False
    suppress: SuppressionReason | None = None


@dataclass(frozen=True, slots=True)
class Postponed:
    """A delivery not tried, because its provider takes nothing now: no event, no attempt, only a later time."""

    row: OutboxRow
    due_at: datetime


class Outbox(Protocol):
    async def claim(
        self, owner: str, lease_seconds: float, now: datetime, avoid_providers: Collection[str] = (),
        avoid_pairs: Collection[tuple[int, str]] = (), avoid_campaigns: Collection[int] = (),
    ) -> ClaimedBatch | None:
        """The batch that has been due longest, of a campaign that is sending, ready or with a lease that has run out.

        Left alone are batches for ``avoid_providers`` (of very many only the first hundreds are heeded), those of
        ``avoid_pairs`` of a campaign and a provider, and those of ``avoid_campaigns``.

        Its fence grows. Where it is taken from an owner whose lease ran out, all its open deliveries are marked
        ``maybe_duplicate``: that owner may have sent any of them. None where nothing is due.
        """
        ...

    async def load(self, batch: ClaimedBatch, now: datetime) -> tuple[OutboxRow, ...]:
        """The deliveries of ``batch`` that are still open, with the contact's merge fields, by id."""
        ...

    async def refused(self, batch: ClaimedBatch, now: datetime) -> dict[int, str]:
        """Open deliveries of ``batch`` that must not be made any more, with the reason: ``load``'s check again."""
        ...

    async def renew(self, batches: Sequence[ClaimedBatch], lease_seconds: float, now: datetime) -> frozenset[int]:
        """Prolong the leases; the ids of those batches that are still ours."""
        ...

    async def record(
        self, batch: ClaimedBatch, outcomes: Sequence[Outcome], now: datetime, *,
        postponed: Sequence[Postponed] = (), finished: bool = False, rest_doubtful: bool = False,
        ready_in: float = 0.0,
    ) -> None:
        """Write outcomes, events, tallies, suppressions and new due times in one transaction.

        Deferred and postponed deliveries join a batch for their provider and time. ``finished`` ends the lease: the
        batch is done where nothing of it is open, and ready again for anybody, after ``ready_in`` seconds,
        where something is; ``rest_doubtful`` marks that as maybe sent. Raises LeaseLostError, with nothing written,
        where batch, owner and fence are not those of the claim any more.
        """
        ...

    async def sending_campaigns(self) -> frozenset[int]:
        """Ids of all campaigns that are sending now; a worker stops what is not among them."""
        ...

    async def leased_to(self, owner: str) -> tuple[ClaimedBatch, ...]:
        """Batches that ``owner`` held when it died, for its successor on the same machine to clear up."""
        ...
