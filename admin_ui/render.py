"""Templates to HTML: one environment, always escaping, with the words, icons, numbers and dates that pages share."""

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

from babel.dates import format_date, format_datetime, format_timedelta
from babel.numbers import format_decimal, format_percent
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from admin_ui.navigation import MAP
from admin_ui.words import LANGUAGE, LANGUAGES, _, ngettext
from esp.errors import DependencyError

STATIC: Final = "/static/dist/"
MANIFEST: Final = Path(__file__).parent / "static" / "dist" / "manifest.json"

# The mark: a pigeon in one line weight.
MARK: Final = Markup(
    '<svg class="mark" viewBox="0 0 32 32" fill="none" stroke="currentColor" stroke-width="1.9" stroke-linecap="round" '
    'stroke-linejoin="round" aria-hidden="true"><path d="M29 11.2 25.6 9.6C25 6.6 22.8 5 20.2 5c-3.1 0-5 2.200-5.300 5'
    '-.3 3-2.600 4.600-5.400 6.900L3 24.500h8.500c8.300 0 14.300-4.700 14.300-12.100Z"/>'
    '<path d="M9.500 20.500c4.600.2 8.300-1.700 9.700-6"/><path d="M13 24.500V28M17.500 23.700V28"/>'
    '<path d="M20.700 9.500h.01"/></svg>'
)


@lru_cache(maxsize=1)
def _read_manifest(_changed_at: int) -> Mapping[str, str]:
    found: dict[str, str] = json.loads(MANIFEST.read_text())
    return found


def manifest() -> Mapping[str, str]:
    """Plain asset names to hashed ones, read anew when the front end was built anew.

    Raises DependencyError with the mend where it was not built.
    """
    try:
        return _read_manifest(MANIFEST.stat().st_mtime_ns)
    except FileNotFoundError:
        raise DependencyError(
            "The admin's front end was not built. Run `pip install -e .` (or `make`) again; it needs a package index."
        ) from None


def static(name: str) -> str:
    """The address of a bundled asset; KeyError for one that the build does not make."""
    return STATIC + manifest()[name]


def icon(name: str, extra: str = "") -> Markup:
    """One of icons.txt, beside words that say the same: hidden from screen readers."""
    return Markup('<svg class="icon {}" aria-hidden="true"><use href="{}#{}"/></svg>').format(
        extra, static("icons.svg"), name)


def number(value: float | None) -> str:
    """1,234 or 1.234, as the reader writes it; a dash where there is nothing to say."""
    return "–" if value is None else format_decimal(value, locale=LANGUAGE.get())


def percent(part: float | None, whole: float = 1.0, digits: int = 1) -> str:
    """``part`` of ``whole`` in per cent; a dash where the whole is nothing."""
    if part is None or not whole:
        return "–"
    pattern = "#,##0" + ("." + "0" * digits if digits else "") + "%"
    return format_percent(part / whole, pattern, locale=LANGUAGE.get(), decimal_quantization=True)


def size(count: int) -> str:
    """Octets as a person reads them."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= factor:
            return f"{format_decimal(round(count / factor, 1), locale=LANGUAGE.get())} {unit}"
    return f"{count} B"


def moment(at: datetime, zone: str = "UTC") -> str:
    """``21 Nov 2026, 10:00`` in the workspace's time zone."""
    return format_datetime(at, "d MMM y, HH:mm", tzinfo=ZoneInfo(zone), locale=LANGUAGE.get())


def day(at: datetime, zone: str = "UTC") -> str:
    return format_date(at.astimezone(ZoneInfo(zone)), "d MMM y", locale=LANGUAGE.get())


def ago(at: datetime, now: datetime) -> str:
    """``3 minutes ago``; the page's script keeps it fresh."""
    return format_timedelta(at - now, add_direction=True, locale=LANGUAGE.get())


def lasting(span: timedelta | int) -> str:
    """``2 minutes``: how long something takes or took."""
    return format_timedelta(span, threshold=1.2, locale=LANGUAGE.get())


def initials(name: str, email: str = "") -> str:
    """Up to two letters for a person's avatar."""
    words = name.split() or [email]
    return "".join(word[:1] for word in (words[0], *words[1:][-1:])).upper()


_BROWSERS: Final = (
    ("Edg", "Edge"), ("OPR", "Opera"), ("Firefox", "Firefox"), ("SamsungBrowser", "Samsung Internet"),
    ("HeadlessChrome", "Chrome"), ("Chrome", "Chrome"), ("Safari", "Safari"), ("curl", "curl"),
)
_SYSTEMS: Final = (
    ("Android", "Android"), ("iPhone", "iPhone"), ("iPad", "iPad"), ("Windows", "Windows"), ("Macintosh", "Mac"),
    ("Linux", "Linux"),
)


def device(user_agent: str) -> str:
    """``Chrome, Windows``: enough for a person to know their own devices again; never more than a hint."""
    found = [next((name for sign, name in table if sign in user_agent), "") for table in (_BROWSERS, _SYSTEMS)]
    return ", ".join(filter(None, found)) or _("Unknown device")


def to_json(value: Any) -> Markup:
    """JSON for a data block in a page; ``<`` and its kin are written so that no value can end the block."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return Markup(text)  # noqa: S704 - every sign that HTML knows is escaped above


def make_environment() -> Environment:
    """The one Jinja environment. Everything is escaped, an undefined name is an error, ``_()`` gives the words."""
    environment = Environment(
        loader=PackageLoader("admin_ui", "templates"), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True, auto_reload=False,
    )
    environment.globals.update(
        _=_, ngettext=ngettext, static=static, icon=icon, MARK=MARK, MAP=MAP, LANGUAGES=LANGUAGES,
        number=number, percent=percent, size=size, moment=moment, day=day, ago=ago, lasting=lasting, initials=initials,
        to_json=to_json, device=device,
    )
    return environment
