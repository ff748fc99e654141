"""Transfers: imports and exports on a schedule, made, paused, run at once, and what came of each run."""

from typing import Annotated, Any, Final, Literal

from aiohttp import web
from pydantic import Field

from admin_ui.forms import Form, FormModel
from admin_ui.page import Page, Routes
from admin_ui.words import _
from esp.errors import InputError, NotFoundError
from esp.flows import transfers
from esp.model.schedule import Every, Schedule
from esp.ports.exports import ExportFormat, ExportKind
from esp.ports.transfers import Direction, NewTransfer, PlaceKind, Transfer

routes: Final = Routes()

_PLACE: Final = {
    PlaceKind.URL: ("url",), PlaceKind.FOLDER: ("path",), PlaceKind.SQL: ("query",),
    PlaceKind.S3: ("endpoint", "bucket", "key", "region", "access_key"),
}
_Short = Annotated[str, Field(max_length=500)]


class TransferForm(FormModel):
    name: Annotated[str, Field(min_length=1, max_length=100)]
    direction: Direction = Direction.IMPORT
    kind: PlaceKind = PlaceKind.URL
    url: Annotated[str, Field(max_length=2000)] = ""
    path: _Short = ""
    endpoint: _Short = ""
    bucket: _Short = ""
    key: _Short = ""
    region: _Short = ""
    access_key: _Short = ""
    query: Annotated[str, Field(max_length=20_000)] = ""
    secret: Annotated[str, Field(max_length=2000)] = ""
    list_id: Annotated[str, Field(max_length=18, pattern=r"^\d*$")] = ""
    all_columns: Literal["", "1"] = ""
    wording: _Short = ""
    what: ExportKind = ExportKind.CONTACTS
    format: ExportFormat = ExportFormat.CSV
    every: Every = Every.DAY
    minutes: Annotated[int, Field(ge=0, le=10_080)] = 60
    at: Annotated[str, Field(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")] = "03:00"
    weekday: Annotated[int, Field(ge=0, le=6)] = 0

    def made(self) -> NewTransfer:
        place = {name: getattr(self, name) for name in _PLACE[self.kind] if getattr(self, name)}
        options: dict[str, Any] = {"list_id": int(self.list_id)} if self.list_id else {}
        if self.direction is Direction.IMPORT:
            options |= {"all_columns": self.all_columns == "1", "wording": self.wording}
        else:
            options |= {"what": self.what.value, "format": self.format.value}
        schedule = Schedule.of({"every": self.every, "minutes": self.minutes, "at": self.at, "weekday": self.weekday})
        return NewTransfer(self.name, self.direction, self.kind, place, options, schedule, self.secret or None)


@routes.get("/transfers")
async def index(page: Page) -> web.Response:
    after = page.query("after")
    found = await page.app.store.transfers.page(
        page.workspace_id, int(after) if after.isascii() and after.isdigit() and len(after) < 19 else 0)
    return page.render("transfers/index.html", transfers=found, after=after, page_size=50, days=_days())


def _days() -> list[str]:
    return [_("Monday"), _("Tuesday"), _("Wednesday"), _("Thursday"), _("Friday"), _("Saturday"), _("Sunday")]


async def _form(page: Page, form: Form[TransferForm], one: Transfer | None) -> dict[str, Any]:
    lists = await page.app.store.contacts.lists(page.workspace_id)
    return {"form": form, "one": one, "days": list(enumerate(_days())),
            "lists": [("", _("No list")), *((str(it.id), it.name) for it in lists)],
            "has_folder": bool(page.app.settings.transfers.folder)}


@routes.get("/transfers/new", owner=True)
async def new(page: Page) -> web.Response:
    direction = "export" if page.query("direction") == "export" else "import"
    form: Form[TransferForm] = Form.blank(
        direction=direction, kind="url", every="day", at="03:00", minutes=60, weekday=0, what="contacts", format="csv")
    return page.render("transfers/form.html", **await _form(page, form, None))


@routes.post("/transfers/new", owner=True)
async def create(page: Page) -> web.Response:
    return await _save(page, None)


@routes.get("/transfers/{transfer_id:\\d+}")
async def show(page: Page) -> web.Response:
    one = await page.app.store.transfers.get(page.workspace_id, page.key("transfer_id"))
    before = page.query("before")
    runs = await page.app.store.transfers.runs(
        page.workspace_id, one.id, int(before) if before.isascii() and before.isdigit() and len(before) < 19 else None)
    counts = {}
    for run in runs:
        if run.import_id is not None:
            counts[run.id] = await page.app.store.imports.get(page.workspace_id, run.import_id)
    return page.render("transfers/show.html", one=one, runs=runs, imports=counts, before=before, page_size=50,
                       days=_days())


@routes.get("/transfers/{transfer_id:\\d+}/edit", owner=True)
async def edit(page: Page) -> web.Response:
    one = await page.app.store.transfers.get(page.workspace_id, page.key("transfer_id"))
    form: Form[TransferForm] = Form.blank(
        name=one.name, direction=one.direction.value, kind=one.kind.value, **one.schedule.plain(), **one.place,
        list_id=one.options.get("list_id") or "", all_columns="1" if one.options.get("all_columns") else "",
        wording=one.options.get("wording", ""), what=one.options.get("what", "contacts"),
        format=one.options.get("format", "csv"))
    return page.render("transfers/form.html", **await _form(page, form, one))


@routes.post("/transfers/{transfer_id:\\d+}/edit", owner=True)
async def change(page: Page) -> web.Response:
    return await _save(page, await page.app.store.transfers.get(page.workspace_id, page.key("transfer_id")))


async def _save(page: Page, one: Transfer | None) -> web.Response:
    form = await page.form(TransferForm)
    form.values.pop("secret", None)  # what was typed there is not sent back
    if form.data is None:
        return page.invalid("transfers/form.html", **await _form(page, form, one))
    try:
        saved = await transfers.save(page.app, page.workspace_id, form.data.made(), one.id if one else None)
    except InputError as error:
        return page.invalid("transfers/form.html", **await _form(page, form.blame(error), one))
    except NotFoundError as error:
        form.problems["list_id"] = str(error)
        return page.invalid("transfers/form.html", **await _form(page, form, one))
    return page.redirect(f"/transfers/{saved.id}", _("Saved."))


@routes.post("/transfers/{transfer_id:\\d+}/run", owner=True)
async def run(page: Page) -> web.Response:
    await transfers.run_now(page.app, page.workspace_id, page.key("transfer_id"))
    return page.redirect(f"/transfers/{page.key('transfer_id')}", _("It runs in a moment."))


@routes.post("/transfers/{transfer_id:\\d+}/pause", owner=True)
async def pause(page: Page) -> web.Response:
    one = await page.app.store.transfers.get(page.workspace_id, page.key("transfer_id"))
    await transfers.pause(page.app, page.workspace_id, one.id, one.paused_at is None)
    return page.redirect(f"/transfers/{one.id}", _("Saved."))


@routes.post("/transfers/{transfer_id:\\d+}/delete", owner=True)
async def delete(page: Page) -> web.Response:
    await page.app.store.transfers.delete(page.workspace_id, page.key("transfer_id"))
    return page.redirect("/transfers", _("The transfer was deleted."))
