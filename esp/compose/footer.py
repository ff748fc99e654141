"""What every broadcast must carry and authors forget: a way out, a postal address, and the preheader's hidden text."""

import re
from typing import Final

from markupsafe import escape

from esp.compose.shield import WORD

_BODY_OPEN: Final = re.compile(r"<body\b[^>]*>", re.IGNORECASE)
_BODY_CLOSE: Final = re.compile(r"</body\s*>", re.IGNORECASE)

FOOTER_HTML: Final = (
    '<div style="padding:24px;text-align:center;font-family:Helvetica,Arial,sans-serif;font-size:12px;line-height:1.6;'
    'color:#6b7280">{% if workspace.postal_address %}{{ workspace.name }}, '
    "{{ workspace.postal_address }}<br>{% endif %}"
    '<a href="{{ unsubscribe_url }}" style="color:#6b7280">Unsubscribe</a> &middot; '
    '<a href="{{ preferences_url }}" style="color:#6b7280">Preferences</a> &middot; '
    '<a href="{{ view_url }}" style="color:#6b7280">View in browser</a></div>'
)
FOOTER_TEXT: Final = (
    "\n-- \n{% if workspace.postal_address %}{{ workspace.name }}, {{ workspace.postal_address }}\n{% endif %}"
    "Unsubscribe: <{{ unsubscribe_url }}>\nPreferences: <{{ preferences_url }}>\nView in browser: <{{ view_url }}>\n"
)

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
