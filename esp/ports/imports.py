"""Files being imported: where each came from, how far it is read, and what was refused."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol

# A person as a file says, on the way to the database: a tuple of values, for there are a million of them. Standard
# fields that the row does not name are None; ``fields`` is a JSON object of custom ones; ``first_key`` and ``last_key``
# are the case-folded names; ``standing`` is an esp.audience.csv_status.Standing; ``tags`` is '' or a JSON object of
# case-folded name -> name; ``proof`` is '' or one of esp.audience.csv_columns.PROOF -> what another system noted.
StagedRow = tuple[Any, ...]
STAGED_COLUMNS = (
    "email_key", "email", "domain", "first_name", "last_name", "city", "country", "language", "time_zone",
    "birth_date", "first_key", "last_key", "fields", "standing", "tags", "proof",
)
STAGED_FIELDS, STAGED_STANDING, STAGED_TAGS, STAGED_PROOF = 12, 13, 14, 15


class StagedForm(StrEnum):
    """How staged rows are handed to a database, so that no row is touched on the way.

    ``sqlite``: the image of a database that holds them in a table ``staging``; ``copy``: PostgreSQL's COPY text. Either
    has a number ``n`` from 1 and a ``public_id`` before STAGED_COLUMNS.
    """

    SQLITE = "sqlite"
    COPY = "copy"


@dataclass(frozen=True, slots=True)
class StagedRows:
    """Rows as the reading child packed them: every address once. What only few chunks hold is said beside them."""

    packed: bytes = b""
    count: int = 0
    standings: bool = False  # whether somebody stands otherwise than joining
    tags: bool = False
    proofs: bool = False


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
    tries: int = 0
    signature: str = ""  # of the header, so that the same kind of file finds its mapping again


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
    """What one step of an import found: rows, rejects, and where the file goes on; applied in one transaction.

    Rows that were folded into an earlier one are counted as repeated.
    """

    rows: StagedRows
    rejects: Sequence[Reject]
    bytes_read: int
    lines_read: int
    rows_read: int
    finished: bool
    repeated_changed: int = 0
    repeated_same: int = 0
    addresses: str = ""  # the rows' keys, a line each: few want to see them

    @property
    def email_keys(self) -> Sequence[str]:
        return self.addresses.split("\n") if self.addresses else ()


@dataclass(frozen=True, slots=True)
class Comparison:
    """What a chunk would do, as a dry run says: how many, and of each kind some addresses."""

    created: int = 0
    updated: int = 0
    unchanged: int = 0
    kept_out: int = 0
    created_sample: tuple[str, ...] = ()
    updated_sample: tuple[str, ...] = ()


class Imports(Protocol):
    @property
    def chunk_rows(self) -> int:
        """How many rows one transaction should take on this database."""
        ...

    @property
    def form(self) -> StagedForm:
        """How this database takes staged rows."""
        ...

    async def compare(
        self, workspace_id: int, list_id: int | None, rows: StagedRows, resubscribe: bool,
    ) -> Comparison:
        """What ``apply`` would make of the rows; nothing is written."""
        ...

    async def stumble(self, claimed: Import, error: str, now: datetime) -> Import:
        """Something unexpected happened: queued again, or after the third try without progress failed."""
        ...

    async def remembered(self, workspace_id: int, signature: str) -> Mapping[str, Any] | None:
        """The mapping and options that were chosen last for a file with this header."""
        ...

    async def expired_files(self, before: datetime, limit: int = 100) -> tuple[tuple[int, str], ...]:
        """Imports that ended, or were never begun, before ``before`` and whose files are still there: id and path."""
        ...

    async def forget_file(self, import_id: int) -> None: ...

    async def create(
        self, workspace_id: int, user_id: int | None, file_name: str, path: str, bytes_total: int, now: datetime,
    ) -> Import: ...

    async def get(self, workspace_id: int, import_id: int) -> Import: ...

    async def page(self, workspace_id: int, before_id: int | None = None, limit: int = 50) -> tuple[Import, ...]:
        """Newest first."""
        ...

    async def queue(
        self, workspace_id: int, import_id: int, list_id: int | None, mapping: Mapping[str, str],
        options: Mapping[str, Any], signature: str = "",
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
