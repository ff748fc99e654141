"""The team: who may work in this workspace, added, barred, and given a new password."""

from typing import Annotated, Final

from aiohttp import web
from pydantic import Field

from admin_ui.forms import Form, FormModel
from admin_ui.page import Page, Routes
from admin_ui.words import _
from esp.errors import ConflictError, InputError
from esp.flows.accounts import add_user, new_password, set_password
from esp.ports.accounts import Member, Role

routes: Final = Routes()


class NewMember(FormModel):
    name: Annotated[str, Field(min_length=1, max_length=120)]
    email: Annotated[str, Field(min_length=1, max_length=320)]
    role: Role = Role.MEMBER


async def _member(page: Page) -> Member:
    return await page.app.store.accounts.member(page.workspace_id, page.request.match_info["public_id"])


@routes.get("/settings/team")
async def index(page: Page) -> web.Response:
    members = await page.app.store.accounts.members(page.workspace_id)
    return page.render("settings/team.html", members=members)


@routes.get("/settings/team/new", owner=True)
async def new(page: Page) -> web.Response:
    return page.render("settings/team_new.html", form=Form.blank(role=Role.MEMBER))


@routes.post("/settings/team/new", owner=True)
async def create(page: Page) -> web.Response:
    form = await page.form(NewMember)
    if form.data is None:
        return page.invalid("settings/team_new.html", form=form)
    password = new_password()
    try:
        user = await add_user(
            page.app, page.passwords, page.workspace_id, form.data.email, form.data.name, password, form.data.role)
    except InputError as error:
        return page.invalid("settings/team_new.html", form=form.blame(error))
    except ConflictError as error:
        form.problems["email"] = str(error)
        return page.invalid("settings/team_new.html", form=form)
    return page.render("settings/team_password.html", user=user, password=password, fresh=True)


@routes.post("/settings/team/{public_id}/role", owner=True)
async def change_role(page: Page) -> web.Response:
    member = await _member(page)
    role = Role.OWNER if member.role is Role.MEMBER else Role.MEMBER
    await page.app.store.accounts.set_role(page.workspace_id, member.user.id, role)
    return page.redirect("/settings/team", _("The role was changed."))


@routes.post("/settings/team/{public_id}/disable", owner=True)
async def disable(page: Page) -> web.Response:
    member = await _member(page)
    await page.app.store.accounts.set_disabled(page.workspace_id, member.user.id, page.app.clock.now())
    return page.redirect("/settings/team", _("{name} can no longer log in.").format(name=member.user.name))


@routes.post("/settings/team/{public_id}/enable", owner=True)
async def enable(page: Page) -> web.Response:
    member = await _member(page)
    await page.app.store.accounts.set_disabled(page.workspace_id, member.user.id, None)
    return page.redirect("/settings/team", _("{name} can log in again.").format(name=member.user.name))


@routes.post("/settings/team/{public_id}/password", owner=True)
async def reset_password(page: Page) -> web.Response:
    """A new password, shown once. Refused for people of other workspaces too: this owner may not open those."""
    member = await _member(page)
    if len(await page.app.store.accounts.workspaces_of(member.user.id, barred=True)) > 1:
        raise ConflictError(_("This person works in another workspace too and must change the password themselves."))
    password = new_password()
    await set_password(page.app, page.passwords, member.user, password)
    return page.render("settings/team_password.html", user=member.user, password=password, fresh=False)
