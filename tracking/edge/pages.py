"""The edge's pages: a few small templates read once, and the headers that each of them goes out with."""

from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from aiohttp import web
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from esp.ports.engagement import Letter
from tracking.edge.words import REASONS, WORDS, choose_language

_FOLDER: Final = Path(__file__).parent / "templates"
_ENVIRONMENT: Final = Environment(
    loader=FileSystemLoader(_FOLDER), autoescape=True, undefined=StrictUndefined, trim_blocks=True, auto_reload=False
)
STYLE: Final = (_FOLDER / "edge.css").read_bytes()
#: Below /u/, where no token has a dot, so that the door has no further path that others must let through.
STYLE_PATH: Final = f"/u/{sha256(STYLE).hexdigest()[:12]}.css"

#: 43 octets: one transparent point.
PIXEL: Final = (
    b"GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff!\xf9\x04\x01\x00\x00\x00\x00"
    b",\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;"
)

#: Nothing of a token's URL leaves by Referer, is indexed, cached or framed.
HEADERS: Final = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Robots-Tag": "noindex, nofollow",
    "X-Content-Type-Options": "nosniff",
}
PAGE_POLICY: Final = "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

#: A mail in a browser. ``sandbox`` without allow-scripts and allow-same-origin: an origin of its own in which nothing
#: runs, so whatever a merge field brought in can neither act nor read our cookies.
MAIL_POLICY: Final = (
    "default-src 'none'; img-src http: https: data:; style-src 'unsafe-inline' https:; font-src https: data:; "
    "media-src https:; form-action 'none'; base-uri 'none'; frame-ancestors 'none'; "
    "sandbox allow-popups allow-popups-to-escape-sandbox allow-top-navigation-by-user-activation"
)


class Pages:
    """Pages in the reader's language: that of the contact where known, else of the browser."""

    def __init__(self, accept_language: str, letter: Letter | None = None) -> None:
        self._letter = letter
        self.language = choose_language(letter.language if letter else "", accept_language)
        self.words = WORDS[self.language]

    def unsubscribe(self) -> web.Response:
        """The question; or the answer already, where the person has left every list."""
        if self._letter and self._letter.lists and not self._letter.subscribed:
            return self.unsubscribed()
        lists = [one.name for one in self._letter.lists if one.subscribed] if self._letter else []
        return self._page("unsubscribe.html", "unsubscribe", lists=lists, reasons=REASONS)

    def unsubscribed(self) -> web.Response:
        return self._page("done.html", "done")

    def undone(self, worked: bool) -> web.Response:
        return self._page("page.html", "undone" if worked else "not_undone")

    def missing(self) -> web.Response:
        return self._page("page.html", "missing", 404)

    def gone(self) -> web.Response:
        return self._page("page.html", "gone", 410)

    def later(self) -> web.Response:
        response = self._page("page.html", "later", 503)
        response.headers["Retry-After"] = "30"
        return response

    def _page(self, template: str, subject: str, status: int = 200, **values: Any) -> web.Response:
        letter = self._letter
        lead = self.words[f"{subject}_lead"]
        if letter is None:
            lead = self.words.get(f"{subject}_lead_unknown", lead)
        else:
            lead = lead.format(brand=letter.brand, address=letter.address)
        text = _ENVIRONMENT.get_template(template).render(
            language=self.language, words=self.words, title=self.words[f"{subject}_title"], lead=lead,
            brand=letter.brand if letter else "", stylesheet=STYLE_PATH, **values,
        )
        return web.Response(
            text=text, status=status, content_type="text/html",
            headers={**HEADERS, "Content-Security-Policy": PAGE_POLICY, "Content-Language": self.language},
        )


def pixel() -> web.Response:
    return web.Response(body=PIXEL, content_type="image/gif", headers=HEADERS)


def redirect(target: str) -> web.Response:
    """302, so that every click comes by here again. ``target`` must be a URL that was looked up, never a parameter."""
    return web.Response(status=302, headers={**HEADERS, "Location": target})


def mail(markup: str) -> web.Response:
    return web.Response(
        text=markup, content_type="text/html", headers={**HEADERS, "Content-Security-Policy": MAIL_POLICY}
    )


def style() -> web.Response:
    return web.Response(
        body=STYLE, content_type="text/css", charset="utf-8",
        headers={"Cache-Control": "public, max-age=31536000, immutable", "X-Content-Type-Options": "nosniff"},
    )
