"""``merpati engagement``: how contacts listen; the model fitted now, counts made anew, one contact's figures."""

from typing import Annotated

import typer
from rich.table import Table

from esp.cli.choosing import the_workspace
from esp.cli.shared import ConfigOption, JsonOption, WorkspaceOption, open_app, out, print_json, run
from esp.errors import InputError
from esp.model.listening import HALF_LIFE, Level
from esp.wire.addresses import parse_address
from tracking import listening
from tracking.listening_report import make_report

app = typer.Typer(help="Who still listens: the model, the levels, and one contact's figures.", no_args_is_help=True)


@app.command()
def refit(workspace: WorkspaceOption = "", config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Fold what happened, fit the model anew, and look at everybody's level. The server does so once a day."""

    async def main() -> None:
        async with open_app(config) as it:
            place = await the_workspace(it, workspace)
            await listening.catch_up(it)
            done = await listening.refit(it, place.id)
            await make_report(it, place.id)
        found = done.fit
        levels = {level.value: done.levels.get(level, 0) for level in Level}
        if as_json:
            print_json({"people": found.people, "histories": done.histories, "rates": found.rates, "moved": done.moved,
                        "converged": found.converged, "log_likelihood": found.log_likelihood, "levels": levels})
            return
        out.print(f"The model rests on {found.people:,} contacts with {done.histories:,} different histories.")
        table = Table("Level")
        table.add_column("Contacts", justify="right")
        for name, many in levels.items():
            table.add_row(name, f"{many:,}")
        out.print(table)
        out.print(f"{done.moved:,} contacts changed their level.")

    run(main())


@app.command()
def rebuild(workspace: WorkspaceOption = "", config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Count every contact anew from all of their events. It may be stopped and begun again at any time."""

    async def main() -> None:
        async with open_app(config) as it:
            place = await the_workspace(it, workspace)
            many = await listening.rebuild(it, place.id)
        if as_json:
            print_json({"contacts": many})
        else:
            out.print(f"{many:,} contacts were counted anew.")

    run(main())


@app.command()
def show(
    address: Annotated[str, typer.Argument(help="The contact's e-mail address.")],
    workspace: WorkspaceOption = "", config: ConfigOption = None, as_json: JsonOption = False,
) -> None:
    """One contact's score, probability of still responding, expected responses and level."""

    async def main() -> None:
        async with open_app(config) as it:
            place = await the_workspace(it, workspace)
            contact = await it.store.contacts.find(place.id, parse_address(address).key)
            if contact is None:
                raise InputError(f"There is no contact {address}.")
            found = await it.store.listening.listener(place.id, contact.id)
            now = it.clock.now()
        if found is None:
            raise InputError(f"{address} has had no mail yet that could tell of a response.")
        heard, odds = found.heard, found.odds
        score = heard.score.read(now.timestamp(), HALF_LIFE)
        if as_json:
            print_json({"opportunities": heard.opportunities, "responses": heard.responses, "recency": heard.recency,
                        "opens": heard.opens, "clicks": heard.clicks, "score": score, "level": found.level.value,
                        "level_at": found.level_at, "alive": odds.alive if odds else None,
                        "expected": odds.expected if odds else None})
            return
        out.print(f"{heard.responses} of {heard.opportunities} mails answered, the last answer to the "
                  f"{heard.recency}th. Score {score:.1f}, level {found.level.value}.", markup=False)
        if odds:
            out.print(f"Still responds with a probability of {odds.alive:.0%}; {odds.expected:.1f} responses to the "
                      "next ten mails expected.", markup=False)

    run(main())
