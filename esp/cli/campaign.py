"""``merpati campaign``: written from a file, looked over, sent, watched, stopped."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from esp.app import App
from esp.cli.choosing import the_domain, the_list, the_workspace
from esp.cli.serve import Role, serve
from esp.cli.shared import ConfigOption, JsonOption, WorkspaceOption, err, open_app, out, print_json, run
from esp.errors import InputError
from esp.flows import campaigns
from esp.model.campaign import CampaignAction, CampaignState, ContentKind
from esp.ports.campaigns import Campaign, CampaignEdit, Forecast, VariantEdit

app = typer.Typer(help="Broadcasts: write, look over, send, watch, stop.", no_args_is_help=True)

_KINDS: Final = {".mjml": ContentKind.MJML, ".html": ContentKind.HTML, ".htm": ContentKind.HTML,
                 ".md": ContentKind.MARKDOWN, ".txt": ContentKind.TEXT}
_LABELS: Final = "ABCDEFGH"
_ENDS: Final = ("delivered", "bounced", "expired", "suppressed", "cancelled")
_OVER: Final = (CampaignState.SENT, CampaignState.CANCELLED, CampaignState.DRAFT)

Number = Annotated[int, typer.Argument(metavar="CAMPAIGN", help="The campaign's number, as `campaign list` shows it.")]


@app.command()
def create(
    source: Annotated[Path, typer.Option("--from", exists=True, dir_okay=False, help="The mail: .mjml .html .md .txt")],
    subject: Annotated[list[str], typer.Option(help="The subject; give it up to eight times to test variants.")],
    to: Annotated[list[str], typer.Option("--list", "-l", help="To whom: a list's handle or name; may be repeated.")],
    exclude: Annotated[list[str] | None, typer.Option(help="But not to those on this list.")] = None,
    name: Annotated[str, typer.Option(help="What you call it. Default: the file's name.")] = "",
    domain: Annotated[str, typer.Option(help="The sending domain; needed where there are several.")] = "",
    from_address: Annotated[str, typer.Option(help="Default: news@ the sending domain.")] = "",
    from_name: Annotated[str, typer.Option(help="Default: the workspace's name.")] = "",
    reply_to: str = "",
    preheader: Annotated[str, typer.Option(help="What the inbox shows after the subject.")] = "",
    throttle: Annotated[str, typer.Option(help="The most to send, for example 600/min.")] = "",
    workspace: WorkspaceOption = "", config: ConfigOption = None, as_json: JsonOption = False,
) -> None:
    """Write a draft from a file."""

    async def main() -> None:
        async with open_app(config) as it:
            place = await the_workspace(it, workspace)
            sending = await the_domain(it, place.id, domain)
            content = _read(source)
            if len(subject) > len(_LABELS):
                raise InputError(f"There are {len(_LABELS)} variants at most.")
            edit = CampaignEdit(
                name=name or source.stem,
                variants=tuple(VariantEdit(text, content, _KINDS[source.suffix.lower()], preheader, label)
                               for label, text in zip(_LABELS, subject, strict=False)),
                include_lists=tuple([(await the_list(it, place.id, x)).id for x in to]),
                exclude_lists=tuple([(await the_list(it, place.id, x)).id for x in exclude or ()]),
                domain_id=sending.id, from_address=from_address or f"news@{sending.name}",
                from_name=from_name or place.name, reply_to=reply_to, throttle=throttle,
            )
            made = await campaigns.create(it, place.id, edit)
        if as_json:
            print_json({"id": made.id, "name": made.name, "state": made.state})
        else:
            out.print(f"Campaign [bold]{made.id}[/bold] ({made.name}) is a draft. "
                      f"Look it over with `merpati campaign precheck {made.id}`.")

    run(main())


def _read(source: Path) -> str:
    if source.suffix.lower() not in _KINDS:
        raise InputError(f"{source.name}: the mail must be one of {', '.join(_KINDS)}.")
    try:
        return source.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(f"{source.name} is not UTF-8 text.") from None


@app.command("list")
def list_campaigns(
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 50,
    workspace: WorkspaceOption = "", config: ConfigOption = None, as_json: JsonOption = False,
) -> None:
    """The campaigns, newest first."""

    async def main() -> None:
        async with open_app(config) as it:
            lines = await it.store.campaigns.list((await the_workspace(it, workspace)).id, limit=limit)
        if as_json:
            print_json([_plain(line.campaign, line.counts) for line in lines])
            return
        table = Table("Number", "Name", "State")
        for title in ("Targeted", "Delivered", "Bounced"):
            table.add_column(title, justify="right")
        for line in lines:
            n = line.counts
            table.add_row(str(line.campaign.id), line.campaign.name, line.campaign.state, f"{n.get('targeted', 0):,}",
                          f"{n.get('delivered', 0):,}", f"{n.get('bounced', 0):,}")
        out.print(table)

    run(main())


def _plain(it: Campaign, counts: Any) -> dict[str, Any]:
    return {"id": it.id, "name": it.name, "state": it.state, "reason": it.state_reason, "created_at": it.created_at,
            "scheduled_at": it.scheduled_at, "started_at": it.started_at, "finished_at": it.finished_at,
            "counts": dict(counts)}


@app.command()
def show(
    number: Number, workspace: WorkspaceOption = "", config: ConfigOption = None, as_json: JsonOption = False,
) -> None:
    """One campaign: what it is, and what has come of it."""

    async def main() -> None:
        async with open_app(config) as it:
            place = await the_workspace(it, workspace)
            detail = await it.store.campaigns.get(place.id, number)
            lists = {x.id: x.handle for x in await it.store.contacts.lists(place.id, archived=True)}
        campaign = detail.campaign
        to = [lists[x] for x in campaign.include_lists]
        if as_json:
            print_json({**_plain(campaign, detail.counts), "from": campaign.from_address, "lists": to,
                        "excluded_lists": [lists[x] for x in campaign.exclude_lists], "throttle": campaign.throttle,
                        "variants": [{"label": v.label, "subject": v.edit.subject, "weight": v.edit.weight}
                                     for v in detail.variants]})
            return
        table = Table(show_header=False)
        table.add_row("state", f"{campaign.state} {campaign.state_reason}".strip())
        table.add_row("from", f"{campaign.from_name} <{campaign.from_address}>")
        table.add_row("to", ", ".join(to))
        for variant in detail.variants:
            table.add_row(f"subject {variant.label}", variant.edit.subject)
        for metric, n in sorted(detail.counts.items()):
            table.add_row(metric, f"{n:,}")
        out.print(table)

    run(main())


@app.command()
def precheck(
    number: Number, workspace: WorkspaceOption = "", config: ConfigOption = None, as_json: JsonOption = False,
) -> None:
    """Who will get it, who will not and why, and what is wrong with it; ends with 1 where it cannot be sent."""

    async def main() -> None:
        async with open_app(config) as it:
            place = await the_workspace(it, workspace)
            found = await campaigns.preflight(it, place.id, number)
        if as_json:
            print_json({
                "ready": found.ready, **_counts(found.forecast), "missing": found.missing,
                "problems": [{"level": p.level, "where": p.where, "message": p.message, "line": p.line}
                             for p in found.problems],
            })
        else:
            _show_forecast(found.forecast)
            for sentence in found.missing.values():
                out.print(f"[red]missing[/red]  {sentence}", soft_wrap=True)
            for problem in found.problems:
                colour = "red" if problem.level == "error" else "yellow"
                line = f" (line {problem.line})" if problem.line else ""
                out.print(f"[{colour}]{problem.level}[/{colour}]  {problem.where}: ", end="")
                out.print(problem.message + line, markup=False, highlight=False, soft_wrap=True)
        if not found.ready:
            sys.exit(1)

    run(main())


def _counts(forecast: Forecast) -> dict[str, Any]:
    return {"targeted": forecast.targeted, "will_get": forecast.will_get,
            "excluded": {reason.value: n for reason, n in forecast.excluded.items()}}


def _show_forecast(forecast: Forecast) -> None:
    table = Table(show_header=False)
    table.add_column()
    table.add_column(justify="right")
    table.add_row("[bold]will get it[/bold]", f"[bold]{forecast.will_get:,}[/bold]")
    for reason, n in forecast.excluded.items():
        table.add_row(reason.value.replace("_", " "), f"{n:,}")
    table.add_row("targeted", f"{forecast.targeted:,}")
    out.print(table)


@app.command("test")
def send_test(
    number: Number, address: str,
    variant: Annotated[str, typer.Option(help="The variant's label.")] = "A",
    wait: Annotated[bool, typer.Option("--wait", help="Until it is out; sends here where no server runs.")] = False,
    workspace: WorkspaceOption = "", config: ConfigOption = None, as_json: JsonOption = False,
) -> None:
    """Send one variant to one address, by the ordinary road; it is never counted."""

    async def main() -> None:
        async with open_app(config) as it:
            place = await the_workspace(it, workspace)
            sent = await campaigns.send_test(it, place.id, number, address, label=variant)
            if wait:
                async with _sending(it):
                    sent = await _watch(it, sent, 1, quiet=as_json)
            await _tell(it, sent, as_json)

    run(main())


@app.command()
def send(
    number: Number,
    at: Annotated[datetime | None, typer.Option(help="Later: 2026-11-21T10:00 in this machine's time zone.")] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Show it to its end; sends here where no server runs.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    workspace: WorkspaceOption = "", config: ConfigOption = None, as_json: JsonOption = False,
) -> None:
    """Start a campaign, now or at a time. `merpati serve` sends it; with --wait this command does where none runs."""

    async def main() -> None:
        async with open_app(config) as it:
            place = await the_workspace(it, workspace)
            forecast = await campaigns.precheck(it, place.id, number)
            if not yes and not as_json:
                _show_forecast(forecast)
                typer.confirm("Send it?", abort=True)
            if at is not None:
                moved = await campaigns.act(it, place.id, number, CampaignAction.SCHEDULE, at=at.astimezone())
            else:
                moved = await campaigns.act(it, place.id, number, CampaignAction.START)
            if wait and at is None:
                async with _sending(it):
                    moved = await _watch(it, moved, forecast.targeted, quiet=as_json)
            await _tell(it, moved, as_json)

    run(main())


@asynccontextmanager
async def _sending(it: App) -> AsyncIterator[None]:
    """Somebody sends: a server that runs already, or this process for as long as the block lasts."""
    server = it.settings.server
    try:
        _, writer = await asyncio.wait_for(asyncio.open_connection(server.host, server.port), 2)
        writer.close()
        await writer.wait_closed()
    except (OSError, TimeoutError):
        stop = asyncio.Event()
        here = asyncio.create_task(serve(it, stop, roles=(Role.WORKER, Role.SCHEDULER)))
        try:
            yield
        finally:
            stop.set()
            await here
    else:
        yield


async def _watch(it: App, campaign: Campaign, targeted: int, quiet: bool) -> Campaign:
    """Show a campaign until it has ended or is paused."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[note]}"),
               TimeRemainingColumn())
    with Progress(*columns, console=err, disable=quiet) as progress:
        bar = progress.add_task(campaign.name, total=targeted, note="")
        while True:
            detail = await it.store.campaigns.get(campaign.workspace_id, campaign.id)
            counts, current = detail.counts, detail.campaign
            ended = sum(counts.get(end, 0) for end in _ENDS)
            total = counts.get("targeted", 0) if current.walk_done else max(targeted, counts.get("targeted", 0))
            note = f"{counts.get('delivered', 0):,} delivered, {counts.get('bounced', 0):,} bounced"
            progress.update(bar, completed=ended, total=total, note=note)
            if current.state in _OVER or current.state is CampaignState.PAUSED:
                return current
            await asyncio.sleep(0.3)


async def _tell(it: App, campaign: Campaign, as_json: bool) -> None:
    detail = await it.store.campaigns.get(campaign.workspace_id, campaign.id)
    if as_json:
        print_json(_plain(detail.campaign, detail.counts))
        return
    counts = ", ".join(f"{n:,} {metric}" for metric, n in detail.counts.items() if metric in ("targeted", *_ENDS))
    out.print(f"Campaign {campaign.id} is [bold]{detail.campaign.state}[/bold]. {counts}".strip())


@app.command()
def status(
    number: Number,
    once: Annotated[bool, typer.Option("--once", help="Say how it is and end.")] = False,
    workspace: WorkspaceOption = "", config: ConfigOption = None, as_json: JsonOption = False,
) -> None:
    """How a campaign goes, live until it ends; with --once or --json how it is now."""

    async def main() -> None:
        async with open_app(config) as it:
            place = await the_workspace(it, workspace)
            campaign = (await it.store.campaigns.get(place.id, number)).campaign
            if not once and not as_json and campaign.state is CampaignState.SENDING:
                forecast = await campaigns.precheck(it, place.id, number)
                campaign = await _watch(it, campaign, forecast.targeted, quiet=False)
            await _tell(it, campaign, as_json)

    run(main())


def _action(action: CampaignAction, words: str) -> None:
    def command(
        number: Number,
        reason: Annotated[str, typer.Option(help="Shown with the campaign.")] = "",
        workspace: WorkspaceOption = "", config: ConfigOption = None, as_json: JsonOption = False,
    ) -> None:
        async def main() -> None:
            async with open_app(config) as it:
                place = await the_workspace(it, workspace)
                await _tell(it, await campaigns.act(it, place.id, number, action, reason=reason), as_json)

        run(main())

    app.command(action.value, help=words)(command)


_action(CampaignAction.PAUSE, "Stop for now; what is on the wire ends, everybody else waits.")
_action(CampaignAction.RESUME, "Go on where it was paused.")
_action(CampaignAction.CANCEL, "Stop for good; those who have not got it are written down as cancelled.")
_action(CampaignAction.UNSCHEDULE, "Back to a draft.")
