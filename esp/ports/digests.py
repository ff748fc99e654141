"""Digests as they are kept: mails that wait for somebody's daily or weekly one, gathered once, sent as any other."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from esp.model.preference import Cadence
from esp.ports.campaigns import Campaign, FrozenVariant


@dataclass(frozen=True, slots=True)
class DigestItem:
    """A mail that stands in somebody's digest: the delivery that was kept back names its view in the browser."""

    campaign_id: int
    delivery_id: int
    variant_id: int
    at: datetime


@dataclass(frozen=True, slots=True)
class Edition:
    """What a digest says of a mail: the frozen variant, whose subject is merged for each reader, and its list."""

    payload: bytes
    list_name: str


@dataclass(frozen=True, slots=True)
class Waiting:
    """A workspace with mails that wait for a digest; ``since`` is when the oldest was kept back."""

    workspace_id: int
    time_zone: str
    language: str
    since: datetime


class Digests(Protocol):
    async def waiting(self) -> tuple[Waiting, ...]:
        """Workspaces in which anything waits for a digest."""
        ...

    async def make(
        self, workspace_id: int, cadence: Cadence, period: str, until: datetime, name: str, variant: FrozenVariant,
        now: datetime,
    ) -> Campaign | None:
        """Gather what waits since before ``until`` into one digest, a sending campaign whose walk has not begun.

        Everything in one transaction with the row that keeps the same period from being made twice. ``variant`` is
        frozen; its id is chosen anew. None where the period was made already, or nothing was to be gathered.
        """
        ...

    async def is_made(self, workspace_id: int, cadence: Cadence, period: str) -> bool:
        """Whether the digest of this period was made, or nothing was there to make one of."""
        ...

    async def walking(self, limit: int = 10) -> tuple[Campaign, ...]:
        """Digests whose readers are not all written yet, of every workspace."""
        ...

    async def editions(self, workspace_id: int, digest_id: int) -> dict[int, Edition]:
        """What may stand in this digest, by variant id."""
        ...

    async def forget(self, before: datetime, limit: int = 1000) -> int:
        """Drop some items kept back before that moment, sent or not; how many (0: none is left)."""
        ...

    async def of(
        self, workspace_id: int, digest_id: int, contact_ids: Sequence[int]
    ) -> dict[int, tuple[DigestItem, ...]]:
        """What stands in the digest of each of these people, oldest first, without what they meanwhile left."""
        ...
