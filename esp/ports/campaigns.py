"""Campaigns as they are kept: drafts, what is frozen, the walk over the audience, and the figures about it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from esp.model.campaign import CampaignAction, CampaignState, ContentKind
from esp.model.contact import ExclusionReason
from esp.model.content import CompiledVariant, Draft
from esp.model.segment import Group


@dataclass(frozen=True, slots=True)
class VariantEdit:
    """A variant as its author left it; ``weight`` is its share of the audience among all weights (1-100)."""

    subject: str
    source: str
    kind: ContentKind = ContentKind.HTML
    preheader: str = ""
    label: str = "A"
    weight: int = 1

    def draft(self) -> Draft:
        return Draft(self.subject, self.source, self.kind, self.preheader, self.label)


@dataclass(frozen=True, slots=True)
class CampaignEdit:
    """Everything a marketer decides about a campaign; ``throttle`` is a rate such as ``600/min``, or empty."""

    name: str
    variants: tuple[VariantEdit, ...]
    include_lists: tuple[int, ...] = ()
    exclude_lists: tuple[int, ...] = ()
    domain_id: int | None = None
    from_name: str = ""
    from_address: str = ""
    reply_to: str = ""
    throttle: str = ""
    track_opens: bool = True
    track_clicks: bool = True
    topic_id: int | None = None  # what it is about, for those who chose their topics
    in_archive: bool = True  # False: left out of its lists' archives
    include_segments: tuple[int, ...] = ()  # of the people on the lists only those in one of these; none: all
    exclude_segments: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Variant:
    """A variant as stored; ``id`` changes while the campaign is a draft and is edited, and never afterwards."""

    id: int
    edit: VariantEdit

    @property
    def label(self) -> str:
        return self.edit.label


@dataclass(frozen=True, slots=True)
class SegmentRules:
    """The rules of a campaign's segments, with other segments inlined: in one of ``include``, in no ``exclude``."""

    include: tuple[Group, ...] = ()
    exclude: tuple[Group, ...] = ()


@dataclass(frozen=True, slots=True)
class Campaign:
    """One broadcast. ``version`` grows with every change and guards against two people changing it at once."""

    id: int
    public_id: str
    workspace_id: int
    name: str
    state: CampaignState
    state_reason: str
    domain_id: int | None
    from_name: str
    from_address: str
    reply_to: str
    include_lists: tuple[int, ...]
    exclude_lists: tuple[int, ...]
    throttle: str
    track_opens: bool
    track_clicks: bool
    created_at: datetime
    updated_at: datetime
    scheduled_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    walk_cursor: int
    walk_until: int
    walk_done: bool
    version: int
    test_of: int | None  # a test send is a hidden campaign of its own, so that it never spoils a figure
    sample: Mapping[str, Any]  # the merge fields a test send shows instead of a contact's
    topic_id: int | None = None
    in_archive: bool = True
    digest: str = ""  # a Cadence: this campaign is a digest, made by a job
    include_segments: tuple[int, ...] = ()
    exclude_segments: tuple[int, ...] = ()
    segment_rules: SegmentRules | None = None  # as they were at the start; None before


@dataclass(frozen=True, slots=True)
class CampaignDetail:
    """A campaign with its variants by label, and ``counts``: the total of each metric from the rollups.

    Metrics are EventType values and ``targeted``; what is absent is nothing.
    """

    campaign: Campaign
    variants: tuple[Variant, ...]
    counts: Mapping[str, int]

    def edit(self) -> CampaignEdit:
        """The campaign as an edit, to start a form or a clone from."""
        it = self.campaign
        return CampaignEdit(
            it.name, tuple(variant.edit for variant in self.variants), it.include_lists, it.exclude_lists, it.domain_id,
            it.from_name, it.from_address, it.reply_to, it.throttle, it.track_opens, it.track_clicks,
            topic_id=it.topic_id, in_archive=it.in_archive, include_segments=it.include_segments,
            exclude_segments=it.exclude_segments,
        )


@dataclass(frozen=True, slots=True)
class CampaignLine:
    """A campaign in a list, with its counts."""

    campaign: Campaign
    counts: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Forecast:
    """Before a send (requirement B1): ``targeted`` = ``will_get`` + everybody in ``excluded``, each person once."""

    targeted: int
    will_get: int
    excluded: Mapping[ExclusionReason, int]


@dataclass(frozen=True, slots=True)
class AudienceMember:
    """Somebody the campaign is aimed at; ``reason`` says why they will not get it, None where they will."""

    contact_id: int
    address: str
    domain: str
    reason: ExclusionReason | None


@dataclass(frozen=True, slots=True)
class NewBatch:
    provider: str
    size: int


@dataclass(frozen=True, slots=True)
class BatchPlan:
    """Batches in the order in which they are sent; ``shares`` says in whose batches a provider's people are.

    The batches of one name are full with ``size`` people each, but for the last of them.
    """

    shares: Mapping[str, str]
    batches: Sequence[NewBatch]
    size: int


@dataclass(frozen=True, slots=True)
class WalkStep:
    """The next step of a walk: everybody between the campaign's cursor and ``until``; ``done``: nobody is after."""

    until: int
    done: bool


@dataclass(frozen=True, slots=True)
class Gathering:
    """How a step's people are put together: who serves a domain, and what batches so many of each provider make.

    ``provider_of`` tells the provider by the domain's name alone; None: what was resolved after ``fresh_after`` counts.
    """

    batches: Callable[[Mapping[str, int]], BatchPlan]
    fresh_after: datetime
    provider_of: Callable[[str], str] | None = None


@dataclass(frozen=True, slots=True)
class FrozenVariant:
    variant_id: int
    compiled: CompiledVariant


@dataclass(frozen=True, slots=True)
class FrozenCampaign:
    """What a campaign sends, as it was at its start: compiled variants by id, with their links."""

    campaign: Campaign
    variants: Mapping[int, CompiledVariant] = field(default_factory=dict)


class Campaigns(Protocol):
    # ---- drafts
    async def create(self, workspace_id: int, edit: CampaignEdit, now: datetime) -> Campaign: ...

    async def edit(
        self, workspace_id: int, campaign_id: int, edit: CampaignEdit, version: int, now: datetime,
    ) -> Campaign:
        """Replace a draft's content; ConflictError where it is no draft any more or ``version`` is not the newest."""
        ...

    async def delete(self, workspace_id: int, campaign_id: int, version: int) -> None:
        """Only a draft; ConflictError otherwise."""
        ...

    async def get(self, workspace_id: int, campaign_id: int) -> CampaignDetail:
        """Raises NotFoundError, also for another workspace's campaign."""
        ...

    async def list(
        self, workspace_id: int, before_id: int | None = None, limit: int = 50, states: Sequence[CampaignState] = (),
    ) -> tuple[CampaignLine, ...]:
        """Newest first, without test sends."""
        ...

    # ---- states
    async def move(
        self, campaign: Campaign, action: CampaignAction, now: datetime, *, reason: str = "",
        scheduled_at: datetime | None = None,
    ) -> Campaign:
        """Apply ``action`` through CAMPAIGN_TRANSITIONS, once: guarded by state and version of ``campaign``.

        Raises ConflictError where the table has no such arrow or somebody else moved it first.
        """
        ...

    async def start(
        self, campaign: Campaign, frozen: Sequence[FrozenVariant], now: datetime,
        segment_rules: SegmentRules | None = None,
    ) -> Campaign:
        """From draft or scheduled to sending: compiled variants, links and the end of the walk, in one transaction.

        ``segment_rules`` are those of its segments as they are now; None where it has none.

        Raises ConflictError as ``move`` does, so that of many simultaneous starts one wins.
        """
        ...

    async def create_test(
        self, campaign: Campaign, edit: CampaignEdit, compiled: CompiledVariant, address: str, domain: str,
        provider: str, sample: Mapping[str, Any], now: datetime,
    ) -> Campaign:
        """A hidden campaign of one delivery (contact 0), already sending and walked. Returns it."""
        ...

    async def due(self, now: datetime, limit: int = 10) -> tuple[Campaign, ...]:
        """Scheduled campaigns whose time has come, of every workspace."""
        ...

    async def frozen(self, workspace_id: int, campaign_id: int) -> FrozenCampaign: ...

    # ---- audience
    async def forecast(self, campaign: Campaign, now: datetime) -> Forecast: ...

    async def people_excluded(
        self, campaign: Campaign, reason: ExclusionReason | None, now: datetime, after_id: int = 0, limit: int = 50,
    ) -> tuple[AudienceMember, ...]:
        """The people behind one number of ``forecast``, by key; None means those who will get it."""
        ...

    async def walking(self, limit: int = 10) -> tuple[Campaign, ...]:
        """Sending campaigns whose walk is not done, of every workspace."""
        ...

    async def backlog(self, campaign: Campaign, limit: int) -> int:
        """Deliveries written and not yet sent for the first time, counted up to ``limit``."""
        ...

    async def next_step(self, campaign: Campaign, limit: int) -> WalkStep:
        """The next ``limit`` people after the walk's cursor, by contact id: of the lists, or of a digest's readers.

        Whether it is the last step is not told by how many are found later: people join and are erased meanwhile.
        """
        ...

    async def write_step(
        self, campaign: Campaign, step: WalkStep, gathering: Gathering, now: datetime,
    ) -> frozenset[str]:
        """Deliveries, batches, events of the excluded, tallies and the cursor, in one transaction.

        Returns the domains whose provider is not known; where there are any, nothing was written. Raises ConflictError,
        with nothing written, where the campaign is not sending or the cursor has moved.
        """
        ...

    async def providers(self, domains: Sequence[str], fresh_after: datetime) -> dict[str, str]:
        """Those providers of ``domains`` that were resolved after ``fresh_after``."""
        ...

    async def remember_providers(self, providers: Mapping[str, str], now: datetime) -> None: ...

    # ---- the end
    async def finishable(self, limit: int = 20) -> tuple[Campaign, ...]:
        """Sending campaigns whose walk is done and which have no open delivery, of every workspace."""
        ...

    async def cancelled_with_open(self, limit: int = 10) -> tuple[Campaign, ...]:
        """Cancelled campaigns that still have open deliveries."""
        ...

    async def cancel_open(self, campaign: Campaign, now: datetime, limit: int = 1000) -> int:
        """Write some open deliveries of a cancelled campaign as cancelled, with events; how many (0: none left)."""
        ...

    async def states(self, workspace_id: int, campaign_id: int) -> dict[str, int]:
        """Deliveries by state, counted row by row: the truth behind the rollups (invariant I4)."""
        ...
