"""Erasing a person: what is left are counts and a keyed hash of the address."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Erased:
    """What was found of a person: how many rows were deleted, how many kept as counts with everything personal gone."""

    deleted: int
    emptied: int


class Erasure(Protocol):
    async def addresses(self, workspace_id: int, contact_id: int) -> tuple[str, ...]:
        """Every address the contact has or had (merged away, corrected), as written; none that is another's now."""
        ...

    async def erase(
        self, workspace_id: int, contact_id: int | None, spellings: Collection[str], digests: Mapping[str, str],
        now: datetime,
    ) -> Erased:
        """Erase whoever has the addresses (and the contact, where there is one) and keep of them only their digests.

        ``digests`` by folded address; ``spellings`` are the same addresses as they may stand in texts.

        All in one transaction, list counters included; what was still to be sent to them ends as suppressed.
        """
        ...

    async def known(self, workspace_id: int, digests: Collection[str]) -> frozenset[str]:
        """Those of ``digests`` that belong to erased people."""
        ...

    async def knows_any(self, workspace_id: int) -> bool:
        """Whether anybody of the workspace was ever erased."""
        ...

    async def forgive(self, workspace_id: int, digest: str) -> bool:
        """Forget that the address was erased: its owner came back and confirmed it. False where it was not known."""
        ...

    async def blank_events(self, before: datetime, limit: int = 2000) -> int:
        """Take addresses and agents out of old events; how many (0: none is left)."""
        ...
