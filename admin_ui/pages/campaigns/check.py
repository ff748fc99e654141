"""Before a send: everything once more, a test to oneself, and then now, with ten seconds to think again, or later."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from aiohttp import web
from pydantic import Field

from admin_ui.forms import Form, FormModel
from admin_ui.page import Page, Routes
from admin_ui.pages.campaigns.preview import chosen_person, make_preview
from admin_ui.pages.campaigns.shown import REASONS, readable
from admin_ui.render import number
from admin_ui.words import _
from esp.errors import ConflictError, InputError
from esp.flows import campaigns as flow
from esp.flows import segments
from esp.model.campaign import CampaignAction, CampaignState
from esp.model.contact import ExclusionReason
from esp.model.content import Link
from esp.model.fields import FieldType
from esp.model.segment import FieldOp, FieldRule, Group, Match
from esp.ports.campaigns import Campaign, CampaignDetail
from tracking.listener import Coldest, coldest

routes = Routes()

# Long enough to see what one has done and reach for Undo, short enough not to wait for.
COUNTDOWN: Final = timedelta(seconds=10)
_PAGE: Final = 50


class TestForm(FormModel):
    __test__ = False  # pytest takes names with Test for its own

    address: str = Field(min_length=1, max_length=320)
    label: str = "A"
    seen_as: str = ""


class WhenForm(FormModel):
    version: int
    at: datetime | None = None


class ColdForm(FormModel):
    version: int
    below: float = Field(gt=0, le=10)


@dataclass(frozen=True, slots=True)
class VariantLinks:
    label: str
    links: tuple[Link, ...]


@routes.get(r"/campaigns/{campaign_id:\d+}/check")
async def check(page: Page) -> web.StreamResponse:
    detail = await page.app.store.campaigns.get(page.workspace_id, page.key("campaign_id"))
    if detail.campaign.state is not CampaignState.DRAFT:
        return page.redirect(f"/campaigns/{detail.campaign.id}")
    return await _show(page, detail, _test_form(page), Form.blank())


def _test_form(page: Page) -> Form[TestForm]:
    return Form.blank(address=page.session.user.email, label="A", seen_as="")


async def _show(
    page: Page, detail: CampaignDetail, test: Form[TestForm], when: Form[WhenForm], status: int = 200,
) -> web.Response:
    campaign = detail.campaign
    preflight = await flow.preflight(page.app, page.workspace_id, campaign.id)
    person = await chosen_person(page, "", campaign.include_lists)
    edit = detail.edit()
    previews = [await make_preview(page, edit, at, person) for at in range(len(detail.variants))]
    domain = None
    if campaign.domain_id is not None:
        domain = await page.app.store.domains.by_id(page.workspace_id, campaign.domain_id)
    now = page.app.clock.now()
    zone = ZoneInfo(page.session.workspace.time_zone)
    return page.render(
        "campaigns/check.html", status=status, campaign=campaign, variants=detail.variants, readable=readable,
        preflight=preflight, links=await _links(page, detail), previews=previews, person=person, domain=domain,
        reasons=REASONS, test=test, when=when,
        lists=await page.app.store.contacts.lists(page.workspace_id, True),
        segments=await page.app.store.segments.list(page.workspace_id, limit=500),
        local_now=now.astimezone(zone), earliest=(now + timedelta(minutes=1)).astimezone(zone),
        address=page.session.workspace.postal_address, coldest=await _coldest(page, campaign))


async def _coldest(page: Page, campaign: Campaign) -> Coldest | None:
    """The tenth of the audience that is least likely to answer; None where it is small or nothing is known."""
    store = page.app.store.listening
    if not campaign.include_lists or await store.fit(page.workspace_id) is None:
        return None
    return coldest(await store.audience(campaign, page.app.clock.now()), await store.complaints(page.workspace_id))


@routes.post(r"/campaigns/{campaign_id:\d+}/leave-out-coldest")
async def leave_out(page: Page) -> web.StreamResponse:
    """A segment of those whom the page spoke of, left out of this campaign; it can be taken out again like any."""
    detail = await page.app.store.campaigns.get(page.workspace_id, page.key("campaign_id"))
    here = f"/campaigns/{detail.campaign.id}/check"
    form = await page.form(ColdForm)
    if form.data is None:
        raise web.HTTPBadRequest
    rule = Group(Match.ALL, (
        FieldRule("engagement.expected", FieldType.NUMBER, FieldOp.LESS, (form.data.below,)),))
    segment = await _segment_of(page, rule, _("Coldest, below {n} expected responses").format(
        n=number(round(form.data.below, 4))))
    if segment not in detail.campaign.exclude_segments:
        edit = replace(detail.edit(), exclude_segments=(*detail.campaign.exclude_segments, segment))
        await flow.change(page.app, page.workspace_id, detail.campaign.id, edit, form.data.version)
    return page.redirect(here, _("They are left out. The segment stays, and can be taken out of the campaign again."))


async def _segment_of(page: Page, rule: Group, name: str) -> int:
    """The segment of this rule, made where there is none of the name."""
    for one in await page.app.store.segments.list(page.workspace_id, limit=10_000):
        if one.rule == rule:
            return one.id
    try:
        return (await segments.create(page.app, page.workspace_id, name, "", rule)).id
    except ConflictError:  # another rule has taken the name
        named = f"{name} ({page.app.clock.now():%Y-%m-%d %H:%M:%S})"
        return (await segments.create(page.app, page.workspace_id, named, "", rule)).id


async def _links(page: Page, detail: CampaignDetail) -> list[VariantLinks]:
    """The links of each variant that can be compiled; variants with the same content are shown once."""
    found: list[VariantLinks] = []
    known = await page.app.store.contacts.field_names(page.workspace_id)
    facts = await flow.facts_of(
        page.app, page.workspace_id, detail.campaign.name, detail.campaign.include_lists)
    seen: set[str] = set()
    for variant in detail.variants:
        if variant.edit.source in seen or not variant.edit.source.strip():
            continue
        seen.add(variant.edit.source)
        compiled, _problems = await page.app.content.check(variant.edit.draft(), known_fields=known, facts=facts)
        if compiled is not None and compiled.links:
            found.append(VariantLinks(variant.label, compiled.links))
    return found


@routes.post(r"/campaigns/{campaign_id:\d+}/test")
async def test(page: Page) -> web.StreamResponse:
    """One mail by the ordinary road to somebody who wants to see it; it is counted nowhere."""
    campaign_id = page.key("campaign_id")
    detail = await page.app.store.campaigns.get(page.workspace_id, campaign_id)
    form = await page.form(TestForm)
    if form.data is not None:
        person = await chosen_person(page, form.data.seen_as, detail.campaign.include_lists)
        try:
            await flow.send_test(
                page.app, page.workspace_id, campaign_id, form.data.address, label=form.data.label,
                contact_id=person.id if person else None)
        except InputError as error:
            # What is missing from the campaign is on this page anyway; beside the field stands what is wrong with it.
            form.problems["address"] = error.problems.get("address") or f"{error} " + " ".join(error.problems.values())
        else:
            return page.redirect(f"/campaigns/{campaign_id}/check",
                                 _("The test is on its way to {address}.").format(address=form.data.address))
    return await _show(page, detail, form, Form.blank(), 422)


@routes.post(r"/campaigns/{campaign_id:\d+}/send")
async def send(page: Page) -> web.StreamResponse:
    """Now, which is in ten seconds: until then one click takes it back as if nothing had been asked."""
    return await _schedule(page, None)


@routes.post(r"/campaigns/{campaign_id:\d+}/schedule")
async def schedule(page: Page) -> web.StreamResponse:
    """At a moment of the workspace's time zone."""
    form = await page.form(WhenForm)
    if form.data is None or form.data.at is None:
        detail = await page.app.store.campaigns.get(page.workspace_id, page.key("campaign_id"))
        form.problems.setdefault("at", _("Choose a date and a time."))
        return await _show(page, detail, _test_form(page), form, 422)
    at = form.data.at
    return await _schedule(page, at if at.tzinfo else at.replace(tzinfo=ZoneInfo(page.session.workspace.time_zone)))


async def _schedule(page: Page, at: datetime | None) -> web.StreamResponse:
    campaign_id = page.key("campaign_id")
    detail = await page.app.store.campaigns.get(page.workspace_id, campaign_id)
    form = await page.form(WhenForm)
    if form.data is None:
        raise web.HTTPBadRequest
    preflight = await flow.preflight(page.app, page.workspace_id, campaign_id)
    try:
        if detail.campaign.state is CampaignState.DRAFT and not preflight.ready:
            raise InputError(_("The campaign cannot be sent yet. Nothing was sent; what must be mended stands below."))
        await flow.act(
            page.app, page.workspace_id, campaign_id, CampaignAction.SCHEDULE, version=form.data.version,
            at=at or page.app.clock.now() + COUNTDOWN)
    except InputError as error:
        form.problems |= _beside(error.problems) or {"": str(error)}
        return await _show(page, detail, _test_form(page), form, 422)
    return page.redirect(f"/campaigns/{campaign_id}")


def _beside(problems: Mapping[str, str]) -> dict[str, str]:
    return {"at" if name == "scheduled_at" else "": words for name, words in problems.items()}


@routes.post(r"/campaigns/{campaign_id:\d+}/undo")
async def undo(page: Page) -> web.StreamResponse:
    """Back to a draft, as long as the first mail has not been asked for."""
    campaign_id = page.key("campaign_id")
    try:
        await flow.act(page.app, page.workspace_id, campaign_id, CampaignAction.UNSCHEDULE)
    except ConflictError:
        campaign = (await page.app.store.campaigns.get(page.workspace_id, campaign_id)).campaign
        if campaign.state is CampaignState.DRAFT:
            return page.redirect(f"/campaigns/{campaign_id}/check", _("It is a draft already."))
        return page.redirect(f"/campaigns/{campaign_id}",
                             _("It had already begun. You can pause it here; what is sent is sent."), "warn")
    return page.redirect(f"/campaigns/{campaign_id}/check", _("Taken back. Nobody was sent anything."))


@routes.get(r"/campaigns/{campaign_id:\d+}/audience")
async def audience(page: Page) -> web.StreamResponse:
    """The people behind a number of the forecast, by key."""
    campaign_id = page.key("campaign_id")
    detail = await page.app.store.campaigns.get(page.workspace_id, campaign_id)
    wanted = page.query("reason")
    reason = next((one for one in ExclusionReason if one.value == wanted), None)
    after = page.query("after")
    people = await flow.people_excluded(
        page.app, page.workspace_id, campaign_id, reason, int(after) if after.isdecimal() else 0, _PAGE + 1)
    here = f"/campaigns/{campaign_id}/audience"
    query = f"reason={reason}&" if reason else ""
    return page.render(
        "campaigns/audience.html", campaign=detail.campaign, people=people[:_PAGE], reason=reason, reasons=REASONS,
        first=here + (f"?reason={reason}" if reason else "") if after else "",
        next=f"{here}?{query}after={people[_PAGE - 1].contact_id}" if len(people) > _PAGE else "")
