"""``merpati credential``: what apps show at the doors of the relay, made, listed and revoked."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from esp.cli.choosing import the_workspace
from esp.cli.shared import ConfigOption, JsonOption, WorkspaceOption, open_app, out, print_json, run
from esp.errors import InputError, NotFoundError
from esp.flows.accounts import Passwords
from esp.flows.credentials import create_credential
from esp.model.relay import Credential, CredentialKind, Scope

app = typer.Typer(help="SMTP credentials and API keys of apps.", no_args_is_help=True)


def _plain(it: Credential) -> dict[str, Any]:
    return {
        "id": it.public_id, "kind": it.kind, "name": it.name, "login": it.login, "stream": it.stream,
        "scopes": sorted(it.scopes), "domains": it.domains, "networks": it.networks, "rate": it.rate,
        "sandbox": it.sandbox, "created_at": it.created_at, "last_used_at": it.last_used_at,
        "revoked_at": it.revoked_at,
    }


def _scopes(words: list[str]) -> frozenset[Scope]:
    try:
        return frozenset(map(Scope, words))
    except ValueError:
        known = ", ".join(Scope)
        raise InputError("The credential was not made.", {"scope": f"Known are {known}."}) from None


@app.command()
def add(
    name: str,
    kind: Annotated[CredentialKind, typer.Option(help="smtp, or api for an API key.")] = CredentialKind.SMTP,
    stream: Annotated[str, typer.Option(help="The one stream it may use. Default: any.")] = "",
    domain: Annotated[list[str] | None, typer.Option(help="Sender domain it may use; may be repeated.")] = None,
    network: Annotated[list[str] | None, typer.Option(help="Address or network it may come from.")] = None,
    rate: Annotated[str, typer.Option(help="The most it may send, e.g. 600/min.")] = "",
    scope: Annotated[list[str] | None, typer.Option(help="Of an API key; default: everything.")] = None,
    sandbox: Annotated[bool, typer.Option("--sandbox", help="Accept everything and deliver nothing.")] = False,
    workspace: WorkspaceOption = "", config: ConfigOption = None, as_json: JsonOption = False,
) -> None:
    """Make a credential. Its secret is shown now and never again."""

    async def main() -> None:
        async with open_app(config) as it:
            place = await the_workspace(it, workspace)
            scopes = _scopes(scope or [Scope.FULL.value]) if kind is CredentialKind.API else frozenset()
            made, secret = await create_credential(
                it, Passwords(), place.id, kind, name, scopes=scopes, stream=stream, domains=domain or (),
                networks=network or (), rate=rate, sandbox=sandbox, created_by="command line")
            settings = it.settings
        if as_json:
            print_json({**_plain(made), "secret": secret})
        elif kind is CredentialKind.API:
            out.print(f"API key (shown only now): [bold]{secret}[/bold]", soft_wrap=True, highlight=False)
        else:
            at = settings.submission
            host = at.hostname or settings.delivery.hello_name or at.host
            out.print(f"Host      {host}\nPort      {at.tls_port} (TLS) or {at.port} (STARTTLS)\n"
                      f"User name {made.login}\nPassword  {secret}   (shown only now)", highlight=False)

    run(main())


@app.command("list")
def list_credentials(workspace: WorkspaceOption = "", config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """The credentials of a workspace, newest first."""
    show(None, workspace, config, as_json)


def show(kind: CredentialKind | None, workspace: str, config: Path | None, as_json: bool) -> None:
    """Print the credentials of one kind, or of both."""

    async def main() -> None:
        async with open_app(config) as it:
            found = await it.store.relay.credentials((await the_workspace(it, workspace)).id, kind)
        if as_json:
            print_json([_plain(one) for one in found])
            return
        table = Table("Id", "Kind", "Name", "Login", "Stream", "Last used", "State")
        for one in found:
            state = "revoked" if one.revoked_at else "sandbox" if one.sandbox else "in use"
            used = one.last_used_at.strftime("%Y-%m-%d %H:%M") if one.last_used_at else "never"
            table.add_row(one.public_id, one.kind, one.name, one.login, one.stream or "any", used, state)
        out.print(table)

    run(main())


@app.command()
def revoke(
    name: Annotated[str, typer.Argument(help="Its id or its login.")],
    workspace: WorkspaceOption = "", config: ConfigOption = None, as_json: JsonOption = False,
) -> None:
    """Revoke a credential; the doors refuse it within seconds."""

    async def main() -> None:
        async with open_app(config) as it:
            place = await the_workspace(it, workspace)
            known = await it.store.relay.credentials(place.id)
            found = next((one for one in known if name in (one.public_id, one.login)), None)
            if found is None:
                raise NotFoundError(f"There is no credential {name} here; merpati credential list shows them.")
            revoked = await it.store.relay.revoke_credential(place.id, found.public_id, it.clock.now())
        if as_json:
            print_json(_plain(revoked))
        else:
            out.print(f"{revoked.name} ({revoked.login}) is revoked.", highlight=False)

    run(main())
