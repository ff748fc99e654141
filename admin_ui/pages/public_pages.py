"""Public pages: how recipients' pages look and what they say, with a preview; and pages for several lists at once."""

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from typing import Annotated, Any, Final
from urllib.parse import urlencode, urlsplit

from aiohttp import BodyPartReader, web
from pydantic import Field, create_model, field_validator

from admin_ui.forms import Form, FormModel
from admin_ui.page import Page, Routes
from admin_ui.security import ForeignRequestError, same_token
from admin_ui.words import _
from esp.errors import ConflictError, DependencyError, InputError
from esp.model.colour import LEGIBLE, contrast
from esp.ports.signup import ListSignup, Logo, PublicList, PublicPages, SignupPage
from esp.ports.transfers import PlaceKind
from tracking.edge.looks import look_of
from tracking.edge.shell import LANGUAGE_NAMES, POLICY, Shell
from tracking.edge.signup_words import OWN, SIGNUP_WORDS
from tracking.edge.theme import DEFAULT_ACCENT, read_accent

routes: Final = Routes()

_HANDLE: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,58}[a-z0-9])?")
_LARGEST_LOGO: Final = 40_000  # octets: a page with its logo stays small
_MOST_ORIGINS: Final = 20
_PATIENCE: Final = 20  # seconds that a picture may take to come
#: What a picture's first octets say it is; the name and the type that a browser sends say nothing.
_PICTURES: Final = ((b"\x89PNG\r\n\x1a\n", "image/png"), (b"\xff\xd8\xff", "image/jpeg"), (b"GIF8", "image/gif"))
_PREVIEW_POLICY: Final = POLICY.replace("frame-ancestors 'none'", "frame-ancestors 'self'").replace(
    "script-src 'self'", "script-src 'none'")


def checked_handle(text: str) -> str:
    """``text`` as the part of an address; ValueError in words otherwise."""
    if not _HANDLE.fullmatch(text.lower()) or text.lower() in ("all", "thanks", "token"):
        raise ValueError(_("Small letters, digits and hyphens only, for example toko-melati."))
    return text.lower()


class _LooksForm(FormModel):
    handle: str
    accent: str = DEFAULT_ACCENT
    origins: Annotated[str, Field(max_length=4000)] = ""
    indexed: bool = False

    @field_validator("handle")
    @classmethod
    def _good_handle(cls, text: str) -> str:
        return checked_handle(text)

    @field_validator("accent")
    @classmethod
    def _good_accent(cls, text: str) -> str:
        try:
            return read_accent(text)
        except ValueError:
            raise ValueError(_("Write a colour as # and six digits, for example #0f766e.")) from None

    @field_validator("origins")
    @classmethod
    def _good_origins(cls, text: str) -> str:
        origins = [_origin(line) for line in text.split()]
        if len(origins) > _MOST_ORIGINS:
            raise ValueError(_("At most {n} websites.").format(n=_MOST_ORIGINS))
        return "\n".join(dict.fromkeys(origins))


def _origin(text: str) -> str:
    parts = urlsplit(text if "://" in text else f"https://{text}")
    if parts.scheme not in ("http", "https") or not parts.hostname or "*" in text or parts.username is not None:
        raise ValueError(_("Write each website as https://www.example.com, one a line."))
    return f"{parts.scheme}://{parts.netloc}".lower()


_TEXT: Final[Any] = (Annotated[str, Field(max_length=400)], "")
LooksForm: Final = create_model(
    "LooksForm", __base__=_LooksForm, **{f"{language}_{key}": _TEXT for language in SIGNUP_WORDS for key in OWN})


def _labels() -> dict[str, str]:
    return {
        "signup_title": _("Title of the form"), "signup_intro": _("Text above the form"),
        "signup_button": _("Button"), "thanks_title": _("Title after sending"),
        "thanks_lead": _("Text after sending"), "confirmed_title": _("Title after confirming"),
        "confirmed_lead": _("Text after confirming"),
    }


def _words(values: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """What is written in the fields of words, language by language, without what is empty."""
    return {
        language: {key: text for key in OWN if (text := str(values.get(f"{language}_{key}", "")).strip())}
        for language in SIGNUP_WORDS
    }


async def _screen(page: Page, form: Form[Any], status: int = 200) -> web.Response:
    pages = await page.app.store.signups.public_pages(page.workspace_id)
    groups = await page.app.store.signups.pages(page.workspace_id)
    accent = str(form.value("accent") or DEFAULT_ACCENT)
    try:
        weak = contrast(read_accent(accent), "#ffffff") < LEGIBLE
    except ValueError:
        weak = False
    return page.render(
        "public_pages/index.html", status=status, form=form, pages=pages, groups=groups, languages=LANGUAGE_NAMES,
        keys=OWN, labels=_labels(), usual=SIGNUP_WORDS, base=page.app.settings.public_url, weak=weak,
        preview=f"/settings/pages/preview?{_query(form.values)}")


def _query(values: Mapping[str, Any]) -> str:
    kept = ("accent", *(f"{language}_{key}" for language in SIGNUP_WORDS for key in OWN))
    return urlencode({name: str(values[name])[:400] for name in kept if values.get(name)})


@routes.get("/settings/pages")
async def show(page: Page) -> web.Response:
    pages = await page.app.store.signups.public_pages(page.workspace_id)
    words = {f"{language}_{key}": text for language, own in pages.words.items() for key, text in own.items()}
    return await _screen(page, Form.blank(
        handle=pages.handle, accent=pages.accent or DEFAULT_ACCENT, origins="\n".join(pages.origins),
        indexed=pages.indexed, **words))


@routes.post("/settings/pages")
async def save(page: Page) -> web.Response:
    form: Form[Any] = await page.form(LooksForm)
    if form.data is None:
        return await _screen(page, form, 422)
    pages = await page.app.store.signups.public_pages(page.workspace_id)
    data = form.data
    try:
        await page.app.store.signups.save_public_pages(replace(
            pages, handle=data.handle, accent=data.accent, words=_words(data.model_dump()),
            origins=tuple(data.origins.split()), indexed=data.indexed))
    except ConflictError as error:
        form.problems["handle"] = str(error)
        return await _screen(page, form, 422)
    return page.redirect("/settings/pages", _("The public pages were saved."))


@routes.get("/settings/pages/frame")
async def frame(page: Page) -> web.Response:
    """The preview's frame for what is typed just now."""
    return page.render("public_pages/frame.html", preview=f"/settings/pages/preview?{_query(page.request.query)}")


@routes.get("/settings/pages/preview")
async def preview(page: Page) -> web.Response:
    """The form as people would see it, with what is typed just now; nothing in it can be sent."""
    pages = await page.app.store.signups.public_pages(page.workspace_id)
    try:
        accent = read_accent(page.query("accent") or DEFAULT_ACCENT)
    except ValueError:
        accent = DEFAULT_ACCENT
    language = page.session.user.language if page.session.user.language in SIGNUP_WORDS else "en"
    shell = Shell(look_of(replace(pages, accent=accent, words=_words(page.request.query))), language, SIGNUP_WORDS)
    lists = [one for one in await page.app.store.signups.list_signups(page.workspace_id) if one.signup.public]
    lists = lists or [PublicList(0, page.workspace_id, _("Your list"), "", "list", ListSignup(0))]
    shown = [{"handle": one.handle, "name": one.name, "description": one.description, "consent": ""} for one in lists]
    return web.Response(text=shell.text(
        "signup.html", shell.words["signup_title"], lead=shell.words["signup_intro"], action="/settings/pages",
        script="", several=True, lists=shown, fields=(), token="", bits=0, values={"email": ""}, chosen=(),
        problems={"email": "", "list": ""}, note="", harm=False, first="",
    ), content_type="text/html", headers={"Content-Security-Policy": f"{_PREVIEW_POLICY}; sandbox",
                                          "X-Frame-Options": "SAMEORIGIN"})


# ---- logo ------------------------------------------------------------------------------------------------------------


@routes.post("/settings/pages/logo", streams=True)
async def upload(page: Page) -> web.Response:
    try:
        logo = await _read_logo(page)
    except InputError as error:
        return page.redirect("/settings/pages", str(error), "harm")
    await page.app.store.signups.save_logo(page.workspace_id, logo)
    return page.redirect("/settings/pages", _("The logo was saved."))


async def _read_logo(page: Page) -> Logo:
    """The uploaded picture; the form's token comes first, as in the form."""
    ours = False
    async for part in await page.request.multipart():
        if isinstance(part, BodyPartReader) and part.name == "csrf":
            ours = same_token((await part.read_chunk()).decode("ascii", "replace")[:200], page.csrf)
        elif not ours:
            break
        elif isinstance(part, BodyPartReader) and part.name == "logo":
            return await _picture(_pieces(part))
    if not ours:
        raise ForeignRequestError
    raise InputError(_("Choose a picture."))


async def _pieces(part: BodyPartReader) -> AsyncIterator[bytes]:
    while piece := await part.read_chunk():
        yield piece


async def _picture(pieces: AsyncIterator[bytes]) -> Logo:
    octets = bytearray()
    async for piece in pieces:
        octets += piece
        if len(octets) > _LARGEST_LOGO:
            raise InputError(_("The picture is larger than 40 KB. Make it about 480 pixels wide and try again."))
    kind = next((kind for start, kind in _PICTURES if octets.startswith(start)), "")
    if octets.startswith(b"RIFF") and octets[8:12] == b"WEBP":
        kind = "image/webp"
    if not kind:
        raise InputError(_("Choose a PNG, JPEG, GIF or WebP picture."))
    return Logo(kind, bytes(octets))


@routes.post("/settings/pages/logo/fetch")
async def fetch_logo(page: Page) -> web.Response:
    """A logo from an address, fetched once and kept: recipients' pages load nothing from elsewhere."""
    url = str((await page.request.post()).get("url", "")).replace("\0", "").strip()[:2000]
    try:
        if not url:
            raise InputError(_("Write the picture's address."))
        async with (asyncio.timeout(_PATIENCE),
                    page.app.places.read(page.workspace_id, PlaceKind.URL, {"url": url}, "") as (_name, pieces)):
            logo = await _picture(pieces)
    except TimeoutError:
        return page.redirect("/settings/pages", _("It took too long to fetch the picture."), "harm")
    except (InputError, DependencyError) as error:
        return page.redirect("/settings/pages", _(str(error)), "harm")
    await page.app.store.signups.save_logo(page.workspace_id, logo)
    return page.redirect("/settings/pages", _("The logo was saved."))


@routes.post("/settings/pages/logo/remove")
async def remove_logo(page: Page) -> web.Response:
    await page.app.store.signups.save_logo(page.workspace_id, None)
    return page.redirect("/settings/pages", _("The logo was removed."))


# ---- pages for several lists -----------------------------------------------------------------------------------------


class GroupForm(FormModel):
    handle: str
    title: Annotated[str, Field(max_length=120)] = ""
    intro: Annotated[str, Field(max_length=600)] = ""
    language: Annotated[str, Field(pattern="^(|en|id)$")] = ""
    lists: Annotated[list[int], Field(min_length=1)]

    @field_validator("handle")
    @classmethod
    def _good_handle(cls, text: str) -> str:
        return checked_handle(text)


@routes.get("/settings/pages/new")
async def new_group(page: Page) -> web.Response:
    return await _group_screen(page, Form.blank(), None)


@routes.post("/settings/pages/new")
async def create_group(page: Page) -> web.Response:
    return await _save_group(page, None)


@routes.get("/settings/pages/{page_id:\\d+}")
async def edit_group(page: Page) -> web.Response:
    one = await _group(page)
    return await _group_screen(page, Form.blank(
        handle=one.handle, title=one.title, intro=one.intro, language=one.language,
        lists=[it.id for it in one.lists]), one)


@routes.post("/settings/pages/{page_id:\\d+}")
async def save_group(page: Page) -> web.Response:
    return await _save_group(page, await _group(page))


@routes.post("/settings/pages/{page_id:\\d+}/delete")
async def delete_group(page: Page) -> web.Response:
    await page.app.store.signups.delete_page(page.workspace_id, page.key("page_id"))
    return page.redirect("/settings/pages", _("The page was deleted. Its address leads nowhere now."))


async def _group(page: Page) -> SignupPage:
    found = {one.id: one for one in await page.app.store.signups.pages(page.workspace_id)}
    if page.key("page_id") not in found:
        raise web.HTTPNotFound
    return found[page.key("page_id")]


async def _group_screen(page: Page, form: Form[Any], one: SignupPage | None, status: int = 200) -> web.Response:
    pages: PublicPages = await page.app.store.signups.public_pages(page.workspace_id)
    lists = await page.app.store.signups.list_signups(page.workspace_id)
    return page.render("public_pages/group.html", status=status, form=form, one=one, pages=pages, lists=lists,
                       languages=LANGUAGE_NAMES, base=page.app.settings.public_url)


async def _save_group(page: Page, one: SignupPage | None) -> web.Response:
    form = await page.form(GroupForm)
    if form.data is None:
        return await _group_screen(page, form, one, 422)
    data = form.data
    try:
        await page.app.store.signups.save_page(
            page.workspace_id, one.id if one else None, data.handle, data.title, data.intro, data.language, data.lists,
            page.app.clock.now())
    except ConflictError as error:
        form.problems["handle"] = str(error)
        return await _group_screen(page, form, one, 422)
    return page.redirect("/settings/pages", _("The page was saved."))
