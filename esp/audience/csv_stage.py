"""A row of a file made into a staged row, which the database merges by the thousand, or refused with a reason."""

import ipaddress
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

import orjson

from esp.audience.csv_columns import ATTRIBUTES, EMAIL, FULL_NAME, PROOF, STATUS, TAGS, field_name, read_date
from esp.audience.csv_export import rearm
from esp.audience.csv_status import Standing, read_status
from esp.audience.field_values import read_value
from esp.ports.contacts import STANDARD_FIELDS
from esp.ports.imports import STAGED_COLUMNS, STAGED_FIELDS, STAGED_PROOF, STAGED_STANDING, STAGED_TAGS, StagedRow
from esp.ports.people import ContactField
from esp.wire.addresses import AddressError, parse_address, plain_parts

_MAX_STANDARD: Final = 200
MAX_CUSTOM: Final = 2000
_MAX_ATTRIBUTES: Final = 500
_MAX_TAGS: Final = 50
_MAX_TAG: Final = 60
REMEMBERED: Final = 50_000
_NUL: Final = "The row holds a NUL character, which is no text."
_SLOTS: Final = {name: STAGED_COLUMNS.index(name) for name in STANDARD_FIELDS}
_FIRST, _LAST = _SLOTS["first_name"], _SLOTS["last_name"]
_FIRST_KEY, _LAST_KEY = STAGED_COLUMNS.index("first_key"), STAGED_COLUMNS.index("last_key")
_INTEGER: Final = re.compile(r"-?(?:0|[1-9]\d{0,14})")
# Every character that ends a line for some program would become one in a header; in a name it is a blank.
_BREAKS: Final = re.compile(r"[\s\x00-\x1f\x7f\x85\u2028\u2029]+")
_NAMED: Final = re.compile(r'\s*"?([^"<>@]*?)"?\s*<([^<>\s]+)>\s*')
_TAG_SEPARATORS: Final = re.compile(r'"\s*,\s*"|[,;|]')
_KEYS: Final[dict[str, str]] = {}


def clean(cell: str) -> str:
    """The cell as one line without blanks around it."""
    if cell.isprintable() and "  " not in cell:
        return cell.strip()
    return _BREAKS.sub(" ", cell).strip()


class Column(NamedTuple):
    """One column: which cell, which field, and for a standard field its place in the staged row and the values that
    cells came to. Names and places repeat; what a cell came to is looked up before it is looked at."""

    at: int
    target: str
    slot: int
    known: dict[str, str]


class Columns:
    """A header with its mapping, ready to make staged rows of cells.

    ``targets`` are (index, field); ``typed`` the workspace's own fields; ``standing`` is that of rows that do not say.
    """

    def __init__(
        self, width: int, targets: Sequence[tuple[int, str]], typed: Sequence[ContactField] = (),
        standing: Standing = Standing.JOINS,
    ) -> None:
        self.width = width
        self.targets = tuple(targets)
        self.typed = {field.key: field for field in typed}
        self.standing = standing
        self.plan = tuple(Column(index, target, _SLOTS.get(target, 0), {}) for index, target in self.targets)

    @classmethod
    def of(
        cls, header: Sequence[str], mapping: Mapping[str, str], typed: Sequence[ContactField] = (),
        standing: Standing = Standing.JOINS,
    ) -> "Columns":
        return cls(len(header), [(header.index(title), target) for title, target in mapping.items()], typed, standing)

    def row(self, cells: Sequence[str]) -> StagedRow:
        """The staged row; empty cells say nothing. Raises ValueError with every reason why the row is refused."""
        count = len(cells)
        if count > self.width and any(cell.strip() for cell in cells[self.width:]):
            raise ValueError(f"The row has {count} cells, but there are {self.width} columns; "
                             "perhaps a separator stands in a cell without quotation marks.")
        row: list[Any] = [None] * len(STAGED_COLUMNS)
        row[STAGED_STANDING] = int(self.standing)
        fields, names, proof, problems = dict[str, Any](), list[str](), dict[str, str](), list[str]()
        addressed = False
        for column in self.plan:
            cell = cells[column.at] if column.at < count else ""
            if not cell:
                continue
            addressed = addressed or (column.target == EMAIL and bool(cell.strip()))
            try:
                self._put(column, cell, row, fields, names, proof)
            except ValueError as error:
                problems.append(str(error))
        if not addressed:
            problems.insert(0, "The address is empty.")
        if problems:
            raise ValueError(" ".join(dict.fromkeys(problems)))
        for name in names[-1:]:
            first, _, last = name.partition(" ")
            row[_FIRST] = row[_FIRST] or first
            row[_LAST] = row[_LAST] or last or None
        row[_FIRST_KEY] = row[_FIRST] and row[_FIRST].casefold()
        row[_LAST_KEY] = row[_LAST] and row[_LAST].casefold()
        row[STAGED_FIELDS] = orjson.dumps(fields).decode() if fields else "{}"
        row[STAGED_TAGS] = row[STAGED_TAGS] or ""
        row[STAGED_PROOF] = orjson.dumps(proof).decode() if proof else ""
        return tuple(row)

    def _put(
        self, column: Column, cell: str, row: list[Any], fields: dict[str, Any], names: list[str],
        proof: dict[str, str],
    ) -> None:
        """What the cell says, where it belongs; raises ValueError."""
        target = column.target
        if column.slot:
            row[column.slot] = standard_value(column, cell) or None
            return
        if "\0" in cell:
            raise ValueError(_NUL)
        if target == EMAIL:
            if name := _put_address(cell, row):
                names.append(name)
        elif target == FULL_NAME:
            if name := _standard(target, cell):
                names.append(name)
        elif target == ATTRIBUTES:
            self._attributes(cell, fields)
        elif value := plain_value(cell):
            if target == STATUS:
                row[STAGED_STANDING] = int(read_status(value))
            elif target == TAGS:
                row[STAGED_TAGS] = read_tags(value)
            elif target in PROOF:
                proof[target] = read_proof(target, value)
            else:
                self.custom(target, value, fields)

    def custom(self, target: str, value: Any, fields: dict[str, Any]) -> None:
        """Put a custom field's value, as the workspace's own field or as it is written. Raises ValueError."""
        typed = self.typed.get(target)
        if typed is not None:
            try:
                read = read_value(typed, value)
            except ValueError as error:
                raise ValueError(f"{typed.label}: {error}") from None
            if read is not None:
                fields[target] = read
            return
        if len(value) > MAX_CUSTOM:
            raise ValueError(f"The field {target} is longer than {MAX_CUSTOM} characters.")
        # Plain whole numbers are numbers, so that templates can compare them; 0812... and 1.50 stay as written.
        fields[target] = int(value) if value[-1].isdigit() and _INTEGER.fullmatch(value) else value

    def _attributes(self, text: str, fields: dict[str, Any]) -> None:
        """Custom fields out of a JSON object; what is nested deeper than a list of values becomes text."""
        try:
            found = orjson.loads(text)
        except orjson.JSONDecodeError:
            raise ValueError("The attributes are no JSON object.") from None
        if not isinstance(found, dict):
            raise ValueError("The attributes are no JSON object.")
        if len(found) > _MAX_ATTRIBUTES:
            raise ValueError(f"There are more than {_MAX_ATTRIBUTES} attributes.")
        for key, value in found.items():
            name = key if key in self.typed else json_key(key)
            if value is None or value == "" or not name:
                continue
            kind = type(value)
            if name in self.typed:
                self.custom(name, value, fields)
            elif kind is str:
                # JSON says which is a number and which is text.
                if len(value) > MAX_CUSTOM:
                    raise ValueError(f"The field {name} is longer than {MAX_CUSTOM} characters.")
                fields[name] = clean(value)
            elif kind is int or kind is float or kind is bool:
                fields[name] = value
            elif kind is list and all(isinstance(one, str | int | float) for one in value):
                fields[name] = [clean(str(one)) for one in value]
            else:
                fields[name] = orjson.dumps(value).decode()[:MAX_CUSTOM]


def json_key(text: str) -> str:
    """``field_name`` of a JSON key, remembered: every row says the same ones."""
    name = _KEYS.get(text)
    if name is None:
        name = field_name(text)
        if len(_KEYS) < 10_000:
            _KEYS[text] = name
    return name


def plain_value(cell: str) -> str:
    """The cell's text on one line, without the apostrophe that keeps a formula from running."""
    return clean(rearm(cell) if cell[0] == "'" else cell)


def standard_value(column: Column, cell: str) -> str:
    """What the cell says of a standard field. Raises ValueError."""
    value = column.known.get(cell)
    if value is None:
        value = _standard(column.target, cell)
        if len(column.known) < REMEMBERED:
            column.known[cell] = value
    return value


def _standard(target: str, cell: str) -> str:
    if "\0" in cell:
        raise ValueError(_NUL)
    value = clean(rearm(cell))
    if len(value) > _MAX_STANDARD:
        raise ValueError(f"The {target.replace('_', ' ')} is longer than {_MAX_STANDARD} characters.")
    return read_date(value) if value and target == "birth_date" else value


def _put_address(cell: str, row: list[Any]) -> str:
    """Put the cell's address into the row; returns the name that stands before it in ``Siti <siti@mail.example>``."""
    parts, name = plain_parts(cell), ""
    if parts is None:
        text = cell.strip()
        if text.endswith(">"):
            named = _NAMED.fullmatch(text)
            if named is None:
                raise AddressError("The address holds a character that is not allowed there.")
            name, text = clean(named[1])[:_MAX_STANDARD], named[2]
        address = parse_address(text)
        parts = address.text, address.key, address.domain
    row[1], row[0], row[2] = parts
    return name


def read_tags(text: str) -> str:
    """A JSON object of tags, case-folded name -> name; empty where there is none."""
    names = [clean(part.strip('" '))[:_MAX_TAG] for part in _TAG_SEPARATORS.split(text)]
    found = {name.casefold(): name for name in names if name}
    if len(found) > _MAX_TAGS:
        raise ValueError(f"There are more than {_MAX_TAGS} tags.")
    return orjson.dumps(found).decode() if found else ""


def read_proof(target: str, text: str) -> str:
    """When, or from which IP address, somebody agreed elsewhere: an ISO 8601 moment in UTC, or the address.

    Raises ValueError. What has no zone is UTC, as the systems write it that keep such records.
    """
    what = PROOF[target]
    if target.endswith("_ip"):
        try:
            return str(ipaddress.ip_address(text))
        except ValueError:
            raise ValueError(f"The {what} {text[:60]!r} is no IP address.") from None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"The {what} {text[:40]!r} is no time; write it as 2024-05-31 08:15:00.") from None
    at = at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    return at.strftime("%Y-%m-%d %H:%M:%S.%f")


def fold(first: StagedRow, later: StagedRow) -> StagedRow:
    """A second row of the same person folded into the first; the later word stands. ``first`` where it says nothing
    new."""
    both = list(first)
    for index in range(_SLOTS["first_name"], STAGED_FIELDS):
        if later[index] is not None:
            both[index] = later[index]
    if later[STAGED_FIELDS] != "{}":
        both[STAGED_FIELDS] = orjson.dumps(
            {**orjson.loads(first[STAGED_FIELDS]), **orjson.loads(later[STAGED_FIELDS])}).decode()
    # Who is said to have left, or to be out of reach, in one row does not come back by another.
    both[STAGED_STANDING] = max(first[STAGED_STANDING], later[STAGED_STANDING])
    for slot in (STAGED_TAGS, STAGED_PROOF):
        if later[slot]:
            both[slot] = orjson.dumps({**orjson.loads(first[slot] or "{}"), **orjson.loads(later[slot])}).decode()
    folded = tuple(both)
    return first if folded == first else folded
