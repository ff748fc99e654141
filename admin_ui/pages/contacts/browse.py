"""Contacts in a table: searched as one types, narrowed by list, tag and state, with the columns that one wants."""

from typing import Any, Final

from aiohttp import web

from admin_ui.page import Page, Routes
from admin_ui.pages.contacts.chosen import field_labels, read_filters
from admin_ui.words import _
from esp.audience.field_values import value_text
from esp.ports.contacts import Contact
from esp.ports.people import ContactField

routes: Final = Routes()

PAGE_SIZE: Final = 50
COLUMNS_COOKIE: Final = "merpati_columns"
_USUAL: Final = ("city", "tags", "added")
_MOST_COLUMNS: Final = 8
_A_YEAR: Final = 365 * 24 * 3600


@routes.get("/contacts")
async def index(page: Page) -> web.Response:
    filters, after = await read_filters(page), page.query("after") or None
    store = page.app.store
    people = await store.contacts.search(
        page.workspace_id, filters.query, filters.list_id, after, PAGE_SIZE, tag_id=filters.tag_id,
        state=filters.state)
    fields = await store.people.fields(page.workspace_id)
    choices = _columns(fields)
    asked = page.request.query.getall("col", [])
    kept = asked or page.request.cookies.get(COLUMNS_COOKIE, "").split(".")
    columns = [name for name in kept if name in choices][:_MOST_COLUMNS] or list(_USUAL)
    tags = await store.people.tags_of(page.workspace_id, [one.id for one in people.contacts])
    response = page.render(
        "contacts/index.html", people=people, filters=filters, after=after, tags=tags, choices=choices,
        columns=columns, cell=_cell, states=state_words(),
        next_href=filters.address("/contacts", after=people.next) if people.next else "",
        first_href=filters.address("/contacts") if after else "")
    if asked:
        response.set_cookie(COLUMNS_COOKIE, ".".join(columns), max_age=_A_YEAR, path="/", httponly=True, samesite="Lax")
    return response


def _columns(fields: tuple[ContactField, ...]) -> dict[str, str]:
    """Everything that may be a column, with its head; own fields under ``field-`` and their key."""
    own = {f"field-{field.key}": field.label for field in fields}
    return {**field_labels(), "tags": _("Tags"), "source": _("Source"), "added": _("Added"), **own}


def _cell(person: Contact, column: str) -> Any:
    """What stands in a plain cell; tags and dates are shown by the template."""
    if column.startswith("field-"):
        return value_text(person.fields.get(column.removeprefix("field-")), _("yes"), _("no"))
    return getattr(person, column)


def state_words() -> dict[str, str]:
    return {"subscribed": _("Subscribed"), "unsubscribed": _("Unsubscribed"), "pending": _("Not confirmed")}
