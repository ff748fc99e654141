"""The admin as an aiohttp application: its pages, and the guards that every request passes in order."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from admin_ui import strip
from admin_ui.auth import (
    GUEST,
    GUEST_COOKIE,
    SESSION,
    LoginThrottle,
    guest_token,
    load_session,
    new_guest,
    set_guest_cookie,
)
from admin_ui.page import APP, PASSWORDS, TEMPLATES, THROTTLE, Page, Routes, as_aiohttp
from admin_ui.pages import ALL
from admin_ui.render import STATIC, make_environment
from admin_ui.security import SaidError, change_guard, put_headers
from admin_ui.words import LANGUAGE, LANGUAGES
from esp.app import App
from esp.errors import ConflictError, DependencyError, InputError, NotFoundError
from esp.flows.accounts import Passwords

log = logging.getLogger("merpati.admin")

Guard = Callable[[web.Request, Handler], Awaitable[web.StreamResponse]]

DIST: Final = Path(__file__).parent / "static" / "dist"

# Recipients' links share the port with the admin, but none of its guards: they are another door with its own.
EDGE_PREFIXES: Final = ("/a/", "/api/", "/c/", "/o/", "/p/", "/s/", "/u/", "/v/", "/health/", "/metrics")


def build(app: App) -> web.Application:
    """The admin for ``app``. Whoever serves it closes ``app``; edge routes may be added to the result's router."""
    admin = web.Application(
        middlewares=[_for_pages(guard) for guard in (_outer, _problems, _who, change_guard(_token), _set_up_first)],
        client_max_size=4 * 1024 * 1024)
    admin[APP] = app
    admin[TEMPLATES] = make_environment()
    admin[PASSWORDS] = Passwords()
    admin[THROTTLE] = LoginThrottle()
    DIST.mkdir(parents=True, exist_ok=True)
    admin.router.add_static(STATIC, DIST)
    admin.on_response_prepare.append(_headers)
    add_pages(admin, ALL)
    return admin


def add_pages(admin: web.Application, groups: Iterable[Routes]) -> None:
    for routes in groups:
        for route in routes.all:
            admin.router.add_route(route.method, route.path, as_aiohttp(route))


def _for_pages(guard: Guard) -> Middleware:
    """``guard`` for the admin's own pages; files and the edge pass it by."""

    @web.middleware
    async def guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path.startswith((*EDGE_PREFIXES, STATIC)):
            return await handler(request)
        return await guard(request, handler)

    return guarded


async def _headers(request: web.Request, response: web.StreamResponse) -> None:
    if not request.path.startswith(EDGE_PREFIXES):
        put_headers(response, static=request.path.startswith(STATIC) and response.status in (200, 206, 304))


async def _outer(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Give everybody not logged in a guest cookie, which their forms are bound to; keep the language for the page."""
    guest = request.cookies.get(GUEST_COOKIE, "")
    fresh = not 16 <= len(guest) <= 64
    request[GUEST] = new_guest() if fresh else guest
    LANGUAGE.set("en")
    response = await handler(request)
    if fresh and request.get(SESSION) is None and not response.prepared:
        set_guest_cookie(request.app[APP], response, request[GUEST])
    return response


async def _problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """What went wrong as a page that says what happened, what was kept and what to do."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        if error.status < 400:
            raise
        return _problem(request, error.status, error.words if isinstance(error, SaidError) else "")
    except NotFoundError as error:
        return _problem(request, 404, str(error))
    except ConflictError as error:
        return _problem(request, 409, str(error))
    except InputError as error:
        return _problem(request, 422, " ".join((str(error), *error.problems.values())))
    except DependencyError as error:
        log.exception("a dependency failed during %s %s", request.method, request.path)
        return _problem(request, 503, str(error))
    except (asyncio.CancelledError, ConnectionResetError):
        raise
    except Exception:
        log.exception("%s %s failed", request.method, request.path)
        return _problem(request, 500, "")


def _problem(request: web.Request, status: int, message: str) -> web.StreamResponse:
    page = Page(request, request.app[APP], request.get(SESSION))
    return page.render("errors/problem.html", status=status, code=status, message=message)


async def _who(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Load the session and what the shell shows about sending."""
    if "\0" in request.path or "\0" in "".join(request.query.values()):
        raise web.HTTPNotFound  # no text of ours holds a NUL, and PostgreSQL would not even look for it
    app = request.app[APP]
    session = await load_session(app, request)
    if session is not None:
        request[SESSION] = session
        LANGUAGE.set(session.user.language if session.user.language in LANGUAGES else "en")
        if request.method == "GET":
            request[strip.STRIP] = await strip.load(app, session.workspace.id)
    else:
        LANGUAGE.set(_preferred(request))
    return await handler(request)


def _preferred(request: web.Request) -> str:
    """The first language of Accept-Language that we speak."""
    for part in request.headers.get("Accept-Language", "").split(","):
        language = part.split(";")[0].strip().lower().split("-")[0]
        if language in LANGUAGES:
            return language
    return "en"


def _token(request: web.Request) -> str:
    session = request.get(SESSION)
    return session.csrf if session is not None else guest_token(request)


async def _set_up_first(request: web.Request, handler: Handler) -> web.StreamResponse:
    """An empty server leads every page to the set-up."""
    stranger = request.get(SESSION) is None and not request.path.startswith(("/setup", "/docs"))
    if stranger and not await request.app[APP].store.accounts.has_users():
        raise web.HTTPSeeOther("/setup")
    return await handler(request)

