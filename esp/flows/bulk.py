"""Many contacts at once: an action asked for, done by a background job in chunks, stopped, and undone."""

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

import structlog

from esp.app import App
from esp.errors import InputError, LeaseLostError, MerpatiError
from esp.ports.people_bulk import Bulk, BulkAction, NewBulk, Selection

WAKES: Final = "bulk"
MOST_COUNTED: Final = 10_000  # beyond it "more than 10,000" says enough, and counting on would cost seconds
MOST_IDS: Final = 1000
_CHUNK: Final = 1000
_STALE: Final = timedelta(seconds=30)
_LONGEST_WORDING: Final = 500

_log = structlog.get_logger()


async def begin(
    app: App, workspace_id: int, action: BulkAction, selection: Selection, arguments: Mapping[str, Any], actor: str,
) -> Bulk:
    """Queue an action. ``arguments`` by action: ``tag`` (a name) or ``tag_id``; ``list_id``, ``wording`` (how they
    agreed, needed to subscribe) and ``resubscribe``; ``note``; ``report_id``. Raises InputError by argument."""
    if len(selection.ids) > MOST_IDS:
        raise InputError(f"At most {MOST_IDS:,} people can be named one by one; choose everybody who matches instead.")
    wanted: dict[str, Any] = {}
    match action:
        case BulkAction.ADD_TAG | BulkAction.REMOVE_TAG:
            wanted = await _tag(app, workspace_id, arguments, make=action is BulkAction.ADD_TAG)
        case BulkAction.SUBSCRIBE | BulkAction.UNSUBSCRIBE:
            wanted = await _list(app, workspace_id, arguments, action)
        case BulkAction.SUPPRESS:
            wanted = {"note": str(arguments.get("note", "")).strip()[:_LONGEST_WORDING]}
        case BulkAction.CORRECT_DOMAIN:
            if selection.report_id is None:
                raise InputError("Only addresses that the hygiene report found can be corrected.")
            wanted = {"report_id": selection.report_id}
        case BulkAction.DELETE:
            pass
    made = await app.store.bulks.create(
        workspace_id, NewBulk(action, selection, actor, wanted), app.clock.now())
    await app.coordination.wake(WAKES)
    return made


async def _tag(app: App, workspace_id: int, arguments: Mapping[str, Any], make: bool) -> dict[str, Any]:
    name = str(arguments.get("tag", "")).strip()
    if make:
        tag = await app.store.people.make_tag(workspace_id, name)
        return {"tag_id": tag.id, "tag": tag.name}
    for tag in await app.store.people.tags(workspace_id, name, 50) if name else ():
        if tag.name.casefold() == name.casefold():
            return {"tag_id": tag.id, "tag": tag.name}
    raise InputError("Choose the tag.", {"tag": "There is no tag of this name."})


async def _list(app: App, workspace_id: int, arguments: Mapping[str, Any], action: BulkAction) -> dict[str, Any]:
    if not arguments.get("list_id"):
        raise InputError("Choose the list.", {"list_id": "Choose the list."})
    one = await app.store.contacts.get_list(workspace_id, int(arguments["list_id"]))
    wording = str(arguments.get("wording", "")).strip()[:_LONGEST_WORDING]
    if action is BulkAction.SUBSCRIBE and not wording:
        raise InputError("Say how these people agreed.", {
            "wording": "Say how they agreed, for example: form at the till, spring 2026."})
    return {"list_id": one.id, "list": one.name, "wording": wording,
            "resubscribe": bool(arguments.get("resubscribe"))}


async def undo(app: App, workspace_id: int, bulk_id: int, actor: str) -> Bulk:
    """Queue the undoing; what somebody changed since stays as it is. Raises ConflictError."""
    made = await app.store.bulks.create_undo(workspace_id, bulk_id, actor, app.clock.now())
    await app.coordination.wake(WAKES)
    return made


async def run_bulk(app: App) -> bool:
    """Do one action to its end, new or left behind by a process that died; True where there was one."""
    now = app.clock.now()
    it = await app.store.bulks.claim(now, now - _STALE)
    if it is None:
        return False
    try:
        while it.finished_at is None:
            it = await app.store.bulks.step(it, app.clock.now(), _CHUNK)
    except LeaseLostError:
        pass  # it was stopped, or somebody took us for dead and goes on with it
    except asyncio.CancelledError:
        await asyncio.shield(app.store.bulks.release(it))
        raise
    except MerpatiError as error:
        await app.store.bulks.fail(it, str(error), app.clock.now())
    except Exception:
        _log.exception("bulk action stumbled", bulk_id=it.id)
        await app.store.bulks.stumble(
            it, "Something unexpected happened; the server's log says what. What was done until then stays and can be"
                " undone.", app.clock.now())
    return True
