"""One's own account: name, address, language, password, and where one is logged in."""

from typing import Annotated, Any, Final, Literal

from aiohttp import web
from pydantic import Field

from admin_ui.forms import Form, FormModel
from admin_ui.page import Page, Routes
from admin_ui.words import _
from esp.errors import ConflictError, InputError
from esp.flows.accounts import checked_email, set_password

routes: Final = Routes()


class Profile(FormModel):
    name: Annotated[str, Field(min_length=1, max_length=120)]
    email: Annotated[str, Field(min_length=1, max_length=320)]
    language: Literal["en", "id"] = "en"


class NewPassword(FormModel):
    current: Annotated[str, Field(min_length=1, max_length=2000)]
    password: Annotated[str, Field(min_length=1, max_length=2000)]


async def _answer(
    page: Page, profile: Form[Profile] | None = None, password: Form[NewPassword] | None = None
) -> web.Response:
    user = page.session.user
    context: dict[str, Any] = {
        "profile": profile or Form.blank(name=user.name, email=user.email, language=user.language),
        "password": password or Form.blank(),
        "sessions": await page.app.store.accounts.sessions_of(user.id, page.app.clock.now()),
    }
    return page.render("settings/account.html", status=422 if profile or password else 200, **context)


@routes.get("/settings/account")
async def show(page: Page) -> web.Response:
    return await _answer(page)


@routes.post("/settings/account")
async def save(page: Page) -> web.Response:
    form = await page.form(Profile)
    if form.data is None:
        return await _answer(page, profile=form)
    try:
        email = checked_email(form.data.email)
        await page.app.store.accounts.update_profile(
            page.session.user.id, name=form.data.name, email=email, language=form.data.language)
    except InputError as error:
        return await _answer(page, profile=form.blame(error))
    except ConflictError as error:
        form.problems["email"] = str(error)
        return await _answer(page, profile=form)
    return page.redirect("/settings/account", _("Your account was saved."))


@routes.post("/settings/account/password")
async def change_password(page: Page) -> web.Response:
    form = await page.form(NewPassword)
    if form.data is None:
        return await _answer(page, password=form)
    user = page.session.user
    known = await page.app.store.accounts.credentials(user.email)
    if not await page.passwords.matches(known.password_hash if known else None, form.data.current):
        form.problems["current"] = _("This is not your password now.")
        return await _answer(page, password=form)
    try:
        await set_password(page.app, page.passwords, user, form.data.password, keep_session=page.session.token_hash)
    except InputError as error:
        return await _answer(page, password=form.blame(error))
    return page.redirect("/settings/account", _("Your password was changed and every other device was logged out."))


@routes.post("/settings/account/log-out-others")
async def log_out_others(page: Page) -> web.Response:
    await page.app.store.accounts.close_other_sessions(page.session.user.id, page.session.token_hash)
    return page.redirect("/settings/account", _("Every other device was logged out."))
