"""What people do with a mail: what the edge must look up, and the facts the fold writes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from esp.model.delivery import EventType


@dataclass(frozen=True, slots=True)
class LetterList:
    """A list by which a person got the mail, and whether they are on it now (or have yet to confirm that)."""

    list_id: int
    name: str
    subscribed: bool


@dataclass(frozen=True, slots=True)
class Letter:
    """One mail as the person who holds it sees it: who wrote, by which lists, in which language.

    ``fields`` is the flat ``contact`` mapping of the merge language; empty where the contact is gone.
    """

    workspace_id: int
    campaign_id: int
    delivery_id: int
    contact_id: int
    variant_id: int
    address: str
    brand: str
    subject: str
    language: str
    lists: tuple[LetterList, ...] = ()
    fields: Mapping[str, Any] = field(default_factory=dict)
    tracked: bool = True  # they did not ask us to count nothing

    @property
    def subscribed(self) -> bool:
        return any(one.subscribed for one in self.lists)


@dataclass(frozen=True, slots=True)
class Original:
    """A mail as it was frozen: ``payload`` is compose's own form, the flags are the campaign's."""

    label: str
    payload: bytes
    track_opens: bool
    track_clicks: bool


@dataclass(frozen=True, slots=True)
class Hit:
    """One fetch of a pixel or a link, as it came in; ``type`` is ``opened`` or ``clicked``.

    ``trait`` is what else was seen and tells machines apart: ``head``, ``prefetch`` or empty.
    """

    type: EventType
    at: datetime
    workspace_id: int
    campaign_id: int
    delivery_id: int
    link_index: int | None = None
    ip: str = ""
    user_agent: str = ""
    trait: str = ""


@dataclass(frozen=True, slots=True)
class JudgedHit:
    """A hit with who made it: ``human``, ``proxy`` or ``scanner``, and by which rule of which version."""

    hit: Hit
    agent: str
    rule: str
    rules_version: int


@dataclass(frozen=True, slots=True)
class Standing:
    """What is known of a delivery when its hits are judged; ``links`` counts the distinct links of its variant."""

    delivery_id: int
    campaign_id: int
    delivered_at: datetime | None
    links: int


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """A person's word that they want no more of these mails, with the evidence that is kept.

    ``channel`` is ``one-click`` (RFC 8058), ``page`` or ``mailto``; ``wording`` is what the button said.
    """

    workspace_id: int
    campaign_id: int
    delivery_id: int
    at: datetime
    channel: str
    reason: str = ""
    wording: str = ""
    ip: str = ""
    user_agent: str = ""


@dataclass(frozen=True, slots=True)
class JournalMove:
    """A journal's offset moved from ``old`` to ``new`` octets."""

    journal: str
    old: int
    new: int


@dataclass(frozen=True, slots=True)
class StoredHit:
    """An opened or clicked event as it lies in the ledger, for judging it anew."""

    event_id: int
    hit: Hit
    agent: str
    rules_version: int


class Engagement(Protocol):
    async def link_urls(self, workspace_id: int, campaign_id: int) -> dict[int, str]:
        """URLs of a frozen campaign by link index; they may hold merge fields, never in the host."""
        ...

    async def letter(self, workspace_id: int, campaign_id: int, delivery_id: int) -> Letter | None:
        """The mail behind a token, or None where it is gone."""
        ...

    async def original(self, workspace_id: int, campaign_id: int, variant_id: int) -> Original | None:
        """The frozen variant, for showing the very mail in a browser; None where it is gone."""
        ...

    async def unsubscribe(self, withdrawal: Withdrawal) -> bool:
        """Take the person off the lists of the campaign; at once, idempotently. True where anything changed.

        Writes subscription states, list counters, consent records, the ``unsubscribed`` event and tallies in one
        transaction. A delivery that is not of this workspace and campaign changes nothing.
        """
        ...

    async def resubscribe(self, withdrawal: Withdrawal) -> bool:
        """Undo what ``unsubscribe`` did through this very delivery, and nothing else. True where anything changed."""
        ...

    async def offsets(self, journals: Sequence[str]) -> dict[str, int]:
        """How far each journal has been folded, in octets; 0 for one never seen."""
        ...

    async def forget(self, journals: Sequence[str]) -> None:
        """Drop the offsets of journals that were removed."""
        ...

    async def standings(self, workspace_id: int, delivery_ids: Sequence[int]) -> dict[int, Standing]:
        """What is known of these deliveries; those of other workspaces are missing."""
        ...

    async def hits(self, workspace_id: int, delivery_ids: Sequence[int], since: datetime) -> list[Hit]:
        """Hits of these deliveries that are in the ledger already, from ``since`` on, by time."""
        ...

    async def record(
        self, moves: Sequence[JournalMove], hits: Sequence[JudgedHit], withdrawals: Sequence[Withdrawal] = ()
    ) -> bool:
        """Append the hits and move the journals' offsets in one transaction.

        False, and nothing written, where another process moved one of the offsets first: so each line counts once.
        """
        ...

    async def stored_hits(
        self, workspace_id: int, campaign_id: int, after_delivery: int, deliveries: int
    ) -> list[StoredHit]:
        """All hits of the next ``deliveries`` deliveries of a campaign that have any, by delivery and time."""
        ...

    async def rejudge(self, workspace_id: int, campaign_id: int, judged: Sequence[tuple[int, JudgedHit]]) -> bool:
        """Give stored events (by id) their new agent and rule, with first times and tallies of their deliveries.

        ``judged`` holds every hit of each delivery it touches. False where a delivery got another hit meanwhile: it
        was left as it is, so read it and judge it again.
        """
        ...
