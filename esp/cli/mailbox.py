"""``merpati mailbox``: mailboxes elsewhere that bounces and replies are collected from; and ``merpati inbound``."""

import mailbox
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.table import Table

from esp.app import App
from esp.cli.choosing import the_workspace
from esp.cli.shared import ConfigOption, JsonOption, WorkspaceOption, open_app, out, print_json, run
from esp.errors import InputError
from esp.flows import pickup as collecting
from esp.flows.mailroom import WAKES
from esp.ports.mailroom import NewInbound
from esp.ports.pickup import Afterwards, MailProtocol, NewPickup, Pickup, Security

app = typer.Typer(help="Mailboxes elsewhere that bounces and replies are collected from.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="The mailbox's name or number.")]


@app.command()
def add(
    name: Annotated[str, typer.Argument(help="What you and your colleagues call it.")],
    host: Annotated[str, typer.Option(help="The server's name, such as imap.example.com.")],
    username: Annotated[str, typer.Option(help="The user, often the whole address.")],
    password: Annotated[str, typer.Option(prompt=True, hide_input=True, envvar="MAILBOX_PASSWORD",
                                          help="Asked for, or taken from MAILBOX_PASSWORD.")],
    protocol: Annotated[MailProtocol, typer.Option(help="imap or pop3.")] = MailProtocol.IMAP,
    security: Annotated[Security, typer.Option(help="tls, starttls, or none on a private network.")] = Security.TLS,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: the usual one.")] = 0,
    folder: Annotated[str, typer.Option(help="Of IMAP.")] = "INBOX",
    delete: Annotated[bool, typer.Option("--delete", help="Delete there what is stored here.")] = False,
    workspace: WorkspaceOption = "", config: ConfigOption = None, as_json: JsonOption = False,
) -> None:
    """Collect from a mailbox from now on; it is opened once to see whether that works."""

    async def main() -> None:
        async with open_app(config) as it:
            place = await the_workspace(it, workspace)
            made = await collecting.save(it, place.id, NewPickup(
                name, protocol, host, port or collecting.PORTS[protocol, security], security, username, folder,
                Afterwards.DELETE if delete else Afterwards.KEEP, password))
            waiting = await collecting.try_out(it, made)
        if as_json:
            print_json(_plain(made) | {"waiting": waiting})
        else:
            out.print(f"Added {made.name!r}. It works; the running server collects what is in it.")

    run(main())


@app.command("list")
def list_them(
    workspace: WorkspaceOption = "", config: ConfigOption = None, as_json: JsonOption = False,
) -> None:
    """The mailboxes of a workspace, and whether they can be reached."""

    async def main() -> None:
        async with open_app(config) as it:
            found = await it.store.pickups.all((await the_workspace(it, workspace)).id)
        if as_json:
            print_json([_plain(one) for one in found])
            return
        table = Table("Number", "Name", "Server", "Collected", "Last reached", "Trouble")
        for one in found:
            trouble = "paused" if one.paused_at else one.error
            reached = f"{one.checked_at:%Y-%m-%d %H:%M}" if one.checked_at else ""
            server = f"{one.protocol.value} {one.host}"
            table.add_row(str(one.id), one.name, server, str(one.collected), reached, trouble)
        out.print(table)

    run(main())


@app.command()
def check(name: Name, workspace: WorkspaceOption = "", config: ConfigOption = None) -> None:
    """Open a mailbox once and say whether that works; nothing is fetched."""

    async def main() -> None:
        async with open_app(config) as it:
            waiting = await collecting.try_out(it, await _the_mailbox(it, workspace, name))
        out.print("It works. " + ("New mail waits in it." if waiting else "No new mail is in it."))

    run(main())


@app.command()
def collect(name: Name, workspace: WorkspaceOption = "", config: ConfigOption = None) -> None:
    """Fetch all that waits in a mailbox, now. A running server does that by itself."""

    async def main() -> None:
        async with open_app(config) as it:
            count = await collecting.collect(it, await _the_mailbox(it, workspace, name))
        out.print(f"{count} messages were stored. The running server judges them.")

    run(main())


@app.command()
def remove(name: Name, workspace: WorkspaceOption = "", config: ConfigOption = None) -> None:
    """Stop collecting from a mailbox. What is in it stays there, what was collected stays here."""

    async def main() -> None:
        async with open_app(config) as it:
            one = await _the_mailbox(it, workspace, name)
            await it.store.pickups.delete(one.workspace_id, one.id)
        out.print(f"Nothing more is collected from {one.name!r}.")

    run(main())


async def _the_mailbox(it: App, workspace: str, name: str) -> Pickup:
    found = await it.store.pickups.all((await the_workspace(it, workspace)).id)
    for one in found:
        if name in (str(one.id), one.name):
            return one
    raise InputError(f"There is no mailbox {name!r}; there are: {', '.join(one.name for one in found) or 'none'}.")


def _plain(one: Pickup) -> dict[str, Any]:
    plain = replace(one, secret="")
    return {name: getattr(plain, name) for name in plain.__slots__ if name not in ("secret", "workspace_id")}


def inbound(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", exists=True,
                                                help="Messages, mbox files, or maildirs.")],
    workspace: WorkspaceOption = "", config: ConfigOption = None, as_json: JsonOption = False,
) -> None:
    """Take in mail from files, as if it had been collected from a mailbox; the running server judges it."""

    async def main() -> None:
        taken, left = 0, []
        async with open_app(config) as it:
            place = await the_workspace(it, workspace)
            some: list[NewInbound] = []
            for path in files:
                for where, raw in _messages(path):
                    if len(raw) > it.settings.mailboxes.max_message_bytes:
                        left.append(where)
                        continue
                    some.append(NewInbound(datetime.now(UTC), "file", "", (), raw, place.id, _FROM_FILES))
                    taken += 1
                    if len(some) == _AT_ONCE or sum(len(one.raw) for one in some) > _OCTETS:
                        await it.store.mailroom.keep_all(some)
                        some = []
            await it.store.mailroom.keep_all(some)
            await it.coordination.wake(WAKES)
        if as_json:
            print_json({"stored": taken, "too_large": left})
            return
        out.print(f"{taken} messages were stored. The running server judges them.")
        for where in left:
            out.print(f"Larger than mailboxes.max_message_bytes, left alone: {where}")

    run(main())


_FROM_FILES: Final = 0  # in the place of a mailbox's number
_AT_ONCE: Final = 200
_OCTETS: Final = 8_000_000


def _messages(path: Path) -> Iterator[tuple[str, bytes]]:
    """The messages of a file: a maildir's, an mbox's, or the one that it is."""
    if path.is_dir():
        if not (path / "cur").is_dir():
            raise InputError(f"{path} is a folder, but no maildir: it has no folder named cur.")
        for folder in ("cur", "new"):
            for one in sorted((path / folder).iterdir() if (path / folder).is_dir() else ()):
                yield str(one), one.read_bytes()
        return
    with path.open("rb") as file:
        is_mbox = file.read(5) == b"From "
    if not is_mbox:
        yield str(path), path.read_bytes()
        return
    box = mailbox.mbox(path, create=False)
    try:
        for key in box.iterkeys():
            yield f"{path}, message {int(key) + 1}", box.get_bytes(key)
    finally:
        box.close()
