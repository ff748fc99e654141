"""People, the lists they are on, what they agreed to, and who may not be written to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from esp.model.contact import SubscriptionState, SuppressionReason

STANDARD_FIELDS = ("first_name", "last_name", "city", "country", "language", "time_zone", "birth_date")


@dataclass(frozen=True, slots=True)
class ContactList:
    """A list; ``handle`` is the stable first label of its List-Id (RFC 2919) and never changes."""

    id: int
    public_id: str
    workspace_id: int
    name: str
    description: str
    handle: str
    subscribed: int
    unsubscribed: int
    created_at: datetime
    archived_at: datetime | None


@dataclass(frozen=True, slots=True)
class Contact:
    """A person with one address. ``fields`` holds the custom fields only; ``birth_date`` is YYYY-MM-DD or empty."""

    id: int
    public_id: str
    workspace_id: int
    email: str
    email_key: str
    domain: str
    first_name: str
    last_name: str
    city: str
    country: str
    language: str
    time_zone: str
    birth_date: str
    fields: Mapping[str, Any]
    source: str
    created_at: datetime
    updated_at: datetime

    @property
    def name(self) -> str:
        return f"{self.first_name} {self.last_name}".strip()

    def merge_fields(self) -> dict[str, Any]:
        """The flat mapping that templates see as ``contact``: custom fields, then the standard ones, which win."""
        return {**self.fields, "email": self.email, **{name: getattr(self, name) for name in STANDARD_FIELDS}}


@dataclass(frozen=True, slots=True)
class NewContact:
    """A contact to be made or changed: only fields named in ``standard`` and (custom ones) ``fields`` are touched."""

    email: str
    email_key: str
    domain: str
    standard: Mapping[str, str] = field(default_factory=dict)
    fields: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Subscribing:
    """What upserted contacts are subscribed to, and the evidence kept with it (a consent record for each person).

    ``resubscribe`` brings back those who left; without it they stay away and are counted as ``kept_out``.
    """

    list_id: int
    source: str
    actor: str = ""
    wording: str = ""
    resubscribe: bool = False


@dataclass(frozen=True, slots=True)
class Upserted:
    """``created + updated + unchanged`` are the rows; ``kept_out`` of them had left the list and stay away."""

    created: int = 0
    updated: int = 0
    unchanged: int = 0
    kept_out: int = 0


@dataclass(frozen=True, slots=True)
class ContactPage:
    """Some contacts and the key to go on with; ``next`` is None at the end. The key is opaque."""

    contacts: tuple[Contact, ...]
    next: str | None


@dataclass(frozen=True, slots=True)
class SubscriptionRow:
    list_id: int
    list_name: str
    state: SubscriptionState
    changed_at: datetime


@dataclass(frozen=True, slots=True)
class Suppression:
    id: int
    email_key: str
    reason: SuppressionReason
    list_id: int | None
    note: str
    created_at: datetime
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class TimelineItem:
    """One thing that happened: ``kind`` is an EventType, ``sent`` (a delivery was made), or ``consent``."""

    key: str
    at: datetime
    kind: str
    campaign_id: int | None
    campaign_name: str
    delivery_id: int | None
    title: str  # the campaign's name, the list's name
    detail: Mapping[str, Any]


class Contacts(Protocol):
    # ---- lists
    async def create_list(
        self, workspace_id: int, name: str, handle: str, description: str, now: datetime,
    ) -> ContactList:
        """Raises ConflictError where the handle is taken."""
        ...

    async def edit_list(self, workspace_id: int, list_id: int, name: str, description: str) -> ContactList: ...

    async def archive_list(self, workspace_id: int, list_id: int, now: datetime | None) -> None:
        """Hide the list from choices; None brings it back. Its people and their consents stay."""
        ...

    async def get_list(self, workspace_id: int, list_id: int) -> ContactList:
        """Raises NotFoundError, also for another workspace's list."""
        ...

    async def lists(self, workspace_id: int, archived: bool = False) -> tuple[ContactList, ...]:
        """All lists by name (a workspace has tens of them, not thousands); with ``archived`` those put away too."""
        ...

    # ---- contacts
    async def get(self, workspace_id: int, contact_id: int) -> Contact: ...

    async def find(self, workspace_id: int, email_key: str) -> Contact | None: ...

    async def upsert(
        self, workspace_id: int, rows: Sequence[NewContact], source: str, now: datetime,
        subscribing: Subscribing | None = None,
    ) -> Upserted:
        """Make or change contacts by email_key, at most 1,000 at once, in one transaction with the list's counters."""
        ...

    async def search(
        self, workspace_id: int, prefix: str = "", list_id: int | None = None, after: str | None = None,
        limit: int = 50, *, tag_id: int | None = None, state: SubscriptionState | None = None,
    ) -> ContactPage:
        """Contacts whose address, name or last name begins with ``prefix`` (any case); empty: all, newest first.

        With ``list_id`` only those subscribed to it, or in ``state`` on it; ``state`` alone means on any list; with
        ``tag_id`` only those with the tag. Raises InputError for a key that ``next`` never was.
        """
        ...

    async def sample(self, workspace_id: int, list_ids: Sequence[int]) -> Contact | None:
        """Some subscribed contact of the lists, for a preview; else any contact; None in an empty workspace."""
        ...

    async def field_names(self, workspace_id: int) -> frozenset[str]:
        """Names of the workspace's own contact fields, as far as imports and the newest contacts show them."""
        ...

    async def delete(self, workspace_id: int, contact_id: int) -> None: ...

    # ---- subscriptions, consents, suppressions
    async def subscriptions(self, workspace_id: int, contact_id: int) -> tuple[SubscriptionRow, ...]: ...

    async def set_subscription(
        self, workspace_id: int, contact_id: int, list_id: int, state: SubscriptionState, now: datetime, *,
        source: str, actor: str = "", ip: str = "", user_agent: str = "", wording: str = "",
    ) -> bool:
        """Set the state, with a consent record and the list's counters; False where it was so already."""
        ...

    async def suppressions(
        self, workspace_id: int, after_id: int = 0, limit: int = 50, email_key: str | None = None,
    ) -> tuple[Suppression, ...]: ...

    async def suppress(
        self, workspace_id: int, email_key: str, reason: SuppressionReason, now: datetime, *,
        list_id: int | None = None, note: str = "", expires_at: datetime | None = None,
    ) -> bool:
        """False where it was there already."""
        ...

    async def unsuppress(self, workspace_id: int, suppression_id: int) -> None: ...

    async def timeline(
        self, workspace_id: int, contact_id: int, before: str | None = None, limit: int = 50,
    ) -> tuple[TimelineItem, ...]:
        """Events, deliveries and consents, newest first, older than the item whose ``key`` is ``before``."""
        ...
