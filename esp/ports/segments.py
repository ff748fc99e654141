"""Segments as they are kept: saved rules, who is in them now, and snapshots of who was."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from esp.model.fields import FieldType
from esp.model.segment import Group, Rule
from esp.ports.contacts import Contact


@dataclass(frozen=True, slots=True)
class Segment:
    """A saved rule; ``counted`` is how many it held at ``counted_at``, to be shown until the next count is there."""

    id: int
    public_id: str
    workspace_id: int
    name: str
    description: str
    rule: Group
    counted: int | None
    counted_at: datetime | None
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Who was in a segment at a moment; ``rule`` as it was then."""

    id: int
    segment_id: int | None
    name: str
    rule: Group
    size: int
    created_at: datetime


@dataclass(frozen=True, slots=True)
class FieldName:
    """A custom field that a rule may ask about; ``choices`` of a choice, and values in use elsewhere."""

    key: str
    label: str
    type: FieldType
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What a workspace's rules can speak of, by number: for the builder, for the words, and for what is gone.

    ``campaigns`` are the newest, and those that were asked for.
    """

    fields: Mapping[str, FieldName]
    lists: Mapping[int, str]
    tags: Mapping[int, str]
    topics: Mapping[int, str]
    campaigns: Mapping[int, str]
    snapshots: Mapping[int, str]
    segments: Mapping[int, "SegmentName"]


@dataclass(frozen=True, slots=True)
class SegmentName:
    name: str
    rule: Group


class Segments(Protocol):
    async def create(self, workspace_id: int, name: str, description: str, rule: Group, now: datetime) -> Segment:
        """Raises ConflictError where the name is taken."""
        ...

    async def edit(
        self, workspace_id: int, segment_id: int, name: str, description: str, rule: Group, now: datetime,
    ) -> Segment:
        """Raises NotFoundError, and ConflictError where the name is taken."""
        ...

    async def delete(self, workspace_id: int, segment_id: int) -> None: ...

    async def get(self, workspace_id: int, segment_id: int) -> Segment:
        """Raises NotFoundError, also for another workspace's segment."""
        ...

    async def list(self, workspace_id: int, after: str = "", limit: int = 100) -> tuple[Segment, ...]:
        """By name, those after the name ``after``."""
        ...

    async def vocabulary(self, workspace_id: int, wanted_campaigns: Sequence[int] = ()) -> Vocabulary: ...

    async def links(self, workspace_id: int, wanted_campaigns: Sequence[int], limit: int = 100) -> tuple[str, ...]:
        """Addresses of links in these campaigns (none: in the newest), for suggestions."""
        ...

    async def values(self, workspace_id: int, field: str, limit: int = 50) -> tuple[str, ...]:
        """Some values in use of a text field, from the newest contacts, for suggestions."""
        ...

    async def used_by(self, workspace_id: int, segment_id: int) -> tuple[str, ...]:
        """Names of the campaigns not yet started that are sent to it or leave it out."""
        ...

    # ---- who is in it; rules have other segments inlined, ``now`` is in the workspace's time zone
    async def count(self, workspace_id: int, rule: Rule, now: datetime, seconds: float = 5.0) -> int:
        """How many people the rule finds. Raises TookTooLongError after ``seconds``."""
        ...

    async def people(
        self, workspace_id: int, rule: Rule, now: datetime, after_id: int = 0, limit: int = 50, seconds: float = 5.0,
    ) -> tuple[Contact, ...]:
        """By key; raises TookTooLongError after ``seconds``."""
        ...

    async def remember_count(self, workspace_id: int, segment_id: int, count: int, now: datetime) -> None: ...

    async def index(self, workspace_id: int, rule: Rule) -> int:
        """See to it that the fields a rule asks about are found by indexes; how many were made. Nobody waits for it:
        on PostgreSQL it goes on beside writers, on SQLite it takes about a second a million contacts."""
        ...

    async def snapshot(self, workspace_id: int, segment: Segment, rule: Rule, now: datetime) -> Snapshot:
        """Write down who is in it now, in one statement."""
        ...

    async def snapshots(
        self, workspace_id: int, segment_id: int | None = None, limit: int = 50,
    ) -> tuple[Snapshot, ...]:
        """Newest first; of every segment where none is given."""
        ...

    async def delete_snapshot(self, workspace_id: int, snapshot_id: int) -> None: ...

