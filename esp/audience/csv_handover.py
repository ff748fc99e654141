"""Staged rows packed as a database takes them: in the reading child, beside the database and on another core."""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from typing import Final

from esp.model.ids import new_public_ids
from esp.ports.imports import (
    STAGED_COLUMNS,
    STAGED_PROOF,
    STAGED_STANDING,
    STAGED_TAGS,
    StagedForm,
    StagedRow,
    StagedRows,
)

_COPY_ESCAPES: Final = {"\\": r"\\", "\t": r"\t", "\n": r"\n", "\r": r"\r"}
_ESCAPED: Final = str.maketrans(_COPY_ESCAPES)


def pack(rows: Sequence[StagedRow], form: StagedForm) -> StagedRows:
    """The rows, numbered from 1 in their order, each with a public id for the case that its person is new."""
    packed = _sqlite_image(rows) if form is StagedForm.SQLITE else _copy_text(rows)
    return StagedRows(
        packed, len(rows), any(row[STAGED_STANDING] for row in rows), any(row[STAGED_TAGS] for row in rows),
        any(row[STAGED_PROOF] for row in rows))


def _sqlite_image(rows: Sequence[StagedRow]) -> bytes:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as database:
        # Short-lived and in memory: pages as large as they come, and nothing to roll back to.
        database.execute("PRAGMA page_size=16384")
        database.execute("PRAGMA journal_mode=OFF")
        columns = ", ".join(STAGED_COLUMNS)
        database.execute(f"CREATE TABLE staging (n INTEGER PRIMARY KEY, public_id, {columns})")
        marks = ", ".join("?" * (len(STAGED_COLUMNS) + 1))
        database.execute("BEGIN")
        database.executemany(
            f"INSERT INTO staging (public_id, {columns}) VALUES ({marks})",  # noqa: S608 - names of ours
            [(made, *row) for made, row in zip(new_public_ids(len(rows)), rows, strict=True)])
        database.execute("COMMIT")
        return bytes(database.serialize())


def _copy_text(rows: Sequence[StagedRow]) -> bytes:
    """COPY's text format: tabs between columns, a backslash before what would be read as something else."""
    if not rows:
        return b""
    numbers = map(str, range(1, len(rows) + 1))
    columns = [_copy_column(values) for values in zip(*rows, strict=True)]
    lines = map("\t".join, zip(numbers, new_public_ids(len(rows)), *columns, strict=True))
    return ("\n".join(lines) + "\n").encode()


def _copy_column(values: Sequence[str | int | None]) -> list[str]:
    texts = [value if type(value) is str else "" if value is None else str(value) for value in values]
    together = "".join(texts)
    if any(mark in together for mark in _COPY_ESCAPES):
        texts = [text.translate(_ESCAPED) for text in texts]
    if None in values:
        return [r"\N" if value is None else text for value, text in zip(values, texts, strict=True)]
    return texts
