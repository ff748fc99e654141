"""Exports: asked for, watched while they are written, downloaded."""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Final, Literal

from aiohttp import web
from pydantic import Field

from admin_ui import live
from admin_ui.forms import Form, FormModel
from admin_ui.page import Page, Routes
from admin_ui.pages.contacts.chosen import unpack
from admin_ui.render import number
from admin_ui.words import _, ngettext
from esp.errors import InputError, NotFoundError
from esp.flows.bulk import MOST_COUNTED
from esp.flows.exports import begin_export, read_export
from esp.ports.exports import ExportFormat, ExportKind

routes: Final = Routes()

_SIZE: Final = 50


class ExportForm(FormModel):
    what: ExportKind = ExportKind.CONTACTS
    format: ExportFormat = ExportFormat.CSV
    of: Annotated[str, Field(max_length=40, pattern=r"^(all|list-\d{1,18}|segment-\d{1,18})$")] = "all"
    raw: Literal["", "1"] = ""
    selection: Annotated[str, Field(max_length=100_000)] = ""


async def _choices(page: Page) -> list[tuple[str, str]]:
    lists = await page.app.store.contacts.lists(page.workspace_id)
    segments = await page.app.store.segments.list(page.workspace_id)
    return [("all", _("Everybody")),
            *((f"list-{one.id}", _("List: {name}").format(name=one.name)) for one in lists),
            *((f"segment-{one.id}", _("Segment: {name}").format(name=one.name)) for one in segments)]


@routes.get("/exports")
async def index(page: Page) -> web.Response:
    before = page.query("before")
    found = await page.app.store.exports.page(
        page.workspace_id, int(before) if before.isascii() and before.isdigit() and len(before) < 19 else None, _SIZE)
    return page.render("exports/index.html", exports=found, before=before, page_size=_SIZE,
                       busy=any(it.state in ("queued", "running") for it in found))


@routes.get("/exports/live")
async def watch(page: Page) -> web.StreamResponse:
    """The newest exports while one of them is being written. Leaving the page does not stop anything."""

    async def fragments() -> AsyncIterator[str]:
        while True:
            found = await page.app.store.exports.page(page.workspace_id, None, _SIZE)
            yield page.html("exports/table.html", exports=found)
            if not any(it.state in ("queued", "running") for it in found):
                return
            await asyncio.sleep(0.5)

    return await live.stream(page, fragments())


@routes.get("/exports/new")
async def new(page: Page) -> web.Response:
    form: Form[ExportForm] = Form.blank(what="contacts", format="csv", of=page.query("of") or "all")
    return page.render("exports/new.html", form=form, choices=await _choices(page), people="")


@routes.get("/exports/chosen")
async def nobody_chosen(page: Page) -> web.Response:
    """A reload by the address has nobody to carry along any more."""
    return page.redirect("/exports/new")


@routes.post("/exports/chosen")
async def chosen(page: Page) -> web.Response:
    """The same page for people who were ticked, or found by a search; they are carried along by the form."""
    selection = str((await page.request.post()).get("selection", ""))
    form: Form[ExportForm] = Form.blank(what="contacts", format="csv", of="all", selection=selection)
    return page.render("exports/new.html", form=form, choices=[], people=await _people(page, selection))


async def _people(page: Page, packed: str) -> str:
    """How many a selection is, in words; raises InputError where it cannot be read."""
    if not packed:
        return ""
    count = await page.app.store.bulks.count(
        page.workspace_id, unpack(packed), MOST_COUNTED + 1, page.app.clock.now())
    if count > MOST_COUNTED:
        return _("More than {count} contacts").format(count=number(MOST_COUNTED))
    return ngettext("{count} contact", "{count} contacts", count).format(count=number(count))


@routes.post("/exports/new")
async def create(page: Page) -> web.Response:
    form = await page.form(ExportForm)
    if form.data is None:
        return await _again(page, form)
    kind, _dash, key = form.data.of.partition("-")
    selection = unpack(form.data.selection) if form.data.selection else None
    try:
        await begin_export(
            page.app, page.workspace_id, page.session.user.id, form.data.what, form.data.format,
            selection=selection,
            list_id=int(key) if kind == "list" else None, segment_id=int(key) if kind == "segment" else None,
            raw=form.data.raw == "1")
    except (InputError, NotFoundError) as error:
        form.problems["" if selection else "of"] = str(error)
        return await _again(page, form)
    return page.redirect("/exports", _("The file is being written. You may leave this page."))


async def _again(page: Page, form: Form[ExportForm]) -> web.Response:
    people = await _people(page, str(form.value("selection")))
    return page.invalid("exports/new.html", form=form, choices=await _choices(page), people=people)


@routes.get("/exports/{export_id:\\d+}/file")
async def download(page: Page) -> web.StreamResponse:
    """The file as it lies on the disk, in pieces."""
    name, octets = await read_export(page.app, page.workspace_id, page.key("export_id"))
    kind = "text/csv" if name.endswith(".csv") else "application/jsonl"
    response = web.StreamResponse(headers={
        "Content-Type": f"{kind}; charset=utf-8", "Content-Disposition": f'attachment; filename="{name}"'})
    await response.prepare(page.request)
    async for piece in octets:
        await response.write(piece)
    await response.write_eof()
    return response
