"""What may be wrong with the people of a workspace: a report made in the background, and whom it found."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol


class Finding(StrEnum):
    """One kind of trouble; the words for it stand with the screens."""

    SAME_ADDRESS = "same_address"  # one Gmail mailbox in several spellings
    SAME_PERSON = "same_person"  # the same name and birth date
    MISTYPED = "mistyped"
    DEAD_DOMAIN = "dead_domain"
    DISPOSABLE = "disposable"
    ROLE = "role"
    SILENT = "silent"


class HygieneState(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class HygieneReport:
    """``counts`` is people by finding; ``options`` are silent_months and silent_mails; ``seen`` people of ``until``."""

    id: int
    workspace_id: int
    state: HygieneState
    phase: str
    error: str
    options: Mapping[str, int]
    counts: Mapping[str, int]
    cursor: int
    until: int
    seen: int
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


@dataclass(frozen=True, slots=True)
class Found:
    """One person of a report; ``group_key`` is what several have in common, ``suggestion`` a better domain."""

    id: int
    contact_id: int
    email: str
    name: str
    birth_date: str
    group_key: str
    suggestion: str


@dataclass(frozen=True, slots=True)
class NewFinding:
    kind: Finding
    contact_id: int
    group_key: str = ""
    suggestion: str = ""


@dataclass(frozen=True, slots=True)
class Address:
    """As much of a contact as is looked at."""

    id: int
    email_key: str
    domain: str


@dataclass(frozen=True, slots=True)
class DomainChecked:
    """What DNS said about a domain, and when; ``dead_since`` where it takes no mail."""

    checked_at: datetime
    dead_since: datetime | None


class Hygiene(Protocol):
    async def create(self, workspace_id: int, options: Mapping[str, Any], now: datetime) -> HygieneReport:
        """Queue a report; the one that is waiting or running already where there is one."""
        ...

    async def latest(self, workspace_id: int) -> HygieneReport | None: ...

    async def get(self, workspace_id: int, report_id: int) -> HygieneReport: ...

    async def found(
        self, workspace_id: int, report_id: int, kind: Finding, after_id: int = 0, limit: int = 50,
    ) -> tuple[Found, ...]:
        """The people of a finding who are still there; those of one group follow each other."""
        ...

    async def claim(self, now: datetime, stale_before: datetime) -> HygieneReport | None: ...

    async def domains(self, workspace_id: int) -> dict[str, int]:
        """Every domain with its number of people. One pass over the contacts."""
        ...

    async def checked(self, domains: Sequence[str]) -> dict[str, DomainChecked]: ...

    async def remember_checked(self, found: Mapping[str, bool], now: datetime) -> None:
        """Domain -> whether it is dead."""
        ...

    async def addresses(self, workspace_id: int, after_id: int, until: int, limit: int) -> tuple[Address, ...]: ...

    async def silent(
        self, workspace_id: int, first_id: int, last_id: int, since: datetime, mails: int,
    ) -> tuple[int, ...]:
        """Of the contacts in [first_id, last_id] those who got so many mails since then and opened or clicked none."""
        ...

    async def duplicates(
        self, workspace_id: int, kind: Finding, after: tuple[str, int], limit: int,
    ) -> tuple[tuple[str, int], ...]:
        """(what they share, contact id) of those who are not alone with it, in this order, after the one given."""
        ...

    async def keep(
        self, claimed: HygieneReport, findings: Sequence[NewFinding], cursor: int, seen: int, now: datetime, *,
        phase: str = "", finished: bool = False,
    ) -> HygieneReport:
        """Findings, counts and how far it has come in one transaction; a new ``phase`` begins at cursor 0.

        A finished report takes the place of the older ones. Raises LeaseLostError where somebody else goes on with it.
        """
        ...

    async def release(self, claimed: HygieneReport) -> None: ...

    async def fail(self, claimed: HygieneReport, error: str, now: datetime) -> None: ...

    async def stumble(self, claimed: HygieneReport, error: str, now: datetime) -> None:
        """Something unexpected happened: queued again, or after the third try without progress failed."""
        ...
