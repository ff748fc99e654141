"""``merpati key``: API keys, made, listed and revoked; ``merpati credential`` knows SMTP credentials too."""

from typing import Annotated

import typer

from esp.cli import credential
from esp.cli.shared import ConfigOption, JsonOption, WorkspaceOption
from esp.model.relay import CredentialKind

app = typer.Typer(help="Keys of the HTTP API.", no_args_is_help=True)


@app.command()
def add(
    name: str,
    scope: Annotated[list[str] | None, typer.Option(help="What it may do; may be repeated. Default: everything.")]
    = None,
    stream: Annotated[str, typer.Option(help="The one stream it may use. Default: any.")] = "",
    domain: Annotated[list[str] | None, typer.Option(help="Sender domain it may use; may be repeated.")] = None,
    network: Annotated[list[str] | None, typer.Option(help="Address or network it may come from.")] = None,
    rate: Annotated[str, typer.Option(help="The most messages it may send, e.g. 600/min.")] = "",
    sandbox: Annotated[bool, typer.Option("--sandbox", help="Accept everything and deliver nothing.")] = False,
    workspace: WorkspaceOption = "", config: ConfigOption = None, as_json: JsonOption = False,
) -> None:
    """Make a key. It is shown now and never again."""
    credential.add(name, CredentialKind.API, stream, domain, network, rate, scope, sandbox, workspace, config, as_json)


@app.command("list")
def list_keys(workspace: WorkspaceOption = "", config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """The keys of a workspace, newest first."""
    credential.show(CredentialKind.API, workspace, config, as_json)


@app.command()
def revoke(
    name: Annotated[str, typer.Argument(help="Its id, or its first part, as the list shows them.")],
    workspace: WorkspaceOption = "", config: ConfigOption = None, as_json: JsonOption = False,
) -> None:
    """Revoke a key; it is refused within seconds."""
    credential.revoke(name, workspace, config, as_json)
