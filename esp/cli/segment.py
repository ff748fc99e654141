"""``merpati segment``: saved rules, who is in them, and snapshots."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from esp.app import App
from esp.audience.segment_text import describe
from esp.cli.choosing import the_workspace
from esp.cli.shared import ConfigOption, JsonOption, WorkspaceOption, open_app, out, print_json, run
from esp.errors import InputError
from esp.flows import segments as flow
from esp.model.segment import Group
from esp.model.segment_json import parse_rule, rule_json
from esp.ports.segments import Segment

app = typer.Typer(help="Segments: people found by rules, such as those who opened something lately.",
                  no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="SEGMENT", help="Its name or number.")]
_BIGGEST = 1_000_000


def _read_rule(source: str) -> Group:
    """The rule of a JSON file, of standard input (``-``), or of the text itself where it begins with a brace."""
    if source.lstrip().startswith("{"):
        text = source
    else:
        try:
            text = sys.stdin.read(_BIGGEST) if source == "-" else Path(source).read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"The rule could not be read from {source}: {error}") from None
    try:
        return parse_rule(json.loads(text))
    except (ValueError, RecursionError) as error:
        raise InputError(f"The rule is no JSON: {error}") from None


async def _the_segment(it: App, workspace_id: int, name: str) -> Segment:
    found = await it.store.segments.list(workspace_id, limit=10_000)
    for one in found:
        if one.name == name or str(one.id) == name:
            return one
    names = ", ".join(f"{one.id} {one.name}" for one in found[:20]) or "none yet"
    raise InputError(f"There is no segment {name!r}. There are: {names}.")


def _plain(one: Segment) -> dict[str, Any]:
    return {"id": one.id, "name": one.name, "description": one.description, "counted": one.counted,
            "counted_at": one.counted_at, "rule": rule_json(one.rule)}


@app.command("list")
def list_segments(
    workspace: WorkspaceOption = "", config: ConfigOption = None, as_json: JsonOption = False,
) -> None:
    """The segments of a workspace, with the last count of each."""

    async def main() -> None:
        async with open_app(config) as it:
            found = await it.store.segments.list((await the_workspace(it, workspace)).id, limit=10_000)
        if as_json:
            print_json([_plain(one) for one in found])
            return
        table = Table("Number", "Name")
        table.add_column("People", justify="right")
        for one in found:
            table.add_row(str(one.id), one.name, "" if one.counted is None else f"{one.counted:,}")
        out.print(table)

    run(main())


@app.command()
def create(
    name: str,
    rule: Annotated[str, typer.Option(help="Its rule as JSON: a file, - for standard input, or the text itself.")],
    description: str = "",
    workspace: WorkspaceOption = "", config: ConfigOption = None, as_json: JsonOption = False,
) -> None:
    """Make a segment. The guide says how rules are written."""

    async def main() -> None:
        async with open_app(config) as it:
            place = await the_workspace(it, workspace)
            made = await flow.create(it, place.id, name, description, _read_rule(rule))
        if as_json:
            print_json(_plain(made))
        else:
            out.print(f"The segment [bold]{made.id}[/bold] is there.")

    run(main())


@app.command()
def show(
    segment: Name, workspace: WorkspaceOption = "", config: ConfigOption = None, as_json: JsonOption = False,
) -> None:
    """A segment's rule in words, and what in it cannot be used any more."""

    async def main() -> None:
        async with open_app(config) as it:
            place = await the_workspace(it, workspace)
            checked = await flow.read(it, place.id, (await _the_segment(it, place.id, segment)).id)
        problems = {one.path: str(one) for one in checked.problems}
        if as_json:
            print_json({**_plain(checked.segment), "text": describe(checked.segment.rule, checked.known),
                        "problems": problems})
            return
        out.print(describe(checked.segment.rule, checked.known), markup=False)
        for path, words in problems.items():
            out.print(f"{path}: {words}", style="red", markup=False)

    run(main())


@app.command()
def count(
    segment: Annotated[str, typer.Argument(metavar="SEGMENT", help="Its name or number; or give --rule.")] = "",
    rule: Annotated[str, typer.Option(help="A rule as JSON that is not saved.")] = "",
    workspace: WorkspaceOption = "", config: ConfigOption = None, as_json: JsonOption = False,
) -> None:
    """How many people are in it now."""

    async def main() -> None:
        if bool(segment) == bool(rule):
            raise InputError("Name a segment, or give a rule with --rule.")
        async with open_app(config) as it:
            place = await the_workspace(it, workspace)
            if rule:
                found = await flow.count(it, place.id, _read_rule(rule))
            else:
                one = await _the_segment(it, place.id, segment)
                found = await flow.count(it, place.id, one.rule, one.id)
        if as_json:
            print_json({"count": found})
        else:
            out.print(f"{found:,}")

    run(main())


@app.command()
def people(
    segment: Name,
    after: Annotated[int, typer.Option(help="Those after this contact's number.")] = 0,
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 50,
    workspace: WorkspaceOption = "", config: ConfigOption = None, as_json: JsonOption = False,
) -> None:
    """Who is in it now, page by page."""

    async def main() -> None:
        async with open_app(config) as it:
            place = await the_workspace(it, workspace)
            one = await _the_segment(it, place.id, segment)
            found = await flow.people(it, place.id, one.rule, after, limit)
        if as_json:
            print_json([{"id": x.id, "email": x.email, "name": x.name} for x in found])
            return
        for x in found:
            out.print(f"{x.id}\t{x.email}\t{x.name}", markup=False, highlight=False, soft_wrap=True)

    run(main())


@app.command()
def snapshot(
    segment: Name, workspace: WorkspaceOption = "", config: ConfigOption = None, as_json: JsonOption = False,
) -> None:
    """Write down who is in it now."""

    async def main() -> None:
        async with open_app(config) as it:
            place = await the_workspace(it, workspace)
            taken = await flow.snapshot(it, place.id, (await _the_segment(it, place.id, segment)).id)
        if as_json:
            print_json({"id": taken.id, "size": taken.size, "created_at": taken.created_at})
        else:
            out.print(f"Snapshot [bold]{taken.id}[/bold]: {taken.size:,} people.")

    run(main())


@app.command()
def delete(
    segment: Name, workspace: WorkspaceOption = "", config: ConfigOption = None, as_json: JsonOption = False,
) -> None:
    """Delete a segment; the people stay as they are."""

    async def main() -> None:
        async with open_app(config) as it:
            place = await the_workspace(it, workspace)
            one = await _the_segment(it, place.id, segment)
            await flow.delete(it, place.id, one.id)
        if as_json:
            print_json({"id": one.id, "deleted": True})
        else:
            out.print(f"The segment {one.name} was deleted.", markup=False)

    run(main())
