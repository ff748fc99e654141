"""Topics: what campaigns are about, so that people can choose what they get and how often."""

from typing import Annotated, Final

from aiohttp import web
from pydantic import Field

from admin_ui.forms import Form, FormModel
from admin_ui.page import Page, Routes
from admin_ui.words import _
from esp.errors import ConflictError, NotFoundError
from esp.ports.preferences import MOST_COUNTED, Topic

routes: Final = Routes()


class TopicForm(FormModel):
    name: Annotated[str, Field(min_length=1, max_length=80)]
    description: Annotated[str, Field(max_length=300)] = ""


@routes.get("/settings/topics")
async def index(page: Page) -> web.Response:
    found = await page.app.store.preferences.topics(page.workspace_id, archived=True)
    return page.render("topics/index.html", topics=found, most=MOST_COUNTED)


@routes.get("/settings/topics/new")
async def new(page: Page) -> web.Response:
    return page.render("topics/form.html", form=Form.blank(), one=None)


@routes.post("/settings/topics/new")
async def create(page: Page) -> web.Response:
    return await _save(page, None)


@routes.get("/settings/topics/{topic_id:\\d+}")
async def edit(page: Page) -> web.Response:
    one = await _topic(page)
    return page.render("topics/form.html", form=Form.blank(name=one.name, description=one.description), one=one)


@routes.post("/settings/topics/{topic_id:\\d+}")
async def save(page: Page) -> web.Response:
    return await _save(page, await _topic(page))


async def _save(page: Page, one: Topic | None) -> web.Response:
    form = await page.form(TopicForm)
    if form.data is None:
        return page.invalid("topics/form.html", form=form, one=one)
    # A name with a line break would not stand in one line of people's pages.
    name = " ".join(form.data.name.split())
    try:
        await page.app.store.preferences.save_topic(
            page.workspace_id, one.id if one else None, name, form.data.description, page.app.clock.now())
    except ConflictError as error:
        form.problems["name"] = str(error)
        return page.invalid("topics/form.html", form=form, one=one)
    return page.redirect("/settings/topics", _("The topic was saved."))


@routes.post("/settings/topics/{topic_id:\\d+}/archive")
async def archive(page: Page) -> web.Response:
    one = await _topic(page)
    await page.app.store.preferences.archive_topic(page.workspace_id, one.id, page.app.clock.now())
    return page.redirect("/settings/topics", _("{name} was put away. What people chose is kept.").format(name=one.name))


@routes.post("/settings/topics/{topic_id:\\d+}/restore")
async def restore(page: Page) -> web.Response:
    one = await _topic(page)
    await page.app.store.preferences.archive_topic(page.workspace_id, one.id, None)
    return page.redirect("/settings/topics", _("{name} is back.").format(name=one.name))


async def _topic(page: Page) -> Topic:
    wanted = page.key("topic_id")
    found = await page.app.store.preferences.topics(page.workspace_id, archived=True)
    one = next((topic for topic in found if topic.id == wanted), None)
    if one is None:
        raise NotFoundError(_("There is no such topic."))
    return one
