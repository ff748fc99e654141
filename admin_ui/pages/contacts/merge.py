"""Two contacts who are one person: found, laid side by side, and made one with the values that were picked."""

from typing import Any, Final

from aiohttp import web

from admin_ui.page import Page, Routes
from admin_ui.pages.contacts.chosen import field_labels
from admin_ui.words import _
from esp.audience.field_values import value_text
from esp.ports.contacts import STANDARD_FIELDS, Contact
from esp.ports.people import Merge

routes: Final = Routes()


@routes.get("/contacts/{contact_id:\\d+}/merge")
async def choose(page: Page) -> web.Response:
    """Who the other one is: those of the same name at first, or whom one looks for."""
    contact = await page.app.store.contacts.get(page.workspace_id, page.key("contact_id"))
    query = page.query("q").strip()[:100]
    wanted = query or contact.name or contact.email.partition("@")[0]
    found = await page.app.store.contacts.search(page.workspace_id, wanted, limit=20)
    others = [one for one in found.contacts if one.id != contact.id]
    return page.render("contacts/merge_choose.html", contact=contact, others=others, query=query)


async def _both(page: Page) -> tuple[Contact, Contact]:
    store = page.app.store.contacts
    return (await store.get(page.workspace_id, page.key("contact_id")),
            await store.get(page.workspace_id, page.key("other_id")))


@routes.get("/contacts/{contact_id:\\d+}/merge/{other_id:\\d+}")
async def compare(page: Page) -> web.Response:
    one, other = await _both(page)
    if one.id == other.id:
        return page.redirect(f"/contacts/{one.id}/merge", _("These are one and the same contact."), "warn")
    store = page.app.store
    lists = [await store.contacts.subscriptions(page.workspace_id, person.id) for person in (one, other)]
    tags = await store.people.tags_of(page.workspace_id, [one.id, other.id])
    return page.render(
        "contacts/merge.html", one=one, other=other, rows=await _rows(page, one, other), lists=lists, tags=tags)


async def _rows(page: Page, one: Contact, other: Contact) -> list[dict[str, Any]]:
    """Every field that at least one of them has: its name in the form, its label, both values, and which is picked."""
    rows = [_row(name, label, getattr(one, name), getattr(other, name)) for name, label in field_labels().items()]
    fields = await page.app.store.people.fields(page.workspace_id, archived=True)
    labels = {field.key: field.label for field in fields}
    rows += [_row(f"field-{key}", labels.get(key, key), one.fields.get(key), other.fields.get(key))
             for key in dict.fromkeys((*labels, *one.fields, *other.fields))]
    return [row for row in rows if row["pair"] != ("", "")]


def _row(name: str, label: str, one: Any, other: Any) -> dict[str, Any]:
    values = tuple(value_text(value, _("yes"), _("no")) for value in (one, other))
    return {"name": name, "label": label, "pair": values, "picked": 0 if values[0] else 1}


@routes.post("/contacts/{contact_id:\\d+}/merge/{other_id:\\d+}")
async def merge(page: Page) -> web.Response:
    pair = await _both(page)
    posted = await page.request.post()

    def picked(name: str) -> int:
        return 1 if posted.get(name) == "1" else 0

    standard = {name: getattr(pair[picked(name)], name) for name in STANDARD_FIELDS if name in posted}
    fields = {}
    for key in dict.fromkeys((*pair[0].fields, *pair[1].fields)):
        value = pair[picked(f"field-{key}")].fields.get(key)
        if value is not None:
            fields[key] = value
    kept = picked("email")
    made = await page.app.store.people.merge(
        page.workspace_id, Merge(pair[kept].id, pair[1 - kept].id, standard, fields), page.session.user.email,
        page.app.clock.now())
    return page.redirect(f"/contacts/{made.id}", _("The two are one contact now."))
