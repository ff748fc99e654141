"""Commands for the operator: migrate, doctor, config."""

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from esp import wiring
from esp.cli.shared import ConfigOption, JsonOption, out, print_json, run
from esp.entry.scratch import scratch
from esp.flows.health import Finding, Standing, examine, no_folder_yet
from esp.settings import document, load

app = typer.Typer()

_COLOURS = {Standing.GOOD: "green", Standing.WARNING: "yellow", Standing.BAD: "red"}


@app.command()
def migrate(config: ConfigOption = None) -> None:
    """Bring the database to the newest schema. `serve` does it too."""

    async def main() -> None:
        application = await wiring.build(load(config), migrate=True)
        await application.close()
        out.print("The database has the newest schema.")

    run(main())


@app.command()
def doctor(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Say what is wrong with this server and how to mend it; ends with 1 where something is bad. Makes nothing."""

    async def main() -> None:
        findings = await _examine(config)
        if as_json:
            print_json(
                [{"name": f.name, "standing": f.standing, "message": f.message, "remedy": f.remedy} for f in findings]
            )
        else:
            table = Table("", "", "What to do", show_header=False, box=None, padding=(0, 2, 0, 0))
            for finding in findings:
                colour = _COLOURS[finding.standing]
                table.add_row(
                    f"[{colour}]{finding.standing}[/{colour}]",
                    f"[bold]{finding.name}[/bold]",
                    f"{finding.message} {finding.remedy}".strip(),
                )
            out.print(table)
        if any(finding.standing is Standing.BAD for finding in findings):
            sys.exit(1)

    run(main())


async def _examine(config: Path | None) -> list[Finding]:
    """The findings, with nothing made or migrated: a data folder that is not there stays away."""
    settings = load(config)
    folder = settings.server.data_dir
    there = folder.exists()
    with scratch("doctor") as stand_in:
        if not there:
            server = settings.server.model_copy(update={"data_dir": stand_in})
            settings = settings.model_copy(update={"server": server})
        application = await wiring.build(settings, migrate=False)
        try:
            findings = await examine(application)
        finally:
            await application.close()
    return findings if there else [no_folder_yet(folder), *findings[1:]]


@app.command()
def config(
    file: Annotated[Path | None, typer.Argument(help="Where to write it; nothing: to the screen.")] = None,
) -> None:
    """Print a configuration file with every key, its default and its why."""
    if file is None:
        sys.stdout.write(document())
    elif file.exists():
        raise typer.BadParameter(f"{file} exists already; nothing was written.")
    else:
        file.write_text(document())
        out.print(f"Written to {file}. Start with: merpati serve --config {file}")
