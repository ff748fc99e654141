"""The subscribe pages: a form for a list, for several, or for all public ones; by page, by script, by JSON.

A GET shows, a POST records a request. Whatever the address is, known or not, the answer is the same, for nobody is
looked up here. Without script a form must have been open for longer, and a list of single opt-in asks for confirmation.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import structlog
from aiohttp import web

from esp.app import App
from esp.audience.field_values import read_value
from esp.audience.permission import proof_holds
from esp.errors import TokenError
from esp.flows import signup as flow
from esp.flows.signup_letters import consent_wording
from esp.model.fields import FieldType
from esp.model.permission import SignupAction, SignupChannel
from esp.ports.people import ContactField
from esp.ports.signup import PublicList, PublicPages, SignupPage
from esp.wire.addresses import Address, AddressError, parse_address
from esp.wire.tokens import Purpose
from tracking.edge.body import Fields, read_fields
from tracking.edge.looks import look_of
from tracking.edge.shell import FOREVER, LANGUAGE_NAMES, Shell
from tracking.edge.signup_words import SIGNUP_WORDS
from tracking.edge.visitor import Visitor, meet
from tracking.edge.words import choose_language

log = structlog.get_logger("edge")

_SCRIPT: Final = (Path(__file__).parent / "templates" / "signup.js").read_bytes()
SCRIPT_PATH: Final = f"/s/-/signup-{sha256(_SCRIPT).hexdigest()[:10]}.js"
#: For other websites, whose snippet must go on working; it is asked for anew after an hour.
EMBED_PATH: Final = "/s/-/form.js"
_PLACE: Final = r"{workspace:[a-z0-9][a-z0-9-]{0,60}}"
_PAGE: Final = r"{page:[a-z0-9][a-z0-9-]{0,60}}"
_WITHOUT_PROOF: Final = 3  # times the minimum age
_LONGEST_VALUE: Final = 500

_STANDARD_TYPES: Final = {"birth_date": FieldType.DATE}
_AUTOCOMPLETE: Final = {"first_name": "given-name", "last_name": "family-name", "city": "address-level2",
                        "country": "country-name", "birth_date": "bday", "language": "language"}


@dataclass(frozen=True, slots=True)
class FormField:
    """A field of a form, with what the template needs of it."""

    key: str
    label: str
    type: str
    required: bool
    choices: tuple[str, ...]
    autocomplete: str
    field: ContactField


@dataclass(frozen=True, slots=True)
class Opened:
    """A page that was found, with everything that answers about it share."""

    pages: PublicPages
    page: SignupPage
    fields: tuple[FormField, ...]
    shell: Shell
    path: str

    @property
    def several(self) -> bool:
        return len(self.page.lists) > 1


@dataclass(frozen=True, slots=True)
class Judged:
    """What a sent form comes to: problems by field, or an address, its lists and its values."""

    problems: Mapping[str, str]
    address: Address | None
    lists: tuple[PublicList, ...]
    values: Mapping[str, Any]


class SubscribeDoor:
    """The routes below ``/s/``; made by ``build_edge``."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._spent = flow.Spent()

    @property
    def routes(self) -> list[web.RouteDef]:
        found = [web.get(SCRIPT_PATH, self.script), web.get(EMBED_PATH, self.script),
                 web.get(r"/s/-/logo/{workspace:\d{1,18}}-{hash:[0-9a-f]{16}}", self.logo)]
        for path in (f"/s/{_PLACE}", f"/s/{_PLACE}/{_PAGE}"):
            found += [web.get(path, self.show), web.post(path, self.send), web.options(path, self.preflight)]
        return [*found, web.get(f"/s/{_PLACE}/{_PAGE}/thanks", self.thanks),
                web.get(f"/s/{_PLACE}/{_PAGE}/token", self.token),
                web.options(f"/s/{_PLACE}/{_PAGE}/token", self.preflight)]

    # ---- files ------------------------------------------------------------------------------------------------------

    async def script(self, request: web.Request) -> web.Response:
        kept = FOREVER if request.path == SCRIPT_PATH else {**FOREVER, "Cache-Control": "public, max-age=3600"}
        return web.Response(body=_SCRIPT, content_type="text/javascript", charset="utf-8", headers={
            **kept, "Access-Control-Allow-Origin": "*", "Cross-Origin-Resource-Policy": "cross-origin"})

    async def logo(self, request: web.Request) -> web.Response:
        try:
            found = await self._app.store.signups.logo(int(request.match_info["workspace"]), request.match_info["hash"])
        except Exception as error:  # whatever the database raises: the page stands without its picture meanwhile
            log.warning("logo without database", error=type(error).__name__)
            return web.Response(status=503, headers={"Retry-After": "30", "Cache-Control": "no-store"})
        if found is None:
            return _plain(meet(request)).missing()
        # Only what our own upload took for a picture; and nothing in it could run or load anything.
        return web.Response(body=found.octets, content_type=found.media_type, headers={
            **FOREVER, "Content-Security-Policy": "default-src 'none'; sandbox"})

    # ---- the page ---------------------------------------------------------------------------------------------------

    async def show(self, request: web.Request) -> web.Response:
        visitor = meet(request)
        opened = await self._open(request, visitor, request.query.get("lang", ""))
        if isinstance(opened, web.Response):
            return opened
        return self._form(opened, {}, {}, "")

    async def thanks(self, request: web.Request) -> web.Response:
        opened = await self._open(request, meet(request), request.query.get("lang", ""))
        if isinstance(opened, web.Response):
            return opened
        words = opened.shell.words
        return opened.shell.page("shell.html", words["thanks_title"], lead=words["thanks_lead"])

    async def token(self, request: web.Request) -> web.Response:
        """A fresh token with the work that it asks for, for the script on another website."""
        opened = await self._open(request, meet(request), "")
        if isinstance(opened, web.Response):
            return _spoken(opened, meet(request))
        return _json({"status": "token", **self._challenge(opened)}, 200, _cors(request, opened.pages))

    async def preflight(self, request: web.Request) -> web.Response:
        """Whether a website may use the form by script (Fetch standard, CORS preflight)."""
        opened = await self._open(request, meet(request), "")
        if isinstance(opened, web.Response):
            return opened
        return web.Response(status=204, headers={
            **_cors(request, opened.pages), "Access-Control-Allow-Methods": "GET, POST",
            "Access-Control-Allow-Headers": "Content-Type", "Access-Control-Max-Age": "3600"})

    async def send(self, request: web.Request) -> web.Response:
        visitor = meet(request)
        form = await read_fields(request)
        speaks_json = request.content_type == "application/json"
        opened = await self._open(request, visitor, form.one("lang") or request.query.get("lang", ""))
        if isinstance(opened, web.Response):
            return _spoken(opened, visitor) if speaks_json else opened
        cors = _cors(request, opened.pages)
        words = opened.shell.words
        judged = _judge(opened, form)
        if judged.address is None or judged.problems:
            if speaks_json:
                message = next(iter(judged.problems.values()))
                return _json({"status": "invalid", "message": message, "problems": dict(judged.problems)}, 422, cors)
            return self._form(opened, _typed(opened, form), judged.problems, words["check"], 422)
        verdict = self._age(opened, form, judged.address)
        if verdict is None:
            if speaks_json:
                return _json({"status": "again", "message": words["again"], **self._challenge(opened)}, 409, cors)
            return self._form(opened, _typed(opened, form), {}, words["again"])
        if not form.one("homepage"):  # whoever fills in what nobody sees is told the same, and is not recorded
            try:
                asked = self._asked(request, opened, judged, form, visitor, verdict.proven)
                await flow.request(self._app, asked, self._spent)
            except Exception as error:  # whatever the database raises: the reader sees one sentence, the log its kind
                log.warning("sign-up without database", error=type(error).__name__)
                if speaks_json:
                    return _later(opened.shell, cors)
                return self._form(opened, _typed(opened, form), {}, words["later_form"], 503)
        if speaks_json:
            return _json({"status": "ok", "message": words["thanks_lead"]}, 200, cors)
        raise web.HTTPSeeOther(f"{opened.path}/thanks?lang={opened.shell.language}")

    # ---- parts ------------------------------------------------------------------------------------------------------

    async def _open(self, request: web.Request, visitor: Visitor, language: str) -> Opened | web.Response:
        workspace, handle = request.match_info["workspace"], request.match_info.get("page", "")
        try:
            found = await self._app.store.signups.find_page(workspace, "" if handle == "all" else handle)
            if found is None:
                return _plain(visitor).missing()
            pages, page = found
            chosen = choose_language(language or page.language, visitor.accept_language)
            shell = Shell(look_of(pages), chosen, SIGNUP_WORDS)
            fields = await self._fields(page, shell)
        except Exception as error:  # whatever the database raises: the reader sees one sentence, the log its kind
            log.warning("subscribe page without database", error=type(error).__name__)
            return _plain(visitor).later()
        return Opened(pages, page, fields, shell, f"/s/{workspace}/{handle or 'all'}")

    async def _fields(self, page: SignupPage, shell: Shell) -> tuple[FormField, ...]:
        asked: dict[str, bool] = {}
        for one in page.lists:
            for it in one.signup.fields:
                asked[it.key] = asked.get(it.key, False) or (it.required and len(page.lists) == 1)
        if not asked:
            return ()
        own = {it.key: it for it in await self._app.store.people.fields(page.lists[0].workspace_id)}
        found = []
        for key, required in asked.items():
            field = own.get(key)
            if field is None and key in shell.words:
                field = ContactField(0, "", key, shell.words[key], _STANDARD_TYPES.get(key, FieldType.TEXT))
            if field is not None:
                found.append(FormField(key, field.label, field.type.value, required, field.choices,
                                       _AUTOCOMPLETE.get(key, ""), field))
        return tuple(found)

    def _form(
        self, opened: Opened, values: Mapping[str, Any], problems: Mapping[str, str], note: str, status: int = 200,
    ) -> web.Response:
        shell, page = opened.shell, opened.page
        single = page.lists[0]
        title = page.title or (single.name if page.handle and not opened.several else shell.words["signup_title"])
        lead = page.intro or (shell.words["signup_intro"] if opened.several else single.description)
        lists = [
            {"handle": one.handle, "name": one.name, "description": one.description,
             "consent": consent_wording(one, opened.pages.brand, shell.language)} for one in page.lists
        ]
        blank: dict[str, Any] = {"email": "", **{f"f_{it.key}": "" for it in opened.fields}}
        no_problem = dict.fromkeys((*blank, "list"), "")
        return shell.page(
            "signup.html", title, status=status, lead=lead, indexed=opened.pages.indexed and status == 200,
            switch=[(code, name, f"{opened.path}?lang={code}") for code, name in LANGUAGE_NAMES.items()],
            action=opened.path, script=SCRIPT_PATH, several=opened.several, lists=lists, fields=opened.fields,
            token=self._sign(opened), bits=self._app.settings.signup.proof_bits,
            values={**blank, **values}, chosen=values.get("list", ()), problems={**no_problem, **problems}, note=note,
            harm=status >= 400, first=next((name for name in ("list", *blank) if problems.get(name)), ""))

    def _asked(
        self, request: web.Request, opened: Opened, judged: Judged, form: Fields, visitor: Visitor, proven: bool,
    ) -> flow.Asked:
        assert judged.address is not None
        origin = form.one("source") if request.content_type == "application/json" else ""
        channel = SignupChannel.API if request.content_type == "application/json" else SignupChannel.PAGE
        if origin and urlsplit(origin).scheme in ("http", "https"):
            channel = SignupChannel.FORM
        return flow.Asked(
            SignupAction.SUBSCRIBE, judged.address, judged.lists, judged.values, opened.shell.language,
            opened.pages.brand, channel, (origin or opened.path)[:200], visitor.ip, visitor.user_agent, proven)

    # ---- robots -----------------------------------------------------------------------------------------------------

    def _sign(self, opened: Opened) -> str:
        now = round(self._app.clock.now().timestamp() * 1000)
        return self._app.tokens.sign(Purpose.FORM, opened.pages.workspace_id, _subject(opened.page), now)

    def _challenge(self, opened: Opened) -> dict[str, Any]:
        bounds = self._app.settings.signup
        return {"token": self._sign(opened), "bits": bounds.proof_bits,
                "wait": round(bounds.minimum_age.total_seconds() * 1000)}

    def _age(self, opened: Opened, form: Fields, address: Address) -> "_Aged | None":
        """Whether the form was open long enough and not too long; None where the button must be pressed again."""
        token = form.one("token")
        try:
            claims = self._app.tokens.verify(Purpose.FORM, token)
        except TokenError:
            return None
        if (claims.workspace_id, claims.campaign_id) != (opened.pages.workspace_id, _subject(opened.page)):
            return None
        bounds = self._app.settings.signup
        proven = proof_holds(token, form.one("email").strip(), form.one("proof"), bounds.proof_bits)
        age = self._app.clock.now().timestamp() - claims.delivery_id / 1000
        youngest = bounds.minimum_age.total_seconds() * (1 if proven else _WITHOUT_PROOF)
        return _Aged(proven) if youngest <= age <= bounds.maximum_age.total_seconds() else None


@dataclass(frozen=True, slots=True)
class _Aged:
    proven: bool


def _subject(page: SignupPage) -> int:
    """A number for the page, in which a list's and a group's never meet."""
    if page.id:
        return page.id << 2 | 1
    return page.lists[0].id << 2 | 2 if page.handle else 3


def _plain(visitor: Visitor) -> Shell:
    return Shell(look_of(None), choose_language("", visitor.accept_language), SIGNUP_WORDS)


def _cors(request: web.Request, pages: PublicPages) -> dict[str, str]:
    origin = request.headers.get("Origin", "")
    allowed = {"Access-Control-Allow-Origin": origin} if origin and origin.lower() in pages.origins else {}
    return {"Vary": "Origin", **allowed}


def _json(value: Mapping[str, Any], status: int, headers: Mapping[str, str]) -> web.Response:
    return web.json_response(dict(value), status=status, headers={
        "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", **headers})


def _spoken(page: web.Response, visitor: Visitor) -> web.Response:
    """For a script what ``page`` says to a person: there is no such form, or the database is away."""
    words = _plain(visitor).words
    if page.status == 404:
        return _json({"status": "missing", "message": words["missing_title"]}, 404, {})
    return _later(_plain(visitor), {})


def _later(shell: Shell, headers: Mapping[str, str]) -> web.Response:
    return _json({"status": "later", "message": shell.words["later_form"]}, 503, {**headers, "Retry-After": "30"})


def _typed(opened: Opened, form: Fields) -> dict[str, Any]:
    """What was typed, to stand in the form again."""
    found: dict[str, Any] = {"email": form.one("email")[:_LONGEST_VALUE], "list": form.all("list")}
    for it in opened.fields:
        name = f"f_{it.key}"
        found[name] = form.all(name) if it.type == FieldType.CHOICES.value else form.one(name)[:_LONGEST_VALUE]
    return found


def _judge(opened: Opened, form: Fields) -> Judged:
    words = opened.shell.words
    problems: dict[str, str] = {}
    address = None
    try:
        address = parse_address(form.one("email"))
    except AddressError:
        problems["email"] = words["email_problem"]
    lists = opened.page.lists
    if opened.several:
        lists = tuple(one for one in lists if one.handle in form.all("list"))
        if not lists:
            problems["list"] = words["list_problem"]
    values: dict[str, Any] = {}
    for it in opened.fields:
        name = f"f_{it.key}"
        raw: Any = form.all(name) if it.type == FieldType.CHOICES.value else form.one(name)
        try:
            value = read_value(replace(it.field, type=FieldType(it.type)), _cut(raw))
        except ValueError:
            problems[name] = words[f"problem_{it.type}"]
            continue
        if value is not None:
            values[it.key] = value
        elif it.required:
            problems[name] = words["required_problem"]
    return Judged(problems, address, lists, values)


def _cut(raw: str | Sequence[str]) -> str | list[str]:
    return raw[:_LONGEST_VALUE] if isinstance(raw, str) else [one[:_LONGEST_VALUE] for one in raw]
