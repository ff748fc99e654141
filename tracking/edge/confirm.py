"""The page behind a confirmation's link. A GET shows what would happen; only the button does it, for scanners."""

import structlog
from aiohttp import web

from esp.app import App
from esp.errors import NotFoundError, TokenError
from esp.flows import signup as flow
from esp.model.permission import SignupAction, SignupState
from esp.ports.signup import PublicList, PublicPages, Signup, Witness
from esp.wire.tokens import Claims, Purpose
from tracking.edge.body import read_fields
from tracking.edge.looks import look_of
from tracking.edge.shell import Shell
from tracking.edge.signup_words import SIGNUP_WORDS
from tracking.edge.visitor import meet
from tracking.edge.words import choose_language

log = structlog.get_logger("edge")


class ConfirmDoor:
    """``/s/-/confirm/{token}``; made by ``build_edge``."""

    def __init__(self, app: App) -> None:
        self._app = app

    @property
    def routes(self) -> list[web.RouteDef]:
        return [web.get("/s/-/confirm/{token}", self.ask), web.post("/s/-/confirm/{token}", self.confirm)]

    async def ask(self, request: web.Request) -> web.Response:
        """What would be confirmed, and the button."""
        claims = self._claims(request)
        if claims is None:
            return self._plain(request).invalid()
        try:
            found = await flow.waiting(self._app, claims)
            pages = await self._app.store.signups.public_pages(claims.workspace_id)
        except NotFoundError:  # the workspace is gone, and every request with it
            return self._plain(request).invalid()
        except Exception as error:  # whatever the database raises: the reader sees one sentence, the log its kind
            log.warning("confirmation without database", error=type(error).__name__)
            return self._plain(request).later()
        shell = self._shell(request, pages, found[0] if found else None)
        if found is None or not found[1]:
            return self._over(shell, pages)
        signup, lists = found
        if signup.state is SignupState.CONFIRMED:
            return self._done(shell, signup)
        return self._question(shell, signup, lists)

    async def confirm(self, request: web.Request) -> web.Response:
        """Do it. Pressing twice is as good as once."""
        claims = self._claims(request)
        if claims is None:
            return self._plain(request).invalid()
        form = await read_fields(request)
        visitor = meet(request)
        try:
            found = await flow.waiting(self._app, claims)
            pages = await self._app.store.signups.public_pages(claims.workspace_id)
            shell = self._shell(request, pages, found[0] if found else None)
            if found is None:
                return self._over(shell, pages)
            signup, lists = found
            if form.one("action") != "confirm":
                return self._question(shell, signup, lists)
            ticked = {int(text) for text in form.all("list") if text.isascii() and text.isdigit() and len(text) < 19}
            if len(lists) > 1 and not ticked:
                return self._question(shell, signup, lists)
            result = await flow.confirm(
                self._app, claims, ticked if len(lists) > 1 else None,
                Witness("confirmed: link", visitor.ip, visitor.user_agent))
        except NotFoundError:  # the workspace is gone, and every request with it
            return self._plain(request).invalid()
        except Exception as error:  # whatever the database raises: the reader sees one sentence, the log its kind
            log.warning("confirmation without database", error=type(error).__name__)
            return self._plain(request).later()
        return self._over(shell, pages) if result is flow.Confirmed.OVER else self._done(shell, signup)

    def _question(self, shell: Shell, signup: Signup, lists: list[PublicList]) -> web.Response:
        kind = "leave" if signup.action is SignupAction.UNSUBSCRIBE else "confirm"
        words = shell.words
        return shell.page("confirm.html", words[f"{kind}_title"], button=words[f"{kind}_button"], lists=lists,
                          lead=words[f"{kind}_lead"].replace("{address}", signup.email))

    def _done(self, shell: Shell, signup: Signup) -> web.Response:
        kind = "left" if signup.action is SignupAction.UNSUBSCRIBE else "confirmed"
        lead = shell.words[f"{kind}_lead"].replace("{address}", signup.email)
        return shell.page("shell.html", shell.words[f"{kind}_title"], lead=lead)

    def _over(self, shell: Shell, pages: PublicPages) -> web.Response:
        return shell.page("again.html", shell.words["over_title"], lead=shell.words["over_lead"], status=410,
                          href=f"/s/{pages.handle}")

    def _claims(self, request: web.Request) -> Claims | None:
        try:
            return self._app.tokens.verify(Purpose.CONFIRM, request.match_info["token"])
        except TokenError:
            return None

    def _shell(self, request: web.Request, pages: PublicPages, signup: Signup | None) -> Shell:
        language = choose_language(signup.language if signup else "", meet(request).accept_language)
        return Shell(look_of(pages), language, SIGNUP_WORDS)

    def _plain(self, request: web.Request) -> Shell:
        return Shell(look_of(None), choose_language("", meet(request).accept_language), SIGNUP_WORDS)
