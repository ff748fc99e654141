"""What can be wrong with a mail that can nonetheless be sent: warnings for the author, in the order they matter."""

from collections.abc import Iterable
from typing import Final
from urllib.parse import urlsplit

import turbohtml

from esp.compose.shield import tokens
from esp.model.content import Draft, Link, Problem

# Where a starter's links lead: to nobody (RFC 2606 section 3).
_PLACEHOLDERS: Final = frozenset({"example.com", "www.example.com"})
GMAIL_CLIPS_AT: Final = 102 * 1024  # octets of HTML


def lint_draft(draft: Draft) -> Iterable[Problem]:
    """Problems of the draft's short texts and of its emptiness."""
    if not draft.subject.strip():
        yield Problem("error", "subject", "The mail has no subject.")
    elif len(draft.subject) > 150:
        yield Problem("warning", "subject", "The subject is longer than 150 characters; most programs show 40 to 70.")
    if not draft.source.strip():
        yield Problem("error", "body", "The mail is empty.")
    if not draft.preheader.strip():
        yield Problem("warning", "preheader", "There is no preheader; the inbox will show the first words of the mail.")


def lint_html(covered: str, final: str) -> Iterable[Problem]:
    """Problems of the HTML: ``covered`` to read its elements, ``final`` for its size."""
    size = len(final.encode("utf-8", "replace"))
    if size > GMAIL_CLIPS_AT:
        yield Problem("warning", "body", f"The HTML is {size // 1024} KB; Gmail cuts mails off after 102 KB.")
    without_alt = scripts = forms = plain = 0
    for token, _ in tokens(covered):
        if token is None or token.type != turbohtml.TokenType.START_TAG:
            continue
        if token.tag == "img":
            without_alt += token.attr("alt") is None
            plain += (token.attr("src") or "").lower().startswith("http://")
        scripts += token.tag in ("script", "iframe", "object", "embed")
        forms += token.tag in ("form", "input", "select", "textarea")
    if without_alt:
        yield Problem(
            "warning",
            "body",
            f"{_count(without_alt, 'image')} without an alt text: most people see no images at first.",
        )
    if plain:
        yield Problem("warning", "body", f"{_count(plain, 'image')} loaded over http://; use https://.")
    if scripts:
        yield Problem("warning", "body", "Scripts, frames and objects are removed by every mail program.")
    if forms:
        yield Problem("warning", "body", "Forms do not work in most mail programs; link to a page instead.")


def lint_links(links: tuple[Link, ...]) -> Iterable[Problem]:
    """Problems of links that lead somewhere, but not as well as they could."""
    if any((urlsplit(link.url).hostname or "") in _PLACEHOLDERS for link in links):
        yield Problem("warning", "body", "Some links still lead to example.com, where a starter's links lead.")
    if any(link.url.lower().startswith("http://") for link in links):
        yield Problem("warning", "body", "Some links use http://; https:// is safer and expected.")
    if not links:
        yield Problem("warning", "body", "There is no link to click.")


def _count(number: int, thing: str) -> str:
    return f"{number} {thing} is" if number == 1 else f"{number} {thing}s are"
