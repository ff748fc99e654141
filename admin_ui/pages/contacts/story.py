"""Tags and notes of one person, and the tags of the workspace."""

from typing import Annotated, Final

from aiohttp import web
from pydantic import Field

from admin_ui.forms import Form, FormModel
from admin_ui.page import Page, Routes
from admin_ui.words import _
from esp.errors import ConflictError, InputError, NotFoundError
from esp.ports.people import Note

routes: Final = Routes()

LONGEST_NOTE: Final = 10_000


class TagForm(FormModel):
    tag: Annotated[str, Field(min_length=1, max_length=60)]


class NoteForm(FormModel):
    text: Annotated[str, Field(min_length=1, max_length=LONGEST_NOTE)]


@routes.post("/contacts/{contact_id:\\d+}/tags")
async def tag(page: Page) -> web.Response:
    """Put a tag on; one that nobody used before is made."""
    contact_id, form = page.key("contact_id"), await page.form(TagForm)
    await page.app.store.contacts.get(page.workspace_id, contact_id)
    if form.data is None:
        return page.redirect(f"/contacts/{contact_id}", form.problem("tag"), "warn")
    try:
        one = await page.app.store.people.make_tag(page.workspace_id, form.data.tag)
    except InputError as error:
        return page.redirect(f"/contacts/{contact_id}", _(str(error)), "warn")
    await page.app.store.people.tag(
        page.workspace_id, contact_id, one.id, page.session.user.email, page.app.clock.now())
    return page.redirect(f"/contacts/{contact_id}", _("Tagged “{name}”.").format(name=one.name))


@routes.post("/contacts/{contact_id:\\d+}/tags/{tag_id:\\d+}/remove")
async def untag(page: Page) -> web.Response:
    contact_id = page.key("contact_id")
    await page.app.store.people.untag(
        page.workspace_id, contact_id, page.key("tag_id"), page.session.user.email, page.app.clock.now())
    return page.redirect(f"/contacts/{contact_id}", _("The tag was removed."))


@routes.post("/contacts/{contact_id:\\d+}/notes")
async def note(page: Page) -> web.Response:
    contact_id, form = page.key("contact_id"), await page.form(NoteForm)
    await page.app.store.contacts.get(page.workspace_id, contact_id)
    if form.data is None:
        return page.redirect(f"/contacts/{contact_id}", form.problem("text"), "warn")
    await page.app.store.people.add_note(
        page.workspace_id, contact_id, page.session.user.email, form.data.text, page.app.clock.now())
    return page.redirect(f"/contacts/{contact_id}", _("The note was kept."))


async def _note(page: Page) -> Note:
    note_id = page.key("note_id")
    found = await page.app.store.people.notes(page.workspace_id, page.key("contact_id"), note_id + 1, 1)
    if not found or found[0].id != note_id:
        raise NotFoundError(_("There is no such note."))
    return found[0]


@routes.get("/contacts/{contact_id:\\d+}/notes/{note_id:\\d+}")
async def edit_note(page: Page) -> web.Response:
    contact = await page.app.store.contacts.get(page.workspace_id, page.key("contact_id"))
    one = await _note(page)
    form: Form[NoteForm] = Form.blank(text=one.text)
    return page.render("contacts/note.html", contact=contact, note=one, form=form)


@routes.post("/contacts/{contact_id:\\d+}/notes/{note_id:\\d+}")
async def save_note(page: Page) -> web.Response:
    contact = await page.app.store.contacts.get(page.workspace_id, page.key("contact_id"))
    one, form = await _note(page), await page.form(NoteForm)
    if form.data is None:
        return page.invalid("contacts/note.html", contact=contact, note=one, form=form)
    await page.app.store.people.edit_note(
        page.workspace_id, contact.id, one.id, form.data.text, page.app.clock.now())
    return page.redirect(f"/contacts/{contact.id}", _("The note was kept."))


@routes.post("/contacts/{contact_id:\\d+}/notes/{note_id:\\d+}/delete")
async def delete_note(page: Page) -> web.Response:
    contact_id = page.key("contact_id")
    await page.app.store.people.delete_note(page.workspace_id, contact_id, page.key("note_id"))
    return page.redirect(f"/contacts/{contact_id}", _("The note was deleted."))


@routes.get("/contacts/tags")
async def tags(page: Page) -> web.Response:
    query = page.query("q").strip()[:60]
    found = await page.app.store.people.tags(page.workspace_id, query, limit=500)
    return page.render("contacts/tags.html", tags=found, query=query)


@routes.post("/contacts/tags/{tag_id:\\d+}")
async def rename_tag(page: Page) -> web.Response:
    tag_id = page.key("tag_id")
    form = await page.form(TagForm)
    if form.data is None:
        return page.redirect("/contacts/tags", form.problem("tag"), "warn")
    try:
        await page.app.store.people.rename_tag(page.workspace_id, tag_id, form.data.tag)
    except (ConflictError, InputError) as error:
        return page.redirect("/contacts/tags", _(str(error)), "warn")
    return page.redirect("/contacts/tags", _("Saved."))


@routes.post("/contacts/tags/{tag_id:\\d+}/delete")
async def delete_tag(page: Page) -> web.Response:
    await page.app.store.people.delete_tag(page.workspace_id, page.key("tag_id"))
    return page.redirect("/contacts/tags", _("The tag was deleted."))
