"""The command ``merpati``: every group of commands joined here."""

import typer

app = typer.Typer(name="merpati", no_args_is_help=True, add_completion=True, pretty_exceptions_show_locals=False,
                  help="Merpati: lists, signed broadcasts, tracking, bounces and a relay on your own machine.")


def main() -> None:
    """Entry point of the console script."""
    app()
