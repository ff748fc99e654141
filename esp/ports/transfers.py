"""Imports and exports on a schedule: where they go, when, what came of each run; and the places themselves."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

from esp.errors import DependencyError
from esp.model.schedule import Schedule


class Direction(StrEnum):
    IMPORT = "import"
    EXPORT = "export"


class PlaceKind(StrEnum):
    URL = "url"  # place: url; secret: the Authorization header
    FOLDER = "folder"  # place: path, below the configured folder; may hold * for the newest of several
    S3 = "s3"  # place: endpoint, bucket, key, region, access_key; secret: the secret key
    SQL = "sql"  # place: query; secret: the connection's URL. Import only


@dataclass(frozen=True, slots=True)
class Transfer:
    """``secret`` is sealed, for the one who connects, and never shown. ``running_until``: when a run counts as dead."""

    id: int
    public_id: str
    workspace_id: int
    name: str
    direction: Direction
    kind: PlaceKind
    place: Mapping[str, str]
    options: Mapping[str, Any]
    schedule: Schedule
    next_at: datetime | None
    running_until: datetime | None
    created_at: datetime
    paused_at: datetime | None
    secret: str = ""

    def __repr__(self) -> str:
        return f"Transfer({self.id}, {self.name!r}, {self.kind.value})"  # no secret in any log


@dataclass(frozen=True, slots=True)
class NewTransfer:
    """``secret`` None: as it was."""

    name: str
    direction: Direction
    kind: PlaceKind
    place: Mapping[str, str]
    options: Mapping[str, Any]
    schedule: Schedule
    secret: str | None = None


class RunState(StrEnum):
    RUNNING = "running"
    DONE = "done"  # fetched and handed to an import, or written where it belongs
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Run:
    """One run with its counts: those of the import it began, or the rows and octets it wrote."""

    id: int
    transfer_id: int
    state: RunState
    error: str
    octets: int
    import_id: int | None
    export_id: int | None
    started_at: datetime
    finished_at: datetime | None


class Transfers(Protocol):
    async def create(self, workspace_id: int, it: NewTransfer, next_at: datetime, now: datetime) -> Transfer: ...

    async def change(self, workspace_id: int, transfer_id: int, it: NewTransfer, next_at: datetime) -> Transfer: ...

    async def get(self, workspace_id: int, transfer_id: int) -> Transfer: ...

    async def page(self, workspace_id: int, after_id: int = 0, limit: int = 50) -> tuple[Transfer, ...]: ...

    async def pause(self, workspace_id: int, transfer_id: int, at: datetime | None, next_at: datetime) -> None:
        """``at`` None: it goes on."""
        ...

    async def hurry(self, workspace_id: int, transfer_id: int, now: datetime) -> None:
        """Let the next run be now."""
        ...

    async def delete(self, workspace_id: int, transfer_id: int) -> None: ...

    async def due(self, now: datetime) -> tuple[int, int] | None:
        """Workspace and id of the transfer that has waited longest, where one is due and not running."""
        ...

    async def begin(
        self, transfer: Transfer, next_at: datetime, until: datetime, now: datetime,
    ) -> tuple[Transfer, int] | None:
        """Take the run, and note it; None where another process was quicker. A run that died is noted as failed."""
        ...

    async def end(
        self, transfer: Transfer, run_id: int, state: RunState, now: datetime, *, error: str = "", octets: int = 0,
        import_id: int | None = None, export_id: int | None = None,
    ) -> None: ...

    async def runs(
        self, workspace_id: int, transfer_id: int, before_id: int | None = None, limit: int = 50,
    ) -> tuple[Run, ...]:
        """Newest first."""
        ...


class Places(Protocol):
    """The world outside, from which files come and to which they go; bounded in time, size and reach. A workspace's
    folder is its own."""

    def read(
        self, workspace_id: int, kind: PlaceKind, place: Mapping[str, str], secret: str,
    ) -> AbstractAsyncContextManager[tuple[str, AsyncIterator[bytes]]]:
        """A file's name and its octets. Raises InputError with a sentence for the person who typed the place."""
        ...

    async def write(
        self, workspace_id: int, kind: PlaceKind, place: Mapping[str, str], secret: str, file: Path, name: str,
    ) -> None:
        """Put the file there; ``{date}`` in the place's path or key becomes the day. Raises InputError."""
        ...


class NoPlaces:
    """A house without a way out."""

    def read(
        self, workspace_id: int, kind: PlaceKind, place: Mapping[str, str], secret: str,
    ) -> AbstractAsyncContextManager[tuple[str, AsyncIterator[bytes]]]:
        raise DependencyError("This server fetches no files.")

    async def write(
        self, workspace_id: int, kind: PlaceKind, place: Mapping[str, str], secret: str, file: Path, name: str,
    ) -> None:
        raise DependencyError("This server sends no files.")
