"""What is done to many contacts at once: chosen by hand or by what they match, done in chunks, and undone."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol, Self

from esp.model.contact import SubscriptionState


class BulkAction(StrEnum):
    ADD_TAG = "add_tag"
    REMOVE_TAG = "remove_tag"
    SUBSCRIBE = "subscribe"
    UNSUBSCRIBE = "unsubscribe"
    SUPPRESS = "suppress"
    CORRECT_DOMAIN = "correct_domain"  # what hygiene took for a slip of the keyboard
    DELETE = "delete"


UNDOABLE = frozenset(BulkAction) - {BulkAction.DELETE}


class BulkState(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


OVER = frozenset((BulkState.DONE, BulkState.FAILED, BulkState.CANCELLED))


@dataclass(frozen=True, slots=True)
class Selection:
    """Whom it is about: ``ids``, or everybody who fulfils all that is given (nothing given: everybody).

    ``rule`` is a segment's rule as JSON, other segments inlined, whose days begin in ``zone``; ``report_id`` with
    ``finding`` are those whom hygiene found.
    """

    ids: tuple[int, ...] = ()
    query: str = ""
    list_id: int | None = None
    tag_id: int | None = None
    state: SubscriptionState | None = None
    rule: Mapping[str, Any] | None = None
    zone: str = ""
    report_id: int | None = None
    finding: str = ""

    def as_json(self) -> dict[str, Any]:
        return {name: value for name, value in asdict(self).items() if value}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        state = data.get("state")
        return cls(**{**data, "ids": tuple(data.get("ids", ())), "state": SubscriptionState(state) if state else None})


@dataclass(frozen=True, slots=True)
class Bulk:
    """One such action. ``seen`` people were looked at, ``changed`` changed, ``kept`` left alone for a reason; the rest
    was so already. ``undone_by`` is the action that undoes this one."""

    id: int
    public_id: str
    workspace_id: int
    actor: str
    action: BulkAction
    state: BulkState
    error: str
    arguments: Mapping[str, Any]
    selection: Selection
    cursor: int
    until: int
    seen: int
    changed: int
    kept: int
    undo_of: int | None
    undone_by: int | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None

    @property
    def can_be_undone(self) -> bool:
        return (self.state in OVER and self.changed > 0 and self.undo_of is None and self.undone_by is None
                and self.action in UNDOABLE)


@dataclass(frozen=True, slots=True)
class BulkLine:
    """One person of the log; ``email`` is empty where the contact is gone."""

    contact_id: int
    email: str
    name: str
    before: str


@dataclass(frozen=True, slots=True)
class NewBulk:
    action: BulkAction
    selection: Selection
    actor: str
    arguments: Mapping[str, Any] = field(default_factory=dict)


class Bulks(Protocol):
    async def count(self, workspace_id: int, selection: Selection, most: int, now: datetime) -> int:
        """How many match, counted up to ``most`` and no further."""
        ...

    async def create(self, workspace_id: int, new: NewBulk, now: datetime) -> Bulk:
        """Queue it; raises NotFoundError for a list or a tag of another workspace."""
        ...

    async def create_undo(self, workspace_id: int, bulk_id: int, actor: str, now: datetime) -> Bulk:
        """Queue the undoing; raises ConflictError where it cannot be undone or was already."""
        ...

    async def get(self, workspace_id: int, bulk_id: int) -> Bulk: ...

    async def newest(self, workspace_id: int, before_id: int | None = None, limit: int = 50) -> tuple[Bulk, ...]: ...

    async def log(
        self, workspace_id: int, bulk_id: int, after_id: int = 0, limit: int = 50,
    ) -> tuple[BulkLine, ...]: ...

    async def cancel(self, workspace_id: int, bulk_id: int, now: datetime) -> None:
        """Stop it where it is; what is done stays done and can be undone."""
        ...

    async def claim(self, now: datetime, stale_before: datetime) -> Bulk | None:
        """The oldest queued, or running with a heartbeat older than ``stale_before``; now running, ours."""
        ...

    async def step(self, claimed: Bulk, now: datetime, limit: int) -> Bulk:
        """Do the next ``limit`` people in one transaction with the cursor and the log.

        Raises LeaseLostError where it is not where ``claimed`` says: cancelled, or somebody else goes on with it.
        """
        ...

    async def release(self, claimed: Bulk) -> None:
        """Queued again from where it is: whoever works on it is being stopped."""
        ...

    async def fail(self, claimed: Bulk, error: str, now: datetime) -> None: ...

    async def stumble(self, claimed: Bulk, error: str, now: datetime) -> None:
        """Something unexpected happened: queued again, or after the third try without progress failed."""
        ...

    async def addresses(
        self, workspace_id: int, selection: Selection, now: datetime, after_id: int = 0, limit: int = 1000,
    ) -> Sequence[int]:
        """Ids of those who match, by id, for whoever goes through them (an export)."""
        ...
