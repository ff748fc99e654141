"""How people come onto a list: opt-in, words, fields, welcome; and the links, snippets and addresses to hand out."""

import re
from datetime import UTC, timedelta
from typing import Annotated, Any, Final, Literal

from aiohttp import web
from pydantic import Field, create_model

from admin_ui.forms import Form, FormModel
from admin_ui.page import Page, Routes
from admin_ui.words import _
from esp.errors import ConflictError
from esp.flows.signup_letters import WORDS, command_address
from esp.model.permission import HELD_BACK, OptIn, SignupOutcome
from esp.ports.signup import AskedField, ListSignup, PublicList
from tracking.edge.shell import LANGUAGE_NAMES
from tracking.edge.subscribe import EMBED_PATH

routes: Final = Routes()

_COMMAND: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,40}")
_STANDARD: Final = ("first_name", "last_name", "city", "country", "birth_date")
_TEXTS: Final = ("consent", "welcome_subject", "welcome")
_LOOKING_BACK: Final = timedelta(days=30)


class _SignupForm(FormModel):
    public: bool = False
    opt_in: OptIn = OptIn.DOUBLE
    language: Literal["", "en", "id"] = ""
    asked: list[str] = Field(default_factory=list)
    required: list[str] = Field(default_factory=list)
    welcome: bool = False
    command: Annotated[str, Field(max_length=41)] = ""
    domain: Annotated[str, Field(pattern=r"^[0-9]{0,18}$")] = ""
    from_name: Annotated[str, Field(max_length=120)] = ""


_TEXT: Final[Any] = (Annotated[str, Field(max_length=2000)], "")
SignupForm: Final = create_model(
    "SignupForm", __base__=_SignupForm, **{f"{language}_{key}": _TEXT for language in WORDS for key in _TEXTS})


def _standard() -> dict[str, str]:
    return {"first_name": _("First name"), "last_name": _("Last name"), "city": _("City"), "country": _("Country"),
            "birth_date": _("Birth date")}


def _held_words() -> dict[SignupOutcome, str]:
    return {
        SignupOutcome.TURNED_AWAY: _("Too many at once from one place, which is how robots come."),
        SignupOutcome.ASKED_TODAY: _("A mail had already asked this address on that day."),
        SignupOutcome.SUPPRESSED: _("The address is suppressed."),
        SignupOutcome.NO_SENDER: _("There was no sending domain to send the confirmation from."),
        SignupOutcome.FAILED: _("Something went wrong on this server; its log says what."),
    }


async def _one(page: Page) -> PublicList:
    return await page.app.store.signups.list_signup(page.workspace_id, page.key("list_id"))


async def _screen(page: Page, one: PublicList, form: Form[Any], status: int = 200) -> web.Response:
    pages = await page.app.store.signups.public_pages(page.workspace_id)
    domains = await page.app.store.domains.all(page.workspace_id)
    own = [(it.key, it.label) for it in await page.app.store.people.fields(page.workspace_id)]
    base = page.app.settings.public_url
    chosen = next((it for it in domains if it.id == one.signup.domain_id), domains[0] if domains else None)
    addresses = [command_address(one, chosen, name) for name in ("subscribe", "unsubscribe", "help")] if chosen else []
    since = (page.app.clock.now().astimezone(UTC) - _LOOKING_BACK).date()
    tallies = await page.app.store.signups.tallies(page.workspace_id, one.id, since)
    held = [(_held_words()[it], tallies[it]) for it in HELD_BACK if tallies.get(it)]
    return page.render(
        "lists/signup.html", status=status, one=one, form=form, pages=pages, domains=domains, addresses=addresses,
        tallies=tallies, held=held,
        fields=[*_standard().items(), *own], languages=LANGUAGE_NAMES, usual=WORDS,
        domain_choices=[(str(it.id), it.name) for it in domains], here=f"{base}/s/{pages.handle}",
        script=f"{base}{EMBED_PATH}")


@routes.get("/lists/{list_id:\\d+}/signup")
async def show(page: Page) -> web.Response:
    one = await _one(page)
    it = one.signup
    texts = {f"{language}_{key}": text for language, own in it.texts.items() for key, text in own.items()}
    return await _screen(page, one, Form.blank(
        public=it.public, opt_in=it.opt_in.value, language=it.language, asked=[one.key for one in it.fields],
        required=[one.key for one in it.fields if one.required], welcome=it.welcome, command=it.command,
        domain=str(it.domain_id or ""), from_name=it.from_name, **texts))


@routes.post("/lists/{list_id:\\d+}/signup")
async def save(page: Page) -> web.Response:
    one = await _one(page)
    form: Form[Any] = await page.form(SignupForm)
    data = form.data
    if data is None:
        return await _screen(page, one, form, 422)
    if data.command and not _COMMAND.fullmatch(data.command.lower()):
        form.problems["command"] = _("Small letters, digits and hyphens only, for example toko-melati.")
        return await _screen(page, one, form, 422)
    known = {*_STANDARD, *(it.key for it in await page.app.store.people.fields(page.workspace_id))}
    values = data.model_dump()
    texts = {language: {key: text for key in _TEXTS if (text := values[f"{language}_{key}"].replace("\r\n", "\n"))}
             for language in WORDS}
    try:
        await page.app.store.signups.save_list_signup(page.workspace_id, ListSignup(
            one.id, data.opt_in, data.public, data.language,
            tuple(AskedField(key, key in data.required) for key in dict.fromkeys(data.asked) if key in known),
            texts, data.welcome, data.command.lower(), int(data.domain) if data.domain else None,
            data.from_name))
    except ConflictError as error:
        form.problems["command"] = str(error)
        return await _screen(page, one, form, 422)
    return page.redirect(f"/lists/{one.id}/signup", _("How people join was saved."))
