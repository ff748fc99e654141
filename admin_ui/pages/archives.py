"""A list's archive, and whether its mails are counted: a page of its own behind the list's."""

from typing import Final

from aiohttp import web

from admin_ui.forms import Form, FormModel
from admin_ui.page import Page, Routes
from admin_ui.words import _
from esp.model.preference import ArchiveAccess
from esp.ports.preferences import Publicity

routes: Final = Routes()


class PublicityForm(FormModel):
    access: ArchiveAccess = ArchiveAccess.OFF
    indexed: bool = False
    tracking: bool = False


@routes.get("/lists/{list_id:\\d+}/archive-settings")
async def show(page: Page) -> web.Response:
    one = await page.app.store.contacts.get_list(page.workspace_id, page.key("list_id"))
    now = await page.app.store.preferences.publicity(page.workspace_id, one.id)
    form: Form[PublicityForm] = Form.blank(access=now.access.value, indexed=now.indexed, tracking=now.tracking)
    return page.render("lists/archive.html", one=one, form=form, url=_url(page, one.public_id), now_access=now.access)


@routes.post("/lists/{list_id:\\d+}/archive-settings")
async def save(page: Page) -> web.Response:
    one = await page.app.store.contacts.get_list(page.workspace_id, page.key("list_id"))
    now = await page.app.store.preferences.publicity(page.workspace_id, one.id)
    form = await page.form(PublicityForm)
    if form.data is None:
        return page.invalid("lists/archive.html", one=one, form=form, url=_url(page, one.public_id),
                            now_access=now.access)
    await page.app.store.preferences.set_publicity(
        page.workspace_id, one.id, Publicity(form.data.access, form.data.indexed, form.data.tracking))
    return page.redirect(f"/lists/{one.id}/archive-settings", _("Saved."))


def _url(page: Page, public_id: str) -> str:
    return f"{page.app.settings.public_url}/a/{public_id}"
