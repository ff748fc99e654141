"""What a worker notes on its own disk before and after the dot: its death loses no answer and hides no doubt."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from esp.ports.outbox import ClaimedBatch, Outcome


@dataclass(frozen=True, slots=True)
class Noted:
    """What a dead worker knew of one delivery: its ``outcome`` where the server had answered, else only the dot.

    The outcome's ``row`` is unknown here: it is loaded again with the batch.
    """

    batch_id: int
    fence: int
    delivery_id: int
    outcome: Mapping[str, object] | None


@dataclass(frozen=True, slots=True)
class DeadJournal:
    """The journal of a worker that ended without clearing up.

    ``complete`` is False where the machine went down with it, so that the last lines may be missing.
    """

    name: str
    owner: str
    complete: bool
    noted: tuple[Noted, ...] = field(default=())


class OutcomeJournal(Protocol):
    @property
    def owner(self) -> str:
        """The name under which this worker holds its leases; no other worker, and no later one, has the same."""
        ...

    def dot(self, batch: ClaimedBatch, delivery_id: int) -> None:
        """The end of this message is about to be written: from now on it may have arrived."""
        ...

    def answered(self, batch: ClaimedBatch, outcome: Outcome) -> None:
        """The server has said what became of it."""
        ...

    def settled(self, delivery_ids: Iterable[int]) -> None:
        """Their outcomes are in the database (or are no business of ours any more): the notes may go."""
        ...

    def dead(self) -> tuple[DeadJournal, ...] | None:
        """Journals of workers of this machine that have died; None while another worker is clearing up after some.

        One at a time: whoever hears that there are none may claim what a dead one held, for all it knew is recorded.
        """
        ...

    def bury(self, journal: DeadJournal) -> None:
        """Its notes are in the database: remove it."""
        ...

    def close(self) -> None: ...
