"""``merpati user``: who can log in."""

from typing import Annotated

import typer
from rich.table import Table

from esp.cli.choosing import the_workspace
from esp.cli.shared import ConfigOption, JsonOption, WorkspaceOption, open_app, out, print_json, run
from esp.flows import accounts
from esp.ports.accounts import Role

app = typer.Typer(help="Who can log in.", no_args_is_help=True)


@app.command()
def add(
    email: str,
    name: Annotated[str, typer.Option(help="How the person is called.")] = "",
    password: Annotated[
        str, typer.Option(help="Empty: one is made and printed once.")] = "",
    role: Annotated[Role, typer.Option(help="An owner also changes the team and the sending domains.")] = Role.MEMBER,
    workspace: WorkspaceOption = "", config: ConfigOption = None, as_json: JsonOption = False,
) -> None:
    """Add a user. The first one becomes the owner of the server, with a workspace named by --workspace."""

    async def main() -> None:
        chosen = password or accounts.new_password()
        async with open_app(config) as it:
            passwords = accounts.Passwords()
            if not await it.store.accounts.has_users():
                member = await accounts.found_server(it, passwords, email, name, chosen)
                user, is_role = member.user, member.role
                (place,) = await it.store.accounts.workspaces()
                await it.store.accounts.update_workspace(
                    place.id, name=workspace, postal_address="", language=place.language, time_zone=place.time_zone)
            else:
                place = await the_workspace(it, workspace)
                user, is_role = await accounts.add_user(it, passwords, place.id, email, name, chosen, role), role
        if as_json:
            print_json({"id": user.id, "email": user.email, "role": is_role,
                        "password": None if password else chosen})
        else:
            out.print(f"[bold]{user.email}[/bold] can log in as {is_role}.")
            if not password:
                out.print(f"The password, shown this once: [bold]{chosen}[/bold]")

    run(main())


@app.command("list")
def list_users(workspace: WorkspaceOption = "", config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """The users of a workspace."""

    async def main() -> None:
        async with open_app(config) as it:
            members = await it.store.accounts.members((await the_workspace(it, workspace)).id)
        if as_json:
            print_json([{"id": m.user.id, "email": m.user.email, "name": m.user.name, "role": m.role,
                         "disabled": m.disabled_at is not None} for m in members])
            return
        table = Table("Address", "Name", "Role", "")
        for m in members:
            table.add_row(m.user.email, m.user.name, m.role, "barred" if m.disabled_at else "")
        out.print(table)

    run(main())
