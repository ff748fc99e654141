"""What a workspace keeps about people beyond the standard: its own fields, tags, notes, and two who are one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from esp.model.fields import FieldType
from esp.ports.contacts import Contact


@dataclass(frozen=True, slots=True)
class ContactField:
    """A field of the workspace's own; ``key`` is the name that templates, imports and rules use, and never changes."""

    id: int
    public_id: str
    key: str
    label: str
    type: FieldType
    choices: tuple[str, ...] = ()
    open_to_recipient: bool = False
    position: int = 0
    archived_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Tag:
    id: int
    name: str


@dataclass(frozen=True, slots=True)
class Note:
    id: int
    author: str
    text: str
    at: datetime
    edited_at: datetime | None


@dataclass(frozen=True, slots=True)
class Merge:
    """Two contacts to become one: the address of ``kept`` stays, with ``standard`` and ``fields`` as chosen."""

    kept: int
    gone: int
    standard: Mapping[str, str]
    fields: Mapping[str, Any]


class People(Protocol):
    # ---- fields
    async def fields(self, workspace_id: int, archived: bool = False) -> tuple[ContactField, ...]:
        """In their order; with ``archived`` those put away too, last."""
        ...

    async def add_field(
        self, workspace_id: int, key: str, label: str, kind: FieldType, choices: Sequence[str],
        open_to_recipient: bool, now: datetime,
    ) -> ContactField:
        """Raises ConflictError where the key is taken, also by an archived field."""
        ...

    async def change_field(
        self, workspace_id: int, field_id: int, label: str, choices: Sequence[str], open_to_recipient: bool,
    ) -> ContactField: ...

    async def move_field(self, workspace_id: int, field_id: int, by: int) -> None:
        """Change places with the next field (1) or the one before (-1); at an end nothing happens."""
        ...

    async def archive_field(self, workspace_id: int, field_id: int, now: datetime | None) -> None:
        """Hide the field from forms; None brings it back. Values stay with the people."""
        ...

    # ---- tags
    async def tags(self, workspace_id: int, prefix: str = "", limit: int = 200) -> tuple[Tag, ...]:
        """By name, those that begin with ``prefix`` in any case."""
        ...

    async def make_tag(self, workspace_id: int, name: str) -> Tag:
        """The tag of this name, made where there is none."""
        ...

    async def rename_tag(self, workspace_id: int, tag_id: int, name: str) -> Tag: ...

    async def delete_tag(self, workspace_id: int, tag_id: int) -> None: ...

    async def tags_of(self, workspace_id: int, contact_ids: Sequence[int]) -> dict[int, tuple[Tag, ...]]:
        """The tags of each contact that has some."""
        ...

    async def tag(self, workspace_id: int, contact_id: int, tag_id: int, actor: str, now: datetime) -> bool:
        """Put the tag on, with a line in the timeline; False where it was there."""
        ...

    async def untag(self, workspace_id: int, contact_id: int, tag_id: int, actor: str, now: datetime) -> bool: ...

    # ---- notes
    async def add_note(self, workspace_id: int, contact_id: int, author: str, text: str, now: datetime) -> Note: ...

    async def edit_note(self, workspace_id: int, contact_id: int, note_id: int, text: str, now: datetime) -> None: ...

    async def delete_note(self, workspace_id: int, contact_id: int, note_id: int) -> None: ...

    async def notes(
        self, workspace_id: int, contact_id: int, before_id: int | None = None, limit: int = 50,
    ) -> tuple[Note, ...]:
        """Newest first."""
        ...

    # ---- one person, edited
    async def save(
        self, workspace_id: int, contact_id: int, standard: Mapping[str, str], fields: Mapping[str, Any], actor: str,
        now: datetime,
    ) -> bool:
        """Set the standard fields given and the own fields by key (None removes a value), with one line in the
        timeline naming what changed; False where everything was so already."""
        ...

    # ---- changes
    async def record_change(
        self, workspace_id: int, contact_id: int, kind: str, actor: str, detail: Mapping[str, Any], now: datetime,
    ) -> None:
        """A line in the person's timeline, for what has no table of its own (preferences changed, a field edited)."""
        ...

    # ---- two who are one
    async def merge(self, workspace_id: int, merge: Merge, actor: str, now: datetime) -> Contact:
        """Put everything of the two into one contact in one transaction; the stricter permission wins.

        The contact that stays may have either's id; the other id leads to it (``merged_into``). Raises NotFoundError,
        and ConflictError where they are the same.
        """
        ...

    async def merged_into(self, workspace_id: int, contact_id: int) -> int | None:
        """Who the contact became, for links to somebody who was merged away."""
        ...
