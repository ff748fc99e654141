"""The first run: the owner's account, the workspace, the first sending domain, and on to the first campaign."""

from typing import Annotated, Final

from aiohttp import web
from pydantic import Field

from admin_ui.auth import is_on_this_machine, log_in
from admin_ui.forms import Form, FormModel
from admin_ui.page import Page, Routes
from admin_ui.pages.domains import DomainName, add_named
from admin_ui.pages.workspace import WorkspaceForm, save_workspace, workspace_form, zone_choices
from admin_ui.security import SaidError
from admin_ui.words import _
from esp.errors import InputError
from esp.flows.accounts import found_server, opens_set_up
from esp.flows.domains import check_domain, checks_of, records

routes: Final = Routes()


class Owner(FormModel):
    name: Annotated[str, Field(min_length=1, max_length=120)]
    email: Annotated[str, Field(min_length=1, max_length=320)]
    password: Annotated[str, Field(min_length=1, max_length=2000)]
    code: str = ""


class ClosedSetUpError(SaidError):
    """Somebody found a new server whose address they were not given."""

    def __init__(self) -> None:
        super().__init__(_("This server is new. Open the address that it printed when it started: it holds the code "
                           "with which the owner's account is made."))


@routes.get("/setup", open=True)
async def owner(page: Page) -> web.Response:
    if await page.app.store.accounts.has_users():
        return page.redirect("/setup/workspace" if page.maybe_session else "/login")
    code = page.query("code")
    _check_place(page, code)
    return page.render("setup/owner.html", form=Form.blank(code=code))


def _check_place(page: Page, code: str) -> None:
    """The set-up is open to a browser on this machine, and elsewhere to whoever has the server's own output."""
    if not (is_on_this_machine(page.request) or opens_set_up(page.app, code)):
        raise ClosedSetUpError


@routes.post("/setup", open=True)
async def create_owner(page: Page) -> web.Response:
    form = await page.form(Owner)
    _check_place(page, form.value("code"))
    if form.data is None:
        return page.invalid("setup/owner.html", form=form)
    try:
        member = await found_server(page.app, page.passwords, form.data.email, form.data.name, form.data.password)
    except InputError as error:
        return page.invalid("setup/owner.html", form=form.blame(error))
    workspaces = await page.app.store.accounts.workspaces_of(member.user.id)
    response = page.redirect("/setup/workspace")
    await log_in(page.app, page.request, response, member.user, workspaces[0].id)
    return response


@routes.get("/setup/workspace", owner=True)
async def workspace(page: Page) -> web.Response:
    return page.render("setup/workspace.html", form=workspace_form(page), zones=zone_choices())


@routes.post("/setup/workspace", owner=True)
async def name_workspace(page: Page) -> web.Response:
    form = await page.form(WorkspaceForm)
    if form.data is None:
        return page.invalid("setup/workspace.html", form=form, zones=zone_choices())
    await save_workspace(page, form.data)
    return page.redirect("/setup/domain")


@routes.get("/setup/domain", owner=True)
async def domain(page: Page) -> web.Response:
    found = await page.app.store.domains.all(page.workspace_id)
    if found:
        return page.redirect(f"/setup/domain/{found[0].public_id}")
    return page.render("setup/domain.html", form=Form.blank())


@routes.post("/setup/domain", owner=True)
async def create_domain(page: Page) -> web.Response:
    form = await page.form(DomainName)
    made = await add_named(page, form)
    if made is None:
        return page.invalid("setup/domain.html", form=form)
    return page.redirect(f"/setup/domain/{made.public_id}")


@routes.get("/setup/domain/{public_id}", owner=True)
async def show_records(page: Page) -> web.Response:
    found = await page.app.store.domains.get(page.workspace_id, page.request.match_info["public_id"])
    wanted = await records(page.app, page.workspace_id, found)
    return page.render("setup/records.html", domain=found, records=wanted, checks=checks_of(found))


@routes.post("/setup/domain/{public_id}/check", owner=True)
async def check(page: Page) -> web.Response:
    found = await check_domain(page.app, page.workspace_id, page.request.match_info["public_id"])
    return page.redirect(f"/setup/domain/{found.public_id}")


@routes.get("/setup/done", owner=True)
async def done(page: Page) -> web.Response:
    domains = await page.app.store.domains.all(page.workspace_id)
    return page.render("setup/done.html", domain=domains[0] if domains else None)
