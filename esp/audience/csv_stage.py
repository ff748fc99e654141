"""A row of a file made into a staged row, which the database merges by the thousand, or refused with a reason."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson

from esp.audience.csv_columns import ATTRIBUTES, EMAIL, FULL_NAME, STATUS, TAGS, field_name, read_date
from esp.audience.csv_export import rearm
from esp.audience.csv_status import Standing, read_status
from esp.audience.field_values import read_value
from esp.model.ids import new_public_id
from esp.ports.contacts import STANDARD_FIELDS
from esp.ports.imports import STAGED_COLUMNS, STAGED_FIELDS, STAGED_STANDING, STAGED_TAGS, StagedRow
from esp.ports.people import ContactField
from esp.wire.addresses import AddressError, parse_address, plain_parts

_MAX_STANDARD: Final = 200
_MAX_CUSTOM: Final = 2000
_MAX_ATTRIBUTES: Final = 500
_MAX_TAGS: Final = 50
_MAX_TAG: Final = 60
_REMEMBERED: Final = 50_000
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
        # Names and places repeat; what a cell came to is looked up before it is looked at.
        self._plan = [(index, target, _SLOTS.get(target, 0), dict[str, str]()) for index, target in self.targets]

    @classmethod
    def of(
        cls, header: Sequence[str], mapping: Mapping[str, str], typed: Sequence[ContactField] = (),
        standing: Standing = Standing.JOINS,
    ) -> "Columns":
        return cls(len(header), [(header.index(title), target) for title, target in mapping.items()], typed, standing)

    def row(self, cells: Sequence[str]) -> StagedRow:
        """The staged row; empty cells say nothing. Raises ValueError with the reason where the row is refused."""
        count = len(cells)
        if count > self.width and any(cell.strip() for cell in cells[self.width:]):
            raise ValueError(f"The row has {count} cells, but there are {self.width} columns; "
                             "perhaps a separator stands in a cell without quotation marks.")
        row: StagedRow = [None] * len(STAGED_COLUMNS)
        standing, full_name = self.standing, ""
        fields: dict[str, Any] = {}
        for index, target, slot, known in self._plan:
            cell = cells[index] if index < count else ""
            if not cell:
                continue
            if slot:
                value = known.get(cell)
                if value is None:
                    value = _standard(target, cell)
                    if len(known) < _REMEMBERED:
                        known[cell] = value
                row[slot] = value or None
                continue
            if "\0" in cell:
                raise ValueError("The row holds a NUL character, which is no text.")
            if target == EMAIL:
                full_name = _put_address(cell, row) or full_name
            elif target == FULL_NAME:
                full_name = _standard(target, cell) or full_name
            elif target == ATTRIBUTES:
                self._attributes(cell, fields)
            elif value := clean(rearm(cell) if cell[0] == "'" else cell):
                if target == STATUS:
                    standing = read_status(value)
                elif target == TAGS:
                    row[STAGED_TAGS] = _tags(value)
                else:
                    self._custom(target, value, fields)
        if row[0] is None:
            raise ValueError("The address is empty.")
        if full_name:
            first, _, last = full_name.partition(" ")
            row[_FIRST] = row[_FIRST] or first
            row[_LAST] = row[_LAST] or last or None
        row[3] = new_public_id()
        row[_FIRST_KEY] = row[_FIRST] and row[_FIRST].casefold()
        row[_LAST_KEY] = row[_LAST] and row[_LAST].casefold()
        row[STAGED_FIELDS] = orjson.dumps(fields).decode() if fields else "{}"
        row[STAGED_STANDING] = int(standing)
        row[STAGED_TAGS] = row[STAGED_TAGS] or ""
        return row

    def _custom(self, target: str, value: Any, fields: dict[str, Any]) -> None:
        typed = self.typed.get(target)
        if typed is not None:
            try:
                read = read_value(typed, value)
            except ValueError as error:
                raise ValueError(f"{typed.label}: {error}") from None
            if read is not None:
                fields[target] = read
            return
        if len(value) > _MAX_CUSTOM:
            raise ValueError(f"The field {target} is longer than {_MAX_CUSTOM} characters.")
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
            name = key if key in self.typed else _key(key)
            if value is None or value == "" or not name:
                continue
            kind = type(value)
            if name in self.typed:
                self._custom(name, value, fields)
            elif kind is str:
                # JSON says which is a number and which is text.
                if len(value) > _MAX_CUSTOM:
                    raise ValueError(f"The field {name} is longer than {_MAX_CUSTOM} characters.")
                fields[name] = clean(value)
            elif kind is int or kind is float or kind is bool:
                fields[name] = value
            elif kind is list and all(isinstance(one, str | int | float) for one in value):
                fields[name] = [clean(str(one)) for one in value]
            else:
                fields[name] = orjson.dumps(value).decode()[:_MAX_CUSTOM]


def _key(text: str) -> str:
    """``field_name`` of a JSON key, remembered: every row says the same ones."""
    name = _KEYS.get(text)
    if name is None:
        name = field_name(text)
        if len(_KEYS) < 10_000:
            _KEYS[text] = name
    return name


def _standard(target: str, cell: str) -> str:
    if "\0" in cell:
        raise ValueError("The row holds a NUL character, which is no text.")
    value = clean(rearm(cell))
    if len(value) > _MAX_STANDARD:
        raise ValueError(f"The {target.replace('_', ' ')} is longer than {_MAX_STANDARD} characters.")
    return read_date(value) if value and target == "birth_date" else value


def _put_address(cell: str, row: StagedRow) -> str:
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


def _tags(text: str) -> str:
    """A JSON object of tags, case-folded name -> name; empty where there is none."""
    names = [clean(part.strip('" '))[:_MAX_TAG] for part in _TAG_SEPARATORS.split(text)]
    found = {name.casefold(): name for name in names if name}
    if len(found) > _MAX_TAGS:
        raise ValueError(f"There are more than {_MAX_TAGS} tags.")
    return orjson.dumps(found).decode() if found else ""


def fold(into: StagedRow, later: StagedRow) -> bool:
    """Fold a second row of the same person into the first; the later word stands. False where it says nothing new."""
    before = list(into)
    for index in range(4, STAGED_FIELDS):
        if later[index] is not None:
            into[index] = later[index]
    if later[STAGED_FIELDS] != "{}":
        merged = {**orjson.loads(into[STAGED_FIELDS]), **orjson.loads(later[STAGED_FIELDS])}
        into[STAGED_FIELDS] = orjson.dumps(merged).decode()
    # Who is said to have left, or to be out of reach, in one row does not come back by another.
    into[STAGED_STANDING] = max(into[STAGED_STANDING], later[STAGED_STANDING])
    if later[STAGED_TAGS]:
        both = {**orjson.loads(into[STAGED_TAGS] or "{}"), **orjson.loads(later[STAGED_TAGS])}
        into[STAGED_TAGS] = orjson.dumps(both).decode()
    return into != before
