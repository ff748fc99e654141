"""``merpati contacts``: the workspace's own fields, and tags put on many people."""

from typing import Annotated

import typer
from rich.table import Table

from esp.app import App
from esp.audience.field_values import check_definition
from esp.cli.choosing import the_list, the_workspace
from esp.cli.shared import ConfigOption, JsonOption, WorkspaceOption, open_app, out, print_json, run
from esp.flows import bulk
from esp.model.fields import FieldType
from esp.ports.people_bulk import OVER, Bulk, BulkAction, Selection

_ACTOR = "command line"

Matching = Annotated[str, typer.Option("--matching", "-m", help="How the address or a name begins. Default: all.")]
OnList = Annotated[str, typer.Option("--list", "-l", help="Only those subscribed to this list.")]


def join(app: typer.Typer) -> None:
    """Add these commands to ``merpati contacts``."""
    app.command("fields")(fields)
    app.command("add-field")(add_field)
    app.command("tags")(tags)
    app.command("tag")(tag)
    app.command("untag")(untag)
    app.command("undo")(undo)


def fields(workspace: WorkspaceOption = "", config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """The contact fields of a workspace's own."""

    async def main() -> None:
        async with open_app(config) as it:
            found = await it.store.people.fields((await the_workspace(it, workspace)).id)
        if as_json:
            print_json([{"key": x.key, "label": x.label, "type": x.type, "choices": x.choices,
                         "open_to_recipient": x.open_to_recipient} for x in found])
            return
        table = Table("Key", "Label", "Type", "Choices")
        for x in found:
            table.add_row(x.key, x.label, x.type, ", ".join(x.choices))
        out.print(table)

    run(main())


def add_field(
    label: str,
    kind: Annotated[FieldType, typer.Option("--type", "-t", help="What its values are.")] = FieldType.TEXT,
    choice: Annotated[list[str] | None, typer.Option("--choice", help="One choice; repeatable.")] = None,
    key: Annotated[str, typer.Option(help="Its name in templates, for ever. Default: made of the label.")] = "",
    open_to_recipient: Annotated[bool, typer.Option("--open", help="Recipients may see and change it.")] = False,
    workspace: WorkspaceOption = "", config: ConfigOption = None, as_json: JsonOption = False,
) -> None:
    """Add a contact field; it can be used at once."""

    async def main() -> None:
        made, words, choices = check_definition(label, kind, choice or [], key)
        async with open_app(config) as it:
            place = await the_workspace(it, workspace)
            field = await it.store.people.add_field(
                place.id, made, words, kind, choices, open_to_recipient, it.clock.now())
        if as_json:
            print_json({"key": field.key, "type": field.type})
        else:
            out.print(f"The field {field.label} is there; templates call it contact.{field.key}.", highlight=False)

    run(main())


def tags(
    prefix: str = "", workspace: WorkspaceOption = "", config: ConfigOption = None, as_json: JsonOption = False,
) -> None:
    """The tags of a workspace."""

    async def main() -> None:
        async with open_app(config) as it:
            found = await it.store.people.tags((await the_workspace(it, workspace)).id, prefix, limit=1000)
        if as_json:
            print_json([{"id": x.id, "name": x.name} for x in found])
        else:
            for x in found:
                out.print(x.name, markup=False, highlight=False)

    run(main())


def tag(
    name: str, matching: Matching = "", on: OnList = "",
    workspace: WorkspaceOption = "", config: ConfigOption = None, as_json: JsonOption = False,
) -> None:
    """Put a tag on everybody who matches."""
    run(_tag(BulkAction.ADD_TAG, name, matching, on, workspace, config, as_json))


def untag(
    name: str, matching: Matching = "", on: OnList = "",
    workspace: WorkspaceOption = "", config: ConfigOption = None, as_json: JsonOption = False,
) -> None:
    """Take a tag off everybody who matches."""
    run(_tag(BulkAction.REMOVE_TAG, name, matching, on, workspace, config, as_json))


async def _tag(
    action: BulkAction, name: str, matching: str, on: str, workspace: str, config: ConfigOption, as_json: bool,
) -> None:
    async with open_app(config) as it:
        place = await the_workspace(it, workspace)
        target = await the_list(it, place.id, on) if on else None
        selection = Selection(query=matching, list_id=target.id if target else None)
        made = await bulk.begin(it, place.id, action, selection, {"tag": name}, _ACTOR)
        _report(await _finish(it, made), as_json)


def undo(
    number: Annotated[int, typer.Argument(metavar="ACTION", help="The action's number.")],
    workspace: WorkspaceOption = "", config: ConfigOption = None, as_json: JsonOption = False,
) -> None:
    """Undo what was done to many contacts at once."""

    async def main() -> None:
        async with open_app(config) as it:
            place = await the_workspace(it, workspace)
            _report(await _finish(it, await bulk.undo(it, place.id, number, _ACTOR)), as_json)

    run(main())


async def _finish(it: App, queued: Bulk) -> Bulk:
    """Do it here, unless a running server took it first; then wait for the server."""
    while True:
        current = await it.store.bulks.get(queued.workspace_id, queued.id)
        if current.state in OVER:
            return current
        if not await bulk.run_bulk(it):
            await it.coordination.wait(bulk.WAKES, 0.2)


def _report(done: Bulk, as_json: bool) -> None:
    if as_json:
        print_json({"action": done.id, "state": done.state, "seen": done.seen, "changed": done.changed,
                    "kept": done.kept, "error": done.error})
    else:
        out.print(f"{done.seen:,} people looked at, {done.changed:,} changed, {done.kept:,} left alone. "
                  f"Undo with `merpati contacts undo {done.id}`.")
