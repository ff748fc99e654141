"""The figures of a campaign and the people behind every number; all counts come from tallies."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final, Protocol


class Metric(StrEnum):
    """A number of a report that opens the people behind it."""

    TARGETED = "targeted"  # everyone in the audience, whatever became of them
    WAITING = "waiting"  # not tried yet
    DELIVERED = "delivered"
    DEFERRED = "deferred"  # tried, and to be tried again
    BOUNCED = "bounced"
    EXPIRED = "expired"
    SUPPRESSED = "suppressed"
    CANCELLED = "cancelled"
    OPENED = "opened"  # by people; machines are apart
    CLICKED = "clicked"
    MACHINE_OPENED = "machine_opened"
    MACHINE_CLICKED = "machine_clicked"
    UNSUBSCRIBED = "unsubscribed"
    COMPLAINED = "complained"


@dataclass(frozen=True, slots=True)
class Figures:
    """How many people each thing happened to, once per person; ``opens`` and ``clicks`` are raw counts of all fetches.

    ``waiting + delivered + deferred + bounced + expired + suppressed + cancelled == targeted`` (invariant I4).
    ``deferred`` are those that are to be tried again now, not how often a server put us off.
    """

    targeted: int = 0
    waiting: int = 0
    delivered: int = 0
    deferred: int = 0
    bounced: int = 0
    expired: int = 0
    suppressed: int = 0
    cancelled: int = 0
    opened: int = 0
    clicked: int = 0
    machine_opened: int = 0
    machine_clicked: int = 0
    opens: int = 0
    clicks: int = 0
    unsubscribed: int = 0
    complained: int = 0

    @property
    def open(self) -> int:
        """Deliveries that are not at an end."""
        return self.waiting + self.deferred

    @property
    def ended(self) -> int:
        return self.targeted - self.open


@dataclass(frozen=True, slots=True)
class MemberFigures:
    """Figures of one provider, variant (member is its id), link (its index) or reason; ``label`` is for people.

    For a variant the label is its letter and ``note`` its subject; for a link its URL and ``note`` its text.
    """

    member: str
    label: str
    figures: Figures
    note: str = ""


@dataclass(frozen=True, slots=True)
class ReasonCount:
    """Why so many were bounced or suppressed; ``metric`` says which of the two."""

    metric: Metric
    reason: str
    count: int


@dataclass(frozen=True, slots=True)
class Bucket:
    """What happened from ``start`` on, for the length of a bucket."""

    start: datetime
    figures: Figures


@dataclass(frozen=True, slots=True)
class TimeSeries:
    """Buckets of ``seconds`` length, without gaps, from the first to the last thing that happened."""

    seconds: int
    buckets: tuple[Bucket, ...]


@dataclass(frozen=True, slots=True)
class ProviderProgress:
    """A provider's state during a send; ``last_reply`` is the last refusal or deferral it gave, empty where none."""

    provider: str
    targeted: int
    waiting: int
    delivered: int
    deferred: int
    bounced: int
    last_reply: str = ""
    last_reply_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """A running send. ``expected`` is how many there will be in all: while the walk over the audience
    still goes on, an estimate from the sizes of its lists.

    ``per_minute`` counts ends over the last minute; ``seconds_left`` is None where nothing moves.
    """

    state: str
    done: int
    expected: int
    per_minute: float
    seconds_left: float | None
    figures: Figures
    providers: tuple[ProviderProgress, ...]

    @property
    def share(self) -> float:
        """From 0 to 1."""
        return min(1.0, self.done / self.expected) if self.expected else 0.0


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody behind a number. ``key`` is what ``after`` of the next page takes; ``at`` when it happened to them."""

    key: int
    delivery_id: int
    contact_id: int
    contact_public_id: str  # empty where the contact is gone
    address: str
    name: str
    provider: str
    state: str
    reason: str
    reply: str
    at: datetime | None


@dataclass(frozen=True, slots=True)
class PeopleFilter:
    """Which part of a number: of one provider, variant, link or reason. Empty or None means all."""

    provider: str = ""
    variant_id: int | None = None
    link_index: int | None = None
    reason: str = ""


ALL_OF_THEM: Final = PeopleFilter()


@dataclass(frozen=True, slots=True)
class CampaignLine:
    """A campaign with its figures, for lists and the dashboard."""

    campaign_id: int
    public_id: str
    name: str
    state: str
    started_at: datetime | None
    figures: Figures


@dataclass(frozen=True, slots=True)
class Dashboard:
    """The week: all campaigns that started since ``since``, summed; and those that are being sent now."""

    since: datetime
    week: Figures
    before: Figures  # the week before, to compare with
    running: tuple[CampaignLine, ...]
    recent: tuple[CampaignLine, ...]  # newest first, at most ten


class Reports(Protocol):
    async def figures(self, workspace_id: int, campaign_id: int) -> Figures:
        """The whole campaign."""
        ...

    async def figures_of(self, workspace_id: int, campaign_ids: Sequence[int]) -> dict[int, Figures]:
        """Figures of several campaigns at once, for a list of them."""
        ...

    async def progress(self, workspace_id: int, campaign_id: int, now: datetime) -> Progress | None:
        """How a send goes, or None where there is no such campaign."""
        ...

    async def over_time(self, workspace_id: int, campaign_id: int, buckets: int = 60) -> TimeSeries:
        """What happened when, in about ``buckets`` buckets of a round length (a minute up to a day)."""
        ...

    async def by_provider(self, workspace_id: int, campaign_id: int) -> list[MemberFigures]:
        """Largest first."""
        ...

    async def by_variant(self, workspace_id: int, campaign_id: int) -> list[MemberFigures]: ...

    async def by_link(self, workspace_id: int, campaign_id: int) -> list[MemberFigures]:
        """Every link of the campaign in its order, those never clicked too."""
        ...

    async def reasons(self, workspace_id: int, campaign_id: int) -> list[ReasonCount]:
        """Why people were bounced or suppressed (or gave for unsubscribing), largest first."""
        ...

    async def people(
        self, workspace_id: int, campaign_id: int, metric: Metric, part: PeopleFilter = ALL_OF_THEM,
        after: int = 0, limit: int = 50,
    ) -> list[Person]:
        """The people behind a number, by key: pass the last ``Person.key`` as ``after`` for the next page."""
        ...

    async def dashboard(self, workspace_id: int, now: datetime) -> Dashboard: ...
