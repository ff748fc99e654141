"""``merpati classify``: what mails or SMTP replies mean."""

from typing import Annotated

import typer

from esp.inbound import classify


def command(
    replies: Annotated[bool, typer.Option("--replies", help="Read SMTP replies, not the paths of mails.")] = False,
) -> None:
    """Say what mails are: paths as JSON strings on standard input, a line each; answers in JSON, a line each."""
    classify.run(replies)
