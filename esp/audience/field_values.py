"""Typed values of a workspace's own fields: read from forms, files and preference pages alike, and shown again."""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from esp.audience.csv_columns import TARGETS, field_name, read_date
from esp.errors import InputError
from esp.model.fields import FieldType
from esp.ports.people import ContactField

MAX_TEXT: Final = 2000
MAX_CHOICES: Final = 200
_MAX_LABEL: Final = 80
_MAX_NUMBER: Final = 1e15  # beyond it a double, and so JSON, no longer tells whole numbers apart

_YES: Final = frozenset(("1", "true", "yes", "y", "on", "t", "ya", "iya", "benar"))
_NO: Final = frozenset(("0", "false", "no", "n", "off", "f", "tidak", "salah"))
# What ends a line or steers a terminal has no place in a name; marks of direction stay, for some scripts need them.
_BREAKS: Final = re.compile(r"[\s\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_NUMBER: Final = re.compile(r"[+-]?\d+(\.\d+)?")
_SEPARATORS: Final = re.compile(r"[;|\n]")


def read_value(field: ContactField, raw: object) -> Any:
    """What ``raw`` (typed text, a cell, or a JSON value) means for this field; None where it is empty.

    Raises ValueError with one sentence for the person who typed it.
    """
    if raw is None:
        return None
    if isinstance(raw, list | tuple | set | frozenset):
        if field.type is FieldType.CHOICES:
            return _several(field, [_line(one) for one in raw])
        raise ValueError("Write one value, not several.")
    if field.type is FieldType.BOOLEAN and isinstance(raw, bool):
        return raw
    if field.type is FieldType.NUMBER and isinstance(raw, int | float) and not isinstance(raw, bool):
        return _bounded(raw)
    text = _line(raw)
    return _READERS[field.type](field, text) if text else None


def _line(raw: object) -> str:
    if isinstance(raw, bool):
        return "true" if raw else "false"
    return _BREAKS.sub(" ", str(raw)).strip()


def _text(_field: ContactField, text: str) -> str:
    if len(text) > MAX_TEXT:
        raise ValueError(f"At most {MAX_TEXT} characters.")
    return text


def _number(_field: ContactField, text: str) -> int | float:
    plain = text.replace(" ", "").replace("\u00a0", "")
    point, comma = plain.rfind("."), plain.rfind(",")
    if point >= 0 and comma >= 0:
        # The later one divides off the fraction; the earlier one groups thousands.
        plain = plain.replace(",", "") if point > comma else plain.replace(".", "").replace(",", ".")
    elif comma >= 0:
        if re.fullmatch(r"[+-]?\d{1,3}(,\d{3})+", plain):
            raise ValueError("Write the number without separators, such as 1234 or 12.5.")
        plain = plain.replace(",", ".")
    if len(plain) > 40 or not _NUMBER.fullmatch(plain) or not plain.isascii():
        raise ValueError("Write a number, such as 12 or 12.5.")
    return _bounded(float(plain) if "." in plain else int(plain))


def _bounded(number: int | float) -> int | float:
    if not math.isfinite(number) or abs(number) >= _MAX_NUMBER:
        raise ValueError("The number is too large.")
    return number


def _date(_field: ContactField, text: str) -> str:
    try:
        return read_date(text)
    except ValueError:
        raise ValueError("Write a date, such as 2026-11-21.") from None


def _boolean(_field: ContactField, text: str) -> bool:
    word = text.casefold()
    if word in _YES:
        return True
    if word in _NO:
        return False
    raise ValueError("Choose yes or no.")


def _choice(field: ContactField, text: str) -> str:
    found = _by_name(field).get(text.casefold())
    if found is None:
        raise ValueError(f"“{text[:60]}” is none of the choices.")
    return found


def _several(field: ContactField, texts: Sequence[str]) -> list[str] | None:
    """In the order of the field's choices, each once; None where nothing is chosen."""
    chosen = {_choice(field, text) for text in texts if text}
    return [choice for choice in field.choices if choice in chosen] or None


def _choices(field: ContactField, text: str) -> list[str] | None:
    """Separated by ; or | or, where no choice holds one, by commas."""
    if text.casefold() in _by_name(field):
        return _several(field, [text])
    parts = _SEPARATORS.split(text)
    if len(parts) == 1 and not any("," in choice for choice in field.choices):
        parts = text.split(",")
    return _several(field, [part.strip() for part in parts])


def _by_name(field: ContactField) -> dict[str, str]:
    return {choice.casefold(): choice for choice in field.choices}


_READERS: Final = {
    FieldType.TEXT: _text, FieldType.NUMBER: _number, FieldType.DATE: _date, FieldType.BOOLEAN: _boolean,
    FieldType.CHOICE: _choice, FieldType.CHOICES: _choices,
}


def read_values(fields: Iterable[ContactField], raw: Mapping[str, object]) -> dict[str, Any]:
    """The values of those ``fields`` that ``raw`` names, by key, None where a value was emptied.

    Raises InputError with a sentence beside each key that cannot be read.
    """
    values: dict[str, Any] = {}
    problems: dict[str, str] = {}
    for field in fields:
        if field.key in raw:
            try:
                values[field.key] = read_value(field, raw[field.key])
            except ValueError as error:
                problems[field.key] = str(error)
    if problems:
        raise InputError("Some fields need another look. Nothing was changed.", problems)
    return values


def value_text(value: object, yes: str = "yes", no: str = "no") -> str:
    """A stored value as a line of text, for pages and files; empty for None."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return yes if value else no
    if isinstance(value, list | tuple):
        return "; ".join(value_text(one, yes, no) for one in value)
    return str(value)


def check_definition(label: str, kind: FieldType, choices: Iterable[str], key: str = "") -> tuple[str, str, list[str]]:
    """Key, label and choices of a field as they will be kept; the key is made of the label where none is given.

    Raises InputError by form field (label, key, choices).
    """
    label = _BREAKS.sub(" ", label).strip()
    problems: dict[str, str] = {}
    if not label or len(label) > _MAX_LABEL:
        problems["label"] = f"Give the field a name of at most {_MAX_LABEL} characters."
    made = field_name(key or label)
    if not made or (key and made != key):
        problems["key" if key else "label"] = "A field's name needs letters or digits, such as shoe size."
    elif made in TARGETS:
        problems["key" if key else "label"] = "There is a standard field of this name already."
    kept = list(dict.fromkeys(filter(None, (_BREAKS.sub(" ", choice).strip() for choice in choices))))
    if kind in (FieldType.CHOICE, FieldType.CHOICES):
        if not kept:
            problems["choices"] = "Write at least one choice, each on a line of its own."
        elif len(kept) > MAX_CHOICES:
            problems["choices"] = f"At most {MAX_CHOICES} choices."
        elif any(len(choice) > 100 or re.search(r"[;|]", choice) for choice in kept):
            problems["choices"] = "A choice has at most 100 characters, and neither ; nor | in it."
        elif len({choice.casefold() for choice in kept}) < len(kept):
            problems["choices"] = "Two choices differ only in capital letters."
    else:
        kept = []
    if problems:
        raise InputError("The field was not saved.", problems)
    return made, label, kept
