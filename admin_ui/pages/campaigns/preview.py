"""The mail as a chosen person would read it, in a frame that can do nothing; made in a process that can be killed."""

import re
from typing import Final

from aiohttp import web

from admin_ui.page import Page, Routes
from admin_ui.pages.campaigns.form import ComposeForm, read_edit
from admin_ui.pages.campaigns.shown import readable
from admin_ui.words import _
from esp.compose.service import Preview
from esp.errors import InputError, NotFoundError
from esp.flows.campaigns import facts_of
from esp.ports.campaigns import CampaignEdit
from esp.ports.contacts import Contact
from esp.wire.addresses import AddressError, parse_address

routes = Routes()

# The mail is somebody's HTML: no script, no form, no frame, nothing of ours in reach, and a frame of its own origin.
# Images may come from anywhere over HTTPS, as they do in the mail; with images off from nowhere at all.
_POLICY: Final = ("sandbox allow-popups allow-popups-to-escape-sandbox; default-src 'none'; style-src 'unsafe-inline'; "
                  "font-src https: data:; frame-ancestors 'self'; base-uri 'none'; form-action 'none'; img-src ")
_IMAGES: Final = "https: http: data:"
_DARK: Final = re.compile(r"\(\s*prefers-color-scheme\s*:\s*(dark|light)\s*\)", re.IGNORECASE)
_HEAD: Final = re.compile(r"<head\b[^>]*>", re.IGNORECASE)
_SAMPLE_ADDRESS: Final = "ayu@example.com"


async def chosen_person(page: Page, address: str, lists: tuple[int, ...]) -> Contact | None:
    """The contact with this address, or else somebody from the lists; None in an empty workspace."""
    if address.strip():
        try:
            found = await page.app.store.contacts.find(page.workspace_id, parse_address(address).key)
        except AddressError:
            found = None
        if found is not None:
            return found
    return await page.app.store.contacts.sample(page.workspace_id, lists)


async def make_preview(page: Page, edit: CampaignEdit, at: int, person: Contact | None) -> Preview:
    """Variant number ``at`` of ``edit`` as ``person`` would read it; a made-up somebody where there is none."""
    draft = edit.variants[min(at, len(edit.variants) - 1)].draft()
    known = await page.app.store.contacts.field_names(page.workspace_id)
    return await page.app.content.preview(
        draft, person.email if person else _SAMPLE_ADDRESS, person.merge_fields() if person else {},
        known_fields=known, facts=await facts_of(page.app, page.workspace_id, edit.name, edit.include_lists),
        list_name=await _list_name(page, edit.include_lists))


async def _list_name(page: Page, lists: tuple[int, ...]) -> str:
    try:
        return (await page.app.store.contacts.get_list(page.workspace_id, lists[0])).name if lists else ""
    except NotFoundError:
        return ""


async def posted_edit(page: Page) -> CampaignEdit:
    """What the compose page holds now, kept or not; fields that cannot be kept do not stand in a preview's way."""
    form = (await page.form(ComposeForm)).data
    if form is None:
        raise InputError(_("The form did not arrive whole. Reload the page and try again."))
    domains = await page.app.store.domains.all(page.workspace_id)
    lists = frozenset(one.id for one in await page.app.store.contacts.lists(page.workspace_id))
    return read_edit(form.model_copy(update={"from_local": "", "reply_to": "", "throttle": ""}), domains, lists)


@routes.post(r"/campaigns/{campaign_id:\d+}/preview")
async def words(page: Page) -> web.Response:
    """Subject, preheader, text part and problems of what is written now, as JSON; the HTML is fetched by the frame."""
    await page.app.store.campaigns.get(page.workspace_id, page.key("campaign_id"))
    data = await page.request.post()
    edit = await posted_edit(page)
    person = await chosen_person(page, str(data.get("as", "")), edit.include_lists)
    preview = await make_preview(page, edit, _at(str(data.get("at", ""))), person)
    return web.json_response({
        "subject": preview.subject, "preheader": preview.preheader, "text": preview.text,
        "as": person.email if person else "", "name": person.name if person else "",
        "errors": sum(problem.level == "error" for problem in preview.problems), "html": bool(preview.html),
        "problems": page.html("campaigns/problems.html", problems=preview.problems),
    })


@routes.post(r"/campaigns/{campaign_id:\d+}/preview/frame")
async def posted_frame(page: Page) -> web.Response:
    """The HTML of what is written now, for the frame beside the editor."""
    await page.app.store.campaigns.get(page.workspace_id, page.key("campaign_id"))
    data = await page.request.post()
    edit = await posted_edit(page)
    person = await chosen_person(page, str(data.get("as", "")), edit.include_lists)
    preview = await make_preview(page, edit, _at(str(data.get("at", ""))), person)
    return frame(preview, dark=data.get("look") == "dark", images=data.get("images") != "off")


@routes.get(r"/campaigns/{campaign_id:\d+}/preview/frame")
async def kept_frame(page: Page) -> web.Response:
    """The HTML of what is kept: what a sent campaign looked like, and what shows before any script runs."""
    detail = await page.app.store.campaigns.get(page.workspace_id, page.key("campaign_id"))
    edit = detail.edit()
    person = await chosen_person(page, page.query("as"), edit.include_lists)
    preview = await make_preview(page, edit, _at(page.query("at")), person)
    return frame(preview, dark=page.query("look") == "dark", images=page.query("images") != "off")


@routes.get(r"/campaigns/{campaign_id:\d+}/content")
async def content(page: Page) -> web.Response:
    """What a campaign says, to look at when it can no longer be changed."""
    detail = await page.app.store.campaigns.get(page.workspace_id, page.key("campaign_id"))
    return page.render("campaigns/content.html", campaign=detail.campaign, variants=detail.variants, readable=readable)


@routes.get(r"/campaigns/{campaign_id:\d+}/preview/people")
async def people(page: Page) -> web.Response:
    """Addresses that begin with ``q``, to choose whose eyes to look through."""
    await page.app.store.campaigns.get(page.workspace_id, page.key("campaign_id"))
    found = await page.app.store.contacts.search(page.workspace_id, page.query("q").strip()[:100], limit=12)
    return web.json_response([{"address": one.email, "name": one.name} for one in found.contacts])


def frame(preview: Preview, *, dark: bool, images: bool) -> web.Response:
    """A mail's HTML with the strictest policy that still shows it. The reader's own theme does not reach into it."""
    if preview.html:
        # A condition that always holds, or never, in place of the one that asks for the reader's theme.
        html = _DARK.sub(lambda found: f"({'min' if (found[1].lower() == 'dark') is dark else 'max'}-width: 0px)",
                         preview.html)
        # A link opens beside the admin, so that it can be tried; in the frame itself it would be refused.
        base = '<base target="_blank">'
        html = _HEAD.sub(lambda found: found[0] + base, html, count=1) if _HEAD.search(html) else base + html
    else:
        html = _message(preview)
    return web.Response(text=html, content_type="text/html", charset="utf-8", headers={
        "Content-Security-Policy": _POLICY + (_IMAGES if images else "'none'"),
        "X-Frame-Options": "SAMEORIGIN", "Referrer-Policy": "no-referrer"})


def _message(preview: Preview) -> str:
    """What stands in the frame where there is no HTML to show; nothing in it comes from anybody but us."""
    text = _("This mail is text only. Choose “Text part” above to read it.") if preview.text else \
        _("There is nothing to show yet. The list of problems says what to mend.")
    return ("<!doctype html><meta charset=utf-8><body style='margin:0;padding:32px;font:16px/1.6 sans-serif;"
            f"color:#475569;background:#fff'>{text}</body>")


def _at(text: str) -> int:
    return int(text) if text.isdecimal() and len(text) < 3 else 0

