"""What a demonstration shows: the send while it runs, and the report at its end."""

import time
from typing import Any, Final, Self

from rich.box import SIMPLE
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from admin_ui.pages.campaigns.shown import readable
from esp.app import App
from esp.ports.reports import Progress
from esp.rehearsal.providers import PROVIDERS
from esp.rehearsal.stage import OWNER, Stage

_PLAIN_EVERY: Final = 5.0  # seconds between lines where there is no terminal to redraw
_WIDE: Final = 118  # columns from which there is room for what a provider said last
_STORIES: Final = {provider.domain: provider for provider in PROVIDERS}


class Display:
    """The live view; lines of text where the output is no terminal."""

    def __init__(self, screen: Console, rate: str) -> None:
        self._screen = screen
        self._rate = rate
        self._live = Live(console=screen, refresh_per_second=4) if screen.is_terminal else None
        self._said = 0.0
        self._began = time.monotonic()
        self._note = ""
        self._last: tuple[Progress, dict[str, Any]] | None = None

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()

    def note(self, text: str) -> None:
        """Say what is being waited for."""
        self._note = text
        if self._live is None:
            self._screen.print(text)
        elif self._last is not None:
            self._live.update(self._view(*self._last))

    def show(self, progress: Progress, status: dict[str, Any]) -> None:
        """The newest figures."""
        self._last = (progress, status)
        if self._live:
            self._live.update(self._view(progress, status))
        elif time.monotonic() - self._said >= _PLAIN_EVERY:
            self._said = time.monotonic()
            self._screen.print(self._sentence(progress))

    def _sentence(self, progress: Progress) -> str:
        figures = progress.figures
        rate = f"{progress.per_minute / 60:.0f}/s"
        return (f"{progress.done:,} of {progress.expected:,} done, {rate}{_left(progress)}: {figures.delivered:,} "
                f"delivered, {figures.deferred:,} to be tried again, {figures.bounced:,} bounced")

    def _view(self, progress: Progress, status: dict[str, Any]) -> RenderableType:
        wide = self._screen.width >= _WIDE
        bar = ProgressBar(total=max(1, progress.expected), completed=progress.done, width=44 if wide else 24)
        head = Table.grid(padding=(0, 2))
        head.add_row(bar, f"{progress.done:,} of {progress.expected:,}",
                     f"{progress.per_minute / 60:,.0f}/s of {self._rate}", _left(progress).removeprefix(", "))
        table = Table(box=SIMPLE, pad_edge=False, width=min(self._screen.width, 150))
        table.add_column("Provider", no_wrap=True)
        table.add_column("which", no_wrap=True, overflow="ellipsis", ratio=None if wide else 1)
        for title in ("people", "delivered", "again", "bounced"):
            table.add_column(title, justify="right", no_wrap=True, min_width=len(title))
        if wide:
            table.add_column("last refusal", overflow="ellipsis", no_wrap=True, ratio=1)
        for row in sorted(progress.providers, key=lambda row: -row.targeted):
            known = _STORIES.get(row.provider)
            refusal = [Text(row.last_reply, style="dim")] if wide else []
            table.add_row(known.title if known else row.provider, Text(known.story if known else "", style="dim"),
                          f"{row.targeted:,}", f"{row.delivered:,}", f"{row.deferred:,}" if row.deferred else "",
                          f"{row.bounced:,}" if row.bounced else "", *refusal)
        figures = progress.figures
        people = Text.assemble(
            ("People: ", "bold"), f"{figures.opened:,} opened, {figures.clicked:,} clicked, ",
            f"{figures.unsubscribed:,} unsubscribed", ("   Machines: ", "bold"),
            f"{figures.machine_opened:,} opened, {figures.machine_clicked:,} clicked",
        )
        return Group(Text(), head, table, people, Text(self._note, style="dim"))


def _left(progress: Progress) -> str:
    if progress.seconds_left is None or progress.done >= progress.expected:
        return ""
    seconds = round(progress.seconds_left)
    return f", {seconds // 60} min {seconds % 60} s left" if seconds >= 60 else f", {seconds} s left"


async def report_tables(app: App, stage: Stage, screen: Console, figures: dict[str, Any]) -> None:
    """The campaign's report: the whole, by provider, by variant, and the links that were clicked most."""
    reports, campaign = app.store.reports, (stage.workspace_id, stage.campaign_id)
    whole = Table(box=SIMPLE, show_header=False, pad_edge=False)
    whole.add_column()
    whole.add_column(justify="right")
    for name, value in figures.items():
        whole.add_row(name.replace("_", " "), f"{value:,}")
    screen.print(Panel(whole, title="The Pantry Letter, November", expand=False))
    for title, members in (("Provider", await reports.by_provider(*campaign)),
                           ("Variant", await reports.by_variant(*campaign))):
        table = Table(title, "people", "delivered", "bounced", "opened", "clicked", "left", box=SIMPLE)
        table.columns[0].no_wrap = True
        table.columns[0].max_width = max(20, min(40, screen.width - 53))  # 53: the figures, and a little air
        for column in table.columns[1:]:
            column.justify, column.no_wrap, column.min_width = "right", True, len(str(column.header))
        for member in members:
            of = member.figures
            table.add_row(f"{member.label} {readable(member.note)}".strip(), *(f"{count:,}" for count in (
                of.targeted, of.delivered, of.bounced, of.opened, of.clicked, of.unsubscribed)))
        screen.print(table)
    links = Table("Most clicked", "people", box=SIMPLE)
    links.columns[1].justify = "right"
    for member in sorted(await reports.by_link(*campaign), key=lambda member: -member.figures.clicked)[:5]:
        links.add_row(member.note or member.label, f"{member.figures.clicked:,}")
    screen.print(links)


def closing_words(screen: Console, url: str, stage: Stage) -> None:
    """Where to go on from here."""
    lines = Table.grid(padding=(0, 2))
    lines.add_row("Admin", f"[bold]{url}[/bold]")
    lines.add_row("E-mail", OWNER)
    lines.add_row("Password", f"[bold]{stage.password}[/bold]")
    screen.print(Panel(lines, title="Look around", subtitle="Ctrl+C stops everything", expand=False))
