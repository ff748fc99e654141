"""``merpati demo``: the main job on loopback, before one's eyes, every figure checked by those who got the mail."""

import asyncio
import os
import shutil
import sys
import time
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar

import typer
import uvloop
from rich.console import Console

from esp import log as logging
from esp import wiring
from esp.app import App
from esp.cli.demo_display import Display, closing_words, report_tables
from esp.cli.serve import serve, stop_on_signals, with_real_ports
from esp.cli.shared import JsonOption, print_json, run
from esp.entry.scratch import scratch
from esp.errors import MerpatiError
from esp.ports.reports import Metric
from esp.rehearsal.account import COMPARED, Account, LedgerView, settle
from esp.rehearsal.process import RehearsalProcess
from esp.rehearsal.providers import OUR_MX_ADDRESS
from esp.rehearsal.stage import HELLO_NAME, Stage, prepare, start
from esp.settings import Settings, load

_FOLDER: Final = Path("demo-data")
_MARK: Final = ".merpati-demo"  # what tells a folder that we may empty from one that we may not
_SCANNER_WINDOW: Final = 2.0
_LOOK_EVERY: Final = 1.0
_STALLED: Final = 90.0  # seconds without any change after which a demonstration is called broken
_CALM: Final = 20.0  # seconds that late facts (reports, clicks) are given after everything is quiet
_PAGE: Final = 2000
_Result = TypeVar("_Result")


@contextmanager
def _data_dir(throw_away: bool) -> Iterator[Path]:
    """A fresh folder: a temporary one for ``--exit``, else ./demo-data, emptied where an earlier demo made it."""
    if throw_away:
        with scratch("demo") as folder:
            yield folder
        return
    if _FOLDER.exists() and not (_FOLDER / _MARK).exists():
        raise MerpatiError(f"{_FOLDER.resolve()} exists and was not made by a demo; move it away or run elsewhere.")
    shutil.rmtree(_FOLDER, ignore_errors=True)
    _FOLDER.mkdir()
    (_FOLDER / _MARK).touch()
    yield _FOLDER


def _settings(folder: Path, port: int, world: RehearsalProcess) -> Settings:
    """Everything on loopback, and retries within seconds instead of minutes."""
    return with_real_ports(load(
        server={"data_dir": folder, "host": "127.0.0.1", "port": port, "workers": 1},
        delivery={
            "hello_name": HELLO_NAME, "port": world.port, "nameservers": [world.nameserver], "batch_size": 100,
            "allow_private_addresses": True, "retry_delays": ["2500ms", "3s", "4s", "6s"],
        },
        mx={"host": OUR_MX_ADDRESS, "port": world.port},
        submission={"enabled": False},
        tracking={"fold_every": "1s", "scanner_window": f"{_SCANNER_WINDOW:g}s"},
        log={"level": "error"},  # what mends itself would only disturb the display
    ))


@asynccontextmanager
async def _house(settings: Settings, stop: asyncio.Event) -> AsyncIterator[App]:
    """The real server, as ``merpati serve`` runs it, for as long as the block lasts."""
    app = await wiring.build(settings)
    ready = asyncio.Event()
    serving = asyncio.create_task(serve(app, stop, ready=ready.set))
    waiting = asyncio.create_task(ready.wait())
    try:
        await asyncio.wait((serving, waiting), return_when=asyncio.FIRST_COMPLETED)
        if serving.done():
            await serving  # raises what went wrong
        yield app
    finally:
        waiting.cancel()
        stop.set()
        await asyncio.gather(serving, waiting, return_exceptions=True)
        await app.close()


async def _unless(stop: asyncio.Event, work: Coroutine[Any, Any, _Result]) -> _Result:
    """What ``work`` gives; where ``stop`` comes first, it is given up with a MerpatiError."""
    working, stopping = asyncio.create_task(work), asyncio.create_task(stop.wait())
    await asyncio.wait((working, stopping), return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if not working.done():
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)
        raise MerpatiError("Stopped before anything was sent.")
    return await working


async def _ledger(app: App, stage: Stage) -> LedgerView:
    """What our database says, from rollups and from rows."""
    reports, workspace, campaign = app.store.reports, stage.workspace_id, stage.campaign_id
    people: dict[Metric, frozenset[str]] = {}
    for metric in COMPARED:
        found: list[str] = []
        after = 0
        while page := await reports.people(workspace, campaign, metric, after=after, limit=_PAGE):
            found += [person.address for person in page]
            after = page[-1].key
        people[metric] = frozenset(found)
    series = await reports.over_time(workspace, campaign)
    deferrals = sum(bucket.figures.deferred for bucket in series.buckets)
    return LedgerView(stage.people, await reports.figures(workspace, campaign), deferrals, people)


async def _send(app: App, world: RehearsalProcess, stage: Stage, display: Display, stop: asyncio.Event) -> Account:
    """Start the campaign, watch it to its end, wait for what comes back, and compare."""
    await start(app, stage)
    changed, before = time.monotonic(), ""
    while not stop.is_set():
        progress = await app.store.reports.progress(stage.workspace_id, stage.campaign_id, app.clock.now())
        status = await world.status()
        assert progress is not None
        display.show(progress, status)
        now = f"{progress.figures} {status}"
        if now != before:
            changed, before = time.monotonic(), now
        if progress.state == "sent" and not status["pending"]:
            break
        if time.monotonic() - changed > _STALLED:
            break
        await asyncio.sleep(_LOOK_EVERY)
    return await _calm(app, world, stage, display, stop)


async def _calm(app: App, world: RehearsalProcess, stage: Stage, display: Display, stop: asyncio.Event) -> Account:
    """Both sides compared again and again until they agree, or nothing has changed for a good while."""
    display.note("Everything is sent; the last reports, opens and clicks are being counted.")
    until = time.monotonic() + _CALM
    before: LedgerView | None = None
    while True:
        ledger = await _ledger(app, stage)
        account = settle(ledger, await world.report())
        if ledger != before:
            until, before = time.monotonic() + _CALM, ledger
        if not account.disagreements or time.monotonic() > until or stop.is_set():
            return account
        await asyncio.sleep(_LOOK_EVERY)


async def _demo(
    leave: bool, as_json: bool, recipients: int, rate: str, port: int, seed: str, keep_mail: str
) -> int:
    screen = Console(stderr=as_json)
    began = time.monotonic()
    stop = asyncio.Event()
    stop_on_signals(stop)
    world = await RehearsalProcess.start(seed=seed, scanner_window=_SCANNER_WINDOW, keep_mail=keep_mail)
    try:
        with _data_dir(leave) as folder:
            settings = _settings(folder, port, world)
            logging.configure(settings.log)
            async with _house(settings, stop) as app:
                with screen.status(f"Importing {recipients:,} people and checking the domain's DNS records"):
                    stage = await _unless(stop, prepare(app, world, seed, recipients, rate))
                with Display(screen, rate) as display:
                    account = await _send(app, world, stage, display, stop)
                figures: dict[str, Any] = {**account.figures, "seconds": round(time.monotonic() - began, 1)}
                await report_tables(app, stage, screen, figures)
                for sentence in account.disagreements:
                    sys.stderr.write(f"disagreement: {sentence}\n")
                if not leave and not stop.is_set():
                    closing_words(screen, settings.public_url, stage)
                    await stop.wait()
                await world.stop()  # its people keep connections open, for which the server would wait
            if as_json:
                print_json(figures)
    finally:
        await world.stop()
    return 1 if account.disagreements else 0


def command(
    leave: Annotated[bool, typer.Option("--exit", help="End when all is settled, instead of staying up.")] = False,
    as_json: JsonOption = False,
    recipients: Annotated[int, typer.Option(min=1, max=1_000_000, help="How many people to write to.")] = 5000,
    rate: Annotated[str, typer.Option(help="The campaign's throttle.")] = "150/s",
    port: Annotated[int, typer.Option(min=0, max=65535, help="The web side's port; 0 chooses a free one.")] = 0,
    seed: Annotated[str, typer.Option(help="Other words, other people.")] = "merpati",
    keep_mail: Annotated[
        Path | None, typer.Option(file_okay=False, help="Keep each mail, as it arrived, in this folder.")] = None,
) -> None:
    """Show the whole road of a mail: import, sign, throttle, deliver, bounce, open, click, unsubscribe, report."""
    # A demonstration must never touch a real database or send real mail, whatever this shell is set up for.
    for variable in [name for name in os.environ if name.startswith("MERPATI_")]:
        del os.environ[variable]
    disagreements: list[int] = []
    mail = ""
    if keep_mail is not None:
        keep_mail.mkdir(parents=True, exist_ok=True)
        mail = str(keep_mail.resolve())

    async def main() -> None:
        disagreements.append(await _demo(leave, as_json, recipients, rate, port, seed, mail))

    uvloop.install()
    run(main())
    sys.exit(disagreements[0])
