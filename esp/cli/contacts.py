"""``merpati contacts``: people from a file, searched, shown; refused rows as a file."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from esp.app import App
from esp.audience.generate import contacts_csv
from esp.cli.choosing import the_list, the_workspace
from esp.cli.shared import ConfigOption, JsonOption, WorkspaceOption, err, open_app, out, print_json, run
from esp.errors import InputError
from esp.flows import erasure, exports, imports
from esp.ports.contacts import Contact
from esp.ports.exports import Export, ExportFormat, ExportKind, ExportState
from esp.ports.imports import Import, ImportState
from esp.wire.addresses import AddressError, parse_address

app = typer.Typer(help="People: import, search, show.", no_args_is_help=True)


@app.command("import")
def import_file(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="A CSV or Excel file with a header.")],
    into: Annotated[str, typer.Option("--list", "-l", help="The list to subscribe them to, by handle or name.")] = "",
    column: Annotated[
        list[str] | None, typer.Option("--map", "-m", help="COLUMN=FIELD, repeatable; FIELD empty: left out.")] = None,
    all_columns: Annotated[bool, typer.Option("--all-columns", help="Unknown columns become custom fields.")] = False,
    resubscribe: Annotated[
        bool, typer.Option("--resubscribe", help="Bring back those who left; recorded as a consent of each.")] = False,
    wording: Annotated[str, typer.Option(help="The words they agreed to, kept with each consent.")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would happen, and write nothing.")] = False,
    workspace: WorkspaceOption = "", config: ConfigOption = None, as_json: JsonOption = False,
) -> None:
    """Import a CSV file. Encoding, separator and columns are found out; rows that are refused are kept with reasons."""

    async def main() -> None:
        async with open_app(config) as it:
            place = await the_workspace(it, workspace)
            target = await the_list(it, place.id, into) if into else None
            stored = await imports.store_upload(it, place.id, None, file.name, _chunks(file))
            inspection = await imports.inspect_import(it, place.id, stored.id)
            mapping = inspection.mapping
            if all_columns:
                mapping |= {c.title: c.suggestion for c in inspection.columns if not c.target and c.suggestion}
            mapping |= _chosen(column or [])
            list_id = target.id if target else None
            if dry_run:
                tried = await imports.try_import(
                    it, place.id, stored.id, list_id, mapping, resubscribe=resubscribe, standing=inspection.standing,
                    most_rows=10**12)
                _report_try(tried, mapping, as_json)
                return
            queued = await imports.begin_import(
                it, place.id, stored.id, list_id, mapping, resubscribe=resubscribe,
                wording=wording, actor="command line", standing=inspection.standing)
            done = await _watch(it, queued, quiet=as_json)
        _report(done, mapping, as_json)

    run(main())


def _report_try(tried: imports.DryRun, mapping: dict[str, str], as_json: bool) -> None:
    if as_json:
        print_json({
            "rows": tried.rows, "created": tried.created, "updated": tried.updated, "unchanged": tried.unchanged,
            "kept_out": tried.kept_out, "rejected": tried.rejected, "reasons": dict(tried.reasons),
            "mapping": {title: field for title, field in mapping.items() if field},
        })
        return
    out.print(f"{tried.rows:,} rows: {tried.created:,} would be new, {tried.updated:,} changed, "
              f"{tried.unchanged:,} as before, {tried.kept_out:,} stay unsubscribed, {tried.rejected:,} refused. "
              "Nothing was written.")
    for reason, count in tried.reasons:
        out.print(f"  {count:,} times: {reason}", markup=False)


def _chosen(pairs: list[str]) -> dict[str, str]:
    for pair in pairs:
        if "=" not in pair:
            raise InputError(f"--map {pair}: write COLUMN=FIELD, for example --map kota=city.")
    return {title.strip(): field.strip() for title, _, field in (pair.rpartition("=") for pair in pairs)}


async def _chunks(file: Path) -> AsyncIterator[bytes]:
    with await asyncio.to_thread(file.open, "rb") as source:
        while data := await asyncio.to_thread(source.read, 1 << 20):
            yield data


async def _watch(it: App, queued: Import, quiet: bool) -> Import:
    """Read the file here, unless a running server took it first, and show how far it is."""
    reading = asyncio.create_task(imports.run_imports(it))
    rows = TextColumn("{task.fields[rows]:,} rows")
    columns = (TextColumn("{task.description}"), BarColumn(), rows, TimeRemainingColumn())
    try:
        with Progress(*columns, console=err, disable=quiet) as progress:
            bar = progress.add_task("Importing", total=queued.bytes_total, rows=0)
            while True:
                current = await it.store.imports.get(queued.workspace_id, queued.id)
                progress.update(bar, completed=current.bytes_read, rows=current.rows_read)
                if imports.is_over(current):
                    return current
                done, _ = await asyncio.wait({reading}, timeout=0.2)
                if done:
                    await reading
                    reading = asyncio.create_task(imports.run_imports(it))
    finally:
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)


def _report(done: Import, mapping: dict[str, str], as_json: bool) -> None:
    if as_json:
        print_json({
            "import": done.id, "state": done.state, "error": done.error, "rows": done.rows_read,
            "created": done.created, "updated": done.updated, "unchanged": done.unchanged, "rejected": done.rejected,
            "kept_out": done.kept_out, "mapping": {title: field for title, field in mapping.items() if field},
        })
    elif done.state is ImportState.DONE:
        out.print(f"{done.rows_read:,} rows: {done.created:,} new people, {done.updated:,} changed, "
                  f"{done.unchanged:,} as before, {done.rejected:,} refused.")
        if done.kept_out:
            out.print(f"{done.kept_out:,} people had left the list and were left alone.")
        if done.rejected:
            out.print(f"See the refused rows with `merpati contacts export-rejects {done.id} refused.csv`.")
    if done.state is ImportState.FAILED:
        err.print(f"[red]The import stopped: {done.error}[/red]")
        sys.exit(1)


@app.command("export-rejects")
def export_rejects(
    number: Annotated[int, typer.Argument(metavar="IMPORT", help="The import's number.")],
    file: Annotated[Path | None, typer.Argument(help="Where to; default: standard output.")] = None,
    workspace: WorkspaceOption = "", config: ConfigOption = None,
) -> None:
    """The rows that an import refused, with line and reason, as CSV."""

    async def main() -> None:
        async with open_app(config) as it:
            place = await the_workspace(it, workspace)
            lines = [line async for line in imports.rejects_csv(it, place.id, number)]
        if file is None:
            sys.stdout.write("".join(lines))
        else:
            file.write_text("".join(lines), encoding="utf-8", newline="")
            out.print(f"{len(lines) - 1:,} rows are in {file}.")

    run(main())


@app.command("export")
def export_file(
    file: Annotated[Path | None, typer.Argument(help="Where to; default: standard output.")] = None,
    what: Annotated[ExportKind, typer.Option(help="What is exported.")] = ExportKind.CONTACTS,
    form: Annotated[ExportFormat, typer.Option("--format", help="csv or jsonl.")] = ExportFormat.CSV,
    on: Annotated[str, typer.Option("--list", "-l", help="Only what belongs to this list.")] = "",
    raw: Annotated[bool, typer.Option("--raw", help="Leave what a spreadsheet would calculate as it is.")] = False,
    workspace: WorkspaceOption = "", config: ConfigOption = None,
) -> None:
    """Write contacts, subscriptions or consents to a file."""

    async def main() -> None:
        async with open_app(config) as it:
            place = await the_workspace(it, workspace)
            list_id = (await the_list(it, place.id, on)).id if on else None
            made = await exports.begin_export(it, place.id, None, what, form, list_id=list_id, raw=raw)
            done = await _watch_export(it, made)
            if done.state is ExportState.FAILED:
                raise InputError(done.error)
            _, octets = await exports.read_export(it, place.id, done.id)
            with file.open("wb") if file else nullcontext(sys.stdout.buffer) as out_file:
                async for piece in octets:
                    await asyncio.to_thread(out_file.write, piece)
        if file:
            out.print(f"{done.rows_written:,} rows are in {file}.")

    run(main())


async def _watch_export(it: App, made: Export) -> Export:
    """Write the file here, unless a running server took it first, and show how far it is."""
    writing = asyncio.create_task(exports.run_exports(it))
    columns = (TextColumn("Exporting"), BarColumn(), TextColumn("{task.fields[rows]:,} rows"), TimeRemainingColumn())
    try:
        with Progress(*columns, console=err, disable=not sys.stderr.isatty()) as progress:
            bar = progress.add_task("", total=1.0, rows=0)
            while True:
                current = await it.store.exports.get(made.workspace_id, made.id)
                progress.update(bar, completed=current.part, rows=current.rows_written)
                if current.state in (ExportState.DONE, ExportState.FAILED):
                    return current
                done, _ = await asyncio.wait({writing}, timeout=0.2)
                if done:
                    await writing
                    writing = asyncio.create_task(exports.run_exports(it))
    finally:
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)


@app.command()
def search(
    text: Annotated[str, typer.Argument(help="How the address or a name begins; empty: the newest.")] = "",
    on: Annotated[str, typer.Option("--list", "-l", help="Only those subscribed to this list.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 50,
    workspace: WorkspaceOption = "", config: ConfigOption = None, as_json: JsonOption = False,
) -> None:
    """Find people by the beginning of their address or name."""

    async def main() -> None:
        async with open_app(config) as it:
            place = await the_workspace(it, workspace)
            list_id = (await the_list(it, place.id, on)).id if on else None
            page = await it.store.contacts.search(place.id, text, list_id, limit=limit)
        if as_json:
            print_json([_plain(contact) for contact in page.contacts])
            return
        table = Table("Address", "Name", "City")
        for contact in page.contacts:
            table.add_row(contact.email, contact.name, contact.city)
        out.print(table)
        if page.next:
            out.print("There are more; say more of the name, or --limit.")

    run(main())


def _plain(contact: Contact) -> dict[str, Any]:
    return {"id": contact.id, **contact.merge_fields(), "created_at": contact.created_at}


@app.command()
def show(
    email: str, workspace: WorkspaceOption = "", config: ConfigOption = None, as_json: JsonOption = False,
) -> None:
    """One person: fields, lists, suppressions and what has happened."""

    async def main() -> None:
        async with open_app(config) as it:
            place = await the_workspace(it, workspace)
            store = it.store.contacts
            try:
                contact = await store.find(place.id, parse_address(email).key)
            except AddressError as error:
                raise InputError(str(error)) from None
            if contact is None:
                raise InputError(f"There is nobody with the address {email}.")
            lists = await store.subscriptions(place.id, contact.id)
            barred = await store.suppressions(place.id, email_key=contact.email_key)
            timeline = await store.timeline(place.id, contact.id, limit=50)
        if as_json:
            print_json({
                **_plain(contact), "lists": {row.list_name: row.state for row in lists},
                "suppressions": [row.reason for row in barred],
                "timeline": [{"at": item.at, "kind": item.kind, "title": item.title, "detail": item.detail}
                             for item in timeline],
            })
            return
        table = Table(show_header=False)
        for name, value in contact.merge_fields().items():
            if value != "":
                table.add_row(name, str(value))
        for row in lists:
            table.add_row(f"list {row.list_name}", row.state)
        for suppression in barred:
            table.add_row("[red]suppressed[/red]", suppression.reason)
        out.print(table)
        happened = Table("When", "What", "Where")
        for item in timeline:
            what = item.detail.get("action", item.kind) if item.kind == "consent" else item.kind
            happened.add_row(f"{item.at:%Y-%m-%d %H:%M}", str(what), item.title)
        out.print(happened)

    run(main())


@app.command()
def erase(
    email: str,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask whether you are sure.")] = False,
    workspace: WorkspaceOption = "", config: ConfigOption = None, as_json: JsonOption = False,
) -> None:
    """Erase everything about a person for good. Counts stay, and a keyed hash of the address, so that nobody writes."""

    async def main() -> None:
        async with open_app(config) as it:
            place = await the_workspace(it, workspace)
            try:
                address = parse_address(email)
            except AddressError as error:
                raise InputError(str(error)) from None
            if not yes and not typer.confirm(f"Erase everything about {address.text} in {place.name}?"):
                return
            found = await erasure.erase(it, place.id, address.text)
        if as_json:
            print_json({"deleted": found.deleted, "emptied": found.emptied})
        else:
            out.print(f"Erased: {found.deleted:,} rows deleted, {found.emptied:,} emptied and kept as counts.")

    run(main())


@app.command()
def generate(
    file: Path,
    count: Annotated[int, typer.Option(min=1, help="How many people.")] = 1000,
    domain: Annotated[list[str] | None, typer.Option(help="DOMAIN or DOMAIN=WEIGHT; may be repeated.")] = None,
    seed: Annotated[int, typer.Option(help="The same seed makes the same people.")] = 1,
) -> None:
    """Write a CSV file of made-up people, to try an import or a rehearsal with."""
    weights: dict[str, float] = {}
    for text in domain or ["people.example"]:
        name, _, weight = text.partition("=")
        try:
            weights[name] = float(weight or 1)
        except ValueError:
            raise typer.BadParameter(f"{text}: write DOMAIN or DOMAIN=WEIGHT, for example gmail.example=3") from None
    with file.open("w", encoding="utf-8", newline="") as target:
        target.writelines(contacts_csv(count, weights, seed))
    out.print(f"{count:,} made-up people are in {file}.")
