"""``merpati bench engagement``: the model fitted to many contacts, levels looked at, and a mail's events folded.

People are simulated by known rates (``bench decay``) and written straight into the tables. Wall seconds, and beside
them what this process, the fitting one and the database used of a CPU, which is what counts where others compute too.
"""

import os
import random
import resource
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from datetime import timedelta
from itertools import cycle, islice
from typing import Annotated, Any, Final

import typer

from esp import wiring
from esp.app import App
from esp.cli.private_postgres import PRIVATE, PrivatePostgres, private_postgres
from esp.cli.shared import JsonOption, out, print_json, run
from esp.ports.campaigns import CampaignEdit, VariantEdit
from esp.ports.listening import Counts
from esp.settings import load
from tracking import listening
from tracking.listening_report import make_report
from tracking.science.decay_trial import TRUE_RATES, people

_SIMULATED: Final = 100_000


def command(
    contacts: Annotated[int, typer.Option(min=1000, help="How many people.")] = 100_000,
    mails: Annotated[int, typer.Option(min=2, max=200, help="Mails that each of them had.")] = 30,
    database: Annotated[str, typer.Option(
        help="sqlite; postgresql (a server of its own is started); or the URL of an empty database.")] = "sqlite",
    mail: Annotated[bool, typer.Option(help="And fold the events of one mail to everybody.")] = True,
    as_json: JsonOption = False,
) -> None:
    """Fit, score and level many contacts, and fold one mail's events into what is known of them."""

    async def main() -> None:
        with (private_postgres() if database == PRIVATE else nullcontext(PrivatePostgres(database)) as server,
              tempfile.TemporaryDirectory(prefix="merpati-bench-") as folder):
            url = "" if server.url == "sqlite" else server.url
            app = await wiring.build(load(server={"data_dir": folder}, database={"url": url},
                                          log={"level": "warning"}))
            try:
                figures = await _measure(app, contacts, mails, mail, server)
            finally:
                await app.close()
        if as_json:
            print_json(figures)
        else:
            for name, value in figures.items():
                out.print(f"{name:28} {value}")

    run(main())


async def _measure(app: App, contacts: int, mails: int, mail: bool, server: PrivatePostgres) -> dict[str, Any]:
    now = app.clock.now()
    workspace = await app.store.accounts.create_workspace("Bench", "Jl. Braga 1, Bandung", now)
    first = now - timedelta(days=7 * mails)
    await wiring.seed_listeners(app, workspace.id, _histories(contacts, mails), first, now)
    figures: dict[str, Any] = {"database": "sqlite" if server.url == "sqlite" else "postgresql", "contacts": contacts}
    with _timed(figures, "refit_and_rescore", server):
        done = await listening.refit(app, workspace.id)
    figures |= {"histories": done.histories, "moved": done.moved,
                "parameters": [round(rate, 3) for rate in done.fit.rates]}
    with _timed(figures, "refit_again", server):
        await listening.refit(app, workspace.id)
    if mail:
        await _one_mail(app, workspace.id, figures, server)
    figures["load_average"] = round(os.getloadavg()[0], 1)
    return figures


async def _one_mail(app: App, workspace_id: int, figures: dict[str, Any], server: PrivatePostgres) -> None:
    now = app.clock.now()
    edit = CampaignEdit("One more", (VariantEdit("Hello", "<p>Hello</p>"),))
    campaign = await app.store.campaigns.create(workspace_id, edit, now)
    figures["events"] = await wiring.seed_mail(app, workspace_id, campaign.id, now)
    with _timed(figures, "fold", server):
        while await listening.keep_listening(app) or (await app.store.listening.fold(1, now)).behind:
            pass
    figures["folded_per_second"] = round(figures["events"] / figures["fold_seconds"])
    with _timed(figures, "report", server):
        await make_report(app, workspace_id)


def _histories(contacts: int, mails: int) -> Iterator[Counts]:
    """The same hundred thousand over and over: more of them would be no other histories."""
    simulated = people(TRUE_RATES, min(_SIMULATED, contacts), mails, 0, random.Random(1))  # noqa: S311
    for one in islice(cycle(simulated), contacts):
        yield Counts(one.history.opportunities, one.history.responses, one.history.last)


@contextmanager
def _timed(figures: dict[str, Any], name: str, server: PrivatePostgres) -> Iterator[None]:
    def used() -> float:
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        return time.process_time() + children.ru_utime + children.ru_stime

    began, cpu, theirs = time.monotonic(), used(), server.cpu_seconds
    yield
    figures[f"{name}_seconds"] = round(time.monotonic() - began, 2)
    figures[f"{name}_cpu_seconds"] = round(used() - cpu + server.cpu_seconds - theirs, 2)
