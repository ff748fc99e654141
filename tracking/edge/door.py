"""The public door: open pixel, click, unsubscribe, view; each by a signed token, never waiting for the database.

What a GET does is count; only a POST changes anything (RFC 8058: in one campaign 489 of 497 unsubscriptions by GET were
link scanners'). ``build_edge`` gives routes to mount at the root, and ``start`` and ``stop`` for the journal.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import structlog
from aiohttp import web

from esp.app import App
from esp.errors import TokenError
from esp.flows.preferences import may_change, set_frequency
from esp.flows.signup import Spent
from esp.model.delivery import EventType
from esp.model.preference import Frequency
from esp.ports.engagement import Hit, Letter, Withdrawal
from esp.ports.preferences import Proof, Reader
from esp.wire.tokens import Claims, Purpose
from tracking.edge import pages
from tracking.edge.archive import ArchiveDoor
from tracking.edge.body import Fields, read_fields
from tracking.edge.confirm import ConfirmDoor
from tracking.edge.links import Links, target
from tracking.edge.looks import Looks
from tracking.edge.pages import Pages
from tracking.edge.preferences import PreferenceDoor
from tracking.edge.shell import serve_style
from tracking.edge.subscribe import SubscribeDoor
from tracking.edge.theme import STYLE_ROUTE
from tracking.edge.view import show
from tracking.edge.visitor import Visitor, meet
from tracking.edge.words import REASONS
from tracking.edge.writer import JournalWriter
from tracking.journal import FOLDER, encode

log = structlog.get_logger("edge")

_DATABASE_PATIENCE: Final = 5.0  # seconds until a page is answered without the database

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Edge:
    """The door of one process. Made by ``build_edge``."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._journal = JournalWriter(app.settings.server.data_dir / FOLDER)
        self._links = Links(app.store.engagement, _DATABASE_PATIENCE)
        self._looks = Looks(app)
        self._spent = Spent()
        self._late: set[asyncio.Task[bool]] = set()

    @property
    def routes(self) -> list[web.RouteDef]:
        """To be added at the root; aiohttp answers HEAD wherever it answers GET."""
        return [
            web.get("/o/{token}.gif", self.open),
            web.get("/c/{token}/{index}", self.click),
            web.get("/u/{token}", self.ask),
            web.post("/u/{token}", self.unsubscribe),
            web.get("/v/{token}", self.view),
            web.get(STYLE_ROUTE, serve_style),
            *ConfirmDoor(self._app).routes,
            *PreferenceDoor(self._app).routes,
            *ArchiveDoor(self._app).routes,
            *SubscribeDoor(self._app).routes,
            # Whatever is left of a link that was cut, and addresses typed by hand.
            *(route("/{door:[ocuvpsa]}{rest:(/.*)?}", self.nothing) for route in (web.get, web.post)),
        ]

    def mount(self, application: web.Application) -> None:
        """Routes, start and stop, all in one."""
        application.add_routes(self.routes)

        async def start(_: web.Application) -> None:
            await self.start()

        async def stop(_: web.Application) -> None:
            await self.stop()

        application.on_startup.append(start)
        application.on_cleanup.append(stop)

    async def start(self) -> None:
        await self._journal.start()

    async def stop(self) -> None:
        """Let what is under way end, then write the journal's last lines."""
        if self._late:
            await asyncio.wait(self._late, timeout=_DATABASE_PATIENCE)
        await self._journal.stop()

    # ---- what only counts -------------------------------------------------------------------------------------------

    async def open(self, request: web.Request) -> web.Response:
        visitor = meet(request)
        claims = self._claims(Purpose.OPEN, request)
        if claims is None:
            return Pages(visitor.accept_language).missing()
        self._count(EventType.OPENED, claims, visitor)
        return pages.pixel()

    async def click(self, request: web.Request) -> web.Response:
        visitor = meet(request)
        claims = self._claims(Purpose.CLICK, request)
        index = request.match_info["index"]
        # isdecimal alone takes Arabic-Indic digits too: one spelling a link.
        if claims is None or not (index.isascii() and index.isdecimal() and len(index) <= 6):
            return Pages(visitor.accept_language).missing()
        try:
            url = await self._target(claims, int(index))
        except Exception as error:  # whatever the database raises: the reader sees one sentence, the log its kind
            log.warning("click without database", error=type(error).__name__, campaign=claims.campaign_id)
            return Pages(visitor.accept_language).later()
        if url is None:
            return Pages(visitor.accept_language).missing()
        self._count(EventType.CLICKED, claims, visitor, int(index))
        return pages.redirect(url)

    async def _target(self, claims: Claims, index: int) -> str | None:
        template = await self._links.url(claims.workspace_id, claims.campaign_id, index)
        if template is None or "{" not in template:
            return template and target(template)
        letter = await self._letter(claims)
        return target(template, letter.address, letter.fields) if letter else None

    def _count(self, kind: EventType, claims: Claims, visitor: Visitor, index: int | None = None) -> None:
        hit = Hit(
            kind, self._app.clock.now(), claims.workspace_id, claims.campaign_id, claims.delivery_id, index,
            visitor.ip, visitor.user_agent, visitor.trait,
        )
        self._journal.add(encode(hit), precious=kind is EventType.CLICKED)

    async def nothing(self, request: web.Request) -> web.Response:
        page = Pages(meet(request).accept_language)
        return page.missing() if request.match_info["door"] in "ocuvp" else page.nowhere()

    # ---- what shows -------------------------------------------------------------------------------------------------

    async def ask(self, request: web.Request) -> web.Response:
        """The unsubscribe page. Works without the database too, only with fewer words on it."""
        visitor = meet(request)
        claims = self._claims(Purpose.UNSUBSCRIBE, request)
        if claims is None:
            return Pages(visitor.accept_language).missing()
        return (await self._pages(claims, visitor)).unsubscribe()

    async def view(self, request: web.Request) -> web.Response:
        visitor = meet(request)
        claims = self._claims(Purpose.VIEW, request)
        if claims is None:
            return Pages(visitor.accept_language).missing()
        try:
            letter = await self._letter(claims)
            markup = await asyncio.wait_for(show(self._app, letter), _DATABASE_PATIENCE) if letter else None
        except Exception as error:
            log.warning("view without database", error=type(error).__name__, campaign=claims.campaign_id)
            return Pages(visitor.accept_language).later()
        return pages.mail(markup) if markup is not None else Pages(visitor.accept_language, letter).gone()

    # ---- what changes something -------------------------------------------------------------------------------------

    async def unsubscribe(self, request: web.Request) -> web.Response:
        """One-click by a mail program (RFC 8058 section 3.2), or one of our two forms.

        No cookie, no login, no redirect; saying it twice is as good as once; and it is 200 without a database too,
        for then the word is on this machine's disk and the fold carries it over.
        """
        visitor = meet(request)
        claims = self._claims(Purpose.UNSUBSCRIBE, request)
        if claims is None:
            return Pages(visitor.accept_language).missing()
        form = await read_fields(request)
        action = form.one("action")
        page = await self._pages(claims, visitor) if action else Pages(visitor.accept_language)
        if action in ("weekly", "topics"):
            return await self._get_less(claims, action, form, page, visitor)
        wording = page.words["undo_button" if action == "undo" else "unsubscribe_button"]
        reason = form.one("reason")
        withdrawal = Withdrawal(
            claims.workspace_id, claims.campaign_id, claims.delivery_id, self._app.clock.now(),
            "page" if action else "one-click", reason if reason in REASONS else "",
            wording if action else "List-Unsubscribe=One-Click", visitor.ip, visitor.user_agent,
        )
        if action == "undo":
            try:
                async with asyncio.timeout(_DATABASE_PATIENCE):
                    reader = await self._reader_if_any(claims)
                    if reader is not None and not await may_change(self._app, reader, self._spent):
                        return page.too_often()
                    return page.undone(await self._app.store.engagement.resubscribe(withdrawal))
            except Exception as error:
                log.warning("undo without database", error=type(error).__name__, campaign=claims.campaign_id)
                return page.later()
        await self._withdraw(withdrawal)
        return page.unsubscribed()

    async def _get_less(
        self, claims: Claims, action: str, form: Fields, page: Pages, visitor: Visitor
    ) -> web.Response:
        """Instead of leaving: once a week, or only some topics. What was said of topics before stays said."""
        reader = await self._reader_if_any(claims)
        if reader is None:
            return page.nobody()
        now = reader.choices
        if action == "weekly":
            often = Frequency.WEEKLY
            topics = {topic: now.of(topic) for topic in now.topics if now.of(topic) in (Frequency.NONE, often)}
        else:
            wanted = {int(text) for text in form.all("topic") if text.isascii() and text.isdecimal() and len(text) < 19}
            if not wanted:
                return page.unsubscribe()
            often = Frequency.NONE
            topics = {one.id: _again(now.of(one.id)) for one in reader.topics if one.id in wanted}
        proof = Proof(self._app.clock.now(), f"delivery:{claims.delivery_id}", visitor.ip, visitor.user_agent)
        try:
            async with asyncio.timeout(_DATABASE_PATIENCE):
                if not await may_change(self._app, reader, self._spent):
                    return page.too_often()
                await set_frequency(self._app, reader, often, topics, proof)
        except Exception as error:
            log.warning("choice without database", error=type(error).__name__, campaign=claims.campaign_id)
            return page.later()
        return page.less() if action == "weekly" else page.topics()

    async def _withdraw(self, withdrawal: Withdrawal) -> None:
        """Into the database; onto the disk where that fails or takes too long. It is idempotent, so both do no harm."""
        task = asyncio.create_task(self._app.store.engagement.unsubscribe(withdrawal))
        self._late.add(task)
        task.add_done_callback(self._settled)
        try:
            await asyncio.wait_for(asyncio.shield(task), _DATABASE_PATIENCE)
        except Exception as error:
            log.warning(
                "unsubscription kept in the journal", error=type(error).__name__, campaign=withdrawal.campaign_id)
            await self._journal.add_durably(encode(withdrawal))

    def _settled(self, task: "asyncio.Task[bool]") -> None:
        self._late.discard(task)
        if not task.cancelled():
            task.exception()  # seen: the journal has it

    # ---- shared -----------------------------------------------------------------------------------------------------

    def _claims(self, purpose: Purpose, request: web.Request) -> Claims | None:
        try:
            return self._app.tokens.verify(purpose, request.match_info["token"])
        except TokenError:
            return None

    async def _pages(self, claims: Claims, visitor: Visitor) -> Pages:
        """The pages for whoever holds the mail; plainer where the database does not answer."""
        letter = await self._letter_if_any(claims)
        if letter is None:
            return Pages(visitor.accept_language)
        token = self._app.tokens.sign(
            Purpose.PREFERENCES, claims.workspace_id, claims.campaign_id, claims.delivery_id)
        return Pages(visitor.accept_language, letter, await self._looks.of(claims.workspace_id),
                     await self._reader_if_any(claims), f"/p/{token}")

    async def _reader_if_any(self, claims: Claims) -> Reader | None:
        store = self._app.store.preferences
        try:
            async with asyncio.timeout(_DATABASE_PATIENCE):
                to = await store.reader_of_delivery(claims.workspace_id, claims.campaign_id, claims.delivery_id)
                return await store.reader(claims.workspace_id, to.contact_id) if to and to.contact_id else None
        except Exception as error:
            log.warning("page without choices", error=type(error).__name__, campaign=claims.campaign_id)
            return None

    async def _letter(self, claims: Claims) -> Letter | None:
        letter = self._app.store.engagement.letter(claims.workspace_id, claims.campaign_id, claims.delivery_id)
        return await asyncio.wait_for(letter, _DATABASE_PATIENCE)

    async def _letter_if_any(self, claims: Claims) -> Letter | None:
        try:
            return await self._letter(claims)
        except Exception as error:
            log.warning("page without database", error=type(error).__name__, campaign=claims.campaign_id)
            return None


def _again(often: Frequency) -> Frequency:
    return Frequency.EACH if often is Frequency.NONE else often


def build_edge(app: App) -> Edge:
    """The edge for ``app``: ``build_edge(app).mount(application)`` puts it at the root of an aiohttp application."""
    return Edge(app)
