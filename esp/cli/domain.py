"""``merpati domain``: sending domains, the records to publish, and whether the world sees them."""

import sys
from typing import Any

import typer
from rich.table import Table

from esp.cli.choosing import the_domain, the_workspace
from esp.cli.shared import ConfigOption, JsonOption, WorkspaceOption, open_app, out, print_json, run
from esp.flows import domains
from esp.ports.domains import SendingDomain

app = typer.Typer(help="Sending domains and their DNS records.", no_args_is_help=True)


def _plain(domain: SendingDomain) -> dict[str, Any]:
    return {"id": domain.id, "name": domain.name, "checked_at": domain.checked_at, "verified_at": domain.verified_at}


@app.command()
def add(
    name: str, workspace: WorkspaceOption = "", config: ConfigOption = None, as_json: JsonOption = False,
) -> None:
    """Add a sending domain with its DKIM keys, and show the DNS records to publish."""

    async def main() -> None:
        async with open_app(config) as it:
            place = await the_workspace(it, workspace)
            domain = await domains.add_domain(it, place.id, name)
            wanted = await domains.records(it, place.id, domain)
        _show_records(domain, wanted, as_json)

    run(main())


@app.command()
def records(
    name: str = "", workspace: WorkspaceOption = "", config: ConfigOption = None, as_json: JsonOption = False,
) -> None:
    """The DNS records to publish for a sending domain."""

    async def main() -> None:
        async with open_app(config) as it:
            place = await the_workspace(it, workspace)
            domain = await the_domain(it, place.id, name)
            wanted = await domains.records(it, place.id, domain)
        _show_records(domain, wanted, as_json)

    run(main())


def _show_records(domain: SendingDomain, wanted: tuple[domains.DnsRecord, ...], as_json: bool) -> None:
    if as_json:
        print_json({**_plain(domain), "records": [
            {"purpose": r.purpose, "type": r.type, "name": r.name, "value": r.value, "required": r.required}
            for r in wanted
        ]})
        return
    out.print(f"Publish these records for [bold]{domain.name}[/bold], then run `merpati domain check {domain.name}`:\n")
    for record in wanted:
        need = "" if record.required else " (recommended)"
        out.print(f"[bold]{record.purpose}[/bold]{need}: {record.why}")
        # Plain and unwrapped, so that it can be copied into a zone file as it stands.
        out.print(f"  {record.name}  {record.type}  {record.value}\n", markup=False, highlight=False, soft_wrap=True)


@app.command()
def check(
    name: str = "", workspace: WorkspaceOption = "", config: ConfigOption = None, as_json: JsonOption = False,
) -> None:
    """Look the domain's records up; ends with 1 where a required one is not as it should be."""

    async def main() -> None:
        async with open_app(config) as it:
            place = await the_workspace(it, workspace)
            domain = await domains.check_domain(it, place.id, (await the_domain(it, place.id, name)).public_id)
        checks = domains.checks_of(domain)
        if as_json:
            print_json({**_plain(domain), "checks": [
                {"purpose": c.purpose, "state": c.state, "found": c.found, "advice": c.advice} for c in checks.values()
            ]})
        else:
            table = Table("Record", "State", "What to do")
            for c in checks.values():
                colour = "green" if c.state is domains.RecordState.FOUND else "yellow"
                table.add_row(c.purpose, f"[{colour}]{c.state}[/{colour}]", c.advice)
            out.print(table)
        if domain.verified_at is None:
            sys.exit(1)

    run(main())


@app.command("list")
def list_domains(workspace: WorkspaceOption = "", config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """The sending domains of a workspace."""

    async def main() -> None:
        async with open_app(config) as it:
            found = await it.store.domains.all((await the_workspace(it, workspace)).id)
        if as_json:
            print_json([_plain(domain) for domain in found])
            return
        table = Table("Domain", "Records")
        for domain in found:
            state = "found" if domain.verified_at else "not found" if domain.checked_at else "not looked for yet"
            table.add_row(domain.name, state)
        out.print(table)

    run(main())
