"""Files being imported: where each came from, how far it is read, and what was refused."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol

from esp.ports.contacts import NewContact


class ImportState(StrEnum):
    """``uploaded`` waits for its mapping; ``queued`` for the importer; ``running`` is being read; the rest are ends."""

    UPLOADED = "uploaded"
    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Import:
    """A file being imported. ``mapping`` is column name -> field; ``options`` as in esp.audience.csv_columns."""

    id: int
    public_id: str
    workspace_id: int
    list_id: int | None
    user_id: int | None
    file_name: str
    path: str
    state: ImportState
    error: str
    mapping: Mapping[str, str]
    options: Mapping[str, Any]
    bytes_total: int
    bytes_read: int
    lines_read: int
    rows_read: int
    created: int
    updated: int
    unchanged: int
    rejected: int
    kept_out: int
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


@dataclass(frozen=True, slots=True)
class Reject:
    """A row that was not imported: ``line`` counts from 1 with the header, ``row`` is the raw text."""

    line: int
    reason: str
    row: str


@dataclass(frozen=True, slots=True)
class RejectRow:
    id: int
    reject: Reject


@dataclass(frozen=True, slots=True)
class ImportChunk:
    """What one step of an import found: rows, rejects, and where the file goes on; applied in one transaction."""

    rows: Sequence[NewContact]
    rejects: Sequence[Reject]
    bytes_read: int
    lines_read: int
    rows_read: int
    finished: bool


class Imports(Protocol):
    async def create(
        self, workspace_id: int, user_id: int | None, file_name: str, path: str, bytes_total: int, now: datetime,
    ) -> Import: ...

    async def get(self, workspace_id: int, import_id: int) -> Import: ...

    async def page(self, workspace_id: int, before_id: int | None = None, limit: int = 50) -> tuple[Import, ...]:
        """Newest first."""
        ...

    async def queue(
        self, workspace_id: int, import_id: int, list_id: int | None, mapping: Mapping[str, str],
        options: Mapping[str, Any],
    ) -> Import:
        """From uploaded to queued, once; ConflictError where it is not waiting for its mapping."""
        ...

    async def claim(self, now: datetime, stale_before: datetime) -> Import | None:
        """The oldest import queued, or running with a heartbeat older than ``stale_before``; now running, ours."""
        ...

    async def apply(self, claimed: Import, chunk: ImportChunk, now: datetime) -> Import:
        """Rows, subscriptions, consents, rejects, counters and the cursor in one transaction.

        Raises LeaseLostError where the cursor is not where ``claimed`` says: another process went on with it.
        """
        ...

    async def release(self, claimed: Import) -> None:
        """Queued again from where it is: whoever reads it is being stopped, and another need not wait."""
        ...

    async def fail(self, claimed: Import, error: str, now: datetime) -> None: ...

    async def rejects(
        self, workspace_id: int, import_id: int, after_id: int = 0, limit: int = 1000,
    ) -> tuple[RejectRow, ...]:
        """By line, in the order of the file."""
        ...
