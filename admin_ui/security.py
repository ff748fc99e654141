"""What keeps a stranger's page out: headers on every answer, and the check that a change was asked for from here."""

import hmac
from collections.abc import Awaitable, Callable
from hashlib import blake2b
from typing import Final
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Handler

from admin_ui.words import _

SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})

# Scripts and styles come from files of ours only; nothing inline, nothing evaluated. uPlot moves things through
# the CSSOM, which a style-src of 'self' allows. Images may be data: because a mail in a preview may hold such.
CONTENT_SECURITY_POLICY: Final = "; ".join((
    "default-src 'none'", "script-src 'self'", "style-src 'self'", "img-src 'self' data:", "font-src 'self'",
    "connect-src 'self'", "form-action 'self'", "frame-src 'self'", "frame-ancestors 'none'", "base-uri 'none'",
    "object-src 'none'", "manifest-src 'self'",
))

HEADERS: Final = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=(), browsing-topics=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def put_headers(response: web.StreamResponse, *, static: bool) -> None:
    """Add what is missing; a page may have set a policy of its own (a preview in its sandbox)."""
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    if static:
        response.headers["Cache-Control"] = "public, max-age=31536000, immutable"
    else:
        response.headers.setdefault("Cache-Control", "no-store")


def token_of(secret: str) -> str:
    """The token that forms carry for a cookie value; the cookie cannot be read back from it."""
    return blake2b(secret.encode(), digest_size=18, person=b"merpati-form").hexdigest()


def comes_from_here(request: web.Request) -> bool:
    """Whether the browser says that one of our own pages asked for this.

    ``Sec-Fetch-Site`` is sent by every current browser and cannot be set by a page; ``Origin`` covers the others.
    A request with neither comes from no browser page; it still needs the token.
    """
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None and site not in ("same-origin", "none"):
        return False
    origin = request.headers.get("Origin")
    return origin is None or (origin != "null" and urlsplit(origin).netloc == request.host)


def same_token(given: str, right: str) -> bool:
    """Compare in constant time."""
    return hmac.compare_digest(given.encode("utf-8", "replace"), right.encode())


class SaidError(web.HTTPForbidden):
    """A refusal whose reason is said to the reader on the page."""

    def __init__(self, words: str) -> None:
        super().__init__()
        self.words = words


class ForeignRequestError(SaidError):
    """A change that no page of ours asked for, or whose form is older than the login."""

    def __init__(self) -> None:
        super().__init__(_("This form is too old or came from another page. Nothing was changed; go back, reload the "
                           "page and try again."))


TokenOf = Callable[[web.Request], str]


def change_guard(token: TokenOf) -> Callable[[web.Request, Handler], Awaitable[web.StreamResponse]]:
    """A middleware that lets changes through only from our own pages and with ``token(request)`` in form or header.

    A file upload is streamed, so its handler must check the token itself; only handlers marked with ``streams``
    may receive one.
    """

    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.method in SAFE_METHODS:
            return await handler(request)
        if not comes_from_here(request):
            raise ForeignRequestError
        given = request.headers.get("X-CSRF-Token")
        if given is None and request.content_type == "multipart/form-data":
            if not getattr(request.match_info.handler, "_streams", False):
                raise web.HTTPUnsupportedMediaType
            return await handler(request)
        if given is None:
            if request.content_type != "application/x-www-form-urlencoded":
                raise ForeignRequestError  # text/plain and the like are what a foreign form can send
            given = str((await request.post()).get("csrf", ""))
        if not same_token(given, token(request)):
            raise ForeignRequestError
        return await handler(request)

    return guard
