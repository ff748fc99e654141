"""One person added or edited by hand: the standard fields and the workspace's own, each checked by its type."""

from collections.abc import Mapping
from typing import Annotated, Any, Final

from aiohttp import web
from multidict import MultiMapping
from pydantic import Field, field_validator

from admin_ui.forms import Form, FormModel
from admin_ui.page import Page, Routes
from admin_ui.words import _
from esp.audience.field_values import read_values
from esp.errors import InputError
from esp.flows.contacts import add_contact
from esp.model.fields import FieldType
from esp.ports.contacts import STANDARD_FIELDS, Contact
from esp.ports.people import ContactField
from esp.wire.addresses import AddressError, parse_address

routes: Final = Routes()

_BREAKS: Final = dict.fromkeys((*range(32), 0x7F, 0x85, 0x2028, 0x2029), " ")


class ContactForm(FormModel):
    first_name: Annotated[str, Field(max_length=120)] = ""
    last_name: Annotated[str, Field(max_length=120)] = ""
    city: Annotated[str, Field(max_length=120)] = ""
    country: Annotated[str, Field(max_length=120)] = ""
    language: Annotated[str, Field(max_length=35)] = ""
    time_zone: Annotated[str, Field(max_length=64)] = ""
    birth_date: Annotated[str, Field(pattern=r"^(\d{4}-\d{2}-\d{2})?$")] = ""

    @field_validator("first_name", "last_name", "city", "country", "language", "time_zone", mode="before")
    @classmethod
    def _one_line(cls, value: object) -> object:
        """Names stand in headers of mails, where nothing may end a line."""
        return " ".join(value.translate(_BREAKS).split()) if isinstance(value, str) else value

    def standard(self) -> dict[str, str]:
        return {name: getattr(self, name) for name in STANDARD_FIELDS}


class NewContactForm(ContactForm):
    email: Annotated[str, Field(min_length=1, max_length=320)]
    list_id: int | None = None

    @field_validator("list_id", mode="before")
    @classmethod
    def _none_chosen(cls, value: object) -> object:
        return value or None


def _name_of(field: ContactField) -> str:
    """The form field that a field of the workspace is typed into."""
    return f"field-{field.key}"


def typed(fields: tuple[ContactField, ...], posted: MultiMapping[Any]) -> dict[str, Any]:
    """What was typed for each own field that the form had: a text, or a list where several can be chosen."""
    values: dict[str, Any] = {}
    for field in fields:
        name = _name_of(field)
        if field.type is FieldType.CHOICES:
            values[field.key] = [str(one) for one in posted.getall(name, []) if one]
        elif name in posted:
            values[field.key] = str(posted[name]).replace("\0", "")
    return values


def read_own(
    form: Form[Any], fields: tuple[ContactField, ...], posted: MultiMapping[Any], contact: Contact | None,
) -> dict[str, Any]:
    """The own fields' values; problems go beside their fields. A value that the field no longer knows may stay."""
    raw = typed(fields, posted)
    form.values |= {_name_of(field): raw.get(field.key, "") for field in fields}
    if contact is not None:
        shown = shown_values(fields, contact.fields)
        raw = {key: value for key, value in raw.items() if value != shown.get(f"field-{key}", "")}
    try:
        return read_values(fields, raw)
    except InputError as error:
        form.problems |= {f"field-{key}": text for key, text in error.problems.items()}
        return {}


def shown_values(fields: tuple[ContactField, ...], values: Mapping[str, Any]) -> dict[str, Any]:
    """Own fields as a form begins with them."""
    shown: dict[str, Any] = {}
    for field in fields:
        value = values.get(field.key)
        if field.type is FieldType.CHOICES:
            shown[_name_of(field)] = list(value) if isinstance(value, list) else [str(value)] if value else []
        elif isinstance(value, bool):
            shown[_name_of(field)] = "true" if value else "false"
        else:
            shown[_name_of(field)] = "" if value is None else str(value)
    return shown


@routes.get("/contacts/new")
async def new(page: Page) -> web.Response:
    fields = await page.app.store.people.fields(page.workspace_id)
    form: Form[NewContactForm] = Form.blank(list_id=page.query("list"), **shown_values(fields, {}))
    return page.render("contacts/form.html", **await _context(page, form, fields))


async def _context(
    page: Page, form: Form[Any], fields: tuple[ContactField, ...], contact: Contact | None = None,
) -> dict[str, Any]:
    lists = () if contact else await page.app.store.contacts.lists(page.workspace_id)
    return {"form": form, "contact": contact, "lists": lists, "fields": fields}


@routes.post("/contacts/new")
async def create(page: Page) -> web.Response:
    """Add one person by hand; somebody who is known already is shown instead of being overwritten."""
    fields = await page.app.store.people.fields(page.workspace_id)
    form = await page.form(NewContactForm)
    own = read_own(form, fields, await page.request.post(), None)
    context = await _context(page, form, fields)
    if form.data is None:
        return page.invalid("contacts/form.html", **context)
    try:
        address = parse_address(form.data.email)
    except AddressError as error:
        form.problems["email"] = str(error)
    if form.problems:
        return page.invalid("contacts/form.html", **context)
    known = await page.app.store.contacts.find(page.workspace_id, address.key)
    if known is not None:
        words = _("This person is a contact already. Nothing was changed.")
        return page.redirect(f"/contacts/{known.id}", words, "warn")
    wanted = form.data.list_id if any(one.id == form.data.list_id for one in context["lists"]) else None
    made = await add_contact(
        page.app, page.workspace_id, address.text, form.data.standard(),
        {key: value for key, value in own.items() if value is not None}, list_ids=[wanted] if wanted else [],
        actor=page.session.user.email)
    return page.redirect(f"/contacts/{made.id}", _("The contact was added."))


async def _contact(page: Page) -> Contact:
    return await page.app.store.contacts.get(page.workspace_id, page.key("contact_id"))


@routes.get("/contacts/{contact_id:\\d+}/edit")
async def edit(page: Page) -> web.Response:
    contact = await _contact(page)
    fields = await page.app.store.people.fields(page.workspace_id)
    form: Form[ContactForm] = Form.blank(
        **{name: getattr(contact, name) for name in STANDARD_FIELDS}, **shown_values(fields, contact.fields))
    return page.render("contacts/form.html", **await _context(page, form, fields, contact))


@routes.post("/contacts/{contact_id:\\d+}/edit")
async def save(page: Page) -> web.Response:
    contact = await _contact(page)
    fields = await page.app.store.people.fields(page.workspace_id)
    form = await page.form(ContactForm)
    own = read_own(form, fields, await page.request.post(), contact)
    if form.data is None or form.problems:
        return page.invalid("contacts/form.html", **await _context(page, form, fields, contact))
    await page.app.store.people.save(
        page.workspace_id, contact.id, form.data.standard(), own, page.session.user.email, page.app.clock.now())
    return page.redirect(f"/contacts/{contact.id}", _("The contact was saved."))
