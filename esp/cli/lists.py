"""``merpati list``: the lists that people subscribe to."""

from dataclasses import replace
from typing import Annotated, Any

import typer
from rich.table import Table

from esp.cli.choosing import the_workspace
from esp.cli.shared import ConfigOption, JsonOption, WorkspaceOption, open_app, out, print_json, run
from esp.errors import InputError, NotFoundError
from esp.flows import contacts
from esp.flows.signup_letters import WORDS
from esp.model.permission import OptIn
from esp.ports.signup import ListSignup

app = typer.Typer(help="The lists that people subscribe to.", no_args_is_help=True)


@app.command()
def create(
    name: str,
    handle: Annotated[str, typer.Option(help="Its name in the List-Id, for ever. Default: made of the name.")] = "",
    description: Annotated[str, typer.Option(help="What subscribers read about it.")] = "",
    opt_in: Annotated[OptIn, typer.Option(help="Whether a mail asks for confirmation first.")] = OptIn.DOUBLE,
    public: Annotated[bool, typer.Option("--public", help="Anybody may subscribe, by page, form and mail.")] = False,
    language: Annotated[str, typer.Option(help="Of its pages and mails, en or id. Default: the reader's.")] = "",
    workspace: WorkspaceOption = "", config: ConfigOption = None, as_json: JsonOption = False,
) -> None:
    """Make a list."""

    async def main() -> None:
        async with open_app(config) as it:
            if language and language not in WORDS:
                raise InputError(f"{language} is none of our languages; choose {' or '.join(WORDS)}.")
            place = await the_workspace(it, workspace)
            made = await contacts.create_list(it, place.id, name, description, handle)
            await it.store.signups.save_list_signup(place.id, ListSignup(made.id, opt_in, public, language))
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


@app.command("set")
def set_signup(
    handle: Annotated[str, typer.Argument(help="The list's handle.")],
    opt_in: Annotated[OptIn | None, typer.Option(help="single or double.")] = None,
    public: Annotated[bool | None, typer.Option("--public/--private", help="Whether anybody may subscribe.")] = None,
    welcome: Annotated[bool | None, typer.Option("--welcome/--no-welcome", help="Greet new people by mail.")] = None,
    language: Annotated[str | None, typer.Option(help="en, id, or empty for the reader's own.")] = None,
    workspace: WorkspaceOption = "", config: ConfigOption = None, as_json: JsonOption = False,
) -> None:
    """Change how people come onto a list; what is not named stays. Prints where they do."""

    async def main() -> None:
        async with open_app(config) as it:
            if language and language not in WORDS:
                raise InputError(f"{language} is none of our languages; choose {' or '.join(WORDS)}.")
            place = await the_workspace(it, workspace)
            found = next((x for x in await it.store.signups.list_signups(place.id) if x.handle == handle), None)
            if found is None:
                raise NotFoundError(f"There is no list with the handle {handle}.")
            given: dict[str, Any] = {"opt_in": opt_in, "public": public, "welcome": welcome, "language": language}
            signup = replace(found.signup, **{name: value for name, value in given.items() if value is not None})
            await it.store.signups.save_list_signup(place.id, signup)
            pages = await it.store.signups.public_pages(place.id)
            url = f"{it.settings.public_url}/s/{pages.handle}/{handle}"
        if as_json:
            print_json({"handle": handle, "opt_in": signup.opt_in.value, "public": signup.public,
                        "welcome": signup.welcome, "language": signup.language, "url": url if signup.public else ""})
        else:
            out.print(f"[bold]{found.name}[/bold]: {signup.opt_in.value} opt-in, "
                      + (f"public at {url}" if signup.public else "private"))

    run(main())
