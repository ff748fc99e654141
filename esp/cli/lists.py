"""``merpati list``: the lists that people subscribe to."""

from typing import Annotated

import typer
from rich.table import Table

from esp.cli.choosing import the_workspace
from esp.cli.shared import ConfigOption, JsonOption, WorkspaceOption, open_app, out, print_json, run
from esp.flows import contacts

app = typer.Typer(help="The lists that people subscribe to.", no_args_is_help=True)


@app.command()
def create(
    name: str,
    handle: Annotated[str, typer.Option(help="Its name in the List-Id, for ever. Default: made of the name.")] = "",
    description: Annotated[str, typer.Option(help="What subscribers read about it.")] = "",
    workspace: WorkspaceOption = "", config: ConfigOption = None, as_json: JsonOption = False,
) -> None:
    """Make a list."""

    async def main() -> None:
        async with open_app(config) as it:
            place = await the_workspace(it, workspace)
            made = await contacts.create_list(it, place.id, name, description, handle)
        if as_json:
            print_json({"id": made.id, "name": made.name, "handle": made.handle})
        else:
            out.print(f"The list [bold]{made.name}[/bold] is there; its handle is {made.handle}.")

    run(main())


@app.command("list")
def list_lists(
    archived: Annotated[bool, typer.Option("--archived", help="Those put away, too.")] = False,
    workspace: WorkspaceOption = "", config: ConfigOption = None, as_json: JsonOption = False,
) -> None:
    """The lists of a workspace, with how many people are on each."""

    async def main() -> None:
        async with open_app(config) as it:
            found = await it.store.contacts.lists((await the_workspace(it, workspace)).id, archived)
        if as_json:
            print_json([{"id": x.id, "name": x.name, "handle": x.handle, "subscribed": x.subscribed,
                         "unsubscribed": x.unsubscribed, "archived": x.archived_at is not None} for x in found])
            return
        table = Table("Handle", "Name")
        table.add_column("Subscribed", justify="right")
        table.add_column("Unsubscribed", justify="right")
        for x in found:
            table.add_row(x.handle, x.name, f"{x.subscribed:,}", f"{x.unsubscribed:,}")
        out.print(table)

    run(main())
