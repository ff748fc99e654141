"""Values inside ``contacts.fields`` as SQL, said the same on SQLite and PostgreSQL, and fit for an index on them.

The names of fields stand in the statement itself and not beside it as parameters, for an index on an expression is
only found by the same expression. They are of letters, digits and underscores (``esp.model.segment_json``).
"""

import json
from typing import Any, Final

from sqlalchemy import Boolean, Column, ColumnElement, Float, Integer, Text, literal
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from esp.adapters.sql.schema import contacts


class PlainLower(FunctionElement[str]):
    """Text with A-Z as a-z and every other letter as it stands, compared octet by octet."""

    type = Text()
    inherit_cache = True


@compiles(PlainLower, "sqlite")
def _plain_lower_sqlite(element: PlainLower, compiler: SQLCompiler, **kw: Any) -> str:
    return f"lower({compiler.process(element.clauses, **kw)})"  # SQLite's own knows no other letters


@compiles(PlainLower, "postgresql")
def _plain_lower_postgres(element: PlainLower, compiler: SQLCompiler, **kw: Any) -> str:
    return f'lower(({compiler.process(element.clauses, **kw)}) COLLATE "C")'


class Position(FunctionElement[int]):
    """Where the second text stands in the first one, from 1; 0: nowhere."""

    type = Integer()
    inherit_cache = True


@compiles(Position, "sqlite")
def _position_sqlite(element: Position, compiler: SQLCompiler, **kw: Any) -> str:
    return f"instr({compiler.process(element.clauses, **kw)})"


@compiles(Position, "postgresql")
def _position_postgres(element: Position, compiler: SQLCompiler, **kw: Any) -> str:
    return f"strpos({compiler.process(element.clauses, **kw)})"


def _named(key: str) -> tuple[ColumnElement[Any], ...]:
    """The column, the key for PostgreSQL, and the path for SQLite, both written into the statement."""
    return (contacts.c.fields, literal(key, Text(), literal_execute=True),
            literal(f'$."{key}"', Text(), literal_execute=True))


def _parts(element: FunctionElement[Any], compiler: SQLCompiler, path: bool, **kw: Any) -> tuple[str, str]:
    column, key, sqlite_path, *_ = element.clauses.clauses
    return compiler.process(column, **kw), compiler.process(sqlite_path if path else key, **kw)


class JsonText(FunctionElement[str]):
    """A field's text; null where it is none."""

    type = Text()
    inherit_cache = True


@compiles(JsonText, "sqlite")
def _text_sqlite(element: JsonText, compiler: SQLCompiler, **kw: Any) -> str:
    column, path = _parts(element, compiler, True, **kw)
    return f"CASE WHEN json_type({column}, {path}) = 'text' THEN json_extract({column}, {path}) END"


@compiles(JsonText, "postgresql")
def _text_postgres(element: JsonText, compiler: SQLCompiler, **kw: Any) -> str:
    column, key = _parts(element, compiler, False, **kw)
    return f"CASE WHEN jsonb_typeof({column} -> {key}) = 'string' THEN {column} ->> {key} END"


class JsonNumber(FunctionElement[float]):
    """A field's number; null where it is none."""

    type = Float()
    inherit_cache = True


@compiles(JsonNumber, "sqlite")
def _number_sqlite(element: JsonNumber, compiler: SQLCompiler, **kw: Any) -> str:
    column, path = _parts(element, compiler, True, **kw)
    return (f"CASE WHEN json_type({column}, {path}) IN ('integer', 'real')"
            f" THEN CAST(json_extract({column}, {path}) AS REAL) END")


@compiles(JsonNumber, "postgresql")
def _number_postgres(element: JsonNumber, compiler: SQLCompiler, **kw: Any) -> str:
    column, key = _parts(element, compiler, False, **kw)
    return (f"CASE WHEN jsonb_typeof({column} -> {key}) = 'number'"
            f" THEN CAST({column} ->> {key} AS double precision) END")


class JsonBoolean(FunctionElement[str]):
    """``true`` or ``false`` as text; something else, or null, where the field is no boolean."""

    type = Text()
    inherit_cache = True


@compiles(JsonBoolean, "sqlite")
def _boolean_sqlite(element: JsonBoolean, compiler: SQLCompiler, **kw: Any) -> str:
    column, path = _parts(element, compiler, True, **kw)
    return f"json_type({column}, {path})"


@compiles(JsonBoolean, "postgresql")
def _boolean_postgres(element: JsonBoolean, compiler: SQLCompiler, **kw: Any) -> str:
    column, key = _parts(element, compiler, False, **kw)
    return f"CASE WHEN jsonb_typeof({column} -> {key}) = 'boolean' THEN {column} ->> {key} END"


class JsonSize(FunctionElement[int]):
    """How many values a field of many choices holds; null or 0 where it is none."""

    type = Integer()
    inherit_cache = True


@compiles(JsonSize, "sqlite")
def _size_sqlite(element: JsonSize, compiler: SQLCompiler, **kw: Any) -> str:
    column, path = _parts(element, compiler, True, **kw)
    return f"json_array_length({column}, {path})"


@compiles(JsonSize, "postgresql")
def _size_postgres(element: JsonSize, compiler: SQLCompiler, **kw: Any) -> str:
    column, key = _parts(element, compiler, False, **kw)
    return (f"CASE WHEN jsonb_typeof({column} -> {key}) = 'array'"
            f" THEN jsonb_array_length({column} -> {key}) END")


class JsonHas(FunctionElement[bool]):
    """Whether a field of many choices holds a text: the fourth part is the text, the fifth the same as a document."""

    type = Boolean()
    inherit_cache = True
    _is_implicitly_boolean = True


@compiles(JsonHas, "sqlite")
def _has_sqlite(element: JsonHas, compiler: SQLCompiler, **kw: Any) -> str:
    column, path = _parts(element, compiler, True, **kw)
    wanted = compiler.process(element.clauses.clauses[3], **kw)
    values = f"SELECT 1 FROM json_each({column}, {path}) AS one WHERE one.type = 'text'"  # noqa: S608 - our own parts
    return f"(json_type({column}, {path}) = 'array' AND EXISTS ({values} AND one.value = {wanted}))"


@compiles(JsonHas, "postgresql")
def _has_postgres(element: JsonHas, compiler: SQLCompiler, **kw: Any) -> str:
    column = compiler.process(contacts.c.fields, **kw)
    return f"({column} @> CAST({compiler.process(element.clauses.clauses[4], **kw)} AS JSONB))"


class InSet(FunctionElement[bool]):
    """Whether a contact is in a set, told in the form that each database plans best.

    Two parts of the same meaning: ``EXISTS`` for PostgreSQL, which makes (anti-)joins of it and never of NOT IN, and
    ``id IN`` for SQLite, which gathers the set once where EXISTS would look for every single contact.
    """

    type = Boolean()
    inherit_cache = True
    _is_implicitly_boolean = True


@compiles(InSet, "sqlite")
def _in_set_sqlite(element: InSet, compiler: SQLCompiler, **kw: Any) -> str:
    return f"({compiler.process(element.clauses.clauses[1], **kw)})"


@compiles(InSet, "postgresql")
def _in_set_postgres(element: InSet, compiler: SQLCompiler, **kw: Any) -> str:
    return f"({compiler.process(element.clauses.clauses[0], **kw)})"


def json_text(key: str) -> ColumnElement[str]:
    return JsonText(*_named(key))


def json_number(key: str) -> ColumnElement[float]:
    return JsonNumber(*_named(key))


def json_boolean(key: str) -> ColumnElement[str]:
    return JsonBoolean(*_named(key))


def json_size(key: str) -> ColumnElement[int]:
    return JsonSize(*_named(key))


def json_has(key: str, wanted: str) -> ColumnElement[bool]:
    return JsonHas(*_named(key), literal(wanted, Text()), literal(json.dumps({key: [wanted]}), Text()))


STANDARD_COLUMNS: Final[dict[str, Column[Any]]] = {
    name: contacts.c[name] for name in
    ("email", "domain", "first_name", "last_name", "city", "country", "language", "time_zone", "source", "birth_date")
}
