"""What recipients choose and what they may see and change of their own: topics, frequency, pause, lists, data."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Protocol

from esp.model.preference import ArchiveAccess, Frequency
from esp.ports.people import ContactField

MOST_COUNTED: Final = 10_000

@dataclass(frozen=True, slots=True)
class Topic:
    """What a campaign may be about; ``declined`` people want nothing about it, ``gathered`` want it in a digest.

    Both are counted no further than MOST_COUNTED and one more.
    """

    id: int
    public_id: str
    name: str
    description: str
    archived_at: datetime | None
    declined: int = 0
    gathered: int = 0


@dataclass(frozen=True, slots=True)
class Choices:
    """What somebody chose; ``topics`` holds only those of which they said something else than ``frequency``."""

    frequency: Frequency = Frequency.EACH
    topics: Mapping[int, Frequency] = field(default_factory=dict)
    paused_until: datetime | None = None
    tracking_off: bool = False

    def of(self, topic_id: int) -> Frequency:
        return self.topics.get(topic_id, self.frequency)


@dataclass(frozen=True, slots=True)
class OwnList:
    """A list that somebody is, or was, on."""

    list_id: int
    name: str
    description: str
    subscribed: bool
    archive: ArchiveAccess
    public_id: str


@dataclass(frozen=True, slots=True)
class Reader:
    """A contact as they see themselves: ``fields`` are the values of ``open_fields``, which they may change."""

    workspace_id: int
    contact_id: int
    public_id: str
    email: str
    email_key: str
    first_name: str
    last_name: str
    language: str
    time_zone: str  # their own, else the workspace's
    workspace_language: str
    choices: Choices
    topics: tuple[Topic, ...]
    lists: tuple[OwnList, ...]
    open_fields: tuple[ContactField, ...]
    fields: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Addressee:
    """Whom a mail went to, and when it was written out for them; ``contact_id`` is 0 for a test send."""

    contact_id: int
    at: datetime


@dataclass(frozen=True, slots=True)
class Proof:
    """Where a change of somebody's own came from, as consent records keep it."""

    at: datetime
    source: str
    ip: str = ""
    user_agent: str = ""
    wording: str = ""


@dataclass(frozen=True, slots=True)
class Changes:
    """What somebody asks for on their page; None and absent keys leave things as they are."""

    choices: Choices | None = None
    lists: Mapping[int, bool] = field(default_factory=dict)
    standard: Mapping[str, str] = field(default_factory=dict)
    fields: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Publicity:
    """A list's archive, and whether its mails are counted."""

    access: ArchiveAccess
    indexed: bool
    tracking: bool


class Preferences(Protocol):
    # ---- topics
    async def topics(self, workspace_id: int, archived: bool = False) -> tuple[Topic, ...]:
        """By position and name (a workspace has a handful); with ``archived`` those put away too, last."""
        ...

    async def save_topic(
        self, workspace_id: int, topic_id: int | None, name: str, description: str, now: datetime
    ) -> Topic:
        """A new one where ``topic_id`` is None. Raises ConflictError where another has the name, NotFoundError."""
        ...

    async def archive_topic(self, workspace_id: int, topic_id: int, now: datetime | None) -> None:
        """Hide the topic from choices; None brings it back. What people chose stays and is still honoured."""
        ...

    # ---- one person
    async def reader_of_delivery(self, workspace_id: int, campaign_id: int, delivery_id: int) -> Addressee | None:
        """Whom a mail went to; None where the mail or the person is gone."""
        ...

    async def reader(self, workspace_id: int, contact_id: int) -> Reader | None:
        """Somebody with everything their page shows; whoever was merged is who they became; None where gone."""
        ...

    async def change(self, reader: Reader, changes: Changes, proof: Proof) -> bool:
        """Write what is asked, with consent records, list counters and a line in the timeline, in one transaction.

        Lists and topics of other workspaces change nothing. False where everything was so already.
        """
        ...

    async def portable(self, workspace_id: int, contact_id: int) -> dict[str, Any]:
        """Everything held about the person, as JSON values; raises NotFoundError."""
        ...

    # ---- lists
    async def lists_tracked(self, workspace_id: int, list_ids: Sequence[int]) -> bool:
        """Whether mails to these lists are counted: all of them must allow it."""
        ...

    async def publicity(self, workspace_id: int, list_id: int) -> Publicity: ...

    async def set_publicity(self, workspace_id: int, list_id: int, publicity: Publicity) -> None: ...
