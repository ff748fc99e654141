"""Imports and exports that happen by themselves: checked when they are made, run when they are due, and logged."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import structlog

from esp.app import App
from esp.audience.csv_status import Standing
from esp.errors import InputError, MerpatiError, NotFoundError, TokenError
from esp.flows.exports import begin_export, write_export
from esp.flows.imports import begin_import, inspect_import, store_upload
from esp.ports.exports import ExportFormat, ExportKind, ExportState
from esp.ports.imports import Import
from esp.ports.transfers import Direction, NewTransfer, PlaceKind, RunState, Transfer

WAKES: Final = "transfers"
_SEALED: Final = "transfer"
_NEEDED: Final = {
    PlaceKind.URL: {"url": "Write the address of the file."},
    PlaceKind.FOLDER: {"path": "Write the file's path below the server's transfer folder."},
    PlaceKind.S3: {"endpoint": "Write the address of the object store.", "bucket": "Name the bucket.",
                   "key": "Name the object.", "access_key": "Write the access key."},
    PlaceKind.SQL: {"query": "Write the query."},
}

_log = structlog.get_logger()


async def save(app: App, workspace_id: int, it: NewTransfer, transfer_id: int | None = None) -> Transfer:
    """Make or change a transfer; raises InputError by field."""
    problems = {name: text for name, text in _NEEDED[it.kind].items() if not str(it.place.get(name, "")).strip()}
    if not it.name.strip():
        problems["name"] = "Give it a name."
    if it.kind is PlaceKind.SQL and it.direction is Direction.EXPORT:
        problems["kind"] = "People can be read out of a database, not written into one."
    if it.kind is PlaceKind.SQL and transfer_id is None and not it.secret:
        problems["secret"] = "Write how to connect, such as postgresql://user:password@host/name."  # noqa: S105
    if transfer_id is not None and it.secret is None:
        before = await app.store.transfers.get(workspace_id, transfer_id)
        if before.secret and _other_side(before.kind, before.place) != _other_side(it.kind, it.place):
            # Else whoever may change the address could have the secret, which nobody is shown, sent to their own.
            problems["secret"] = "Write the secret again: it was given for another place."  # noqa: S105
    if it.kind is PlaceKind.FOLDER and not app.settings.transfers.folder:
        problems["kind"] = "This server has no transfer folder; its operator names one with transfers.folder."
    if problems:
        raise InputError("The transfer was not saved.", problems)
    now = app.clock.now()
    workspace = await app.store.accounts.workspace(workspace_id)
    next_at = it.schedule.next_after(now, workspace.time_zone)
    if it.options.get("list_id") is not None:
        await app.store.contacts.get_list(workspace_id, int(it.options["list_id"]))
    if it.secret:
        # Whoever reads the database, or a backup of it, has no key to other people's houses.
        it = replace(it, secret=app.tokens.seal(_SEALED, workspace_id, it.secret))
    if transfer_id is None:
        return await app.store.transfers.create(workspace_id, it, next_at, now)
    return await app.store.transfers.change(workspace_id, transfer_id, it, next_at)


def _other_side(kind: PlaceKind, place: Mapping[str, Any]) -> tuple[PlaceKind, str]:
    """To whom a secret is said: scheme, host and port. A database's stand in the secret itself."""
    address = str(place.get("url") or place.get("endpoint") or "")
    return kind, "/".join(address.split("/")[:3]).lower()


async def run_now(app: App, workspace_id: int, transfer_id: int) -> None:
    """Let it run as soon as a process is free."""
    await app.store.transfers.hurry(workspace_id, transfer_id, app.clock.now())
    await app.coordination.wake(WAKES)


async def pause(app: App, workspace_id: int, transfer_id: int, paused: bool) -> None:
    it = await app.store.transfers.get(workspace_id, transfer_id)
    workspace = await app.store.accounts.workspace(workspace_id)
    now = app.clock.now()
    await app.store.transfers.pause(
        workspace_id, transfer_id, now if paused else None, it.schedule.next_after(now, workspace.time_zone))


async def run_due(app: App) -> bool:
    """Run the transfer that has waited longest; True where there was one."""
    now = app.clock.now()
    due = await app.store.transfers.due(now)
    if due is None:
        return False
    it = await app.store.transfers.get(*due)
    workspace = await app.store.accounts.workspace(it.workspace_id)
    begun = await app.store.transfers.begin(
        it, it.schedule.next_after(now, workspace.time_zone), now + app.settings.transfers.timeout * 2, now)
    if begun is not None:
        await _run(app, *begun)
    return True


async def _run(app: App, it: Transfer, run_id: int) -> None:
    result: dict[str, Any] = {}
    try:
        async with asyncio.timeout(app.settings.transfers.timeout.total_seconds()):
            result = await (_bring(app, it) if it.direction is Direction.IMPORT else _take(app, it))
        state = RunState.DONE
    except TimeoutError:
        state, result = RunState.FAILED, {"error": "It took too long and was given up."}
    except (InputError, NotFoundError, MerpatiError) as error:
        state, result = RunState.FAILED, {"error": str(error)}
    except Exception:
        _log.exception("transfer failed", transfer_id=it.id)
        state, result = RunState.FAILED, {"error": "Something unexpected happened; the server's log says what."}
    await app.store.transfers.end(it, run_id, state, app.clock.now(), **result)


def _secret(app: App, it: Transfer) -> str:
    try:
        return app.tokens.unseal(_SEALED, it.workspace_id, it.secret) if it.secret else ""
    except TokenError:
        raise InputError("Its secret cannot be read with this server's key. Write it in again.") from None


async def _bring(app: App, it: Transfer) -> dict[str, Any]:
    """Fetch the file and hand it to the importer, with the columns as they were chosen or can be told."""
    stored = await fetch(app, it.workspace_id, None, it.kind, it.place, _secret(app, it))
    found = await inspect_import(app, it.workspace_id, stored.id)
    mapping = {title: str(field) for title, field in it.options.get("mapping", {}).items()} or found.mapping
    if not it.options.get("mapping") and it.options.get("all_columns"):
        mapping |= {c.title: c.suggestion for c in found.columns if not c.target and c.suggestion}
    list_id = it.options.get("list_id")
    standing = Standing(int(it.options.get("standing", found.standing)))
    await begin_import(app, it.workspace_id, stored.id, None if list_id is None else int(list_id), mapping,
                       wording=str(it.options.get("wording", "")), actor=f"transfer {it.name}", standing=standing)
    return {"import_id": stored.id, "octets": stored.bytes_total}


async def fetch(
    app: App, workspace_id: int, user_id: int | None, kind: PlaceKind, place: Mapping[str, str], secret: str = "",
) -> Import:
    """A file from outside as an import that waits for its mapping. Raises InputError with what is wrong."""
    async with app.places.read(workspace_id, kind, place, secret) as (name, octets):
        return await store_upload(app, workspace_id, user_id, name, octets)


async def _take(app: App, it: Transfer) -> dict[str, Any]:
    """Write the export and put it where it belongs."""
    options = it.options
    made = await begin_export(
        app, it.workspace_id, None, ExportKind(options.get("what", "contacts")),
        ExportFormat(options.get("format", "csv")), list_id=options.get("list_id"),
        segment_id=options.get("segment_id"), raw=bool(options.get("raw")), transfer_id=it.id)
    claimed = await app.store.exports.claim(app.clock.now(), app.clock.now(), made.id)
    done = await write_export(app, claimed) if claimed is not None else made
    while done.state not in (ExportState.DONE, ExportState.FAILED):  # another process has it
        await asyncio.sleep(0.5)
        done = await app.store.exports.get(it.workspace_id, made.id)
    if done.state is ExportState.FAILED:
        raise InputError(done.error)
    file = app.settings.server.data_dir / done.path
    day = app.clock.now().strftime("%Y-%m-%d")
    place = {name: value.replace("{date}", day) for name, value in it.place.items()}
    name = f"{done.what.value}-{day}.{done.format.value}"
    await app.places.write(it.workspace_id, it.kind, place, _secret(app, it), file, name)
    return {"export_id": done.id, "octets": done.octets}
