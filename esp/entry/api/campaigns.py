"""Campaigns over HTTP: written as drafts, started and stopped, and what became of them."""

from typing import Annotated, Any, Final

from pydantic import Field

from esp.entry.api.call import Call
from esp.entry.api.operation import LARGE, Operations
from esp.entry.api.problems import Problem
from esp.entry.api.shapes import EmailText, Given, GivenMoment, Line, Moment, Page, PageQuery, PublicId, Told
from esp.flows import campaigns
from esp.model.campaign import CampaignAction, CampaignState, ContentKind
from esp.model.relay import Scope
from esp.ports.api import Named
from esp.ports.campaigns import Campaign, CampaignDetail, CampaignEdit, VariantEdit
from esp.ports.reports import Figures

operations: Final = Operations("Campaigns", "One mail sent to many people.")

Ids = Annotated[list[PublicId], Field(max_length=100)]


class VariantIn(Given):
    label: Annotated[str, Field(min_length=1, max_length=20)] = "A"
    subject: Line
    preheader: Line = ""
    kind: Annotated[ContentKind, Field(strict=False)] = ContentKind.HTML
    source: Annotated[str, Field(max_length=2_000_000, description="The content, with merge fields.",
                                 examples=["<p>Hello {{ contact.first_name }}</p>"])]
    weight: Annotated[int, Field(ge=1, le=100, description="Its share of the audience, among all weights.")] = 1


class CampaignIn(Given):
    name: Annotated[Line, Field(min_length=1, max_length=200, examples=["Spring news"])]
    variants: Annotated[list[VariantIn], Field(min_length=1, max_length=8)]
    domain: Annotated[str, Field(max_length=253, description="The sending domain's name.",
                                 examples=["example.com"])] = ""
    from_name: Line = ""
    from_address: EmailText | None = None
    reply_to: EmailText | None = None
    lists: Ids = Field(default_factory=list, description="Who gets it: the people on these lists.")
    exclude_lists: Ids = Field(default_factory=list)
    segments: Ids = Field(default_factory=list, description="Of them only those in one of these segments.")
    exclude_segments: Ids = Field(default_factory=list)
    topic: PublicId | None = None
    throttle: Annotated[str, Field(max_length=40, description="The most it is sent at, such as 600/min.")] = ""
    track_opens: bool = True
    track_clicks: bool = True
    in_archive: bool = True


class VariantOut(Told):
    label: str
    subject: str
    preheader: str
    kind: ContentKind
    source: str
    weight: int


class CampaignOut(Told):
    id: str
    name: str
    state: CampaignState
    state_reason: str
    created_at: Moment
    updated_at: Moment
    scheduled_at: Moment | None
    started_at: Moment | None
    finished_at: Moment | None


class CampaignFull(CampaignOut):
    domain: str
    from_name: str
    from_address: str
    reply_to: str
    lists: list[str]
    exclude_lists: list[str]
    segments: list[str]
    exclude_segments: list[str]
    topic: str | None
    throttle: str
    track_opens: bool
    track_clicks: bool
    in_archive: bool
    variants: list[VariantOut]


class CampaignPage(Page[CampaignOut]):
    pass


class CampaignQuery(PageQuery):
    state: Annotated[CampaignState | None, Field(strict=False)] = None


class FiguresOut(Told):
    """How many people each thing happened to. Opens and clicks of machines are apart."""

    targeted: int
    waiting: int
    delivered: int
    deferred: int
    bounced: int
    expired: int
    suppressed: int
    cancelled: int
    opened: int
    clicked: int
    machine_opened: int
    machine_clicked: int
    unsubscribed: int
    complained: int


class MemberOut(Told):
    name: str
    note: str
    figures: FiguresOut


class ReasonOut(Told):
    what: str
    reason: str
    count: int


class StatisticsOut(Told):
    figures: FiguresOut
    providers: list[MemberOut]
    variants: list[MemberOut]
    links: list[MemberOut]
    reasons: list[ReasonOut]


class ForecastOut(Told):
    targeted: int
    will_get: int
    excluded: dict[str, int]


class ScheduleIn(Given):
    at: GivenMoment


class TestIn(Given):
    to: EmailText
    variant: Annotated[str, Field(max_length=20)] = "A"


class Nothing(Given):
    """An empty object."""


def figures_out(it: Figures) -> FiguresOut:
    return FiguresOut(**{name: getattr(it, name) for name in FiguresOut.model_fields})


def _brief(it: Campaign) -> dict[str, Any]:
    return {name: getattr(it, name) for name in CampaignOut.model_fields if name != "id"} | {"id": it.public_id}


async def _full(call: Call, detail: CampaignDetail) -> CampaignFull:
    it = detail.campaign
    lists = await call.names(Named.LIST, (*it.include_lists, *it.exclude_lists))
    segments = await call.names(Named.SEGMENT, (*it.include_segments, *it.exclude_segments))
    topics = await call.names(Named.TOPIC, (it.topic_id,) if it.topic_id else ())
    domain = "" if it.domain_id is None else (await call.app.store.domains.by_id(call.workspace_id, it.domain_id)).name
    return CampaignFull(
        **_brief(it), domain=domain, from_name=it.from_name, from_address=it.from_address, reply_to=it.reply_to,
        lists=[lists[one] for one in it.include_lists if one in lists],
        exclude_lists=[lists[one] for one in it.exclude_lists if one in lists],
        segments=[segments[one] for one in it.include_segments if one in segments],
        exclude_segments=[segments[one] for one in it.exclude_segments if one in segments],
        topic=topics.get(it.topic_id or 0), throttle=it.throttle, track_opens=it.track_opens,
        track_clicks=it.track_clicks, in_archive=it.in_archive,
        variants=[VariantOut(label=one.edit.label, subject=one.edit.subject, preheader=one.edit.preheader,
                             kind=one.edit.kind, source=one.edit.source, weight=one.edit.weight)
                  for one in detail.variants])


async def _edit(call: Call, body: CampaignIn) -> CampaignEdit:
    domain_id = None
    if body.domain:
        domain = await call.app.store.domains.by_name(call.workspace_id, body.domain.lower())
        if domain is None:
            raise Problem("invalid", "domain: There is no such sending domain.",
                          (("domain", "There is no such sending domain."),))
        domain_id = domain.id
    return CampaignEdit(
        name=body.name, domain_id=domain_id, from_name=body.from_name, from_address=body.from_address or "",
        reply_to=body.reply_to or "", throttle=body.throttle, track_opens=body.track_opens,
        track_clicks=body.track_clicks, in_archive=body.in_archive,
        variants=tuple(VariantEdit(one.subject, one.source, one.kind, one.preheader, one.label, one.weight)
                       for one in body.variants),
        include_lists=await call.numbers(Named.LIST, body.lists, "lists"),
        exclude_lists=await call.numbers(Named.LIST, body.exclude_lists, "exclude_lists"),
        include_segments=await call.numbers(Named.SEGMENT, body.segments, "segments"),
        exclude_segments=await call.numbers(Named.SEGMENT, body.exclude_segments, "exclude_segments"),
        topic_id=await call.number(Named.TOPIC, body.topic, "topic") if body.topic else None)


async def _found(call: Call, name: str) -> CampaignDetail:
    return await call.app.store.campaigns.get(call.workspace_id, await call.number(Named.CAMPAIGN, name))


# ---- read and written ------------------------------------------------------------------------------------------------


@operations.get("/campaigns", Scope.CAMPAIGNS_READ)
async def list_campaigns(call: Call, query: CampaignQuery) -> CampaignPage:
    """Campaigns, newest first."""
    what = f"campaigns\0{query.state}"
    lines = await call.app.store.campaigns.list(
        call.workspace_id, call.place(what, query.cursor, int), query.limit + 1,
        (query.state,) if query.state else ())
    page = lines[:query.limit]
    return CampaignPage(data=[CampaignOut(**_brief(one.campaign)) for one in page],
                        next=call.next(what, page[-1].campaign.id) if len(lines) > query.limit else None)


@operations.post("/campaigns", Scope.CAMPAIGNS_WRITE, status=201, largest=LARGE)
async def create_campaign(call: Call, body: CampaignIn) -> CampaignFull:
    """Write a draft. It may be incomplete; what is missing is said when it is started."""
    made = await campaigns.create(call.app, call.workspace_id, await _edit(call, body))
    return await _full(call, await call.app.store.campaigns.get(call.workspace_id, made.id))


@operations.get("/campaigns/{campaign}", Scope.CAMPAIGNS_READ, tagged=True)
async def get_campaign(call: Call, campaign: str) -> CampaignFull:
    """One campaign with its content."""
    return await _full(call, await _found(call, campaign))


@operations.put("/campaigns/{campaign}", Scope.CAMPAIGNS_WRITE, largest=LARGE)
async def edit_campaign(call: Call, campaign: str, body: CampaignIn) -> CampaignFull:
    """Replace a draft."""
    detail = await _found(call, campaign)
    call.must_match(await _full(call, detail))
    await campaigns.change(
        call.app, call.workspace_id, detail.campaign.id, await _edit(call, body), detail.campaign.version)
    return await _full(call, await _found(call, campaign))


@operations.delete("/campaigns/{campaign}", Scope.CAMPAIGNS_WRITE)
async def delete_campaign(call: Call, campaign: str) -> None:
    """Delete a draft."""
    it = (await _found(call, campaign)).campaign
    await call.app.store.campaigns.delete(call.workspace_id, it.id, it.version)


@operations.get("/campaigns/{campaign}/forecast", Scope.CAMPAIGNS_READ)
async def forecast_campaign(call: Call, campaign: str) -> ForecastOut:
    """Who would get it now, and how many would not, for which reason."""
    it = await campaigns.precheck(call.app, call.workspace_id, (await _found(call, campaign)).campaign.id)
    return ForecastOut(targeted=it.targeted, will_get=it.will_get,
                       excluded={reason.value: count for reason, count in it.excluded.items()})


# ---- acted on --------------------------------------------------------------------------------------------------------


async def _act(call: Call, campaign: str, action: CampaignAction, **more: Any) -> CampaignOut:
    it = (await _found(call, campaign)).campaign
    return CampaignOut(**_brief(await campaigns.act(
        call.app, call.workspace_id, it.id, action, version=it.version, **more)))


@operations.post("/campaigns/{campaign}/start", Scope.CAMPAIGNS_WRITE)
async def start_campaign(call: Call, campaign: str) -> CampaignOut:
    """Start sending. What it lacks, if anything, is answered with 422, and nothing is sent."""
    return await _act(call, campaign, CampaignAction.START)


@operations.post("/campaigns/{campaign}/schedule", Scope.CAMPAIGNS_WRITE)
async def schedule_campaign(call: Call, campaign: str, body: ScheduleIn) -> CampaignOut:
    """Start it at a time that is still to come."""
    return await _act(call, campaign, CampaignAction.SCHEDULE, at=body.at)


@operations.post("/campaigns/{campaign}/unschedule", Scope.CAMPAIGNS_WRITE)
async def unschedule_campaign(call: Call, campaign: str) -> CampaignOut:
    """Make a scheduled campaign a draft again."""
    return await _act(call, campaign, CampaignAction.UNSCHEDULE)


@operations.post("/campaigns/{campaign}/pause", Scope.CAMPAIGNS_WRITE)
async def pause_campaign(call: Call, campaign: str) -> CampaignOut:
    """Stop sending for now."""
    return await _act(call, campaign, CampaignAction.PAUSE)


@operations.post("/campaigns/{campaign}/resume", Scope.CAMPAIGNS_WRITE)
async def resume_campaign(call: Call, campaign: str) -> CampaignOut:
    """Go on sending."""
    return await _act(call, campaign, CampaignAction.RESUME)


@operations.post("/campaigns/{campaign}/cancel", Scope.CAMPAIGNS_WRITE)
async def cancel_campaign(call: Call, campaign: str) -> CampaignOut:
    """End it for good; who did not get it yet never will."""
    return await _act(call, campaign, CampaignAction.CANCEL)


@operations.post("/campaigns/{campaign}/test", Scope.CAMPAIGNS_WRITE, status=202)
async def test_campaign(call: Call, campaign: str, body: TestIn) -> CampaignOut:
    """Send one variant to one address, by the ordinary road. It counts in no figure."""
    it = (await _found(call, campaign)).campaign
    return CampaignOut(**_brief(await campaigns.send_test(
        call.app, call.workspace_id, it.id, body.to, label=body.variant)))


@operations.get("/campaigns/{campaign}/statistics", Scope.CAMPAIGNS_READ)
async def campaign_statistics(call: Call, campaign: str) -> StatisticsOut:
    """What became of it: in all, by provider, variant and link, and why some did not get it."""
    number = (await _found(call, campaign)).campaign.id
    reports = call.app.store.reports
    def members(found: Any) -> list[MemberOut]:
        return [MemberOut(name=one.label, note=one.note, figures=figures_out(one.figures)) for one in found]

    return StatisticsOut(
        figures=figures_out(await reports.figures(call.workspace_id, number)),
        providers=members(await reports.by_provider(call.workspace_id, number)),
        variants=members(await reports.by_variant(call.workspace_id, number)),
        links=members(await reports.by_link(call.workspace_id, number)),
        reasons=[ReasonOut(what=one.metric.value, reason=one.reason, count=one.count)
                 for one in await reports.reasons(call.workspace_id, number)])
