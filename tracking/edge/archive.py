"""A list's archive: its page, the past mails as nobody's copy, and its feeds; under addresses that stay.

What a list allows is asked at every request: an archive that is switched off, or a reader who has left a private one,
is refused at once.
"""

import asyncio
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

import structlog
from aiohttp import web

from esp.app import App
from esp.errors import MerpatiError, TokenError
from esp.flows.digest_mail import zone
from esp.merge.evaluate import plain_text
from esp.merge.frozen import Frozen
from esp.merge.scope import contact_scope
from esp.model.content import CompiledVariant, Envelope, Recipient
from esp.model.preference import ArchiveAccess
from esp.ports.archives import ArchivedList, Issue
from esp.render.message import Renderer
from esp.wire import headers as wire
from esp.wire.tokens import Purpose
from tracking.edge.feeds import Entry, Feed, atom, rss
from tracking.edge.looks import Looks
from tracking.edge.pages import MAIL_POLICY
from tracking.edge.preference_words import PREFERENCE_WORDS
from tracking.edge.shell import Shell, fill
from tracking.edge.theme import PLAIN
from tracking.edge.visitor import meet
from tracking.edge.words import choose_language, spell_day

log = structlog.get_logger("edge")

_PAGE: Final = 30
_KEPT: Final = 200  # rendered copies; a sent campaign never changes
_FRESH: Final = 300  # seconds a public page may be kept by whoever fetched it
_LIST: Final = "/a/{list:[0-9a-zA-Z_-]{4,40}}"


@dataclass(frozen=True, slots=True)
class Found:
    """A list whose archive the visitor may read, and the key of their own where it is private."""

    one: ArchivedList
    key: str

    @property
    def query(self) -> str:
        return f"?key={quote(self.key)}" if self.key else ""


@dataclass(frozen=True, slots=True)
class Copy:
    """A past mail as nobody's: no name, no address, no counted link."""

    title: str
    summary: str
    markup: str


class ArchiveDoor:
    """The routes below ``/a/``; made by ``build_edge``."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._looks = Looks(app)
        self._copies: OrderedDict[tuple[int, str, bool], Copy] = OrderedDict()

    @property
    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/a/-/copy", self.neutral), web.get(_LIST, self.index), web.get(f"{_LIST}/feed.atom", self.atom),
            web.get(f"{_LIST}/feed.rss", self.rss), web.get(_LIST + "/{campaign:[0-9a-zA-Z_-]{4,40}}", self.issue),
        ]

    async def index(self, request: web.Request) -> web.Response:
        try:
            found = await self._find(request)
            if found is None:
                return self._plain(request).missing()
            before = request.query.get("before", "")
            after = int(before) if before.isascii() and before.isdecimal() and len(before) < 19 else None
            entries, last = await self._entries(found, after)
        except Exception as error:  # whatever the database raises: the reader sees one sentence
            return self._later(error, request)
        one = found.one
        shell = Shell(await self._looks.of(one.workspace_id), self._language(one, request), PREFERENCE_WORDS)
        here = f"/a/{one.public_id}"
        response = shell.page(
            "archive.html", fill(shell.words["archive_title"], list=one.name), lead=one.description, wide=True,
            indexed=_indexed(one), entries=[(it, self._day(it, one, shell)) for it in entries],
            feeds=[("Atom", f"{here}/feed.atom{found.query}", "application/atom+xml"),
                   ("RSS", f"{here}/feed.rss{found.query}", "application/rss+xml")],
            older=f"{here}?before={last}{found.query.replace('?', '&')}" if last else "",
        )
        return _kept(response, one)

    async def issue(self, request: web.Request) -> web.Response:
        try:
            found = await self._find(request)
            if found is None:
                return self._plain(request).missing()
            issue = await self._app.store.archives.issue(
                found.one.workspace_id, found.one.list_id, request.match_info["campaign"])
            if issue is None:
                return self._plain(request).missing()
            copy = await self._copy(found.one, issue)
        except Exception as error:
            return self._later(error, request)
        robots = {} if _indexed(found.one) else {"X-Robots-Tag": "noindex, nofollow"}
        return _kept(web.Response(text=copy.markup, content_type="text/html", headers={
            **robots, "Content-Security-Policy": MAIL_POLICY, "Referrer-Policy": "no-referrer",
            "X-Content-Type-Options": "nosniff", "Content-Language": found.one.language}), found.one)

    async def atom(self, request: web.Request) -> web.Response:
        return await self._feed(request, "atom")

    async def rss(self, request: web.Request) -> web.Response:
        return await self._feed(request, "rss")

    async def _feed(self, request: web.Request, form: str) -> web.Response:
        try:
            found = await self._find(request)
            if found is None:
                return self._plain(request).missing()
            entries, _ = await self._entries(found, None)
        except Exception as error:
            return self._later(error, request)
        one = found.one
        page = f"{self._app.settings.public_url}/a/{one.public_id}"
        feed = Feed(one.name, one.description, one.brand, one.language or "en", page + found.query,
                    f"{page}/feed.{form}{found.query}", page, one.created_at, entries)
        robots = {} if _indexed(one) else {"X-Robots-Tag": "noindex, nofollow"}
        return _kept(web.Response(body=atom(feed) if form == "atom" else rss(feed), charset="utf-8",
                                  content_type=f"application/{form}+xml",
                                  headers={**robots, "X-Content-Type-Options": "nosniff"}), one)

    async def neutral(self, request: web.Request) -> web.Response:
        """Where the personal links of an archived copy lead: they are nobody's."""
        shell = self._plain(request)
        return shell.page("shell.html", shell.words["neutral_title"], lead=shell.words["neutral_lead"])

    # ---- shared -----------------------------------------------------------------------------------------------------

    async def _find(self, request: web.Request) -> Found | None:
        """The list, where the visitor may read its archive; as if it were not there otherwise."""
        one = await self._app.store.archives.find(request.match_info["list"])
        if one is None:
            return None
        if one.access is ArchiveAccess.PUBLIC:
            return Found(one, "")
        key = request.query.get("key", "")
        try:
            claims = self._app.tokens.verify(Purpose.ARCHIVE, key)
        except TokenError:
            return None
        mine = (claims.workspace_id, claims.campaign_id) == (one.workspace_id, one.list_id)
        if mine and await self._app.store.archives.subscribed(one.workspace_id, one.list_id, claims.delivery_id):
            return Found(one, key)
        return None

    async def _entries(self, found: Found, before: int | None) -> tuple[list[Entry], int]:
        """A page of past mails and the key of the next one, 0 at the end."""
        one = found.one
        issues = await self._app.store.archives.issues(one.workspace_id, one.list_id, before, _PAGE + 1)
        base = f"{self._app.settings.public_url}/a/{one.public_id}"
        entries = []
        for issue in issues[:_PAGE]:
            copy = await self._copy(one, issue)
            lasting = f"{base}/{issue.public_id}"
            entries.append(Entry(lasting, lasting + found.query, copy.title, copy.summary, issue.sent_at))
        return entries, issues[_PAGE - 1].id if len(issues) > _PAGE else 0

    async def _copy(self, one: ArchivedList, issue: Issue) -> Copy:
        # The list's name stands in it, and a name may be changed.
        which = (issue.id, one.name, one.access is ArchiveAccess.PUBLIC)
        known = self._copies.get(which)
        if known is None:
            known = self._copies[which] = await asyncio.to_thread(self._render, one, issue)
            while len(self._copies) > _KEPT:
                self._copies.popitem(last=False)
        return known

    def _render(self, one: ArchivedList, issue: Issue) -> Copy:
        """The mail with every personal value empty, so that its fallbacks show, and no link of anybody's own."""
        public = self._app.settings.public_url
        envelope = Envelope(
            workspace_id=0, campaign_id=0, from_name="", from_address="nobody@invalid", reply_to="",
            bounce_domain="invalid", message_id_domain="invalid", tracking_url=public, list_id="",
            list_name=one.name, feedback_id="", track_opens=False, track_clicks=False,
        )
        variant = CompiledVariant(issue.label, (), issue.payload)
        renderer = Renderer(variant, envelope, self._app.tokens, signed=False)
        # A private archive's address holds its reader's key, and this copy is everybody's.
        here = f"{public}/a/{one.public_id}/{issue.public_id}" if one.access is ArchiveAccess.PUBLIC else "#"
        neutral = f"{public}/a/-/copy"
        names = {"unsubscribe_url": neutral, "preferences_url": neutral, "view_url": here}
        frozen = Frozen.load(issue.payload)
        scope = {**contact_scope("", {}), **frozen.facts, "list": {"name": one.name}, **names}
        title = wire.clean(plain_text(frozen.subject, dict(scope))) or one.name
        summary = wire.clean(plain_text(frozen.preheader, dict(scope)))
        try:
            markup = renderer.render_page(Recipient(0, 0, "", {}, tracked=False), names)
        except MerpatiError as error:
            log.warning("no copy for the archive", campaign=issue.id, error=type(error).__name__)
            markup = "<!doctype html><title></title>"
        return Copy(title, summary, markup)

    def _day(self, entry: Entry, one: ArchivedList, shell: Shell) -> str:
        return spell_day(entry.at.astimezone(zone(one.time_zone)).date(), shell.language)

    def _language(self, one: ArchivedList, request: web.Request) -> str:
        return choose_language("", meet(request).accept_language or one.language)

    def _plain(self, request: web.Request) -> Shell:
        return Shell(PLAIN, choose_language("", meet(request).accept_language), PREFERENCE_WORDS)

    def _later(self, error: Exception, request: web.Request) -> web.Response:
        log.warning("archive not answered", error=type(error).__name__)
        return self._plain(request).later()


def _indexed(one: ArchivedList) -> bool:
    return one.indexed and one.access is ArchiveAccess.PUBLIC


def _kept(response: web.Response, one: ArchivedList) -> web.Response:
    """Public pages may be kept for some minutes; private ones by nobody."""
    public = one.access is ArchiveAccess.PUBLIC
    response.headers["Cache-Control"] = f"public, max-age={_FRESH}" if public else "private, no-store"
    return response
