"""How contacts listen: counts folded from events, what the model says of each history, levels and their past."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, NamedTuple, Protocol

from esp.events.listening import Heard
from esp.model.listening import Level
from esp.ports.campaigns import Campaign


class Counts(NamedTuple):
    """What the model has to know of a contact: opportunities, responses, and which the last response was to."""

    opportunities: int
    responses: int
    recency: int


@dataclass(frozen=True, slots=True)
class Odds:
    """What the model says of everybody with these counts."""

    counts: Counts
    alive: float  # the probability of still responding at all
    expected: float  # responses to the next ten mails
    next: float  # the probability of a response to the next one
    level: Level


@dataclass(frozen=True, slots=True)
class Folded:
    """One step of the fold: ``touched`` contacts have other counts now. ``behind``: how many ids are left to read, of
    which some may have to wait for others' transactions; ``more``: some can be read at once."""

    events: int
    touched: tuple[int, ...]
    cursor: int
    behind: int
    more: bool


@dataclass(frozen=True, slots=True)
class NewFit:
    """The model's parameters from one workspace's contacts. ``people`` 0: nothing but what is believed beforehand.

    ``crowds``: ``hours`` and ``weekdays``, each with ``shares`` of everybody's responses and ``weight``.
    """

    at: datetime
    rates: tuple[float, float, float, float]  # alpha, beta, gamma, delta
    covariance: Sequence[Sequence[float]] | None
    log_likelihood: float
    people: int
    converged: bool
    crowds: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Listener:
    """One contact: what was heard, what the model says (None before its first look), and the level."""

    heard: Heard
    odds: Odds | None
    level: Level
    level_at: datetime | None


class LevelMove(NamedTuple):
    at: datetime
    before: Level
    after: Level


class MailHeard(NamedTuple):
    """One opportunity of a contact; the first moments at which a person opened or clicked."""

    at: datetime
    campaign_id: int
    opened_at: datetime | None
    clicked_at: datetime | None


@dataclass(frozen=True, slots=True)
class Sampled:
    """One contact of a sample, with its opportunities in order: when, and whether a person responded."""

    contact_id: int
    source: str
    since: datetime  # of the first subscription, or of the contact where there is none
    lists: tuple[int, ...]
    mails: tuple[tuple[datetime, bool], ...]


class Band(NamedTuple):
    """Contacts who are written to about equally often."""

    people: int
    opportunities: int
    responses: int
    complaints: int


class Flow(NamedTuple):
    """What came and went in a month (``2026-11``)."""

    month: str
    joined: int
    unsubscribed: int
    bounced: int
    complained: int
    fell_silent: int
    came_back: int


class Listening(Protocol):
    """Every method looks at one workspace, but for the fold, which reads everybody's events in their order."""

    async def fold(self, limit: int, now: datetime) -> Folded:
        """Fold the next events, at most ``limit``, each exactly once: the cursor moves in the same transaction."""
        ...

    async def rebuild(self, workspace_id: int, after_id: int, limit: int) -> tuple[int, int]:
        """Count the next contacts after ``after_id`` anew from all their events, up to where the fold has come.

        Returns the last contact's id (0: there are no more) and how many there were. Levels and their past stay.
        """
        ...

    async def histories(self, workspace_id: int) -> dict[Counts, int]:
        """How many contacts have which counts."""
        ...

    async def times(self, workspace_id: int) -> list[bytes]:
        """Responses by hour and weekday, of contacts with more than one; of at most some ten thousand contacts."""
        ...

    async def unscored(self, contact_ids: Sequence[int]) -> dict[int, list[Counts]]:
        """Which counts of these contacts the model has not been asked about yet, by workspace."""
        ...

    async def score(self, workspace_id: int, odds: Sequence[Odds], *, replace: bool = False) -> None:
        """Keep what the model says; ``replace``: and nothing of what it said before."""
        ...

    async def relevel(self, contact_ids: Sequence[int], now: datetime) -> int:
        """Move these contacts to the levels where they belong now, with a note of each move; returns how many moved."""
        ...

    async def relevel_some(self, workspace_id: int, after_id: int, limit: int, now: datetime) -> tuple[int, int]:
        """``relevel`` for the next contacts by key; the last one's id (0: there are no more) and how many moved."""
        ...

    async def keep_fit(self, workspace_id: int, fit: NewFit) -> None: ...

    async def fit(self, workspace_id: int) -> NewFit | None:
        """The latest."""
        ...

    async def count_levels(self, workspace_id: int, day: date) -> dict[Level, int]:
        """Note how many stand on each level at the end of ``day`` (written over within the day), and return it."""
        ...

    async def days(self, workspace_id: int, since: date) -> dict[date, dict[Level, int]]: ...

    async def listener(self, workspace_id: int, contact_id: int) -> Listener | None:
        """None for who was never sent a mail that could tell of a response."""
        ...

    async def moves(self, workspace_id: int, contact_id: int, limit: int = 20) -> list[LevelMove]:
        """A contact's changes of level, newest first."""
        ...

    async def mails(self, workspace_id: int, contact_id: int, limit: int = 30) -> list[MailHeard]:
        """A contact's latest opportunities, oldest first."""
        ...

    async def sample(self, workspace_id: int, people: int) -> list[Sampled]:
        """Contacts spread evenly over all who have opportunities, at most so many, with all their mails."""
        ...

    async def bands(self, workspace_id: int, bounds: Sequence[float]) -> list[Band]:
        """Contacts by mails a month (``bounds`` are the upper ends, the last band is open), of those with at least a
        month of mails."""
        ...

    async def flows(self, workspace_id: int, since: datetime) -> list[Flow]:
        """By month, oldest first."""
        ...

    async def population(self, workspace_id: int, before: datetime) -> int:
        """How many of today's contacts were there already at that moment."""
        ...

    async def keep_report(self, workspace_id: int, at: datetime, data: Mapping[str, Any]) -> None: ...

    async def report(self, workspace_id: int) -> tuple[datetime, Mapping[str, Any]] | None: ...

    async def audience(self, campaign: Campaign, now: datetime) -> dict[Counts, tuple[int, Odds]]:
        """Those whom a campaign would be sent to now, by their counts; who has had no mail yet is not among them."""
        ...

    async def complaints(self, workspace_id: int) -> dict[Level, tuple[int, int]]:
        """Opportunities and complaints of everybody now on each level."""
        ...
