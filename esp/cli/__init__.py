"""The command ``merpati``: every group of commands joined here."""

import typer

from esp.cli import (
    bench,
    bench_audience,
    bench_engagement,
    bench_relay,
    bench_science,
    campaign,
    classify,
    contacts,
    credential,
    demo,
    domain,
    engagement,
    hygiene,
    key,
    lists,
    mailbox,
    operate,
    people,
    segment,
    serve,
    suppression,
    user,
)

app = typer.Typer(
    name="merpati",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_show_locals=False,
    help="Merpati: lists, signed broadcasts, tracking, bounces and a relay on your own machine.",
)
app.command("serve")(serve.command)
app.command("demo")(demo.command)
app.command("classify")(classify.command)
app.command("inbound")(mailbox.inbound)
app.add_typer(operate.app)
app.add_typer(bench.app, name="bench")
bench.app.command("audience")(bench_audience.command)
bench.app.command("relay")(bench_relay.relay)
bench.app.command("engagement")(bench_engagement.command)
bench.app.command("decay")(bench_science.decay)
bench.app.command("experiments")(bench_science.experiments)
app.add_typer(user.app, name="user")
app.add_typer(domain.app, name="domain")
app.add_typer(credential.app, name="credential")
app.add_typer(key.app, name="key")
app.add_typer(lists.app, name="list")
people.join(contacts.app)
app.add_typer(contacts.app, name="contacts")
app.add_typer(mailbox.app, name="mailbox")
app.add_typer(suppression.app, name="suppression")
app.command("hygiene")(hygiene.command)
app.add_typer(segment.app, name="segment")
app.add_typer(engagement.app, name="engagement")
app.add_typer(campaign.app, name="campaign")
app.command("import")(contacts.import_file)
app.command("send")(campaign.send)


def main() -> None:
    """Entry point of the console script."""
    app()
