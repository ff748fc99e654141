"""Addresses and domains that nothing is sent to: found, added, removed with a record, taken in and written out."""

from datetime import date
from typing import Annotated, Final

from aiohttp import BodyPartReader, web
from pydantic import Field, field_validator

from admin_ui.forms import Form, FormModel
from admin_ui.page import Page, Routes
from admin_ui.pages.contacts.chosen import is_key
from admin_ui.security import ForeignRequestError, same_token
from admin_ui.words import _, ngettext
from esp.errors import InputError
from esp.flows import suppressions
from esp.model.contact import SuppressionReason

routes: Final = Routes()

_PAGE: Final = 50
_PIECE: Final = 256 * 1024


class NewSuppression(FormModel):
    text: Annotated[str, Field(min_length=1, max_length=100_000)]
    reason: SuppressionReason = SuppressionReason.MANUAL
    list_id: Annotated[int | None, Field(lt=2**63)] = None
    note: Annotated[str, Field(max_length=500)] = ""
    until: date | None = None

    @field_validator("list_id", "until", mode="before")
    @classmethod
    def _none_chosen(cls, value: object) -> object:
        return value or None


def reason_words() -> dict[str, str]:
    return {
        "manual": _("Entered by the team"), "hard_bounce": _("The address does not exist"),
        "complaint": _("Marked a mail as spam"), "unsubscribed": _("Unsubscribed from everything"),
    }


@routes.get("/suppressions")
async def index(page: Page) -> web.Response:
    query, after = page.query("q").strip()[:320], page.query("after") or None
    reason = next((one for one in SuppressionReason if one == page.query("reason")), None)
    lists = await page.app.store.contacts.lists(page.workspace_id)
    list_id = next((one.id for one in lists if str(one.id) == page.query("list")), None)
    found = await page.app.store.suppressions.search(page.workspace_id, query, reason, list_id, after, _PAGE)
    return page.render(
        "suppressions/index.html", found=found, query=query, reason=reason, lists=lists, list_id=list_id, after=after,
        reasons=reason_words())


@routes.get("/suppressions/new")
async def new(page: Page) -> web.Response:
    form: Form[NewSuppression] = Form.blank(reason="manual", text=page.query("q")[:320])
    return await _form(page, form)


async def _form(page: Page, form: Form[NewSuppression], status: int = 200) -> web.Response:
    lists = await page.app.store.contacts.lists(page.workspace_id)
    return page.render("suppressions/new.html", form=form, lists=lists, reasons=reason_words(), status=status)


@routes.post("/suppressions/new")
async def create(page: Page) -> web.Response:
    form = await page.form(NewSuppression)
    if form.data is None:
        return await _form(page, form, 422)
    it = form.data
    try:
        if it.list_id is not None:
            await page.app.store.contacts.get_list(page.workspace_id, it.list_id)
        new_ones, there = await suppressions.add(
            page.app, page.workspace_id, it.text, reason=it.reason, list_id=it.list_id, note=it.note, until=it.until,
            actor=page.session.user.email)
    except InputError as error:
        return await _form(page, form.blame(error), 422)
    words = ngettext("{count} was added.", "{count} were added.", new_ones).format(count=new_ones)
    if there:
        words += " " + _("{count} were there already.").format(count=there)
    return page.redirect("/suppressions", words)


@routes.post("/suppressions/{suppression_id:\\d+}/remove")
async def remove(page: Page) -> web.Response:
    gone = await page.app.store.suppressions.remove(
        page.workspace_id, page.key("suppression_id"), page.session.user.email, page.app.clock.now())
    return page.redirect("/suppressions", _("{address} can be written to again.").format(address=gone.key))


@routes.get("/suppressions/changes")
async def changes(page: Page) -> web.Response:
    before = page.query("before")
    found = await page.app.store.suppressions.changes(
        page.workspace_id, int(before) if is_key(before) else None, _PAGE)
    return page.render("suppressions/changes.html", changes=found, before=before, page_size=_PAGE,
                       reasons=reason_words())


@routes.get("/suppressions/import")
async def choose_file(page: Page) -> web.Response:
    return page.render("suppressions/import.html", problem="", done=None)


@routes.post("/suppressions/import", streams=True)
async def take_in(page: Page) -> web.Response:
    """Take a file in; what could not be used is said line by line, and the rest is kept."""
    if page.request.content_type != "multipart/form-data":
        raise InputError(_("Choose a file."))
    reader = await page.request.multipart()
    trusted = False
    while (part := await reader.next()) is not None:
        if not isinstance(part, BodyPartReader):
            continue
        if part.name == "csrf":
            trusted = same_token((await part.read_chunk()).decode("ascii", "replace")[:200], page.csrf)
        elif part.name == "file" and part.filename:
            if not trusted:
                raise ForeignRequestError
            return await _keep(page, await _read(part))
    if not trusted:
        raise ForeignRequestError
    return page.invalid("suppressions/import.html", problem=_("Choose a file."), done=None)


async def _read(part: BodyPartReader) -> bytes:
    """The file, as far as one more octet than is taken."""
    data = bytearray()
    while len(data) <= suppressions.MAX_OCTETS and (piece := await part.read_chunk(_PIECE)):
        data += piece
    return bytes(data)


async def _keep(page: Page, data: bytes) -> web.Response:
    try:
        done = await suppressions.import_csv(page.app, page.workspace_id, data, page.session.user.email)
    except InputError as error:
        return page.invalid("suppressions/import.html", problem=_(str(error)), done=None)
    return page.render("suppressions/import.html", problem="", done=done)


@routes.get("/suppressions/export.csv")
async def write_out(page: Page) -> web.StreamResponse:
    response = web.StreamResponse(headers={
        "Content-Type": "text/csv; charset=utf-8",
        "Content-Disposition": 'attachment; filename="suppressions.csv"'})
    await response.prepare(page.request)
    async for line in suppressions.export_csv(page.app, page.workspace_id):
        await response.write(line.encode())
    await response.write_eof()
    return response
