"""A block of rows made staged rows column by column: what is ordinary at once, and the odd rows one by one.

The meaning is that of ``Columns.row`` and of nothing else; a property test holds the two equal. What this knows is only
how to see that a whole column is ordinary, and which rows to leave to that where it is not.
"""

import string
from collections.abc import Callable, Iterator, Sequence
from itertools import repeat
from typing import Any, Final

import orjson

from esp.audience.csv_columns import ATTRIBUTES, EMAIL, FULL_NAME, PROOF, STATUS, TAGS
from esp.audience.csv_stage import (
    MAX_CUSTOM,
    REMEMBERED,
    Column,
    Columns,
    json_key,
    plain_value,
    read_tags,
    standard_value,
)
from esp.audience.csv_status import read_status
from esp.ports.contacts import STANDARD_FIELDS
from esp.ports.imports import STAGED_COLUMNS, StagedRow
from esp.wire.addresses import AddressError, known_domain, plain_parts

_LONGEST_LOCAL: Final = 64
_LONGEST_ADDRESS: Final = 254
_OURS: Final = frozenset((EMAIL, *STANDARD_FIELDS, FULL_NAME, STATUS, TAGS, ATTRIBUTES, *PROOF))
# What a column of plain addresses, joined by line feeds, is made of, and what it has not: else each is looked at.
_ATOMS: Final = (string.ascii_letters + string.digits + "#$&'*+/=?^_`{|}~.@\n-").encode()
_NO_ATOM: Final = ("..", ".@", "\n.", "=?")
# What ``clean`` would change in compact JSON, and what is more than an object of numbers and texts.
_NO_PLAIN_JSON: Final = ("  ", '" ', ' "', '""', "\\", "[", "null")


class OrdinaryRows:
    """Makes the rows of blocks; what a cell came to is remembered for the blocks that follow."""

    def __init__(self, columns: Columns) -> None:
        self._columns = columns
        targets = {column.target for column in columns.plan}
        # Two columns that speak of the same thing are left to the row's own reader, for their order counts.
        self._able = not (ATTRIBUTES in targets and targets - _OURS) and targets.isdisjoint(PROOF)
        self._known: dict[int, dict[str, Any]] = {column.at: {"": None} for column in columns.plan}
        self._folded: dict[str, str] = {}
        self._plain_names: set[str] = set()
        self._odd: set[int] = set()

    def read(self, rows: Sequence[Sequence[str]]) -> tuple[list[StagedRow], set[int]]:
        """A staged row for each, and which of them are odd: what stands in their place means nothing, they are for
        ``Columns.row``."""
        width = self._columns.width
        self._odd = odd = {n for n, cells in enumerate(rows) if len(cells) != width}
        if not self._able or len(odd) == len(rows):
            return [()] * len(rows), set(range(len(rows)))
        if odd:
            filled = ("",) * width
            rows = [filled if n in odd else cells for n, cells in enumerate(rows)]
        made = self._made(list(zip(*rows, strict=True)), len(rows))
        return list(zip(*made, strict=True)), odd

    def _made(self, cells: Sequence[tuple[str, ...]], count: int) -> Iterator[Sequence[Any]]:
        """The columns of the staged rows, in their order."""
        made: dict[str, Any] = {}
        objects: list[list[str | None]] = []
        names: list[Any] = []
        for column in self._columns.plan:
            its, target = cells[column.at], column.target
            if target == EMAIL:
                made["email_key"], made["email"], made["domain"] = self._addresses(its)
            elif column.slot:
                made[target] = self._read_by(_standard, column, its)
            elif target == FULL_NAME:
                names = self._read_by(_names, column, its)
            elif target == ATTRIBUTES:
                made["fields"] = self._attributes(its)
            elif target == STATUS:
                made["standing"] = self._read_by(_standing, column, its)
            elif target == TAGS:
                made["tags"] = self._read_by(_tags, column, its)
            else:
                objects.append(self._read_by(self._custom, column, its))
        if names:
            _share(made, names, count)
        if objects:
            made["fields"] = _joined(objects)
        for name, key in (("first_name", "first_key"), ("last_name", "last_key")):
            if name in made:
                made[key] = self._case_folded(made[name])
        absent = {"fields": "{}", "standing": int(self._columns.standing), "tags": "", "proof": ""}
        for name in STAGED_COLUMNS:
            values = made.get(name)
            if values is None:
                yield [absent.get(name)] * count
            elif name in absent and None in values:
                yield [absent[name] if value is None else value for value in values]
            else:
                yield values

    def _read_by(self, read: Callable[[Column, str], Any], column: Column, cells: Sequence[str]) -> list[Any]:
        """``read`` of each cell, None for an empty one; a cell that raises ValueError makes its row odd."""
        known = self._known[column.at]
        if len(known) > REMEMBERED:
            known.clear()
            known[""] = None
        refused = set()
        for cell in set(cells).difference(known):
            try:
                known[cell] = read(column, cell)
            except ValueError:
                refused.add(cell)
        if refused:
            self._odd.update(n for n, cell in enumerate(cells) if cell in refused)
            return list(map(known.get, cells))
        return list(map(known.__getitem__, cells))

    def _custom(self, column: Column, cell: str) -> str | None:
        """A custom field's part of the JSON object: its key with its value."""
        value = plain_value(cell)
        found: dict[str, Any] = {}
        if value:
            self._columns.custom(column.target, value, found)
        return orjson.dumps(found)[1:-1].decode() if found else None

    # ---- addresses

    def _addresses(self, cells: Sequence[str]) -> tuple[Sequence[Any], Sequence[Any], Sequence[Any]]:
        """Keys, addresses and domains."""
        joined = "\n".join(cells)
        odd = not joined.isascii() or joined.encode().translate(None, _ATOMS) or joined.startswith(".")
        if odd or any(mark in joined for mark in _NO_ATOM):
            return self._addresses_singly(cells)
        parts = [cell.rpartition("@") for cell in cells]
        written = [domain for _, _, domain in parts]
        # As many as there are cells, and a part before it in each: exactly one @ everywhere.
        lengths = [len(local) for local, _, _ in parts]
        if joined.count("@") != len(cells) or not min(lengths) or max(lengths) > _LONGEST_LOCAL:
            return self._addresses_singly(cells)
        domains: dict[str, str] = {}
        for domain in set(written):
            try:
                domains[domain] = known_domain(domain)
            except AddressError:
                return self._addresses_singly(cells)
        if max(map(len, cells)) > _LONGEST_ADDRESS:
            return self._addresses_singly(cells)
        if any(read != domain for domain, read in domains.items()):
            texts: Sequence[str] = [f"{local}@{domains[domain]}" for local, _, domain in parts]
        else:
            texts = cells
        # Of ASCII alone: the key is the address in small letters.
        return joined.lower().split("\n"), texts, [domains[domain] for domain in written]

    def _addresses_singly(self, cells: Sequence[str]) -> tuple[Sequence[Any], Sequence[Any], Sequence[Any]]:
        found: list[tuple[str, str, str]] = []
        nobody = ("", "", "")
        for n, cell in enumerate(cells):
            try:
                parts = plain_parts(cell)
            except AddressError:
                parts = None
            if parts is None:
                self._odd.add(n)
            found.append(parts or nobody)
        texts, keys, domains = zip(*found, strict=True)
        return keys, texts, domains

    # ---- attributes

    def _attributes(self, cells: Sequence[str]) -> list[str]:
        texts: list[str] = []
        loads, dumps, plain = orjson.loads, orjson.dumps, self._plain_names
        for n, cell in enumerate(cells):
            try:
                found = loads(cell) if cell else {}
            except orjson.JSONDecodeError:
                found = None
            if type(found) is dict and (found.keys() <= plain or self._are_plain(found)):
                texts.append(dumps(found).decode())
            else:
                self._odd.add(n)
                texts.append("{}")
        joined = "".join(texts)
        if not _is_plain(joined, len(texts)) or max(map(len, cells)) > MAX_CUSTOM:
            self._odd.update(n for n, (cell, text) in enumerate(zip(cells, texts, strict=True))
                             if not _is_plain(text, 1) or len(cell) > MAX_CUSTOM)
        return texts

    def _are_plain(self, found: dict[str, Any]) -> bool:
        """Whether the object's keys are names of fields as they are, and none is a field that the workspace typed."""
        if any(not key or key in self._columns.typed or json_key(key) != key for key in found):
            return False
        if len(self._plain_names) < REMEMBERED:
            self._plain_names.update(found)
        return True

    # ---- names

    def _case_folded(self, names: Sequence[str | None]) -> list[str | None]:
        folded = self._folded
        if len(folded) > REMEMBERED:
            folded.clear()
        for name in set(names).difference(folded):
            folded[name] = name and name.casefold()  # type: ignore[index,assignment]
        return list(map(folded.__getitem__, names))  # type: ignore[arg-type]


def _is_plain(text: str, objects: int) -> bool:
    """Whether so many compact JSON objects hold numbers and texts only, each as ``clean`` would leave it."""
    return text.isprintable() and text.count("{") == objects and not any(mark in text for mark in _NO_PLAIN_JSON)


def _standard(column: Column, cell: str) -> str | None:
    return standard_value(column, cell) or None


def _names(column: Column, cell: str) -> tuple[str, str] | None:
    first, _, last = standard_value(column, cell).partition(" ")
    return (first, last) if first else None


def _standing(_column: Column, cell: str) -> int | None:
    value = plain_value(cell)
    return int(read_status(value)) if value else None


def _tags(_column: Column, cell: str) -> str | None:
    value = plain_value(cell)
    return read_tags(value) if value else None


def _share(made: dict[str, Any], names: Sequence[tuple[str, str] | None], count: int) -> None:
    """Full names fill what first and last names leave empty."""
    for slot, name in enumerate(("first_name", "last_name")):
        own = made.get(name) or repeat(None, count)
        made[name] = [value or (full and full[slot]) or None for value, full in zip(own, names, strict=True)]


def _joined(objects: Sequence[Sequence[str | None]]) -> list[str]:
    """JSON objects of the parts that each column gives."""
    if len(objects) == 1:
        return ["{}" if part is None else f"{{{part}}}" for part in objects[0]]
    return ["{" + ",".join(filter(None, parts)) + "}" for parts in zip(*objects, strict=True)]
