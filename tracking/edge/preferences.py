"""A recipient's own page, behind a signed link: what they get, how often, their data, and how to have it erased.

A GET shows and changes nothing, for scanners follow links; every change, and the download too, is a POST of a form.
"""

import re
from collections.abc import Mapping
from dataclasses import astuple, dataclass, field
from datetime import date, datetime
from typing import Any, Final

import orjson
import structlog
from aiohttp import web

from esp.app import App
from esp.audience.field_values import read_value
from esp.errors import ExpiredTokenError, MerpatiError, TokenError
from esp.flows import erasure
from esp.flows import preferences as flow
from esp.flows.digest_mail import zone
from esp.flows.preferences import Opened, Standing
from esp.flows.signup import Spent
from esp.model.fields import FieldType
from esp.model.preference import ArchiveAccess, Frequency
from esp.ports.people import ContactField
from esp.ports.preferences import Changes, Choices, Proof, Reader
from esp.wire.tokens import Purpose
from tracking.edge.body import Fields, read_fields
from tracking.edge.looks import Looks
from tracking.edge.preference_words import PREFERENCE_WORDS
from tracking.edge.shell import LANGUAGE_NAMES, Shell, fill
from tracking.edge.theme import PLAIN
from tracking.edge.visitor import Visitor, meet
from tracking.edge.words import choose_language, spell_day

log = structlog.get_logger("edge")

_LONGEST_NAME: Final = 120
# As own fields are read: what ends a line or steers a terminal goes, marks of direction stay.
_BREAKS: Final = re.compile(r"[\s\x00-\x1f\x7f-\x9f\u2028\u2029]+")


@dataclass(frozen=True, slots=True)
class Typed:
    """What a form that could not be taken is shown with: as it was sent, problems (words' keys) by field, and a note.

    Without ``form`` the page shows what is kept.
    """

    form: Fields | None = None
    problems: Mapping[str, str] = field(default_factory=dict)
    note: str = ""


class PreferenceDoor:
    """The routes below ``/p/``; made by ``build_edge``."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._looks = Looks(app)
        self._spent = Spent()

    @property
    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/p/-/erase/{token}", self.ask_erase), web.post("/p/-/erase/{token}", self.erase),
            web.get("/p/{token}", self.show), web.post("/p/{token}", self.change),
        ]

    async def show(self, request: web.Request) -> web.Response:
        visitor = meet(request)
        try:
            opened = await flow.open_link(self._app, request.match_info["token"])
            if isinstance(opened, Standing):
                return await self._nobody(opened, visitor)
            if opened.old:
                return await self._old(opened, visitor)
            return await self._page(opened.reader, visitor, Typed())
        except Exception as error:  # whatever the database raises: the reader sees one sentence, the log its kind
            return self._later(error, visitor)

    async def change(self, request: web.Request) -> web.Response:
        """Save, leave everything, download, or ask to be erased: what the pressed button says."""
        visitor = meet(request)
        form = await read_fields(request)
        try:
            opened = await flow.open_link(self._app, request.match_info["token"])
            if isinstance(opened, Standing):
                return await self._nobody(opened, visitor)
            return await self._act(opened, form, visitor)
        except Exception as error:
            return self._later(error, visitor)

    async def _act(self, opened: Opened, form: Fields, visitor: Visitor) -> web.Response:
        reader = opened.reader
        shell = await self._shell(reader, visitor)
        if opened.old:
            return await self._renewed(opened, form, visitor, shell)
        if not form.readable:
            return await self._page(reader, visitor, Typed(note="unread"), 400)
        proof = Proof(self._app.clock.now(), opened.source, visitor.ip, visitor.user_agent)
        match form.one("action"):
            case "download":
                return await self._download(reader)
            case "erase":
                sent = await erasure.ask(self._app, reader)
                if not sent:
                    return await self._page(reader, visitor, Typed(note="erase_unable"))
                return shell.page("shell.html", shell.words["erase_sent_title"],
                                  lead=fill(shell.words["erase_sent_lead"], address=reader.email))
            case "leave":
                said = Proof(proof.at, proof.source, proof.ip, proof.user_agent, shell.words["leave_button"])
                await flow.leave_all(self._app, reader, said)
                return await self._again(reader, visitor, "left")
            case "save":
                return await self._save(reader, form, visitor, shell, proof)
        return await self._page(reader, visitor, Typed())

    async def _save(
        self, reader: Reader, form: Fields, visitor: Visitor, shell: Shell, proof: Proof
    ) -> web.Response:
        changes, problems = read_changes(reader, form, proof.at)
        if changes is None:
            return await self._page(reader, visitor, Typed(form, problems, "problem"), 422)
        if not await flow.may_change(self._app, reader, self._spent):
            return shell.too_often()
        said = Proof(proof.at, proof.source, proof.ip, proof.user_agent, shell.words["save"])
        changed = await self._app.store.preferences.change(reader, changes, said)
        return await self._again(reader, visitor, "saved" if changed else "unchanged")

    async def _again(self, reader: Reader, visitor: Visitor, note: str) -> web.Response:
        now = await self._app.store.preferences.reader(reader.workspace_id, reader.contact_id)
        return await self._page(now or reader, visitor, Typed(note=note))

    async def _download(self, reader: Reader) -> web.Response:
        data = await erasure.own_data(self._app, reader)
        return web.Response(
            body=orjson.dumps(data, option=orjson.OPT_INDENT_2, default=str), content_type="application/json",
            headers={"Content-Disposition": 'attachment; filename="my-data.json"', "Cache-Control": "no-store",
                     "X-Robots-Tag": "noindex, nofollow", "X-Content-Type-Options": "nosniff",
                     "Referrer-Policy": "no-referrer"})

    async def _page(self, reader: Reader, visitor: Visitor, typed: Typed, status: int = 200) -> web.Response:
        shell = await self._shell(reader, visitor)
        words = shell.words
        until = reader.choices.paused_until
        paused = until.astimezone(zone(reader.time_zone)).date() if until and until > self._app.clock.now() else None
        return shell.page(
            "preferences.html", words["title"], status=status, wide=True,
            lead=fill(words["lead"], brand=shell.look.brand, address=reader.email), reader=reader, note=typed.note,
            problems=typed.problems, first=next(iter(typed.problems), ""),
            paused=spell_day(paused, shell.language) if paused else "", frequencies=list(Frequency),
            shown=_kept(reader, paused) if typed.form is None else _sent(reader, typed.form),
            fields=[_shown(one, reader, typed) for one in reader.open_fields],
            languages=_languages(reader), archives={
                one.list_id: self._archive(reader, one.list_id, one.public_id, one.archive) for one in reader.lists})

    # ---- an old link ------------------------------------------------------------------------------------------------

    async def _old(self, opened: Opened, visitor: Visitor) -> web.Response:
        """The link has been in a mailbox for long: it shows nothing, and offers a new one and the way out."""
        shell = await self._shell(opened.reader, visitor)
        claims = opened.claims
        leave = f"/u/{self._app.tokens.sign(Purpose.UNSUBSCRIBE, *astuple(claims))}" if claims else ""
        return shell.page("renew.html", shell.words["old_title"], lead=shell.words["renew_lead"], leave=leave,
                          status=410)

    async def _renewed(self, opened: Opened, form: Fields, visitor: Visitor, shell: Shell) -> web.Response:
        if form.one("action") != "renew":
            return await self._old(opened, visitor)
        if not await flow.renew(self._app, opened.reader):
            return shell.page("shell.html", shell.words["old_title"], lead=shell.words["erase_unable"], status=410)
        return shell.page("shell.html", shell.words["erase_sent_title"], lead=shell.words["renew_sent_lead"])

    def _archive(self, reader: Reader, list_id: int, public_id: str, access: ArchiveAccess) -> str:
        """Where a list's past mails are; a private archive's link is this reader's own."""
        if access is ArchiveAccess.PUBLIC:
            return f"/a/{public_id}"
        if access is ArchiveAccess.PRIVATE:
            key = self._app.tokens.sign(Purpose.ARCHIVE, reader.workspace_id, list_id, reader.contact_id)
            return f"/a/{public_id}?key={key}"
        return ""

    # ---- erasing ----------------------------------------------------------------------------------------------------

    async def ask_erase(self, request: web.Request) -> web.Response:
        """The question behind the mail's link; only its button erases."""
        return await self._erasure(request, pressed=False)

    async def erase(self, request: web.Request) -> web.Response:
        form = await read_fields(request)
        return await self._erasure(request, pressed=form.one("action") == "erase")

    async def _erasure(self, request: web.Request, *, pressed: bool) -> web.Response:
        visitor = meet(request)
        plain = self._plain(visitor)
        try:
            reader = await erasure.asked(self._app, request.match_info["token"])
        except ExpiredTokenError:
            return plain.page("shell.html", plain.words["old_title"], lead=plain.words["old_lead"], status=410)
        except TokenError:
            return plain.invalid()
        except Exception as error:
            return self._later(error, visitor)
        try:
            if reader is None:
                return await self._nobody(Standing.GONE, visitor)
            shell = await self._shell(reader, visitor)
            if pressed:
                await erasure.erase_reader(self._app, reader)
                return shell.page("shell.html", shell.words["erased_title"], lead=shell.words["erased_lead"])
        except Exception as error:
            return self._later(error, visitor)
        lead = fill(shell.words["erase_ask"], brand=shell.look.brand, address=reader.email)
        return shell.page("erase.html", shell.words["erase_title"], lead=lead)

    # ---- shared -----------------------------------------------------------------------------------------------------

    async def _nobody(self, standing: Standing, visitor: Visitor) -> web.Response:
        shell = self._plain(visitor)
        if standing is Standing.INVALID:
            return shell.invalid()
        status = 200 if standing is Standing.TEST else 410
        return shell.page("shell.html", shell.words[f"{standing}_title"], lead=shell.words[f"{standing}_lead"],
                          status=status)

    async def _shell(self, reader: Reader, visitor: Visitor) -> Shell:
        language = choose_language(reader.language or "", visitor.accept_language or reader.workspace_language)
        return Shell(await self._looks.of(reader.workspace_id), language, PREFERENCE_WORDS)

    def _plain(self, visitor: Visitor) -> Shell:
        return Shell(PLAIN, choose_language("", visitor.accept_language), PREFERENCE_WORDS)

    def _later(self, error: Exception, visitor: Visitor) -> web.Response:
        log.warning("preferences not answered", error=type(error).__name__, exc_info=error)
        return self._plain(visitor).later()


def read_changes(reader: Reader, form: Fields, now: datetime) -> tuple[Changes | None, dict[str, str]]:
    """What a filled-in page asks for; None with problems by field where something cannot be taken."""
    problems: dict[str, str] = {}
    until = reader.choices.paused_until
    try:
        until = flow.pause_until(reader, form.one("pause"), now)
    except ValueError:
        problems["pause"] = "pause_problem"
    own: dict[str, Any] = {}
    for one in reader.open_fields:
        raw: object = form.all(f"field-{one.key}")
        if one.type is not FieldType.CHOICES:
            raw = form.one(f"field-{one.key}")
        try:
            own[one.key] = read_value(one, raw)
        except (MerpatiError, ValueError):  # in English only, so the page has words of its own for each type
            problems[f"field-{one.key}"] = f"problem_{one.type.value}"
    if problems:
        return None, problems
    general = _frequency(form.one("frequency"), reader.choices.frequency)
    topics = {one.id: _frequency(form.one(f"topic-{one.id}"), reader.choices.of(one.id)) for one in reader.topics}
    # Topics that are put away stand on no form, and what was said of them stays.
    kept = {key: often for key, often in reader.choices.topics.items() if key not in topics}
    said = {key: often for key, often in topics.items() if often is not general}
    ticked = set(form.all("list"))
    language = form.one("language")
    standard = {name: _one_line(form.one(name)) for name in ("first_name", "last_name") if name in form.values}
    if "language" in form.values and language in ("", *LANGUAGE_NAMES, reader.language):
        standard["language"] = language
    return Changes(
        Choices(general, kept | said, until, form.one("tracking_off") == "1"),
        {one.list_id: str(one.list_id) in ticked for one in reader.lists}, standard, own,
    ), {}


def _frequency(text: str, otherwise: Frequency) -> Frequency:
    return Frequency(text) if text in set(Frequency) else otherwise


def _one_line(text: str) -> str:
    return _BREAKS.sub(" ", text).strip()[:_LONGEST_NAME]


def _languages(reader: Reader) -> dict[str, str]:
    own = {reader.language: reader.language} if reader.language and reader.language not in LANGUAGE_NAMES else {}
    return {**LANGUAGE_NAMES, **own}


def _kept(reader: Reader, paused: date | None) -> dict[str, Any]:
    """What the form shows: the choices as they are."""
    now = reader.choices
    return {
        "lists": {one.list_id for one in reader.lists if one.subscribed},
        "topics": {one.id: now.of(one.id) for one in reader.topics}, "frequency": now.frequency,
        "pause": paused.isoformat() if paused else "", "first_name": reader.first_name, "last_name": reader.last_name,
        "language": reader.language, "tracking_off": now.tracking_off,
    }


def _sent(reader: Reader, form: Fields) -> dict[str, Any]:
    """The same as it was sent, so that nobody chooses twice because one field was wrong."""
    now, ticked = reader.choices, form.all("list")
    return {
        "lists": {one.list_id for one in reader.lists if str(one.list_id) in ticked},
        "topics": {one.id: _frequency(form.one(f"topic-{one.id}"), now.of(one.id)) for one in reader.topics},
        "frequency": _frequency(form.one("frequency"), now.frequency), "pause": form.one("pause"),
        "first_name": form.one("first_name"), "last_name": form.one("last_name"), "language": form.one("language"),
        "tracking_off": form.one("tracking_off") == "1",
    }


def _shown(one: ContactField, reader: Reader, typed: Typed) -> dict[str, Any]:
    """An open field as the form shows it."""
    name = f"field-{one.key}"
    value = reader.fields.get(one.key)
    if typed.form is not None:
        value = typed.form.all(name) if one.type is FieldType.CHOICES else typed.form.one(name)
        if one.type is FieldType.BOOLEAN and value in ("true", "false"):
            value = value == "true"
    return {"name": name, "label": one.label, "type": one.type.value, "choices": one.choices,
            "value": "" if value is None else value, "problem": typed.problems.get(name, "")}
