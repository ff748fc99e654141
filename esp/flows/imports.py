"""The way of a CSV file from upload to the last row."""

import asyncio
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

from esp.app import App
from esp.audience.csv_columns import TARGETS, Columns, check_header, check_mapping, field_name, guess_mapping
from esp.audience.csv_export import csv_line
from esp.audience.csv_records import Record, RecordReader
from esp.audience.csv_text import SAMPLE_OCTETS, Dialect, detect
from esp.errors import InputError, LeaseLostError
from esp.model.ids import new_public_id
from esp.ports.contacts import NewContact
from esp.ports.imports import Import, ImportChunk, ImportState, Reject

MAX_FILE_OCTETS: Final = 2 * 1024**3
_READ_OCTETS: Final = 128 * 1024
_CHUNK_ROWS: Final = 1000
_STALE: Final = timedelta(seconds=30)
_FOLDER: Final = "imports"


# ---- a file comes in -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Column:
    """A column as the file has it: what it seems to be (``target``, empty where unknown), and the custom field's name
    that it would make (``suggestion``)."""

    title: str
    target: str
    suggestion: str
    samples: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Inspection:
    """What is in an uploaded file, for the person who chooses what goes where."""

    encoding: str
    delimiter: str
    columns: tuple[Column, ...]
    targets: tuple[str, ...] = TARGETS

    @property
    def mapping(self) -> dict[str, str]:
        """The guess, as ``begin_import`` takes it."""
        return {column.title: column.target for column in self.columns if column.target}


async def store_upload(
    app: App, workspace_id: int, user_id: int | None, file_name: str, chunks: AsyncIterator[bytes],
) -> Import:
    """Keep an uploaded file as an import that waits for its mapping. Raises InputError where it is too big."""
    folder = app.settings.server.data_dir / _FOLDER
    await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
    # The name on the disk is ours: whatever the uploader calls the file is only ever shown.
    path = f"{_FOLDER}/{new_public_id()}.csv"
    target = app.settings.server.data_dir / path
    octets = 0
    try:
        with await asyncio.to_thread(target.open, "xb") as file:
            async for chunk in chunks:
                octets += len(chunk)
                if octets > MAX_FILE_OCTETS:
                    raise InputError("The file is larger than 2 GB; split it and import the parts one after the other.")
                await asyncio.to_thread(file.write, chunk)
            await asyncio.to_thread(_sync, file.fileno())
    except BaseException:
        with suppress(FileNotFoundError):
            target.unlink()
        raise
    shown = "".join(c for c in Path(file_name).name if c.isprintable())[:200] or "file.csv"
    return await app.store.imports.create(workspace_id, user_id, shown, path, octets, app.clock.now())


def _sync(descriptor: int) -> None:
    os.fsync(descriptor)


async def inspect_import(app: App, workspace_id: int, import_id: int) -> Inspection:
    """Encoding, separator, columns with what they seem to be and samples. Raises InputError where it cannot be read."""
    it = await app.store.imports.get(workspace_id, import_id)
    try:
        dialect, header, rows = await asyncio.to_thread(_read_head, app.settings.server.data_dir / it.path)
    except InputError as error:
        await app.store.imports.fail(it, str(error), app.clock.now())
        raise
    guess = guess_mapping(header, rows)
    return Inspection(dialect.encoding, dialect.delimiter, tuple(
        Column(title, guess.get(title, ""), field_name(title),
               tuple(row[index] for row in rows[:5] if index < len(row)))
        for index, title in enumerate(header) if title
    ))


def _read_head(path: Path) -> tuple[Dialect, tuple[str, ...], list[tuple[str, ...]]]:
    dialect, header, _ = _open_header(path)
    with path.open("rb") as file:
        file.seek(dialect.start)
        data = file.read(SAMPLE_OCTETS * 4)
    records = list(RecordReader(dialect).feed(data, final=len(data) < SAMPLE_OCTETS * 4))
    rows = [record.cells for record in records[1:51] if not record.blank and not record.problem]
    return dialect, header, rows


def _open_header(path: Path) -> tuple[Dialect, tuple[str, ...], Record]:
    """The dialect and the column titles; raises InputError where there are none."""
    try:
        with path.open("rb") as file:
            dialect = detect(file.read(SAMPLE_OCTETS))
            file.seek(dialect.start)
            data = file.read(2_000_000)
            final = not file.read(1)
    except FileNotFoundError:
        raise InputError("The uploaded file is not there any more. Upload it again.") from None
    reader = RecordReader(dialect, dialect.start, dialect.start_lines)
    first = next(reader.feed(data, final), None)
    if first is None or first.problem:
        why = first.problem if first else ""
        raise InputError(f"The first line, which must name the columns, cannot be read. {why}".strip())
    return dialect, check_header(first.cells), first


async def begin_import(
    app: App, workspace_id: int, import_id: int, list_id: int | None, mapping: Mapping[str, str], *,
    resubscribe: bool = False, wording: str = "", actor: str = "",
) -> Import:
    """Queue the import with its mapping (column title -> field, empty: not imported). Raises InputError by column.

    ``resubscribe`` brings back people who left the list; it is recorded as a consent of each, with ``wording``.
    """
    it = await app.store.imports.get(workspace_id, import_id)
    _, header, _ = await asyncio.to_thread(_open_header, app.settings.server.data_dir / it.path)
    options = {"resubscribe": resubscribe, "wording": wording, "actor": actor}
    queued = await app.store.imports.queue(
        workspace_id, import_id, list_id, check_mapping(header, mapping), options)
    await app.coordination.wake("imports")
    return queued


# ---- and is read -----------------------------------------------------------------------------------------------------


async def run_imports(app: App) -> bool:
    """Read one import to its end, new or left behind by a process that died; True where there was one."""
    now = app.clock.now()
    claimed = await app.store.imports.claim(now, now - _STALE)
    if claimed is None:
        return False
    try:
        await _run(app, claimed)
    except LeaseLostError:
        pass  # somebody took it for dead and goes on with it
    except InputError as error:
        await app.store.imports.fail(claimed, str(error), app.clock.now())
    return True


async def _run(app: App, it: Import) -> None:
    path = app.settings.server.data_dir / it.path
    dialect, header, first = await asyncio.to_thread(_open_header, path)
    columns = Columns.of(header, check_mapping(header, it.mapping))
    octets, lines = (it.bytes_read, it.lines_read) if it.bytes_read else (first.octets, first.lines)
    reader = RecordReader(dialect, octets, lines)
    try:
        with await asyncio.to_thread(path.open, "rb") as file:
            await asyncio.to_thread(file.seek, octets)
            final = False
            while not final:
                data = await asyncio.to_thread(file.read, _READ_OCTETS)
                final = not data
                # In a thread, so that the loop answers others meanwhile; a hundred kilobytes take some milliseconds.
                records = await asyncio.to_thread(_feed, reader, data, final)
                for start in range(0, len(records), _CHUNK_ROWS):
                    part = records[start:start + _CHUNK_ROWS]
                    chunk = await asyncio.to_thread(_judge, it, columns, part)
                    it = await app.store.imports.apply(it, chunk, app.clock.now())
            done = ImportChunk((), (), it.bytes_total, it.lines_read, it.rows_read, finished=True)
            await app.store.imports.apply(it, done, app.clock.now())
    except asyncio.CancelledError:
        await asyncio.shield(app.store.imports.release(it))
        raise


def _feed(reader: RecordReader, data: bytes, final: bool) -> list[Record]:
    return list(reader.feed(data, final))


def _judge(it: Import, columns: Columns, records: Sequence[Record]) -> ImportChunk:
    """Rows and rejects of some records, and where the file goes on after them."""
    rows: list[NewContact] = []
    rejects: list[Reject] = []
    for record in records:
        if record.blank:
            continue
        try:
            if record.problem:
                raise ValueError(record.problem)
            rows.append(columns.contact(record.cells))
        except ValueError as error:
            rejects.append(Reject(record.line, str(error), record.raw))
    last = records[-1]
    return ImportChunk(rows, rejects, last.octets, last.lines, it.rows_read + len(rows) + len(rejects), finished=False)


async def rejects_csv(app: App, workspace_id: int, import_id: int) -> AsyncIterator[str]:
    """The refused rows as CSV text, line by line: the line in the file, the reason, the raw row."""
    it = await app.store.imports.get(workspace_id, import_id)
    yield "\ufeff" + csv_line(("line", "reason", "row"))  # the mark makes spreadsheets read it as UTF-8
    after = 0
    while rows := await app.store.imports.rejects(it.workspace_id, it.id, after):
        for row in rows:
            yield csv_line((row.reject.line, row.reject.reason, row.reject.row))
        after = rows[-1].id


def is_over(it: Import) -> bool:
    """Whether the import has ended, well or not."""
    return it.state in (ImportState.DONE, ImportState.FAILED)
