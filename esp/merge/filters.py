"""Filters and tests of the merge language. Total: what they cannot work on comes back as missing, never an exception.

Values are str, int, float, bool, None (missing), lists and dicts of these. Named and behaving as Jinja2's, with two
differences that marketers expect: ``default`` also replaces empty text, and ``escape`` does nothing, because HTML is
always escaped and plain text never is.
"""

import re
from collections.abc import Callable
from datetime import date, datetime
from typing import Any, Final
from urllib.parse import quote

MAXIMUM_TEXT: Final = 65_536  # characters of one value made by the language
_LARGEST: Final = 1e15


def to_text(value: Any) -> str:
    """How a value prints: missing prints nothing, the rest as Python's str."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, list):
        return ", ".join(str(item)[:1000] for item in value[:1000] if isinstance(item, (str, int, float)))
    return str(value) if isinstance(value, (int, float)) else ""


def number(value: Any) -> int | float | None:
    """``value`` as a number of reasonable size, or None."""
    if isinstance(value, (int, float)) and abs(value) < _LARGEST:
        return value
    return None


def _default(value: Any, fallback: Any = "", boolean: bool = False) -> Any:
    missing = value is None or (isinstance(value, str) and not value.strip()) or (boolean and not value)
    return fallback if missing else value


def _truncate(value: Any, length: Any = 255, killwords: Any = False, end: Any = "...", leeway: Any = 5) -> str:
    text, size, tail = to_text(value), number(length), to_text(end)
    if size is None or len(text) <= size + (number(leeway) or 0):
        return text
    cut = text[: max(0, int(size) - len(tail))]
    return (cut if killwords else cut.rsplit(" ", 1)[0]) + tail


def _round(value: Any, precision: Any = 0) -> Any:
    amount, digits = number(value), number(precision)
    return None if amount is None or digits is None else round(float(amount), max(-15, min(15, int(digits))))


def _int(value: Any, default: Any = 0) -> Any:
    try:
        return int(float(to_text(value)[:40])) if abs(float(to_text(value)[:40])) < _LARGEST else default
    except (ValueError, OverflowError):
        return default


def _float(value: Any, default: Any = 0.0) -> Any:
    try:
        amount = float(to_text(value)[:40])
    except ValueError:
        return default
    return amount if abs(amount) < _LARGEST else default


def _first(value: Any) -> Any:
    return value[0] if isinstance(value, (list, str)) and value else None


def _last(value: Any) -> Any:
    return value[-1] if isinstance(value, (list, str)) and value else None


def _length(value: Any) -> int:
    return len(value) if isinstance(value, (list, str, dict)) else 0


def _join(value: Any, separator: Any = "") -> str:
    parts: list[str] = []
    size = 0
    for item in value if isinstance(value, (list, dict)) else [value]:
        parts.append(to_text(item)[:MAXIMUM_TEXT])
        size += len(parts[-1]) + len(to_text(separator))
        if size > MAXIMUM_TEXT:
            break
    return to_text(separator).join(parts)[:MAXIMUM_TEXT]


def _replace(value: Any, old: Any, new: Any = "", count: Any = None) -> Any:
    text, old_text, new_text = to_text(value), to_text(old), to_text(new)
    if not old_text:
        return text
    times = number(count)
    found = text.count(old_text)
    # The length is known before the text is made, so that nothing large is ever made.
    if len(text) + found * max(0, len(new_text) - len(old_text)) > MAXIMUM_TEXT:
        return text
    return text.replace(old_text, new_text, -1 if times is None else int(times))


def _date(value: Any, form: Any = "%d %B %Y") -> str:
    text = to_text(value).strip()
    try:
        moment = datetime.fromisoformat(text) if len(text) > 10 else date.fromisoformat(text)
        # Only single-letter codes: strftime's widths (%1000000d) make text of any length.
        pattern = re.sub(r"%(?![aAbBdmyYHIMSpj%])", "%%", to_text(form)[:100])
        return moment.strftime(pattern)
    except ValueError:
        return text


def _title(value: Any) -> str:
    return re.sub(r"[^\s\-({\[<]+", lambda word: word[0][:1].upper() + word[0][1:].lower(), to_text(value))


def _items(value: Any) -> list[Any]:
    return [[key, item] for key, item in value.items()] if isinstance(value, dict) else []


FILTERS: Final[dict[str, Callable[..., Any]]] = {
    "default": _default, "d": _default,
    "upper": lambda value: to_text(value).upper(),
    "lower": lambda value: to_text(value).lower(),
    "title": _title,
    "capitalize": lambda value: to_text(value).capitalize(),
    "trim": lambda value: to_text(value).strip(),
    "string": to_text,
    "escape": lambda value: value, "e": lambda value: value,
    "truncate": _truncate, "round": _round, "int": _int, "float": _float,
    "abs": lambda value: None if number(value) is None else abs(value),
    "first": _first, "last": _last, "length": _length, "count": _length,
    "join": _join, "replace": _replace, "date": _date, "items": _items,
    "urlencode": lambda value: quote(to_text(value)[:2000].encode("utf-8", "replace"), safe=""),
    "sort": lambda value: sorted(value, key=to_text) if isinstance(value, list) else value,
    "unique": lambda value: list({to_text(v): v for v in value}.values()) if isinstance(value, list) else value,
    "reverse": lambda value: value[::-1] if isinstance(value, (list, str)) else value,
}  # fmt: skip


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_in(value: Any, box: Any) -> bool:
    if isinstance(box, str):
        return to_text(value) in box
    return not isinstance(value, (list, dict)) and isinstance(box, (list, dict)) and value in box


TESTS: Final[dict[str, Callable[..., bool]]] = {
    "defined": lambda value: value is not None,
    "undefined": lambda value: value is None,
    "none": lambda value: value is None,
    "string": lambda value: isinstance(value, str),
    "number": _is_number,
    "boolean": lambda value: isinstance(value, bool),
    "true": lambda value: value is True,
    "false": lambda value: value is False,
    "even": lambda value: _is_number(value) and value % 2 == 0,
    "odd": lambda value: _is_number(value) and value % 2 == 1,
    "divisibleby": lambda value, by: _is_number(value) and _is_number(by) and by != 0 and value % by == 0,
    "lower": lambda value: to_text(value).islower(),
    "upper": lambda value: to_text(value).isupper(),
    "in": _is_in,
    "equalto": lambda value, other: bool(value == other),
}  # fmt: skip
