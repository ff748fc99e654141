"""The hygiene report: what may be wrong, how many it is, who they are, and the safe thing to do about it."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from itertools import groupby
from typing import Annotated, Any, Final

from aiohttp import web
from pydantic import Field

from admin_ui import live
from admin_ui.forms import FormModel
from admin_ui.page import Page, Routes
from admin_ui.pages.contacts.chosen import is_key, pack
from admin_ui.words import _
from esp.errors import InputError, NotFoundError
from esp.flows import hygiene
from esp.ports.people_bulk import BulkAction, Selection
from esp.ports.people_hygiene import Finding, HygieneReport, HygieneState

routes: Final = Routes()

_PAGE: Final = 50
_OVER: Final = (HygieneState.DONE, HygieneState.FAILED)


@dataclass(frozen=True, slots=True)
class Words:
    """A finding for the reader: what it is, why it matters, and the action proposed (none: two by two)."""

    title: str
    about: str
    icon: str
    action: str = ""
    label: str = ""


def words() -> dict[str, Words]:
    """By finding, in the order of the screen."""
    quiet = _("Never write to them")
    return {
        "mistyped": Words(
            _("Mistyped domains"),
            _("A slip of the keyboard, such as gmial.com. Mail there is lost or read by others."),
            "pencil", BulkAction.CORRECT_DOMAIN, _("Correct the addresses")),
        "dead_domain": Words(
            _("Domains that take no mail"), _("DNS knows no mail server for them. Each mail there bounces."),
            "mail-x", BulkAction.SUPPRESS, quiet),
        "disposable": Words(
            _("Addresses to throw away"), _("From services that give out an address for ten minutes."),
            "clock", BulkAction.SUPPRESS, quiet),
        "role": Words(
            _("Desks instead of people"),
            _("Addresses such as info@ reach a desk; several people read it, and they complain more."),
            "building-2", BulkAction.ADD_TAG, _("Tag them")),
        "silent": Words(
            _("Silent for long"),
            _("They got your mails for months and opened none. Writing on harms your reputation."),
            "bell", BulkAction.ADD_TAG, _("Tag them")),
        "same_address": Words(
            _("One mailbox, several contacts"),
            _("At Gmail dots mean nothing and a plus begins a label: these get each mail twice."),
            "copy", "", ""),
        "same_person": Words(
            _("Same name and birth date"), _("Probably one person with two addresses."), "users", "", ""),
    }


class Options(FormModel):
    silent_months: Annotated[int, Field(ge=1, le=120)] = hygiene.DEFAULTS["silent_months"]
    silent_mails: Annotated[int, Field(ge=1, le=1000)] = hygiene.DEFAULTS["silent_mails"]


@routes.get("/hygiene")
async def index(page: Page) -> web.Response:
    report = await page.app.store.hygiene.latest(page.workspace_id)
    return page.render(
        "hygiene/index.html", words=words(), defaults=hygiene.DEFAULTS, trusted=await hygiene.knows_the_world(page.app),
        **_progress(report))


def _progress(report: HygieneReport | None) -> dict[str, Any]:
    return {"report": report, "over": report is None or report.state in _OVER}


@routes.post("/hygiene")
async def start(page: Page) -> web.Response:
    form = await page.form(Options)
    if form.data is None:
        raise InputError(_("Between 1 and 120 months, and between 1 and 1,000 mails."))
    await hygiene.begin(page.app, page.workspace_id, form.data.silent_months, form.data.silent_mails)
    return page.redirect("/hygiene", _("The report is being made. You can leave this page."))


@routes.get("/hygiene/live")
async def watch(page: Page) -> web.StreamResponse:
    async def fragments() -> AsyncIterator[str]:
        while True:
            shown = _progress(await page.app.store.hygiene.latest(page.workspace_id))
            yield page.html("hygiene/progress.html", **shown)
            if shown["over"]:
                return
            await asyncio.sleep(0.5)

    return await live.stream(page, fragments())


@routes.get("/hygiene/{report_id:\\d+}/{kind:[a-z_]+}")
async def people(page: Page) -> web.Response:
    """The people of one finding, those who belong together under each other."""
    kind = next((one for one in Finding if one == page.request.match_info["kind"]), None)
    if kind is None:
        raise NotFoundError(_("There is no such finding."))
    report = await page.app.store.hygiene.get(page.workspace_id, page.key("report_id"))
    after = page.query("after")
    found = await page.app.store.hygiene.found(
        page.workspace_id, report.id, kind, int(after) if is_key(after) else 0, _PAGE)
    groups = [(key, list(some)) for key, some in groupby(found, key=lambda one: one.group_key)]
    return page.render(
        "hygiene/people.html", report=report, kind=kind.value, it=words()[kind.value], found=found, groups=groups,
        after=after, page_size=_PAGE, selection=pack(Selection(report_id=report.id, finding=kind.value)),
        count=report.counts.get(kind.value, 0))
