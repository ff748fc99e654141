"""The way of an export: asked for, written chunk by chunk beside the sending, downloaded, and forgotten in time."""

import asyncio
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import orjson
import structlog

from esp.app import App
from esp.audience.csv_export import csv_line
from esp.audience.field_values import value_text
from esp.errors import InputError, LeaseLostError, NotFoundError
from esp.flows.segments import resolved
from esp.model.segment_json import rule_json
from esp.ports.contacts import STANDARD_FIELDS
from esp.ports.exports import Export, ExportFormat, ExportKind, ExportState
from esp.ports.people_bulk import Selection

WAKES: Final = "exports"
_CHUNK: Final = 1000
_STALE: Final = timedelta(seconds=30)
_FOLDER: Final = "exports"
_COLUMNS: Final = {
    ExportKind.SUBSCRIPTIONS: ("email", "list", "state", "changed_at"),
    ExportKind.CONSENTS: ("email", "list", "action", "at", "source", "actor", "ip", "user_agent", "wording"),
}

_log = structlog.get_logger()


async def begin_export(
    app: App, workspace_id: int, user_id: int | None, what: ExportKind, form: ExportFormat = ExportFormat.CSV, *,
    list_id: int | None = None, segment_id: int | None = None, raw: bool = False, transfer_id: int | None = None,
    selection: Selection | None = None,
) -> Export:
    """Ask for a file of what is there now. ``raw`` leaves formulas as they are, for programs and not for spreadsheets.

    ``selection`` are people who were ticked or searched for; a rule in it has other segments inlined already.
    Raises NotFoundError for a list, tag or segment of another workspace.
    """
    options: dict[str, Any] = {"raw": raw}
    if list_id is not None:
        options["list_id"] = list_id
    if segment_id is not None:
        options |= await _segment(app, workspace_id, segment_id)
    if selection is not None:
        options["selection"] = selection.as_json()
    # The columns are settled now, so that a field added meanwhile does not shift the rest of the file.
    options["keys"] = [field.key for field in await app.store.people.fields(workspace_id)]
    made = await app.store.exports.create(
        workspace_id, user_id, what, form, options, app.clock.now(), transfer_id)
    await app.coordination.wake(WAKES)
    return made


async def _segment(app: App, workspace_id: int, segment_id: int) -> dict[str, Any]:
    segment = await app.store.segments.get(workspace_id, segment_id)
    workspace = await app.store.accounts.workspace(workspace_id)
    return {"segment": rule_json(await resolved(app, workspace_id, segment.rule, segment.id)),
            "segment_id": segment_id, "zone": workspace.time_zone}


async def run_exports(app: App) -> bool:
    """Write one export to its end, new or left behind; True where there was one."""
    now = app.clock.now()
    claimed = await app.store.exports.claim(now, now - _STALE)
    if claimed is None:
        return False
    await write_export(app, claimed)
    return True


async def write_export(app: App, claimed: Export) -> Export:
    """Write a claimed export to its end; returns it as it stands then."""
    try:
        return await _write(app, claimed)
    except LeaseLostError:
        return claimed
    except Exception:
        _log.exception("export stumbled", export_id=claimed.id)
        return await app.store.exports.stumble(
            claimed, "Something unexpected happened while the file was written; the server's log says what.",
            app.clock.now())


def _place(app: App, export: Export) -> Path:
    return app.settings.server.data_dir / _FOLDER / f"{export.public_id}.{export.format.value}"


async def _write(app: App, export: Export) -> Export:
    path, store = _place(app, export), app.store.exports
    file = await asyncio.to_thread(_open, path, export.octets)
    try:
        if export.octets == 0:
            head = _head(export)
            if head:
                octets = await asyncio.to_thread(_append, file, head)
                export = await store.advance(export, 0, octets, 0, app.clock.now())
        more = True
        while more:
            found = await store.rows(export, _CHUNK, app.clock.now())
            data = await asyncio.to_thread(_lines, export, found.rows)
            octets = await asyncio.to_thread(_append, file, data)
            # The rows are in the file before the database says so: after a crash what is beyond ``octets`` is cut off.
            export = await store.advance(export, found.last_id, octets, len(found.rows), app.clock.now())
            more = found.more and export.after_id < export.until_id
        return await store.finish(export, f"{_FOLDER}/{path.name}", app.clock.now())
    except asyncio.CancelledError:
        await asyncio.shield(store.release(export))
        raise
    finally:
        os.close(file)


def _open(path: Path, octets: int) -> int:
    path.parent.mkdir(parents=True, exist_ok=True)
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    os.ftruncate(file, octets)
    os.lseek(file, octets, os.SEEK_SET)
    return file


def _append(file: int, data: bytes) -> int:
    view = memoryview(data)
    while view:
        view = view[os.write(file, view):]
    os.fsync(file)
    return os.lseek(file, 0, os.SEEK_CUR)


def _columns(export: Export) -> tuple[str, ...]:
    if export.what is ExportKind.CONTACTS:
        return ("email", *STANDARD_FIELDS, "tags", "source", "created_at", *export.options["keys"], "attributes")
    return _COLUMNS[export.what]


def _head(export: Export) -> bytes:
    if export.format is ExportFormat.JSONL:
        return b""
    return ("\ufeff" + csv_line(_columns(export))).encode()  # the mark makes spreadsheets read it as UTF-8


def _lines(export: Export, rows: Sequence[Mapping[str, Any]]) -> bytes:
    if export.format is ExportFormat.JSONL:
        return b"".join(orjson.dumps(dict(row), default=str) + b"\n" for row in rows)
    raw = bool(export.options.get("raw"))
    return "".join(csv_line(_cells(export, row), raw=raw) for row in rows).encode()


def _cells(export: Export, row: Mapping[str, Any]) -> list[str]:
    if export.what is not ExportKind.CONTACTS:
        return [_cell(row[name]) for name in _columns(export)]
    fields = dict(row["fields"])
    own = [value_text(fields.pop(key, None)) for key in export.options["keys"]]
    cells = [_cell(row[name]) for name in ("email", *STANDARD_FIELDS)]
    rest = orjson.dumps(fields).decode() if fields else ""
    return [*cells, ", ".join(row["tags"]), row["source"], _cell(row["created_at"]), *own, rest]


def _cell(value: Any) -> str:
    if isinstance(value, datetime):
        return value.isoformat(timespec="seconds")
    return "" if value is None else str(value)


async def read_export(app: App, workspace_id: int, export_id: int) -> tuple[str, AsyncIterator[bytes]]:
    """A file name and the octets of a finished export. Raises NotFoundError where its file is not there any more."""
    export = await app.store.exports.get(workspace_id, export_id)
    if export.state is not ExportState.DONE or not export.path:
        raise NotFoundError("The file of this export is not there any more. Export again.")
    name = f"{export.what.value}-{export.created_at:%Y-%m-%d}-{export.id}.{export.format.value}"
    return name, _octets(app.settings.server.data_dir / export.path)


async def _octets(path: Path) -> AsyncIterator[bytes]:
    try:
        file = await asyncio.to_thread(path.open, "rb")
    except FileNotFoundError:
        raise InputError("The file of this export is not there any more. Export again.") from None
    with file:
        while data := await asyncio.to_thread(file.read, 1 << 18):
            yield data


async def forget_files(app: App) -> bool:
    """Delete exported files older than the setting says."""
    expired = await app.store.exports.expired_files(app.clock.now() - app.settings.transfers.keep_files)
    for export_id, path in expired:
        await asyncio.to_thread((app.settings.server.data_dir / path).unlink, missing_ok=True)
        await app.store.exports.forget_file(export_id)
    return bool(expired)
