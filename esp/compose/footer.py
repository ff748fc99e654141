"""What every broadcast must carry and authors forget: a way out, a postal address, and the preheader's hidden text."""

import re
from collections.abc import Callable
from typing import Final

from markupsafe import escape

from esp.compose.shield import WORD

_BODY_OPEN: Final = re.compile(r"<body\b[^>]*>", re.IGNORECASE)
_BODY_CLOSE: Final = re.compile(r"</body\s*>", re.IGNORECASE)

_WORDS: Final = {
    "en": ("Unsubscribe", "Preferences", "View in browser"),
    "id": ("Berhenti berlangganan", "Atur preferensi", "Lihat di peramban"),
}
_SENDER: Final = "{% if workspace.postal_address %}{{ workspace.name }}, {{ workspace.postal_address }}"
_URLS: Final = ("{{ unsubscribe_url }}", "{{ preferences_url }}", "{{ view_url }}")


def footer_html(language: str = "en") -> str:
    """The footer as HTML with merge fields: in the reader's language where it is one of ours, else in ``language``."""
    return (
        '<div style="padding:24px;text-align:center;font-family:Helvetica,Arial,sans-serif;font-size:12px;'
        f'line-height:1.6;color:#6b7280">{_SENDER}<br>{{% endif %}}' + _in_readers_language(language, _links_html)
        + "</div>"
    )


def footer_text(language: str = "en") -> str:
    """The footer of the plain text, as ``footer_html``."""
    return f"\n-- \n{_SENDER}\n{{% endif %}}" + _in_readers_language(language, _links_text)


def _in_readers_language(language: str, written: Callable[[str], str]) -> str:
    """A template of the words in every language of ours; the mail's own where the reader's is none of them."""
    usual = language.partition("-")[0].lower()
    usual = usual if usual in _WORDS else "en"
    # Only the first part of a tag like id-ID says which words to take (RFC 5646 section 2.2.1).
    first = "{% set spoken = contact.language | default('') | lower %}"
    tests = [f"if spoken == '{one}' or '{one}-' in spoken %}}{written(one)}{{%" for one in _WORDS if one != usual]
    return first + "{% " + " el".join(tests) + f" else %}}{written(usual)}{{% endif %}}"


def _links_html(language: str) -> str:
    return " &middot; ".join(
        f'<a href="{url}" style="color:#6b7280">{word}</a>' for word, url in zip(_WORDS[language], _URLS, strict=True))


def _links_text(language: str) -> str:
    return "".join(f"{word}: <{url}>\n" for word, url in zip(_WORDS[language], _URLS, strict=True))


# Spaces that nobody sees keep mail programs from filling the preview with the mail's first words.
_PADDING: Final = "&#847;&zwnj;&nbsp;" * 30


def before_body_end(html: str, addition: str) -> str:
    """``addition`` put before the last ``</body>``, or at the end of a document that has none."""
    places = list(_BODY_CLOSE.finditer(html))
    at = places[-1].start() if places else len(html)
    return html[:at] + addition + html[at:]


def with_preheader(html: str, covered_preheader: str) -> str:
    """The preheader as hidden text at the start of the body. Its merge fields are covered, its text is escaped here."""
    if not covered_preheader.strip():
        return html
    parts = re.split(f"({WORD.pattern.replace('(', '(?:')})", covered_preheader)
    text = "".join(part if WORD.fullmatch(part) else str(escape(part)) for part in parts)
    hidden = (
        '<div style="display:none;max-height:0;max-width:0;opacity:0;overflow:hidden;mso-hide:all;font-size:1px;'
        f'line-height:1px;color:transparent">{text}{_PADDING}</div>'
    )
    found = _BODY_OPEN.search(html)
    at = found.end() if found else 0
    return html[:at] + hidden + html[at:]
