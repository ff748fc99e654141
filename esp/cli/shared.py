"""What every command shares: settings from --config, an App for as long as it runs, JSON or words on the way out."""

import asyncio
import sys
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer
from rich.console import Console

from esp import wiring
from esp.app import App
from esp.errors import InputError, MerpatiError
from esp.settings import load

out = Console()
err = Console(stderr=True)

ConfigOption = Annotated[Path | None, typer.Option("--config", "-c", help="Configuration file (or MERPATI_CONFIG).")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object as the last line.")]
WorkspaceOption = Annotated[str, typer.Option("--workspace", "-w", help="Its name, where there are several.")]


def run(main: Coroutine[Any, Any, None]) -> None:
    """Run a command; an error that a person can mend is printed as a sentence and ends it with 1."""
    try:
        asyncio.run(main)
    except InputError as error:
        _complain(str(error), "red")
        for name, problem in error.problems.items():
            _complain(f"  {name}: {problem}")
        sys.exit(1)
    except MerpatiError as error:
        _complain(str(error), "red")
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


def _complain(sentence: str, style: str = "") -> None:
    """As it is: square brackets are no markup, and a path or an address is never cut by a line break of ours."""
    err.print(sentence, style=style, markup=False, highlight=False, soft_wrap=True)


@asynccontextmanager
async def open_app(config: Path | None, **overrides: Any) -> AsyncIterator[App]:
    """The application on the configured database, migrated, closed afterwards."""
    app = await wiring.build(load(config, **overrides))
    try:
        yield app
    finally:
        await app.close()


def print_json(value: Any) -> None:
    """One line of JSON, flushed: what a script reads."""
    sys.stdout.write(orjson.dumps(value, default=str).decode() + "\n")
    sys.stdout.flush()
