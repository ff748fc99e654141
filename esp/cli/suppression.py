"""``merpati suppression``: addresses and domains that nothing is sent to."""

import asyncio
import sys
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from esp.cli.choosing import the_list, the_workspace
from esp.cli.shared import ConfigOption, JsonOption, WorkspaceOption, err, open_app, out, print_json, run
from esp.errors import InputError
from esp.flows import suppressions
from esp.model.contact import SuppressionReason
from esp.wire.addresses import AddressError

app = typer.Typer(help="Addresses and domains that nothing is sent to.", no_args_is_help=True)

_ACTOR = "command line"


@app.command("list")
def list_them(
    text: Annotated[str, typer.Argument(help="How the address begins, or @domain; empty: the newest.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 50,
    workspace: WorkspaceOption = "", config: ConfigOption = None, as_json: JsonOption = False,
) -> None:
    """What is suppressed, and why."""

    async def main() -> None:
        async with open_app(config) as it:
            place = await the_workspace(it, workspace)
            page = await it.store.suppressions.search(place.id, text, limit=limit)
        if as_json:
            print_json([{"id": bar.id, "key": bar.key, "reason": bar.reason, "list": bar.list_name or None,
                         "note": bar.note, "created_at": bar.created_at, "expires_at": bar.expires_at}
                        for bar in page.bars])
            return
        table = Table("Number", "Address or domain", "Reason", "Where", "Until")
        for bar in page.bars:
            until = f"{bar.expires_at:%Y-%m-%d}" if bar.expires_at else ""
            table.add_row(str(bar.id), bar.key, bar.reason, bar.list_name or "everywhere", until)
        out.print(table)
        if page.next:
            out.print("There are more; say more of the address, or --limit.")

    run(main())


@app.command()
def add(
    what: Annotated[list[str], typer.Argument(metavar="ADDRESS...", help="Addresses, or domains: @example.com.")],
    reason: Annotated[SuppressionReason, typer.Option(help="Why.")] = SuppressionReason.MANUAL,
    on: Annotated[str, typer.Option("--list", "-l", help="Only for this list. Default: everywhere.")] = "",
    note: Annotated[str, typer.Option(help="A remark, kept with each.")] = "",
    until: Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="The last day it holds.")] = None,
    workspace: WorkspaceOption = "", config: ConfigOption = None, as_json: JsonOption = False,
) -> None:
    """Suppress addresses or whole domains."""

    async def main() -> None:
        async with open_app(config) as it:
            place = await the_workspace(it, workspace)
            target = await the_list(it, place.id, on) if on else None
            new, there = await suppressions.add(
                it, place.id, " ".join(what), reason=reason, list_id=target.id if target else None, note=note,
                until=until.date() if until else None, actor=_ACTOR)
        if as_json:
            print_json({"added": new, "there": there})
        else:
            out.print(f"{new:,} added, {there:,} were there already.")

    run(main())


@app.command()
def remove(
    what: Annotated[str, typer.Argument(metavar="ADDRESS", help="The address or @domain, exactly.")],
    workspace: WorkspaceOption = "", config: ConfigOption = None, as_json: JsonOption = False,
) -> None:
    """Allow an address or a domain again: every suppression it has is removed, with a record of it."""

    async def main() -> None:
        async with open_app(config) as it:
            place = await the_workspace(it, workspace)
            try:
                key = suppressions.suppression_key(what)
            except AddressError as error:
                raise InputError(str(error)) from None
            page = await it.store.suppressions.search(place.id, key, limit=1000)
            mine = [bar for bar in page.bars if bar.key == key]
            if not mine:
                raise InputError(f"{what} is not suppressed.")
            for bar in mine:
                await it.store.suppressions.remove(place.id, bar.id, _ACTOR, it.clock.now())
        if as_json:
            print_json({"removed": len(mine)})
        else:
            out.print(f"{key} can be written to again.")

    run(main())


@app.command("import")
def take_in(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="CSV with a column email, or one a line.")],
    workspace: WorkspaceOption = "", config: ConfigOption = None, as_json: JsonOption = False,
) -> None:
    """Add every address of a file; lines that cannot be used are named."""

    async def main() -> None:
        async with open_app(config) as it:
            place = await the_workspace(it, workspace)
            data = await asyncio.to_thread(file.read_bytes)
            done = await suppressions.import_csv(it, place.id, data, _ACTOR)
        if as_json:
            print_json({"added": done.added, "there": done.there, "refused": done.refused,
                        "problems": [{"line": line, "reason": why} for line, why in done.problems]})
            return
        out.print(f"{done.added:,} added, {done.there:,} were there already, {done.refused:,} refused.")
        for line, why in done.problems:
            err.print(f"  line {line}: {why}", markup=False, highlight=False)

    run(main())


@app.command("export")
def write_out(
    file: Annotated[Path | None, typer.Argument(help="Where to; default: standard output.")] = None,
    workspace: WorkspaceOption = "", config: ConfigOption = None,
) -> None:
    """All suppressions as CSV, as ``import`` reads them."""

    async def main() -> None:
        async with open_app(config) as it:
            place = await the_workspace(it, workspace)
            if file is None:
                async for line in suppressions.export_csv(it, place.id):
                    sys.stdout.write(line)
                return
            count = -1
            with await asyncio.to_thread(file.open, "w", encoding="utf-8", newline="") as target:
                async for line in suppressions.export_csv(it, place.id):
                    target.write(line)
                    count += 1
        out.print(f"{count:,} suppressions are in {file}.")

    run(main())
