"""Addresses and domains that nothing is sent to: looked up, added, removed with a record, exported."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from esp.model.contact import SuppressionReason


@dataclass(frozen=True, slots=True)
class NewBar:
    """``key`` is an address's key, or ``@domain`` for everybody there; ``list_id`` None means the whole workspace."""

    key: str
    reason: SuppressionReason = SuppressionReason.MANUAL
    list_id: int | None = None
    note: str = ""
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Bar:
    """A suppression as it is kept, also one that has ended."""

    id: int
    key: str
    reason: SuppressionReason
    list_id: int | None
    list_name: str
    note: str
    created_at: datetime
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class BarPage:
    bars: tuple[Bar, ...]
    next: str | None


@dataclass(frozen=True, slots=True)
class BarChange:
    """``action`` is added, removed or imported."""

    id: int
    at: datetime
    action: str
    key: str
    reason: str
    actor: str
    note: str


class Suppressions(Protocol):
    async def search(
        self, workspace_id: int, prefix: str = "", reason: SuppressionReason | None = None,
        list_id: int | None = None, after: str | None = None, limit: int = 50,
    ) -> BarPage:
        """Whose key begins with ``prefix``, by key; without one, newest first. InputError for a key never given."""
        ...

    async def add(self, workspace_id: int, rows: Sequence[NewBar], actor: str, now: datetime, action: str = "added",
                  ) -> int:
        """At most 1,000 at once; how many were new (the same key, reason and list in force is there already)."""
        ...

    async def remove(self, workspace_id: int, suppression_id: int, actor: str, now: datetime) -> Bar:
        """Gone, with a record of who did it; raises NotFoundError."""
        ...

    async def get(self, workspace_id: int, suppression_id: int) -> Bar: ...

    async def changes(self, workspace_id: int, before_id: int | None = None, limit: int = 50) -> tuple[BarChange, ...]:
        """Newest first."""
        ...

    async def after(self, workspace_id: int, after_id: int, limit: int = 1000) -> tuple[Bar, ...]:
        """By id, for whoever goes through them all."""
        ...
