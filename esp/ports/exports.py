"""Files being made of what is kept: contacts, subscriptions, consents; how far each is, and its rows by key."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol


class ExportKind(StrEnum):
    CONTACTS = "contacts"
    SUBSCRIPTIONS = "subscriptions"
    CONSENTS = "consents"


class ExportFormat(StrEnum):
    CSV = "csv"
    JSONL = "jsonl"


class ExportState(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Export:
    """``options`` may hold list_id, segment (a rule as JSON, others inlined), zone, selection (as JSON), raw (formulas
    are left as is).

    ``after_id`` is the last key written and ``octets`` the file's length with it; ``until_id`` the last there will be.
    """

    id: int
    public_id: str
    workspace_id: int
    user_id: int | None
    transfer_id: int | None
    what: ExportKind
    format: ExportFormat
    state: ExportState
    error: str
    path: str
    options: Mapping[str, Any]
    after_id: int
    until_id: int
    octets: int
    rows_written: int
    tries: int
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None

    @property
    def part(self) -> float:
        """How much is done, by keys: from 0 to 1."""
        if self.state is ExportState.DONE:
            return 1.0
        return min(1.0, self.after_id / self.until_id) if self.until_id else 0.0


@dataclass(frozen=True, slots=True)
class ExportRows:
    """Rows by column name, and the key after which it goes on; ``more`` is False at the end."""

    rows: Sequence[Mapping[str, Any]]
    last_id: int
    more: bool


class Exports(Protocol):
    async def create(
        self, workspace_id: int, user_id: int | None, what: ExportKind, form: ExportFormat, options: Mapping[str, Any],
        now: datetime, transfer_id: int | None = None,
    ) -> Export:
        """Queued; what is there now is what will be written. Raises NotFoundError for another workspace's list."""
        ...

    async def get(self, workspace_id: int, export_id: int) -> Export: ...

    async def page(self, workspace_id: int, before_id: int | None = None, limit: int = 50) -> tuple[Export, ...]:
        """Newest first."""
        ...

    async def claim(self, now: datetime, stale_before: datetime, export_id: int | None = None) -> Export | None:
        """The oldest that waits, or whose writer has died; with ``export_id`` only that one."""
        ...

    async def rows(self, export: Export, limit: int, now: datetime) -> ExportRows:
        """The next rows after ``export.after_id``."""
        ...

    async def advance(self, claimed: Export, after_id: int, octets: int, rows: int, now: datetime) -> Export:
        """Note what is safely in the file; raises LeaseLostError where another process goes on with it."""
        ...

    async def finish(self, claimed: Export, path: str, now: datetime) -> Export: ...

    async def release(self, claimed: Export) -> None: ...

    async def stumble(self, claimed: Export, error: str, now: datetime) -> Export:
        """Queued again, or after the third try without progress failed."""
        ...

    async def expired_files(self, before: datetime, limit: int = 100) -> tuple[tuple[int, str], ...]: ...

    async def forget_file(self, export_id: int) -> None: ...
