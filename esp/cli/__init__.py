"""The command ``merpati``: every group of commands joined here."""

import typer

from esp.cli import bench, demo, operate, serve

app = typer.Typer(
    name="merpati",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_show_locals=False,
    help="Merpati: lists, signed broadcasts, tracking, bounces and a relay on your own machine.",
)
app.command("serve")(serve.command)
app.command("demo")(demo.command)
app.add_typer(operate.app)
app.add_typer(bench.app, name="bench")


def main() -> None:
    """Entry point of the console script."""
    app()
