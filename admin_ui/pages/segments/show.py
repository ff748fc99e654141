"""Segments listed, one of them with its people, and what can be done with it."""

from typing import Final

from aiohttp import web

from admin_ui.page import Page, Routes
from admin_ui.pages.segments.words import Shown
from admin_ui.words import _
from esp.audience.segment_check import campaigns_of, rule_problems
from esp.errors import InputError, TookTooLongError
from esp.flows import campaigns as campaign_flow
from esp.flows import segments as flow
from esp.model.campaign import ContentKind
from esp.model.segment_json import rule_json
from esp.ports.campaigns import CampaignEdit, VariantEdit
from esp.ports.contacts import Contact

routes: Final = Routes()
_PAGE: Final = 25


@routes.get("/segments")
async def index(page: Page) -> web.Response:
    after = page.query("after")[:200]
    found = await page.app.store.segments.list(page.workspace_id, after, _PAGE + 1)
    known = await page.app.store.segments.vocabulary(page.workspace_id, campaigns_of(*(one.rule for one in found)))
    broken = {one.id for one in found if rule_problems(one.rule, known, one.id)}
    return page.render("segments/index.html", segments=found[:_PAGE], shown=Shown(known), broken=broken, after=after,
                       more=found[_PAGE - 1].name if len(found) > _PAGE else "")


@routes.get(r"/segments/{segment_id:\d+}")
async def show(page: Page) -> web.Response:
    segment_id = page.key("segment_id")
    checked = await flow.read(page.app, page.workspace_id, segment_id)
    store = page.app.store.segments
    after = page.query("after")
    slow = ""
    people: tuple[Contact, ...] = ()
    if not checked.problems:
        try:
            people = await flow.people(page.app, page.workspace_id, checked.segment.rule,
                                       int(after) if after.isdecimal() and len(after) < 18 else 0, _PAGE + 1)
        except TookTooLongError as error:
            slow = _(str(error))
    return page.render(
        "segments/show.html", segment=checked.segment, shown=Shown(checked.known), people=people[:_PAGE],
        problems=[_(str(one)) for one in checked.problems], slow=slow, after=after,
        more=people[_PAGE - 1].id if len(people) > _PAGE else 0, plain=rule_json(checked.segment.rule),
        snapshots=await store.snapshots(page.workspace_id, segment_id, 20),
        used_by=await store.used_by(page.workspace_id, segment_id))


@routes.get(r"/segments/{segment_id:\d+}/count")
async def count(page: Page) -> web.Response:
    """The count made anew, as a fragment; the page shows the last one until it is there."""
    segment = await page.app.store.segments.get(page.workspace_id, page.key("segment_id"))
    trouble, found = "", None
    try:
        found = await flow.count(page.app, page.workspace_id, segment.rule, segment.id)
    except (InputError, TookTooLongError) as error:
        trouble = _(str(error))
    if "HX-Request" not in page.request.headers:  # a browser without script has followed the link: the page shows it
        return page.redirect(f"/segments/{segment.id}", trouble, "warn")
    return page.render("segments/number.html", found=found, trouble=trouble)


@routes.get(r"/segments/{segment_id:\d+}/rule.json")
async def as_json(page: Page) -> web.Response:
    segment = await page.app.store.segments.get(page.workspace_id, page.key("segment_id"))
    return web.json_response(rule_json(segment.rule))


@routes.post(r"/segments/{segment_id:\d+}/duplicate")
async def duplicate(page: Page) -> web.Response:
    segment = await page.app.store.segments.get(page.workspace_id, page.key("segment_id"))
    copy = await flow.duplicate(page.app, page.workspace_id, segment.id, f"{segment.name} ({_('copy')})")
    return page.redirect(f"/segments/{copy.id}/edit", _("This is the copy."))


@routes.post(r"/segments/{segment_id:\d+}/delete")
async def delete(page: Page) -> web.Response:
    segment = await page.app.store.segments.get(page.workspace_id, page.key("segment_id"))
    await flow.delete(page.app, page.workspace_id, segment.id)
    return page.redirect("/segments", _("The segment {name} was deleted.").format(name=segment.name))


@routes.post(r"/segments/{segment_id:\d+}/snapshot")
async def snapshot(page: Page) -> web.Response:
    segment_id = page.key("segment_id")
    await flow.snapshot(page.app, page.workspace_id, segment_id)
    return page.redirect(f"/segments/{segment_id}#snapshots", _("Who is in it now was written down."))


@routes.post(r"/segments/{segment_id:\d+}/use")
async def use(page: Page) -> web.Response:
    """A draft to everybody in it who is subscribed to anything; the lists are chosen on the next page."""
    segment = await page.app.store.segments.get(page.workspace_id, page.key("segment_id"))
    lists = await page.app.store.contacts.lists(page.workspace_id)
    domains = await page.app.store.domains.all(page.workspace_id)
    domain = next((one for one in domains if one.verified_at), domains[0] if domains else None)
    edit = CampaignEdit(
        name=f"{segment.name}, {page.app.clock.now():%d %B %Y}"[:200],
        variants=(VariantEdit("", "", ContentKind.MARKDOWN),), include_lists=tuple(one.id for one in lists),
        include_segments=(segment.id,), domain_id=domain.id if domain else None,
        from_name=page.session.workspace.name, from_address=f"news@{domain.name}" if domain else "")
    made = await campaign_flow.create(page.app, page.workspace_id, edit)
    return page.redirect(f"/campaigns/{made.id}/edit", _("The segment is chosen as this campaign's audience."))


@routes.post(r"/segments/snapshots/{snapshot_id:\d+}/segment")
async def of_snapshot(page: Page) -> web.Response:
    made = await flow.segment_of_snapshot(page.app, page.workspace_id, page.key("snapshot_id"))
    return page.redirect(f"/segments/{made.id}", _("These people are a segment of their own now."))


@routes.post(r"/segments/snapshots/{snapshot_id:\d+}/delete")
async def forget_snapshot(page: Page) -> web.Response:
    await page.app.store.segments.delete_snapshot(page.workspace_id, page.key("snapshot_id"))
    return page.redirect("/segments", _("The snapshot was deleted."))
