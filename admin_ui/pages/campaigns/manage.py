"""What can be done with a campaign as a whole: cloned, given another name, deleted while it is a draft."""

from dataclasses import replace

from aiohttp import web
from pydantic import Field

from admin_ui.forms import FormModel
from admin_ui.page import Page, Routes
from admin_ui.words import _
from esp.flows import campaigns as flow

routes = Routes()


class NameForm(FormModel):
    name: str = Field(min_length=1, max_length=200)
    version: int


class VersionForm(FormModel):
    version: int


@routes.post(r"/campaigns/{campaign_id:\d+}/clone")
async def clone(page: Page) -> web.StreamResponse:
    copy = await flow.clone(page.app, page.workspace_id, page.key("campaign_id"))
    return page.redirect(f"/campaigns/{copy.id}/edit", _("This is the copy. The first one is untouched."))


@routes.post(r"/campaigns/{campaign_id:\d+}/rename")
async def rename(page: Page) -> web.StreamResponse:
    """Another name for a draft; what has been sent keeps the name that its report is known by."""
    form = await page.form(NameForm)
    campaign_id = page.key("campaign_id")
    if form.data is None:
        return page.redirect("/campaigns", _("A campaign needs a name. Nothing was changed."), "warn")
    detail = await page.app.store.campaigns.get(page.workspace_id, campaign_id)
    edit = replace(detail.edit(), name=form.data.name)
    await flow.change(page.app, page.workspace_id, campaign_id, edit, form.data.version)
    return page.redirect("/campaigns", _("The campaign has its new name."))


@routes.post(r"/campaigns/{campaign_id:\d+}/delete")
async def delete(page: Page) -> web.StreamResponse:
    """Only a draft, and only as the reader saw it: ConflictError where somebody has changed it since."""
    form = await page.form(VersionForm)
    if form.data is None:
        raise web.HTTPBadRequest
    await page.app.store.campaigns.delete(page.workspace_id, page.key("campaign_id"), form.data.version)
    return page.redirect("/campaigns", _("The draft was deleted."))
