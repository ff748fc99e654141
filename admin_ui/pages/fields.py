"""The workspace's own contact fields: added, renamed, ordered, opened to recipients, put away."""

from typing import Annotated, Final

from aiohttp import web
from pydantic import Field

from admin_ui.forms import Form, FormModel
from admin_ui.page import Page, Routes
from admin_ui.words import _
from esp.audience.csv_columns import TARGETS
from esp.audience.field_values import check_definition
from esp.errors import ConflictError, InputError, NotFoundError
from esp.model.fields import FieldType
from esp.ports.people import ContactField

routes: Final = Routes()


class FieldForm(FormModel):
    label: Annotated[str, Field(min_length=1, max_length=80)]
    type: FieldType = FieldType.TEXT
    choices: Annotated[str, Field(max_length=20_000)] = ""
    open_to_recipient: bool = False
    key: Annotated[str, Field(max_length=50)] = ""


def type_words() -> dict[str, str]:
    return {
        "text": _("Text"), "number": _("Number"), "date": _("Date"), "boolean": _("Yes or no"),
        "choice": _("One of several choices"), "choices": _("Any of several choices"),
    }


@routes.get("/settings/fields")
async def index(page: Page) -> web.Response:
    fields = await page.app.store.people.fields(page.workspace_id, archived=True)
    known = {field.key for field in fields}
    loose = sorted(await page.app.store.contacts.field_names(page.workspace_id) - known - set(TARGETS))
    return page.render(
        "settings/fields.html", fields=[one for one in fields if one.archived_at is None],
        away=[one for one in fields if one.archived_at is not None], loose=loose, types=type_words())


@routes.get("/settings/fields/new")
async def new(page: Page) -> web.Response:
    key = page.query("key")[:50]
    form: Form[FieldForm] = Form.blank(type="text", key=key, label=key.replace("_", " ").capitalize())
    return page.render("settings/field.html", form=form, field=None, types=type_words())


@routes.post("/settings/fields/new")
async def create(page: Page) -> web.Response:
    form = await page.form(FieldForm)
    if form.data is None:
        return page.invalid("settings/field.html", form=form, field=None, types=type_words())
    wanted = form.data
    try:
        key, label, choices = check_definition(wanted.label, wanted.type, wanted.choices.splitlines(), wanted.key)
        await page.app.store.people.add_field(
            page.workspace_id, key, label, wanted.type, choices, wanted.open_to_recipient, page.app.clock.now())
    except InputError as error:
        return page.invalid("settings/field.html", form=form.blame(error), field=None, types=type_words())
    except ConflictError as error:
        form.problems["label"] = str(error)
        return page.invalid("settings/field.html", form=form, field=None, types=type_words())
    return page.redirect("/settings/fields", _("The field was added. It can be used at once."))


async def _field(page: Page) -> ContactField:
    fields = await page.app.store.people.fields(page.workspace_id, archived=True)
    found = next((one for one in fields if one.id == page.key("field_id")), None)
    if found is None:
        raise NotFoundError(_("There is no such field."))
    return found


@routes.get("/settings/fields/{field_id:\\d+}/edit")
async def edit(page: Page) -> web.Response:
    field = await _field(page)
    form: Form[FieldForm] = Form.blank(
        label=field.label, type=field.type.value, choices="\n".join(field.choices),
        open_to_recipient="1" if field.open_to_recipient else "")
    return page.render("settings/field.html", form=form, field=field, types=type_words())


@routes.post("/settings/fields/{field_id:\\d+}/edit")
async def save(page: Page) -> web.Response:
    """Its name, choices and openness; the type and the key stay, for values and templates rely on them."""
    field, form = await _field(page), await page.form(FieldForm)
    if form.data is None:
        return page.invalid("settings/field.html", form=form, field=field, types=type_words())
    try:
        _key, label, choices = check_definition(
            form.data.label, field.type, form.data.choices.splitlines(), field.key)
    except InputError as error:
        return page.invalid("settings/field.html", form=form.blame(error), field=field, types=type_words())
    await page.app.store.people.change_field(
        page.workspace_id, field.id, label, choices, form.data.open_to_recipient)
    return page.redirect("/settings/fields", _("Saved."))


@routes.post("/settings/fields/{field_id:\\d+}/up")
async def up(page: Page) -> web.Response:
    await page.app.store.people.move_field(page.workspace_id, page.key("field_id"), -1)
    return page.redirect("/settings/fields")


@routes.post("/settings/fields/{field_id:\\d+}/down")
async def down(page: Page) -> web.Response:
    await page.app.store.people.move_field(page.workspace_id, page.key("field_id"), 1)
    return page.redirect("/settings/fields")


@routes.post("/settings/fields/{field_id:\\d+}/archive")
async def archive(page: Page) -> web.Response:
    await page.app.store.people.archive_field(page.workspace_id, page.key("field_id"), page.app.clock.now())
    return page.redirect("/settings/fields", _("The field was put away. What people have in it is kept."))


@routes.post("/settings/fields/{field_id:\\d+}/restore")
async def restore(page: Page) -> web.Response:
    await page.app.store.people.archive_field(page.workspace_id, page.key("field_id"), None)
    return page.redirect("/settings/fields", _("The field is back."))
