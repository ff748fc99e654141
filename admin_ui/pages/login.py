"""Coming in and going out."""

from typing import Annotated, Final
from urllib.parse import urlsplit

from aiohttp import web
from pydantic import Field

from admin_ui.auth import check_login, client_ip, log_in, log_out
from admin_ui.forms import Form, FormModel
from admin_ui.page import Page, Routes
from admin_ui.words import _

routes: Final = Routes()


class Login(FormModel):
    email: Annotated[str, Field(min_length=1, max_length=320)]
    password: Annotated[str, Field(min_length=1, max_length=2000)]
    next: str = "/"


def safe_path(text: str) -> str:
    """``text`` where it is a path on this server, else the home page: a login must not lead elsewhere."""
    parts = urlsplit(text)
    plain = not parts.scheme and not parts.netloc and text.startswith("/") and not text.startswith("//")
    return text if plain and text.isprintable() and "\\" not in text else "/"


@routes.get("/login", open=True)
async def show(page: Page) -> web.Response:
    if page.maybe_session:
        return page.redirect("/")
    return page.render("login/login.html", form=Form.blank(next=safe_path(page.query("next", "/"))))


@routes.post("/login", open=True)
async def enter(page: Page) -> web.Response:
    form = await page.form(Login)
    if form.data is None:
        return page.invalid("login/login.html", form=form)
    user = await check_login(
        page.app, page.passwords, page.throttle, client_ip(page.request), form.data.email, form.data.password)
    workspaces = await page.app.store.accounts.workspaces_of(user.id) if user else ()
    if user is None or not workspaces:
        form.problems[""] = _(
            "Address and password do not match. After several wrong tries, wait a quarter of an hour.")
        return page.invalid("login/login.html", form=form)
    response = page.redirect(safe_path(form.data.next))
    await log_in(page.app, page.request, response, user, workspaces[0].id)
    return response


@routes.post("/logout", open=True)
async def leave(page: Page) -> web.Response:
    response = page.redirect("/login", _("You are logged out."))
    await log_out(page.app, page.request, response)
    return response
