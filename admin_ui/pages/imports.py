"""Imports: a file chosen, its columns named, its rows read while one watches, and the refused ones handed back."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from typing import Any, Final

from aiohttp import BodyPartReader, web

from admin_ui import live
from admin_ui.page import Page, Routes
from admin_ui.security import ForeignRequestError, same_token
from admin_ui.words import _
from esp.audience.csv_columns import check_mapping
from esp.audience.csv_status import Standing
from esp.errors import InputError
from esp.flows.contacts import create_list
from esp.flows.imports import (
    DryRun,
    Inspection,
    begin_import,
    inspect_import,
    is_over,
    rejects_csv,
    store_upload,
    try_import,
)
from esp.flows.transfers import fetch as fetch_file
from esp.ports.imports import Import, ImportState
from esp.ports.transfers import PlaceKind

routes: Final = Routes()

_PIECE: Final = 256 * 1024
_PATIENCE: Final = 60  # seconds that somebody waits for a page
_ENCODINGS: Final = {
    "utf-8": "UTF-8", "windows-1252": "Windows-1252", "utf-16-le": "UTF-16", "utf-16-be": "UTF-16"}


@routes.get("/imports")
async def index(page: Page) -> web.Response:
    before = page.query("before")
    found = await page.app.store.imports.page(
        page.workspace_id, int(before) if before.isascii() and before.isdigit() and len(before) < 19 else None)
    return page.render("imports/index.html", imports=found, before=before, page_size=50)


@routes.get("/imports/new")
async def new(page: Page) -> web.Response:
    return page.render("imports/new.html", list_id=page.query("list"), problem="", **_places(page))


@routes.post("/imports/new", streams=True)
async def upload(page: Page) -> web.Response:
    """Take the file as it comes, whatever its size; the form's token must stand before it."""
    if page.request.content_type != "multipart/form-data":
        raise InputError(_("Choose a file."))
    reader = await page.request.multipart()
    trusted, list_id = False, ""
    while (part := await reader.next()) is not None:
        if not isinstance(part, BodyPartReader):
            continue
        if part.name == "csrf":
            trusted = same_token(await _short(part), page.csrf)
        elif part.name == "list":
            list_id = await _short(part)
        elif part.name == "file":
            if not trusted:
                raise ForeignRequestError
            return await _keep(page, part, list_id)
    if not trusted:
        raise ForeignRequestError
    return page.invalid("imports/new.html", list_id=list_id, problem=_("Choose a file."), **_places(page))


async def _keep(page: Page, part: BodyPartReader, list_id: str) -> web.Response:
    try:
        if not part.filename:
            raise InputError(_("Choose a file."))
        kept = await store_upload(page.app, page.workspace_id, page.session.user.id, part.filename, _pieces(part))
        await inspect_import(page.app, page.workspace_id, kept.id)  # what cannot be read is said here, beside the field
    except InputError as error:
        return page.invalid("imports/new.html", list_id=list_id, problem=str(error), **_places(page))
    return page.redirect(f"/imports/{kept.id}" + (f"?list={list_id}" if list_id.isdigit() else ""))


@routes.post("/imports/fetch")
async def fetch(page: Page) -> web.Response:
    """A file from an address or from the server's transfer folder, in the place of an upload."""
    posted = await page.request.post()
    kind = PlaceKind.FOLDER if posted.get("kind") == "folder" else PlaceKind.URL
    where = str(posted.get("place", "")).replace("\0", "").strip()[:2000]
    list_id = str(posted.get("list", ""))
    if kind is PlaceKind.FOLDER and not page.is_owner:  # as with transfers: what lies there is not all the workspace's
        raise web.HTTPForbidden
    try:
        if not where:
            raise InputError(_("Say where the file is."))
        async with asyncio.timeout(_PATIENCE):
            kept = await fetch_file(page.app, page.workspace_id, page.session.user.id, kind,
                                    {"url": where, "path": where})
        await inspect_import(page.app, page.workspace_id, kept.id)
    except TimeoutError:
        slow = _("It took too long to fetch the file. Make a transfer for it, which may take its time.")
        return page.invalid("imports/new.html", list_id=list_id, elsewhere=slow, place=where, kind=kind.value,
                            **_places(page))
    except InputError as error:
        return page.invalid("imports/new.html", list_id=list_id, elsewhere=str(error), place=where, kind=kind.value,
                            **_places(page))
    return page.redirect(f"/imports/{kept.id}" + (f"?list={list_id}" if list_id.isdigit() else ""))


def _places(page: Page) -> dict[str, bool]:
    return {"has_folder": bool(page.app.settings.transfers.folder) and page.is_owner}


async def _short(part: BodyPartReader) -> str:
    """A small field's text; what is longer than a piece is no field of ours."""
    return (await part.read_chunk()).decode("ascii", "replace")[:200]


async def _pieces(part: BodyPartReader) -> AsyncIterator[bytes]:
    while piece := await part.read_chunk(_PIECE):
        yield piece


async def _import(page: Page) -> Import:
    return await page.app.store.imports.get(page.workspace_id, page.key("import_id"))


@routes.get("/imports/{import_id:\\d+}")
async def show(page: Page) -> web.Response:
    it = await _import(page)
    if it.state is ImportState.UPLOADED:
        return await _mapping(page, it, await inspect_import(page.app, page.workspace_id, it.id))
    return page.render("imports/show.html", **await _progress(page, it))


async def _mapping(
    page: Page, it: Import, found: Inspection, chosen: Mapping[str, Any] | None = None,
    error: InputError | None = None, tried: DryRun | None = None,
) -> web.Response:
    """The step in which columns are named: as guessed, or as they were chosen with what is wrong about it."""
    lists = await page.app.store.contacts.lists(page.workspace_id)
    guessed = {f"column-{number}": column.target or column.suggestion for number, column in enumerate(found.columns)}
    # One list is surely meant, none begins with one; among several only the person knows: nothing is chosen.
    usual = "new" if not lists else str(lists[0].id) if len(lists) == 1 else ""
    if found.remembered and any(one.id == found.remembered["list_id"] for one in lists):
        usual = str(found.remembered["list_id"])
    start_with = {"list": page.query("list") or usual, "wording": "", "standing": str(int(found.standing))}
    choice = start_with | dict(guessed if chosen is None else chosen)
    return page.render(
        "imports/map.html", status=422 if error else 200, it=it, found=found, lists=lists, choice=choice,
        tried=tried, is_workbook=it.file_name.lower().endswith(".xlsx"),
        fields=await page.app.store.people.fields(page.workspace_id),
        encoding=_ENCODINGS.get(found.encoding, found.encoding), labels=_labels(),
        problems=error.problems if error else {}, message=str(error) if error else "")


def _labels() -> dict[str, str]:
    return {
        "email": _("E-mail address"), "first_name": _("First name"), "last_name": _("Last name"),
        "full_name": _("Full name"), "city": _("City"), "country": _("Country"), "language": _("Language"),
        "time_zone": _("Time zone"), "birth_date": _("Birth date"), "status": _("Status"), "tags": _("Tags"),
        "attributes": _("Fields as JSON"),
    }


@routes.post("/imports/{import_id:\\d+}/start")
async def start(page: Page) -> web.Response:
    it = await _import(page)
    if it.state is not ImportState.UPLOADED:
        return page.redirect(f"/imports/{it.id}")
    found = await inspect_import(page.app, page.workspace_id, it.id)
    posted = {name: str(value).replace("\0", "") for name, value in (await page.request.post()).items()}
    mapping = {column.title: posted.get(f"column-{number}", "") for number, column in enumerate(found.columns)}
    standing = Standing(int(posted["standing"])) if posted.get("standing") in ("0", "1", "2", "3", "4") \
        else Standing.JOINS
    if posted.get("try") == "1":
        return await _try(page, it, found, posted, mapping, standing)
    try:
        check_mapping([column.title for column in found.columns], mapping)  # before a new list is made for it
        list_id = await _chosen_list(page, it, posted.get("list", ""))
        await begin_import(
            page.app, page.workspace_id, it.id, list_id, mapping, resubscribe=posted.get("resubscribe") == "1",
            wording=posted.get("wording", "").strip()[:500], actor=page.session.user.email, standing=standing)
    except InputError as error:
        return await _mapping(page, it, found, posted, error)
    return page.redirect(f"/imports/{it.id}")


async def _try(
    page: Page, it: Import, found: Inspection, posted: Mapping[str, str], mapping: Mapping[str, str],
    standing: Standing,
) -> web.Response:
    """What would come of it, above the same form; nothing is written."""
    chosen = posted.get("list", "")
    try:
        list_id = None
        if chosen.isascii() and chosen.isdigit() and len(chosen) < 19:
            list_id = (await page.app.store.contacts.get_list(page.workspace_id, int(chosen))).id
        tried = await try_import(page.app, page.workspace_id, it.id, list_id, mapping,
                                 resubscribe=posted.get("resubscribe") == "1", standing=standing)
    except InputError as error:
        return await _mapping(page, it, found, posted, error)
    return await _mapping(page, it, found, posted, tried=tried)


async def _chosen_list(page: Page, it: Import, choice: str) -> int | None:
    """The list that people join: none, one there is, or a new one."""
    if not choice:
        raise InputError(_("Choose the list that these people join."))
    if choice == "new":
        name = it.file_name.rsplit(".", 1)[0].replace("_", " ").strip()[:100] or _("Imported people")
        return (await create_list(page.app, page.workspace_id, name)).id
    if not choice.isascii() or not choice.isdigit() or len(choice) > 18:
        return None
    return (await page.app.store.contacts.get_list(page.workspace_id, int(choice))).id


async def _progress(page: Page, it: Import) -> dict[str, Any]:
    """What the page of a running or finished import shows; ``left`` is None where nothing can be said yet."""
    part = it.bytes_read / it.bytes_total if it.bytes_total else 0.0
    left = None
    if it.started_at and 0.02 < part < 1:
        taken = page.app.clock.now() - it.started_at
        left = timedelta(seconds=taken.total_seconds() * (1 - part) / part)
    one = await page.app.store.contacts.get_list(page.workspace_id, it.list_id) if it.list_id else None
    refused = await page.app.store.imports.rejects(page.workspace_id, it.id, limit=20) if it.rejected else ()
    return {"it": it, "part": part, "left": left, "list": one, "over": is_over(it), "refused": refused}


@routes.get("/imports/{import_id:\\d+}/live")
async def watch(page: Page) -> web.StreamResponse:
    """The progress as it grows; ends with the import. Leaving the page does not stop anything."""
    await _import(page)

    async def fragments() -> AsyncIterator[str]:
        while True:
            it = await _import(page)
            yield page.html("imports/progress.html", **await _progress(page, it))
            if is_over(it):
                return
            await asyncio.sleep(0.5)

    return await live.stream(page, fragments())


@routes.get("/imports/{import_id:\\d+}/rejected.csv")
async def rejected(page: Page) -> web.StreamResponse:
    """The refused rows with line and reason, for a spreadsheet."""
    it = await _import(page)
    response = web.StreamResponse(headers={
        "Content-Type": "text/csv; charset=utf-8",
        "Content-Disposition": f'attachment; filename="rejected-{it.id}.csv"'})
    await response.prepare(page.request)
    async for line in rejects_csv(page.app, page.workspace_id, it.id):
        await response.write(line.encode())
    await response.write_eof()
    return response
