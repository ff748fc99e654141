"""The way of a CSV file from upload to the last row."""

import asyncio
import os
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass
from datetime import timedelta
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

import structlog

from esp.app import App
from esp.audience.csv_columns import TARGETS, check_header, check_mapping, field_name, guess_mapping
from esp.audience.csv_export import csv_line
from esp.audience.csv_presets import recognise
from esp.audience.csv_records import Record, RecordReader
from esp.audience.csv_stage import Columns
from esp.audience.csv_status import Standing
from esp.audience.csv_text import SAMPLE_OCTETS, Dialect, detect
from esp.audience.service import convert_workbook, read_chunks
from esp.errors import InputError, LeaseLostError
from esp.flows.erasure import bar_erased
from esp.model.ids import new_public_id
from esp.ports.imports import Comparison, Import, ImportChunk, ImportState, Reject, StagedRows

MAX_FILE_OCTETS: Final = 2 * 1024**3
DRY_RUN_ROWS: Final = 50_000
_BREATH: Final = 0.02  # seconds
_STALE: Final = timedelta(seconds=30)
_FOLDER: Final = "imports"

_log = structlog.get_logger()


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
    preset: str = ""  # the system that wrote the file, where it is one we know
    standing: Standing = Standing.JOINS  # of everybody in it
    remembered: Mapping[str, Any] | None = None  # mapping, options and list_id of the last file like this

    @property
    def mapping(self) -> dict[str, str]:
        """The guess, as ``begin_import`` takes it: chosen last time, known of the other system, or by the titles."""
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
    try:
        octets = await _unpacked(target, octets)
    except BaseException:
        target.unlink(missing_ok=True)
        raise
    shown = "".join(c for c in Path(file_name).name if c.isprintable())[:200] or "file.csv"
    return await app.store.imports.create(workspace_id, user_id, shown, path, octets, app.clock.now())


async def _unpacked(target: Path, octets: int) -> int:
    """A workbook is made CSV where it lies, by what it holds and not by its name; returns the file's size."""
    if not (await asyncio.to_thread(_head, target)).startswith(b"PK\x03\x04"):
        return octets
    made = target.with_suffix(".made")
    try:
        await convert_workbook(target, made)
        await asyncio.to_thread(made.replace, target)
    finally:
        made.unlink(missing_ok=True)
    return (await asyncio.to_thread(target.stat)).st_size


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(4)


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
    preset = recognise(header)
    guess = dict(preset.mapping) or guess_mapping(header, rows)
    remembered = await app.store.imports.remembered(workspace_id, signature_of(header))
    if remembered is not None:
        guess = {title: target for title, target in remembered["mapping"].items() if title in header}
    known = remembered is not None or bool(preset.name)
    return Inspection(dialect.encoding, dialect.delimiter, tuple(
        Column(title, guess.get(title, ""), "" if known else field_name(title),
               tuple(row[index] for row in rows[:5] if index < len(row)))
        for index, title in enumerate(header) if title
    ), preset=preset.name, standing=preset.standing, remembered=remembered)


def _read_head(path: Path) -> tuple[Dialect, tuple[str, ...], list[tuple[str, ...]]]:
    dialect, header, _ = _open_header(path)
    with path.open("rb") as file:
        file.seek(dialect.start)
        data = file.read(SAMPLE_OCTETS * 4)
    records = list(RecordReader(dialect).feed(data, final=len(data) < SAMPLE_OCTETS * 4))
    rows = [tuple(record.cells) for record in records[1:51] if not record.blank and not record.problem]
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


def signature_of(header: Sequence[str]) -> str:
    """What two files of the same kind have in common: their titles, in their order."""
    return blake2b("\x1f".join(title.casefold() for title in header).encode(), digest_size=16).hexdigest()


async def begin_import(
    app: App, workspace_id: int, import_id: int, list_id: int | None, mapping: Mapping[str, str], *,
    resubscribe: bool = False, wording: str = "", actor: str = "", standing: Standing = Standing.JOINS,
) -> Import:
    """Queue the import with its mapping (column title -> field, empty: not imported). Raises InputError by column.

    ``resubscribe`` brings back people who left the list; it is recorded as a consent of each, with ``wording``.
    ``standing`` is that of everybody in the file whose row does not say it.
    """
    it = await app.store.imports.get(workspace_id, import_id)
    _, header, _ = await asyncio.to_thread(_open_header, app.settings.server.data_dir / it.path)
    options = {"resubscribe": resubscribe, "wording": wording, "actor": actor, "standing": int(standing)}
    queued = await app.store.imports.queue(
        workspace_id, import_id, list_id, check_mapping(header, mapping), options, signature_of(header))
    await app.coordination.wake("imports")
    return queued


# ---- is tried first --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class DryRun:
    """What an import would do. ``complete`` is False where only the first rows of a long file were looked at."""

    rows: int
    created: int
    updated: int
    unchanged: int
    kept_out: int
    rejected: int
    complete: bool
    created_sample: tuple[str, ...] = ()
    updated_sample: tuple[str, ...] = ()
    rejects: tuple[Reject, ...] = ()
    reasons: tuple[tuple[str, int], ...] = ()


async def try_import(
    app: App, workspace_id: int, import_id: int, list_id: int | None, mapping: Mapping[str, str], *,
    resubscribe: bool = False, standing: Standing = Standing.JOINS, most_rows: int = DRY_RUN_ROWS,
) -> DryRun:
    """Read the file as ``begin_import`` would have it read, and write nothing. Raises InputError by column."""
    it = await app.store.imports.get(workspace_id, import_id)
    path = app.settings.server.data_dir / it.path
    dialect, header, first = await asyncio.to_thread(_open_header, path)
    columns = Columns.of(header, check_mapping(header, mapping), await app.store.people.fields(workspace_id), standing)
    total, rejects, reasons, complete = Comparison(), list[Reject](), Counter[str](), True
    rows = repeated_changed = repeated_same = 0
    chunks = read_chunks(path, dialect, first.octets, first.lines, columns, 5000, 0, app.store.imports.form)
    async with aclosing(chunks):
        async for chunk in chunks:
            found = await app.store.imports.compare(workspace_id, list_id, chunk.rows, resubscribe)
            total = Comparison(
                total.created + found.created, total.updated + found.updated, total.unchanged + found.unchanged,
                total.kept_out + found.kept_out, (total.created_sample + found.created_sample)[:5],
                (total.updated_sample + found.updated_sample)[:5])
            repeated_changed += chunk.repeated_changed
            repeated_same += chunk.repeated_same
            rejects = (rejects + list(chunk.rejects))[:20]
            reasons.update(it.reason for it in chunk.rejects)
            rows = chunk.rows_read
            if rows >= most_rows:
                complete = chunk.bytes_read >= it.bytes_total
                break
    return DryRun(
        rows, total.created, total.updated + repeated_changed, total.unchanged + repeated_same, total.kept_out,
        reasons.total(), complete, total.created_sample, total.updated_sample, tuple(rejects),
        tuple(reasons.most_common(10)))


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
    except Exception:
        _log.exception("import stumbled", import_id=claimed.id)
        await app.store.imports.stumble(
            claimed, "Something unexpected happened while the file was read; the server's log says what.",
            app.clock.now())
    return True


async def _run(app: App, it: Import) -> None:
    path = app.settings.server.data_dir / it.path
    dialect, header, first = await asyncio.to_thread(_open_header, path)
    columns = Columns.of(header, check_mapping(header, it.mapping), await app.store.people.fields(it.workspace_id),
                         Standing(int(it.options.get("standing", 0))))
    octets, lines = (it.bytes_read, it.lines_read) if it.bytes_read else (first.octets, first.lines)
    store = app.store.imports
    chunks = read_chunks(path, dialect, octets, lines, columns, store.chunk_rows, it.rows_read, store.form)
    try:
        async with aclosing(_ahead(app, it.workspace_id, chunks)) as ready:
            async for chunk in ready:
                writing = asyncio.ensure_future(store.apply(it, chunk, app.clock.now()))
                try:
                    it = await asyncio.shield(writing)
                except asyncio.CancelledError:
                    with suppress(Exception):  # half written, it would not be known where to go on from
                        it = await writing
                    raise
                # Other processes ask for SQLite's one writer now and then; this is their moment.
                await asyncio.sleep(_BREATH)
        done = ImportChunk(StagedRows(), (), it.bytes_total, it.lines_read, it.rows_read, finished=True)
        await store.apply(it, done, app.clock.now())
    except asyncio.CancelledError:
        await asyncio.shield(store.release(it))
        raise


async def _ahead(
    app: App, workspace_id: int, chunks: AsyncGenerator[ImportChunk],
) -> AsyncGenerator[ImportChunk]:
    """The chunks, of which one is always on its way while another is written; the erased among them are barred."""

    async def fetch() -> ImportChunk | None:
        chunk = await anext(chunks, None)
        if chunk is not None:
            await bar_erased(app, workspace_id, chunk.email_keys)
        return chunk

    async with aclosing(chunks):
        coming = asyncio.create_task(fetch())
        try:
            while (chunk := await coming) is not None:
                coming = asyncio.create_task(fetch())
                yield chunk
        finally:
            coming.cancel()
            await asyncio.wait({coming})


async def forget_files(app: App) -> bool:
    """Delete the files of imports that ended, or were never begun, longer ago than the setting says."""
    before = app.clock.now() - app.settings.transfers.keep_files
    expired = await app.store.imports.expired_files(before)
    for import_id, path in expired:
        await asyncio.to_thread((app.settings.server.data_dir / path).unlink, missing_ok=True)
        await app.store.imports.forget_file(import_id)
    return bool(expired)


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
