"""Lists: made, renamed, put away and brought back; their people are shown by the contacts' page."""

from typing import Annotated, Final

from aiohttp import web
from pydantic import Field

from admin_ui.forms import Form, FormModel
from admin_ui.page import Page, Routes
from admin_ui.words import _
from esp.errors import ConflictError, InputError
from esp.flows.contacts import MAX_LIST_NAME, create_list, list_name

routes: Final = Routes()


class ListForm(FormModel):
    name: Annotated[str, Field(min_length=1, max_length=MAX_LIST_NAME)]
    description: Annotated[str, Field(max_length=500)] = ""


@routes.get("/lists")
async def index(page: Page) -> web.Response:
    archived = page.query("archived") == "1"
    found = await page.app.store.contacts.lists(page.workspace_id, archived=True)
    return page.render(
        "lists/index.html", archived=archived, archived_count=sum(one.archived_at is not None for one in found),
        lists=[one for one in found if (one.archived_at is not None) == archived])


@routes.get("/lists/new")
async def new(page: Page) -> web.Response:
    return page.render("lists/form.html", form=Form.blank(), one=None)


@routes.post("/lists/new")
async def create(page: Page) -> web.Response:
    form = await page.form(ListForm)
    if form.data is None:
        return page.invalid("lists/form.html", form=form, one=None)
    try:
        made = await create_list(page.app, page.workspace_id, form.data.name, form.data.description)
    except InputError as error:
        return page.invalid("lists/form.html", form=form.blame(error), one=None)
    except ConflictError as error:
        form.problems["name"] = str(error)
        return page.invalid("lists/form.html", form=form, one=None)
    return page.redirect(f"/lists/{made.id}", _("The list was created."))


@routes.get("/lists/{list_id:\\d+}")
async def show(page: Page) -> web.Response:
    one = await page.app.store.contacts.get_list(page.workspace_id, page.key("list_id"))
    after, query = page.query("after") or None, page.query("q").strip()[:100]
    people = await page.app.store.contacts.search(page.workspace_id, query, one.id, after)
    return page.render("lists/show.html", one=one, people=people, query=query, after=after)


@routes.get("/lists/{list_id:\\d+}/edit")
async def edit(page: Page) -> web.Response:
    one = await page.app.store.contacts.get_list(page.workspace_id, page.key("list_id"))
    return page.render("lists/form.html", form=Form.blank(name=one.name, description=one.description), one=one)


@routes.post("/lists/{list_id:\\d+}/edit")
async def save(page: Page) -> web.Response:
    one = await page.app.store.contacts.get_list(page.workspace_id, page.key("list_id"))
    form = await page.form(ListForm)
    if form.data is None:
        return page.invalid("lists/form.html", form=form, one=one)
    try:
        name = list_name(form.data.name)
    except InputError as error:
        return page.invalid("lists/form.html", form=form.blame(error), one=one)
    await page.app.store.contacts.edit_list(page.workspace_id, one.id, name, form.data.description)
    return page.redirect(f"/lists/{one.id}", _("The list was saved."))


@routes.post("/lists/{list_id:\\d+}/archive")
async def archive(page: Page) -> web.Response:
    one = await page.app.store.contacts.get_list(page.workspace_id, page.key("list_id"))
    await page.app.store.contacts.archive_list(page.workspace_id, one.id, page.app.clock.now())
    return page.redirect("/lists", _("{name} was put away. You find it under No longer used.").format(name=one.name))


@routes.post("/lists/{list_id:\\d+}/restore")
async def restore(page: Page) -> web.Response:
    one = await page.app.store.contacts.get_list(page.workspace_id, page.key("list_id"))
    await page.app.store.contacts.archive_list(page.workspace_id, one.id, None)
    return page.redirect(f"/lists/{one.id}", _("{name} is back.").format(name=one.name))
