"""The edge's pages that a mail's links open, in the workspace's look, and the headers that answers go out with."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from aiohttp import web

from esp.model.preference import Frequency
from esp.ports.engagement import Letter
from esp.ports.preferences import Reader
from tracking.edge.preference_words import PREFERENCE_WORDS
from tracking.edge.shell import POLICY, Shell, fill
from tracking.edge.theme import PLAIN, Look
from tracking.edge.words import REASONS, WORDS, choose_language

PAGE_POLICY: Final = POLICY

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
#: A mail in a browser. ``sandbox`` without allow-scripts and allow-same-origin: an origin of its own in which nothing
#: runs, so whatever a merge field brought in can neither act nor read our cookies.
MAIL_POLICY: Final = (
    "default-src 'none'; img-src http: https: data:; style-src 'unsafe-inline' https:; font-src https: data:; "
    "media-src https:; form-action 'none'; base-uri 'none'; frame-ancestors 'none'; "
    "sandbox allow-popups allow-popups-to-escape-sandbox allow-top-navigation-by-user-activation"
)


class Pages:
    """Pages in the reader's language (that of the contact where known, else of the browser) and the sender's look.

    ``reader`` is the person with their choices, where they can be looked up: then the page has more to offer than to
    leave. ``preferences`` is the address of their own page.
    """

    def __init__(
        self, accept_language: str, letter: Letter | None = None, look: Look = PLAIN, reader: Reader | None = None,
        preferences: str = "",
    ) -> None:
        self._letter = letter
        self._reader = reader
        self._preferences = preferences
        self.language = choose_language(letter.language if letter else "", accept_language)
        look = replace(look, brand=letter.brand) if letter else look
        self._shell = Shell(look, self.language, PREFERENCE_WORDS, WORDS)
        self.words = self._shell.words

    def unsubscribe(self) -> web.Response:
        """The question, with ways to get less beside it; or the answer already, where they have left every list."""
        if self._letter and not self._letter.address:
            return self.nobody()
        if self._letter and self._letter.lists and not self._letter.subscribed:
            return self.unsubscribed()
        lists = [one.name for one in self._letter.lists if one.subscribed] if self._letter else []
        reader = self._reader
        return self._page(
            "unsubscribe.html", "unsubscribe", lists=lists, reasons=REASONS, preferences=self._preferences,
            less=reader is not None and reader.choices.frequency in (Frequency.EACH, Frequency.DAILY),
            topics=_offered(reader),
        )

    def unsubscribed(self) -> web.Response:
        if self._letter and not self._letter.address:
            return self.nobody()
        return self._page("done.html", "done")

    def nobody(self) -> web.Response:
        """Whoever the mail was for is gone, so that there is nothing to leave; a database that is away says so."""
        return self.later() if self._letter is None else self._page("shell.html", "nobody")

    def less(self) -> web.Response:
        """They get a weekly digest from now on."""
        return self._page("chosen.html", "less", preferences=self._preferences)

    def topics(self) -> web.Response:
        """They get mails about some topics only."""
        return self._page("chosen.html", "topics", preferences=self._preferences)

    def undone(self, worked: bool) -> web.Response:
        return self._page("shell.html", "undone" if worked else "not_undone")

    def missing(self) -> web.Response:
        return self._page("shell.html", "missing", 404)

    def nowhere(self) -> web.Response:
        return self._shell.missing()

    def too_often(self) -> web.Response:
        return self._shell.too_often()

    def gone(self) -> web.Response:
        return self._page("shell.html", "gone", 410)

    def later(self) -> web.Response:
        response = self._page("shell.html", "later", 503)
        response.headers["Retry-After"] = "30"
        return response

    def _page(self, template: str, subject: str, status: int = 200, **values: Any) -> web.Response:
        letter = self._letter
        lead = self.words[f"{subject}_lead"]
        if letter is None:
            lead = self.words.get(f"{subject}_lead_unknown", lead)
        else:
            lead = fill(lead, brand=letter.brand, address=letter.address)
        return self._shell.page(template, self.words[f"{subject}_title"], lead=lead, status=status, **values)


def _offered(reader: Reader | None) -> Sequence[tuple[int, str, bool]]:
    """Topics that somebody may keep, each with whether they want it now."""
    if reader is None:
        return ()
    return [(one.id, one.name, reader.choices.of(one.id) is not Frequency.NONE) for one in reader.topics]


def pixel() -> web.Response:
    return web.Response(body=PIXEL, content_type="image/gif", headers=HEADERS)


def redirect(target: str) -> web.Response:
    """302, so that every click comes by here again. ``target`` must be a URL that was looked up, never a parameter."""
    return web.Response(status=302, headers={**HEADERS, "Location": target})


def mail(markup: str) -> web.Response:
    return web.Response(
        text=markup, content_type="text/html", headers={**HEADERS, "Content-Security-Policy": MAIL_POLICY}
    )
