"""``merpati hygiene``: a report of what may be wrong with the contacts."""

from typing import Annotated

import typer
from rich.table import Table

from esp.cli.choosing import the_workspace
from esp.cli.shared import ConfigOption, JsonOption, WorkspaceOption, open_app, out, print_json, run
from esp.flows import hygiene
from esp.ports.people_hygiene import Finding, HygieneState


def command(
    show: Annotated[Finding | None, typer.Option(help="List the people of this finding, of the last report.")] = None,
    months: Annotated[int, typer.Option(help="Silent for so many months ...")] = hygiene.DEFAULTS["silent_months"],
    mails: Annotated[int, typer.Option(help="... though they got so many mails.")] = hygiene.DEFAULTS["silent_mails"],
    workspace: WorkspaceOption = "", config: ConfigOption = None, as_json: JsonOption = False,
) -> None:
    """Make a hygiene report: duplicates, mistyped and dead domains, role and disposable addresses, silent people."""

    async def main() -> None:
        async with open_app(config) as it:
            place = await the_workspace(it, workspace)
            report = await it.store.hygiene.latest(place.id)
            if show is None or report is None:
                queued = await hygiene.begin(it, place.id, months, mails)
                while (report := await it.store.hygiene.get(place.id, queued.id)).finished_at is None:
                    if not await hygiene.run_hygiene(it):
                        await it.coordination.wait(hygiene.WAKES, 0.5)
            found = () if show is None else await it.store.hygiene.found(place.id, report.id, show, limit=1000)
        if as_json:
            print_json({"report": report.id, "state": report.state, "seen": report.seen, "counts": report.counts,
                        "people": [{"email": one.email, "group": one.group_key, "suggestion": one.suggestion}
                                   for one in found]})
            return
        if report.state is HygieneState.FAILED:
            out.print(f"The report could not be made: {report.error}", markup=False)
            return
        table = Table("Finding", "People") if show is None else Table("Address", "What they share", "Better")
        for kind in Finding if show is None else ():
            table.add_row(kind.replace("_", " "), f"{report.counts.get(kind, 0):,}")
        for one in found:
            table.add_row(one.email, one.group_key, one.suggestion)
        out.print(table)

    run(main())
