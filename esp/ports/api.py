"""What the HTTP API needs beyond the areas' own ports: outside names for inside numbers, the events, answers kept."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol

from esp.model.delivery import DeliveryState
from esp.model.relay import MessageState


class Named(StrEnum):
    """What has a number inside and a name outside: a public id, but a tag its name."""

    CAMPAIGN = "campaign"
    CONTACT = "contact"
    LIST = "list"
    MESSAGE = "message"
    SEGMENT = "segment"
    TAG = "tag"
    TOPIC = "topic"


@dataclass(frozen=True, slots=True)
class KeptAnswer:
    """What a request with an idempotency key was answered."""

    status: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Begun:
    """Whether to go on with a request: not where it was ``answered``, runs elsewhere, or was another (``differs``)."""

    answered: KeptAnswer | None = None
    running: bool = False
    differs: bool = False


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Empty or None means all."""

    types: tuple[str, ...] = ()
    campaign_id: int | None = None
    contact_id: int | None = None
    message_id: int | None = None


@dataclass(frozen=True, slots=True)
class MessageFilter:
    """Empty or None means all. Addresses are keys; ``subject`` is its beginning."""

    recipient_key: str = ""
    from_key: str = ""
    subject: str = ""
    tag: str = ""
    header_id: str = ""
    state: MessageState | None = None


@dataclass(frozen=True, slots=True)
class DeliveryRow:
    address: str
    state: DeliveryState
    reason: str
    attempts: int
    reply: str
    ended_at: datetime | None


@dataclass(frozen=True, slots=True)
class MessageRow:
    """A message of an app's, with its first hundred deliveries."""

    id: int
    public_id: str
    from_address: str
    subject: str
    state: MessageState
    header_id: str
    stream_id: int | None
    tags: tuple[str, ...]
    metadata: Mapping[str, str]
    size: int
    created_at: datetime
    send_at: datetime | None
    deliveries: tuple[DeliveryRow, ...]


@dataclass(frozen=True, slots=True)
class EventRow:
    id: int
    type: str
    at: datetime
    campaign_id: int | None
    delivery_id: int | None
    contact_id: int | None
    link_index: int | None
    provider: str
    agent: str
    ip: str
    user_agent: str
    detail: Mapping[str, Any]
    address: str  # of the delivery; empty where the event has none, or its person was erased
    message_id: int | None = None  # of an app's message, whose carrier is no campaign of anybody's


@dataclass(frozen=True, slots=True)
class EventPage:
    """``next`` is the id to go on from, None at the end; a page may be empty and still have a next."""

    events: tuple[EventRow, ...]
    next: int | None


@dataclass(frozen=True, slots=True)
class StoredTemplate:
    """A template of apps' messages: texts with merge fields, filled in by what comes with each message."""

    id: int
    public_id: str
    name: str
    subject: str
    text: str
    html: str
    created_at: datetime
    updated_at: datetime


class Api(Protocol):
    async def numbers(self, workspace_id: int, kind: Named, names: Sequence[str]) -> dict[str, int]:
        """The numbers of those ``names`` that this workspace has."""
        ...

    async def names(self, workspace_id: int, kind: Named, numbers: Sequence[int]) -> dict[int, str]: ...

    async def tag(self, workspace_id: int, email_keys: Sequence[str], tag_ids: Sequence[int]) -> None:
        """Put the tags on the contacts of these addresses."""
        ...

    async def events(
        self, workspace_id: int, wanted: EventFilter, before_id: int | None = None, limit: int = 50,
    ) -> EventPage:
        """Newest first. What has to be looked at for one page is bounded, so that a rare kind of event in a large
        table makes short pages and not long waits."""
        ...

    # ---- messages
    async def messages(
        self, workspace_id: int, wanted: MessageFilter, before_id: int | None = None, limit: int = 50,
    ) -> tuple[MessageRow, ...]:
        """Newest first, those that apps handed over."""
        ...

    async def message(self, workspace_id: int, public_id: str) -> MessageRow | None: ...

    # ---- templates
    async def templates(
        self, workspace_id: int, after_id: int = 0, limit: int = 50,
    ) -> tuple[StoredTemplate, ...]: ...

    async def template(self, workspace_id: int, name: str) -> StoredTemplate:
        """By public id or name; raises NotFoundError."""
        ...

    async def add_template(
        self, workspace_id: int, name: str, subject: str, text: str, html: str, now: datetime,
    ) -> StoredTemplate:
        """Raises ConflictError where the name is taken."""
        ...

    async def edit_template(
        self, workspace_id: int, template_id: int, name: str, subject: str, text: str, html: str, now: datetime,
    ) -> StoredTemplate:
        """Raises NotFoundError, and ConflictError where the name is taken."""
        ...

    async def delete_template(self, workspace_id: int, template_id: int) -> None: ...

    # ---- answers kept
    async def begin(
        self, workspace_id: int, key: str, digest: str, owner: str, now: datetime, lease_until: datetime,
        keep_until: datetime,
    ) -> Begun:
        """Claim an idempotency key for the request of ``digest``. Of many at once one may go on. A claim whose lease
        is over (its process died) can be taken over by the same request."""
        ...

    async def finish(self, workspace_id: int, key: str, owner: str, answer: KeptAnswer) -> None:
        """Keep what was answered; nothing where ``owner`` no longer holds the key."""
        ...

    async def abandon(self, workspace_id: int, key: str, owner: str) -> None:
        """Let go of the key: nothing was done."""
        ...

    async def forget(self, now: datetime, limit: int = 1000) -> int:
        """Delete answers whose time is over; how many."""
        ...
