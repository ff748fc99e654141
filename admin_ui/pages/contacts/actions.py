"""Many contacts at once: what to do with them, how far it is, what it changed, and the way back."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Final

from aiohttp import web

from admin_ui import live
from admin_ui.forms import Form
from admin_ui.page import Page, Routes
from admin_ui.pages.contacts.chosen import is_key, pack, read_filters, unpack
from admin_ui.words import _
from esp.errors import InputError
from esp.flows import bulk
from esp.flows.bulk import MOST_COUNTED, MOST_IDS
from esp.flows.segments import resolved
from esp.model.segment_json import rule_json
from esp.ports.people_bulk import OVER, Bulk, BulkAction, Selection

routes: Final = Routes()

_PAGE: Final = 50


@routes.get("/contacts/bulk")
async def everybody_who_matches(page: Page) -> web.Response:
    """What to do with all whom the filters or a segment find, however many."""
    if is_key(page.query("segment")):
        return await _choose(page, *await _segment(page, int(page.query("segment"))))
    filters = await read_filters(page)
    return await _choose(page, filters.selection(), filters.address("/contacts"))


async def _segment(page: Page, segment_id: int) -> tuple[Selection, str]:
    segment = await page.app.store.segments.get(page.workspace_id, segment_id)
    rule = await resolved(page.app, page.workspace_id, segment.rule, segment.id)
    zone = page.session.workspace.time_zone
    return Selection(rule=rule_json(rule), zone=zone), f"/segments/{segment.id}"


@routes.post("/contacts/bulk")
async def the_ticked(page: Page) -> web.Response:
    """What to do with those who were ticked."""
    posted = await page.request.post()
    ids = [int(str(one)) for one in posted.getall("id", []) if is_key(str(one))][:MOST_IDS]
    back = str(posted.get("back", ""))
    back = back if back.startswith(("/contacts?", "/hygiene/")) else "/contacts"
    if "selection" in posted:
        return await _choose(page, unpack(str(posted["selection"])), back)
    if not ids:
        return page.redirect(back, _("Tick the people first."), "warn")
    return await _choose(page, Selection(tuple(ids)), back)


async def _choose(
    page: Page, selection: Selection, back: str, form: Form[Any] | None = None, status: int = 200,
) -> web.Response:
    store, now = page.app.store, page.app.clock.now()
    count = await store.bulks.count(page.workspace_id, selection, MOST_COUNTED + 1, now)
    some = await store.bulks.addresses(page.workspace_id, selection, now, limit=5)
    people = [await store.contacts.get(page.workspace_id, one) for one in some]
    return page.render(
        "contacts/bulk.html", status=status, selection=pack(selection), count=count, most=MOST_COUNTED, people=people,
        lists=await store.contacts.lists(page.workspace_id), tags=await store.people.tags(page.workspace_id),
        back=back, form=form or Form.blank(**_proposed(selection)), finding=selection.finding,
        export_of=_exportable(selection, back))


def _exportable(selection: Selection, back: str) -> str:
    """What the export of files calls these people; empty where it has no word for them."""
    if selection.rule is not None:
        return f"segment-{back.rpartition('/')[2]}"
    if selection.ids or selection.query or selection.tag_id or selection.state or selection.finding:
        return ""
    return f"list-{selection.list_id}" if selection.list_id else "all"


def _proposed(selection: Selection) -> dict[str, str]:
    """The safe thing to do about what hygiene found, opened and filled in."""
    match selection.finding:
        case "dead_domain" | "disposable":
            return {"action": BulkAction.SUPPRESS.value, "note": _("Found by the hygiene report")}
        case "role" | "silent":
            words = {"role": _("desk address"), "silent": _("silent")}
            return {"action": BulkAction.ADD_TAG.value, "tag": words[selection.finding]}
        case _:
            return {}


@routes.post("/contacts/bulk/run")
async def run(page: Page) -> web.Response:
    posted = {name: str(value).replace("\0", "") for name, value in (await page.request.post()).items()}
    selection = unpack(posted.get("selection", ""))
    back = posted.get("back", "")
    action = next((action for action in BulkAction if action == posted.get("action")), None)
    form: Form[Any] = Form.blank(**{name: posted.get(name, "") for name in ("tag", "wording", "note", "list_id")},
                                 action=action.value if action else "")
    try:
        if action is None:
            raise InputError(_("Choose what should be done."))
        if action is BulkAction.DELETE and posted.get("sure") != "1":
            raise InputError("", {"sure": _("Tick this to delete them; it cannot be undone.")})
        arguments = posted | {"list_id": posted.get("list_id", "") if is_key(posted.get("list_id", "")) else ""}
        made = await bulk.begin(
            page.app, page.workspace_id, action, selection, arguments, page.session.user.email)
    except InputError as error:
        form.problems = {name: _(text) for name, text in error.problems.items()} or {"": _(str(error))}
        return await _choose(page, selection, back if back.startswith("/") else "/contacts", form, 422)
    return page.redirect(f"/contacts/actions/{made.id}")


# ---- what was done


@routes.get("/contacts/actions")
async def actions(page: Page) -> web.Response:
    before = page.query("before")
    found = await page.app.store.bulks.newest(page.workspace_id, int(before) if is_key(before) else None, _PAGE)
    return page.render("contacts/actions.html", actions=found, before=before, page_size=_PAGE, words=action_words())


def action_words() -> dict[str, str]:
    return {
        "add_tag": _("Add a tag"), "remove_tag": _("Remove a tag"), "subscribe": _("Subscribe to a list"),
        "unsubscribe": _("Unsubscribe from a list"), "suppress": _("Never write to them"),
        "correct_domain": _("Correct the address"), "delete": _("Delete them"),
    }


async def _bulk(page: Page) -> Bulk:
    return await page.app.store.bulks.get(page.workspace_id, page.key("bulk_id"))


@routes.get("/contacts/actions/{bulk_id:\\d+}")
async def show(page: Page) -> web.Response:
    it = await _bulk(page)
    after = page.query("after")
    log = await page.app.store.bulks.log(page.workspace_id, it.id, int(after) if is_key(after) else 0, _PAGE)
    return page.render(
        "contacts/action.html", it=it, over=it.state in OVER, words=action_words(), log=log, after=after,
        page_size=_PAGE)


@routes.get("/contacts/actions/{bulk_id:\\d+}/live")
async def watch(page: Page) -> web.StreamResponse:
    """The progress as it grows. Leaving the page stops nothing."""
    await _bulk(page)

    async def fragments() -> AsyncIterator[str]:
        while True:
            it = await _bulk(page)
            yield page.html("contacts/action_progress.html", it=it, over=it.state in OVER)
            if it.state in OVER:
                return
            await asyncio.sleep(0.5)

    return await live.stream(page, fragments())


@routes.post("/contacts/actions/{bulk_id:\\d+}/stop")
async def stop(page: Page) -> web.Response:
    it = await _bulk(page)
    await page.app.store.bulks.cancel(page.workspace_id, it.id, page.app.clock.now())
    return page.redirect(f"/contacts/actions/{it.id}", _("Stopped. What was done so far can be undone."))


@routes.post("/contacts/actions/{bulk_id:\\d+}/undo")
async def undo(page: Page) -> web.Response:
    it = await _bulk(page)
    made = await bulk.undo(page.app, page.workspace_id, it.id, page.session.user.email)
    return page.redirect(f"/contacts/actions/{made.id}")
