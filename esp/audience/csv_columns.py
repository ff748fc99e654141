"""Which column of a CSV file is which field, and a row made into a contact or refused with a reason."""

import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date
from functools import lru_cache
from typing import Final

from esp.audience.csv_status import is_status
from esp.errors import InputError
from esp.ports.contacts import STANDARD_FIELDS
from esp.wire.addresses import AddressError, parse_address

EMAIL: Final = "email"
FULL_NAME: Final = "full_name"  # split at its first blank into first and last name
STATUS: Final = "status"  # subscribed, unsubscribed, bounced and their like in several systems' words
TAGS: Final = "tags"  # separated by commas, semicolons or bars
ATTRIBUTES: Final = "attributes"  # a JSON object of custom fields, as listmonk exports it
# When and from where somebody agreed, as another system noted it: kept as consent records of their own.
PROOF: Final = {"optin_time": "opt-in time", "optin_ip": "opt-in address", "confirm_time": "confirmation time",
                "confirm_ip": "confirmation address"}
TARGETS: Final = (EMAIL, *STANDARD_FIELDS, FULL_NAME, STATUS, TAGS, ATTRIBUTES, *PROOF)
MAX_COLUMNS: Final = 500

_NAMES: Final[dict[str, str]] = {
    EMAIL: "email|e mail|mail|email address|e mail address|mail address|alamat email|alamat e mail|surel|alamat surel"
           "|correo|correo electronico|adresse e mail|courriel|epost|email id",
    "first_name": "first name|firstname|given name|fname|first|nama depan|vorname|prenom|nombre",
    "last_name": "last name|lastname|surname|family name|lname|last|nama belakang|nama keluarga|nachname|nom|apellido",
    FULL_NAME: "name|full name|fullname|nama|nama lengkap|contact name",
    "city": "city|town|kota|kabupaten|kota kabupaten|stadt|ville|ciudad",
    "country": "country|country code|negara|land|pays|pais",
    "language": "language|lang|locale|bahasa|sprache|langue",
    "time_zone": "time zone|timezone|tz|zona waktu",
    TAGS: "tags|tag|labels|label",
    ATTRIBUTES: "attributes|attribs|atribut",
    "birth_date": "birth date|birthdate|birthday|date of birth|dob|tanggal lahir|tgl lahir|ulang tahun|geburtstag",
}
_BY_NAME: Final = {name: target for target, names in _NAMES.items() for name in names.split("|")}
_STATUS_TITLES: Final = ("status", "subscription status", "member status", "email status", "status langganan")
_CUSTOM: Final = re.compile(r"[a-z][a-z0-9_]{0,49}")
_DATE: Final = re.compile(r"(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})|(\d{1,2})[-/. ](\d{1,2})[-/. ](\d{4})")
# Every character that ends a line for some program would become one in a header; in a name it is a blank.
_BREAKS: Final = re.compile(r"[\s\x00-\x1f\x7f\x85\u2028\u2029]+")


def field_name(header: str) -> str:
    """The custom field's name that a column title makes: ``Kode Pos`` is ``kode_pos``; empty where nothing is left."""
    plain = unicodedata.normalize("NFKD", header).encode("ascii", "ignore").decode().lower()
    name = re.sub(r"[^a-z0-9]+", "_", plain).strip("_")[:50]
    if name and not name[0].isalpha():
        name = f"field_{name}"[:50]
    return f"{name}_1" if name in TARGETS else name


def check_header(header: Sequence[str]) -> tuple[str, ...]:
    """The column titles without blanks around them; raises InputError where they cannot be told apart."""
    titles = tuple(_BREAKS.sub(" ", title).strip(" \ufeff") for title in header)
    if len(titles) > MAX_COLUMNS:
        raise InputError(f"The file has {len(titles):,} columns; {MAX_COLUMNS} are the most. Is the separator right?")
    if not any(titles):
        raise InputError("The first line must name the columns, such as email, first name, city.")
    for title in titles:
        if "@" in title and _is_address(title):
            raise InputError("The first line must name the columns, but it holds an address. Add: email,name")
    twice = [title for title, n in Counter(title.casefold() for title in titles if title).items() if n > 1]
    if twice:
        raise InputError(f"The column {twice[0]!r} is there twice. Rename or remove one of them, and try again.")
    return titles


def _is_address(text: str) -> bool:
    try:
        parse_address(text)
    except AddressError:
        return False
    return True


def guess_mapping(header: Sequence[str], rows: Sequence[Sequence[str]] = ()) -> dict[str, str]:
    """Column title -> field for those that can be told by their title, the address also by what ``rows`` hold."""
    mapping: dict[str, str] = {}
    for title in header:
        plain = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode().casefold()
        target = _BY_NAME.get(re.sub(r"[^a-z0-9]+", " ", plain).strip())
        if target and target not in mapping.values():
            mapping[title] = target
    for index, title in enumerate(header):
        # Only where every value is one: many a file has a status of another kind.
        values = [row[index] for row in rows if index < len(row) and row[index].strip()]
        if title.strip().casefold() in _STATUS_TITLES and values and all(map(is_status, values)):
            mapping[title] = STATUS
            break
    if EMAIL not in mapping.values():
        for index, title in enumerate(header):
            values = [row[index] for row in rows if index < len(row) and row[index].strip()]
            if title and title not in mapping and values and sum(map(_is_address, values)) * 2 > len(values):
                mapping[title] = EMAIL
                break
    return mapping


def check_mapping(header: Sequence[str], mapping: Mapping[str, str]) -> dict[str, str]:
    """``mapping`` without what is not imported; raises InputError where it cannot be used with this header."""
    chosen = {title: target.strip() for title, target in mapping.items() if target.strip()}
    problems: dict[str, str] = {}
    for title, target in chosen.items():
        if title not in header:
            problems[title] = "The file has no such column."
        elif target not in TARGETS and not _CUSTOM.fullmatch(target):
            problems[title] = "A field's name has small letters, digits and _ only, and begins with a letter."
        elif sum(other == target for other in chosen.values()) > 1:
            problems[title] = f"Two columns would go into {target}."
    if problems:
        raise InputError("The columns cannot be imported like this.", problems)
    if EMAIL not in chosen.values():
        raise InputError("There is no column with e-mail addresses. Choose the one that holds them.", {
            "mapping": "One column must be the e-mail address."})
    return chosen


@lru_cache(maxsize=32768)
def read_date(text: str) -> str:
    """A date as YYYY-MM-DD from 1990-05-31, 31/5/1990, 31.05.1990 or, where it cannot be otherwise, 5/31/1990.

    Day before month, as nearly everybody outside the United States writes. Raises ValueError.
    """
    found = _DATE.match(text)
    if found is None:
        raise ValueError(f"The birth date {text[:40]!r} is no date; write it as 1990-05-31.")
    if found[1]:
        year, month, day = int(found[1]), int(found[2]), int(found[3])
    else:
        day, month, year = int(found[4]), int(found[5]), int(found[6])
        if month > 12 >= day:
            day, month = month, day
    try:
        return date(year, month, day).isoformat()
    except ValueError:
        raise ValueError(f"The birth date {text[:40]!r} is not in the calendar.") from None
