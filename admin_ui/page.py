"""What a page's handler works with: the application, who asks, and ways to answer. Every route goes through it."""

import base64
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar
from urllib.parse import quote

from aiohttp import web
from jinja2 import Environment
from markupsafe import Markup

from admin_ui.auth import SESSION, LoginThrottle, guest_token
from admin_ui.forms import Form, FormModel
from admin_ui.strip import STRIP
from admin_ui.words import LANGUAGE
from esp.app import App
from esp.flows.accounts import Passwords
from esp.ports.accounts import Role, Session

APP: Final = web.AppKey("app", App)
TEMPLATES: Final = web.AppKey("templates", Environment)
PASSWORDS: Final = web.AppKey("passwords", Passwords)
THROTTLE: Final = web.AppKey("throttle", LoginThrottle)

TOAST_COOKIE: Final = "merpati_toast"
THEME_COOKIE: Final = "merpati_theme"

_LONGEST_KEY: Final = 18  # digits that fit the databases' 64 bits

M = TypeVar("M", bound=FormModel)
Handler = Callable[["Page"], Awaitable[web.StreamResponse]]


@dataclass(slots=True)
class Page:
    """One request of a logged-in person, inside their workspace."""

    request: web.Request
    app: App
    maybe_session: Session | None

    @property
    def session(self) -> Session:
        """Who asks; only open pages (login, set-up, guide) may be without."""
        if self.maybe_session is None:
            raise web.HTTPSeeOther("/login")
        return self.maybe_session

    @property
    def workspace_id(self) -> int:
        return self.session.workspace.id

    @property
    def is_owner(self) -> bool:
        return self.session.role is Role.OWNER

    @property
    def passwords(self) -> Passwords:
        return self.request.app[PASSWORDS]

    @property
    def throttle(self) -> LoginThrottle:
        return self.request.app[THROTTLE]

    @property
    def csrf(self) -> str:
        return self.maybe_session.csrf if self.maybe_session else guest_token(self.request)

    def key(self, name: str) -> int:
        """A number from the address (``/lists/{list_id}``); what is longer than any id of ours leads nowhere."""
        digits = self.request.match_info[name]
        if len(digits) > _LONGEST_KEY:
            raise web.HTTPNotFound
        return int(digits)

    def query(self, name: str, default: str = "") -> str:
        return self.request.query.get(name, default)

    async def form(self, model: type[M]) -> Form[M]:
        """What was posted, checked against ``model``."""
        return Form.read(model, await self.request.post())

    def html(self, template: str, **context: Any) -> Markup:
        """A template's text, for a fragment, a live stream, or to stand inside another page as it is."""
        request = self.request
        text = request.app[TEMPLATES].get_template(template).render(
            page=self, app=self.app, path=request.path, now=self.app.clock.now(), csrf=self.csrf,
            session=self.maybe_session, strip=request.get(STRIP), language=LANGUAGE.get(),
            zone=self.maybe_session.workspace.time_zone if self.maybe_session else "UTC",
            theme=_theme(request), toast=_toast(request), **context)
        return Markup(text)  # noqa: S704 - the template escaped what it was given

    def render(self, template: str, *, status: int = 200, **context: Any) -> web.Response:
        """Answer with a page. A form with problems is answered with 422 by ``invalid``."""
        response = web.Response(text=self.html(template, **context), content_type="text/html", status=status)
        if TOAST_COOKIE in self.request.cookies:
            response.del_cookie(TOAST_COOKIE, path="/")
        return response

    def invalid(self, template: str, **context: Any) -> web.Response:
        """The same page again, with the problems beside their fields."""
        return self.render(template, status=422, **context)

    def redirect(self, to: str, toast: str = "", kind: str = "good") -> web.Response:
        """Go on after a change (303), with one sentence in a corner. ``to`` is a path of ours."""
        response = web.Response(status=303, headers={"Location": to})
        if toast:
            text = base64.urlsafe_b64encode(json.dumps([toast, kind]).encode()).decode()
            response.set_cookie(TOAST_COOKIE, text, max_age=60, path="/", httponly=True, samesite="Lax")
        return response


def _theme(request: web.Request) -> str:
    theme = request.cookies.get(THEME_COOKIE, "")
    return theme if theme in ("light", "dark") else ""


def _toast(request: web.Request) -> tuple[str, str] | None:
    try:
        text, kind = json.loads(base64.urlsafe_b64decode(request.cookies.get(TOAST_COOKIE, "")))
    except ValueError:
        return None
    return (str(text)[:500], kind) if kind in ("good", "warn", "harm") else None


@dataclass(frozen=True, slots=True)
class Route:
    """A page's place and what it asks of the reader."""

    method: str
    path: str
    handler: Handler
    open: bool = False
    owner: bool = False
    streams: bool = False


class Routes:
    """Collects a module's pages. Closed by default: ``open=True`` needs no login, ``owner=True`` needs an owner.

    ``streams=True`` lets a handler receive a file upload, of which it must check the token itself.
    """

    def __init__(self) -> None:
        self.all: list[Route] = []

    def get(self, path: str, **options: bool) -> Callable[[Handler], Handler]:
        return self._add("GET", path, options)

    def post(self, path: str, **options: bool) -> Callable[[Handler], Handler]:
        return self._add("POST", path, options)

    def _add(self, method: str, path: str, options: Mapping[str, bool]) -> Callable[[Handler], Handler]:
        def keep(handler: Handler) -> Handler:
            self.all.append(Route(method, path, handler, **options))
            return handler
        return keep


def as_aiohttp(route: Route) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """The route as aiohttp calls it, with its demands checked first."""

    async def handle(request: web.Request) -> web.StreamResponse:
        session = request.get(SESSION)
        page = Page(request, request.app[APP], session)
        if not route.open and session is None:
            if request.method != "GET":
                raise web.HTTPUnauthorized
            raise web.HTTPSeeOther("/login?next=" + quote(request.path_qs, safe="/"))
        if route.owner and not page.is_owner:
            raise web.HTTPForbidden
        return await route.handler(page)

    handle._streams = route.streams  # type: ignore[attr-defined]  # read by the change guard
    return handle
