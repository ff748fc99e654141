"""The ledger: facts appended, delivery states folded over them, rollups kept, all in one transaction."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from esp.model.contact import SuppressionReason
from esp.model.delivery import NewEvent


@dataclass(frozen=True, slots=True)
class NewSuppression:
    """An address that must not be written to any more; ``list_id`` None means the whole workspace."""

    workspace_id: int
    email_key: str
    reason: SuppressionReason
    delivery_id: int | None = None
    list_id: int | None = None
    note: str = ""


class Ledger(Protocol):
    async def apply(self, events: Sequence[NewEvent], suppressions: Sequence[NewSuppression] = ()) -> int:
        """Append ``events`` and make everything that follows from them true, in one transaction.

        An event that would move its delivery along an arrow that TRANSITIONS does not have is dropped (a repeated or
        late report changes nothing). Returns how many were applied. Suppressions are inserted where not there yet.
        """
        ...
