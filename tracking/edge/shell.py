"""The shell of every page that recipients see: one look, one strict policy, words in their language.

A page module has a table of words of its own, language by language, and answers with::

    shell = Shell(look, choose_language(contact_language, accept_language), MY_WORDS)
    return shell.page("preferences.html", shell.words["title"], lead=..., lists=lists)

The template extends ``shell.html`` and fills ``{% block body %}``; it sees ``words``, ``look``, ``language`` and what
it is given. Nothing on a page comes from elsewhere, and every page works without script.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from aiohttp import web
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from tracking.edge import theme
from tracking.edge.theme import Look

_ENVIRONMENT: Final = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"), autoescape=True, undefined=StrictUndefined,
    trim_blocks=True, lstrip_blocks=True, auto_reload=False,
)

#: What all pages say, whatever they are about.
COMMON: Final[Mapping[str, Mapping[str, str]]] = {
    "en": {
        "languages": "Language",
        "missing_title": "This page does not exist",
        "missing_lead": "The address may have been cut when it was copied, or what was here has been taken away.",
        "invalid_title": "This link is not valid",
        "invalid_lead": "It may have been cut when it was copied. Please open it from the mail itself.",
        "later_title": "Please try again in a moment",
        "later_lead": "The server cannot look this up just now. The link itself is fine.",
        "often_title": "That was very often",
        "often_lead": "Nothing was changed this time. What you chose before holds. Please come back in an hour.",
        "problem_text": "This is too long. Write less.",
        "problem_number": "Write a number, such as 12 or 12.5.",
        "problem_date": "Choose a day, or write it as 2026-11-21.",
        "problem_boolean": "Choose yes or no.",
        "problem_choice": "Choose one of these.",
        "problem_choices": "Choose from these only.",
    },
    "id": {
        "languages": "Bahasa",
        "missing_title": "Halaman ini tidak ada",
        "missing_lead": "Mungkin alamatnya terpotong saat disalin, atau isinya sudah tidak disediakan lagi.",
        "invalid_title": "Tautan ini tidak berlaku",
        "invalid_lead": "Mungkin tautannya terpotong saat disalin. Silakan buka langsung dari emailnya.",
        "later_title": "Silakan coba lagi sebentar lagi",
        "later_lead": "Server belum dapat mencarinya saat ini. Tautannya sendiri tidak bermasalah.",
        "often_title": "Terlalu sering",
        "often_lead": "Kali ini tidak ada yang berubah. Pilihan Anda sebelumnya tetap berlaku. Silakan kembali satu "
        "jam lagi.",
        "problem_text": "Isian ini terlalu panjang. Mohon dipersingkat.",
        "problem_number": "Tuliskan angka, misalnya 12 atau 12,5.",
        "problem_date": "Pilih tanggal, atau tuliskan seperti 2026-11-21.",
        "problem_boolean": "Pilih ya atau tidak.",
        "problem_choice": "Pilih salah satu yang tersedia.",
        "problem_choices": "Pilih hanya dari yang tersedia.",
    },
}
LANGUAGE_NAMES: Final = {"en": "English", "id": "Bahasa Indonesia"}

#: Nothing of a URL with a token leaves by Referer, is indexed, cached or framed.
_HEADERS: Final = {
    "Cache-Control": "no-store", "Referrer-Policy": "no-referrer", "X-Content-Type-Options": "nosniff",
}
#: Scripts are ours alone and from a file; there is no inline script or style on any page.
POLICY: Final = (
    "default-src 'none'; style-src 'self'; img-src 'self'; script-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
FOREVER: Final = {"Cache-Control": "public, max-age=31536000, immutable", "X-Content-Type-Options": "nosniff"}


class Shell:
    """Pages in one language and one look. ``tables`` are words by language, later ones over earlier ones.

    The workspace's own words (``look.words``) win over all of them, but only for keys that a table has.
    """

    def __init__(self, look: Look, language: str, *tables: Mapping[str, Mapping[str, str]]) -> None:
        self.look = look
        self.language = language
        words: dict[str, str] = {}
        for table in (COMMON, *tables):
            words |= table[language]
        own = look.words.get(language, {})
        self.words: Mapping[str, str] = words | {key: own[key] for key in words.keys() & own.keys() if own[key]}

    def text(
        self, template: str, title: str, *, lead: str = "", indexed: bool = False, wide: bool = False,
        switch: Sequence[tuple[str, str, str]] = (), **values: Any,
    ) -> str:
        """The page as HTML. ``switch`` are (language, its name, link) of the same page; ``wide`` is for tables."""
        return _ENVIRONMENT.get_template(template).render(
            language=self.language, words=self.words, look=self.look, title=title, lead=lead, indexed=indexed,
            wide=wide, switch=switch, **values,
        )

    def page(
        self, template: str, title: str, *, status: int = 200, policy: str = POLICY, indexed: bool = False,
        headers: Mapping[str, str] | None = None, **values: Any,
    ) -> web.Response:
        """The page as an answer with the headers that every page has; ``values`` as for ``text``."""
        robots = {} if indexed else {"X-Robots-Tag": "noindex, nofollow"}
        return web.Response(
            text=self.text(template, title, indexed=indexed, **values), status=status, content_type="text/html",
            headers={**_HEADERS, **robots, "Content-Security-Policy": policy, "Content-Language": self.language,
                     **(headers or {})},
        )

    def missing(self) -> web.Response:
        """404: there is nothing at this address."""
        return self.page("shell.html", self.words["missing_title"], lead=self.words["missing_lead"], status=404)

    def invalid(self) -> web.Response:
        """404: a token that we never made."""
        return self.page("shell.html", self.words["invalid_title"], lead=self.words["invalid_lead"], status=404)

    def too_often(self) -> web.Response:
        """429: more than anybody would send (RFC 6585 section 4)."""
        return self.page("shell.html", self.words["often_title"], lead=self.words["often_lead"], status=429,
                         headers={"Retry-After": "3600"})

    def later(self) -> web.Response:
        """503: the database does not answer."""
        return self.page("shell.html", self.words["later_title"], lead=self.words["later_lead"], status=503,
                         headers={"Retry-After": "30"})


async def serve_style(request: web.Request) -> web.Response:
    """The style sheet of an accent colour, at ``theme.STYLE_ROUTE``."""
    return web.Response(
        body=theme.style("#" + request.match_info["accent"]), content_type="text/css", charset="utf-8", headers=FOREVER
    )


def fill(text: str, **values: str) -> str:
    """``{name}`` replaced and nothing else evaluated: a workspace writes words of its own."""
    for name, value in values.items():
        text = text.replace("{" + name + "}", value)
    return text
