"""Events told to apps: endpoints, how far each has come, what was tried, and the way out to them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from esp.ports.api import EventRow


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where events of ``types`` (none: all) are posted. ``cursor`` is the last event that it is done with.

    ``tries`` failures in a row since ``failing_since``; the next try is at ``next_at``. Paused, nothing is posted and
    nothing forgotten. ``secret`` is sealed.
    """

    id: int
    public_id: str
    workspace_id: int
    url: str
    secret: str = field(repr=False)
    types: tuple[str, ...]
    cursor: int
    tries: int
    failing_since: datetime | None
    next_at: datetime
    created_at: datetime
    paused_at: datetime | None
    paused_reason: str


@dataclass(frozen=True, slots=True)
class Try:
    """One post of one event. ``status`` 0: no answer; ``answer`` is the beginning of what was said, or why not."""

    event_id: int
    at: datetime
    milliseconds: int
    status: int
    answer: str

    @property
    def good(self) -> bool:
        return 200 <= self.status < 300


@dataclass(frozen=True, slots=True)
class Portion:
    """Events to be posted in the order of their ids, and the id after which an endpoint goes on once they are."""

    events: tuple[EventRow, ...]
    until: int


class Webhooks(Protocol):
    async def add(
        self, workspace_id: int, url: str, secret: str, types: Sequence[str], now: datetime,
    ) -> Endpoint:
        """It begins with events that come from now on."""
        ...

    async def all(self, workspace_id: int) -> tuple[Endpoint, ...]:
        """Oldest first; a workspace has a handful."""
        ...

    async def get(self, workspace_id: int, public_id: str) -> Endpoint:
        """Raises NotFoundError."""
        ...

    async def change(
        self, endpoint: Endpoint, url: str, types: Sequence[str], paused_at: datetime | None, reason: str,
        now: datetime,
    ) -> Endpoint:
        """Going on after a pause begins at once, where it stopped."""
        ...

    async def delete(self, workspace_id: int, endpoint_id: int) -> None: ...

    async def tries(
        self, workspace_id: int, endpoint_id: int, before_id: int | None = None, limit: int = 50,
    ) -> tuple[tuple[int, Try], ...]:
        """Newest first, each with its own id."""
        ...

    async def replay(self, endpoint: Endpoint, since: datetime, now: datetime) -> None:
        """Let everything that happened since be posted once more, under the ids it had."""
        ...

    async def safe_until(self) -> int:
        """The event up to which no lower one can appear any more. One process asks at a time."""
        ...

    async def due(self, now: datetime, safe: int, limit: int = 500) -> tuple[Endpoint, ...]:
        """Endpoints of every workspace that are behind ``safe`` and whose time has come."""
        ...

    async def portion(self, endpoint: Endpoint, safe: int, limit: int) -> Portion:
        """What comes next, without what was taken already."""
        ...

    async def settle(
        self, endpoint: Endpoint, tries: Sequence[Try], until: int | None, next_at: datetime, now: datetime,
        pause: str = "",
    ) -> None:
        """Write down what was tried; with ``until`` it goes on from there, else the failure counts."""
        ...

    async def forget_tries(self, before: datetime, limit: int = 1000) -> int:
        """Delete what was tried before; how many."""
        ...


class Hooks(Protocol):
    """The way out: checked addresses only, no redirects, bounded in time and size."""

    async def post(self, url: str, headers: dict[str, str], body: bytes) -> tuple[int, str]:
        """The status and the beginning of the answer; status 0 and why where there was none. Never raises."""
        ...

    async def close(self) -> None: ...


class NoHooks:
    """A house without a way out."""

    async def post(self, url: str, headers: dict[str, str], body: bytes) -> tuple[int, str]:
        return 0, "This process posts nothing."

    async def close(self) -> None:
        return None
