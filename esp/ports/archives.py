"""A list's archive as readers see it: what was sent to it, newest first, each under an address that stays."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from esp.model.preference import ArchiveAccess


@dataclass(frozen=True, slots=True)
class ArchivedList:
    """A list with an archive. ``language`` is the workspace's; ``indexed``: search engines may have it."""

    workspace_id: int
    list_id: int
    public_id: str
    name: str
    description: str
    access: ArchiveAccess
    indexed: bool
    brand: str
    language: str
    time_zone: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Issue:
    """A sent campaign in an archive; ``payload`` is its first variant as frozen, ``id`` the key of the list of them."""

    id: int
    public_id: str
    label: str
    payload: bytes
    sent_at: datetime


class Archives(Protocol):
    async def find(self, list_public_id: str) -> ArchivedList | None:
        """The list with that public id, in use and with its archive on; else None."""
        ...

    async def issues(
        self, workspace_id: int, list_id: int, before_id: int | None = None, limit: int = 30
    ) -> tuple[Issue, ...]:
        """What was sent to the list and not left out, newest first. Tests, drafts and digests never are."""
        ...

    async def issue(self, workspace_id: int, list_id: int, campaign_public_id: str) -> Issue | None: ...

    async def subscribed(self, workspace_id: int, list_id: int, contact_id: int) -> bool:
        """Whether the person is on the list now: a private archive closes when somebody leaves."""
        ...
