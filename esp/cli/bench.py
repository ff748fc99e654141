"""``merpati bench broadcast``: a real campaign to Postfix's smtp-sink, and the ceiling measured in the same run.

Everything is the ordinary road: contacts, a frozen campaign, the lazy walk, worker processes, signed and tracked mail.
CPU is that of all our processes (the receiver and a PostgreSQL server are not ours), from the start of the campaign to
its end; starting the processes is not counted.
"""

import asyncio
import os
import shutil
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from esp import wiring
from esp.app import App
from esp.cli.private_postgres import PRIVATE, PrivatePostgres, private_postgres
from esp.cli.shared import JsonOption, err, out, print_json, run
from esp.entry.scheduler import Job
from esp.entry.scheduler import run as run_jobs
from esp.entry.scratch import scratch
from esp.entry.workers import WorkerPool
from esp.errors import DependencyError
from esp.flows.campaigns import act, create
from esp.flows.domains import add_domain
from esp.flows.walk import finish_done, walk_some
from esp.model.campaign import CampaignAction, CampaignState
from esp.ports.campaigns import CampaignEdit, VariantEdit
from esp.ports.contacts import NewContact, Subscribing
from esp.settings import load

_TICK: Final = os.sysconf("SC_CLK_TCK")
_CITIES: Final = ("Bandung", "Jakarta", "Surabaya", "Medan", "Yogyakarta", "Makassar", "Denpasar", "Malang")
_PARAGRAPH: Final = (
    "Hand woven by a family workshop in the hills, dyed with indigo and mangrove bark, washed three times and dried in "
    "the shade, so that the colour stays as deep as on the first day. Each piece is signed by its weaver. "
)

app = typer.Typer(help="Measure this machine.", no_args_is_help=True)


@app.callback()
def bench() -> None:
    """Measure this machine."""


@app.command()
def broadcast(
    recipients: Annotated[int, typer.Option(min=1, help="People the campaign goes to.")] = 20_000,
    database: Annotated[str, typer.Option(help="sqlite, postgresql (private), or an empty one's URL.")] = "sqlite",
    sink: Annotated[str, typer.Option(help="smtp-sink, or host:port of a receiver.")] = "smtp-sink",
    unsigned: Annotated[bool, typer.Option("--unsigned", help="Leave the DKIM signature out.")] = False,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Sending processes.")] = 1,
    keep_mail: Annotated[Path | None, typer.Option(help="Have smtp-sink keep each mail here; slower.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Broadcast a personal 20 KB newsletter with 20 tracked links, and say what a message cost."""

    async def main() -> None:
        figures = await _broadcast(recipients, database, sink, unsigned, workers, keep_mail)
        if as_json:
            print_json(figures)
            return
        stages = figures.pop("stages")
        for name, value in (*figures.items(), *((f"  {stage} us", value) for stage, value in stages.items())):
            out.print(f"{name:36} {value}")

    run(main())


async def _broadcast(
    recipients: int, database: str, sink: str, unsigned: bool, workers: int, keep_mail: Path | None
) -> dict[str, Any]:
    before = _rsa_signs_per_second()
    private = private_postgres() if database == PRIVATE else nullcontext(PrivatePostgres(database))
    with scratch("bench") as folder, _receiver(sink, keep_mail) as target, private as server:
        settings = load(
            server={"data_dir": folder, "workers": workers},
            database={"url": "" if database == "sqlite" else server.url},
            delivery={"smart_host": target, "smart_host_signs": unsigned, "hello_name": "bench.merpati.example",
                      "server_rate": ""},
            log={"level": "warning"},
        )
        application = await wiring.build(settings)
        try:
            measured = await _measure(application, recipients, workers)
        finally:
            await application.close()
    signs = (before + _rsa_signs_per_second()) / 2
    figures = _figures(measured, signs, "postgresql" if database.startswith("postgres") else "sqlite")
    if unsigned:
        return figures | {"rsa_share": 0.0, "wall_share": 0.0,
                          "unsigned_per_cpu_second": round(1e6 / figures["cpu_us_per_message"])}
    return figures


@dataclass(slots=True)
class _Measured:
    messages: int = 0
    seconds: float = 0.0
    workers_cpu: float = 0.0
    own_cpu: float = 0.0
    rss_mb: float = 0.0  # the highest sum of a moment, not the sum of the highest
    rss_parent_mb: float = 0.0
    rss_worker_mb: float = 0.0  # of the biggest
    figures: list[dict[str, Any]] = field(default_factory=list)


def _figures(measured: _Measured, signs: float, database: str) -> dict[str, Any]:
    messages = max(1, measured.messages)
    total = (measured.workers_cpu + measured.own_cpu) * 1e6 / messages
    spent: Counter[str] = Counter()
    for figures in measured.figures:
        spent.update(figures["stages"])
    loop = {name: nanoseconds / 1e3 / messages for name, nanoseconds in spent.items()}
    threads = sum(figures["cpu"] - figures["thread_cpu"] for figures in measured.figures) * 1e6 / messages
    stages = {
        "claim_load": loop.get("claim", 0.0) + loop.get("load", 0.0),
        "merge": loop.get("merge", 0.0),
        "hash_sign": loop.get("hash_sign", 0.0),
        "send": loop.get("send", 0.0),
        "record": loop.get("record", 0.0),
        "database_threads": threads,
        "walk": measured.own_cpu * 1e6 / messages,
    }
    stages["other"] = total - sum(stages.values())
    return {
        "messages": measured.messages,
        "seconds": round(measured.seconds, 2),
        "messages_per_second": round(messages / measured.seconds, 1),
        "cpu_us_per_message": round(total, 1),
        "stages": {name: round(value, 1) for name, value in stages.items()},
        "rsa2048_signs_per_second_per_core": round(signs, 1),
        "rsa_share": round(1e6 / signs / total, 3),
        "wall_share": round(messages / measured.seconds / (signs * (os.cpu_count() or 1)), 3),
        "rss_mb": round(measured.rss_mb, 1),
        "rss_parent_mb": round(measured.rss_parent_mb, 1),
        "rss_worker_mb": round(measured.rss_worker_mb, 1),
        "database": database,
    }


async def _measure(application: App, recipients: int, workers: int) -> _Measured:
    measured = _Measured()
    workspace_id, campaign_id = await _prepare(application, recipients)
    async with _engine(application, workers) as pool:
        own, theirs = _cpu_seconds(os.getpid()), {pid: _cpu_seconds(pid) for pid in pool.pids}
        began = time.monotonic()
        await act(application, workspace_id, campaign_id, CampaignAction.START)
        with Progress(TextColumn("sending"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), console=err,
                      disable=not sys.stderr.isatty()) as progress:
            bar = progress.add_task("sending", total=recipients)
            while True:
                detail = await application.store.campaigns.get(workspace_id, campaign_id)
                progress.update(bar, completed=detail.counts.get("delivered", 0))
                _weigh(measured, pool)
                if detail.campaign.state is CampaignState.SENT:
                    break
                await asyncio.sleep(0.5)
        measured.seconds = time.monotonic() - began
        measured.own_cpu = _cpu_seconds(os.getpid()) - own
        measured.workers_cpu = sum(_cpu_seconds(pid) - cpu for pid, cpu in theirs.items())
    states = await application.store.campaigns.states(workspace_id, campaign_id)
    measured.messages = states.get("delivered", 0)
    measured.figures = pool.figures
    if states != {"delivered": recipients}:
        err.print(f"[red]Not everybody was delivered to: {states}[/red]")
    return measured


def _weigh(measured: _Measured, pool: WorkerPool) -> None:
    """Keep the peaks of resident memory. Pages that processes share count in each, as ``ps`` counts them."""
    parent, workers = _rss_mb(os.getpid()), [_rss_mb(pid) for pid in pool.pids]
    measured.rss_mb = max(measured.rss_mb, parent + sum(workers))
    measured.rss_parent_mb = max(measured.rss_parent_mb, parent)
    measured.rss_worker_mb = max(measured.rss_worker_mb, *workers, 0.0)


@asynccontextmanager
async def _engine(application: App, workers: int) -> AsyncIterator[WorkerPool]:
    """Worker processes and the jobs of a campaign, running and idle."""
    stop = asyncio.Event()
    pool = WorkerPool(application, workers, precise=True)
    jobs = [Job("walk", 0.5, walk_some, "walk"), Job("finish", 0.5, finish_done)]
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(pool.run(stop))
        tasks.create_task(run_jobs(application, jobs, stop))
        journals = application.settings.server.data_dir / "outcomes"
        while len(list(journals.glob("*.journal"))) < workers:  # noqa: ASYNC110 - a file, seen by nobody else
            await asyncio.sleep(0.1)
        try:
            yield pool
        finally:
            stop.set()


async def _prepare(application: App, recipients: int) -> tuple[int, int]:
    now, store = application.clock.now(), application.store
    workspace = await store.accounts.create_workspace("Bench", "Jl. Braga 1, Bandung", now)
    domain = await add_domain(application, workspace.id, "toko.example")
    audience = await store.contacts.create_list(workspace.id, "News", "news", "", now)
    for start in range(0, recipients, 1000):
        rows = [_contact(number) for number in range(start, min(start + 1000, recipients))]
        await store.contacts.upsert(workspace.id, rows, "bench", now, Subscribing(audience.id, "bench"))
    campaign = await create(application, workspace.id, CampaignEdit(
        name="Bench", variants=(VariantEdit("{{ contact.first_name or 'friend' }}, new from {{ contact.city }}",
                                            newsletter()),),
        include_lists=(audience.id,), domain_id=domain.id, from_name="Toko", from_address="news@toko.example",
    ))  # fmt: skip
    return workspace.id, campaign.id


def _contact(number: int) -> NewContact:
    email = f"person{number}@mail{number % 5}.example"
    return NewContact(email, email, email.partition("@")[2],
                      {"first_name": f"Person{number}", "city": _CITIES[number % len(_CITIES)]})


def newsletter(links: int = 20) -> str:
    """About 13 KB of HTML with ``links`` links and merge fields in every section: with its text part, its tokens and
    its headers a mail of 20 KB on the wire."""
    sections = "".join(
        f"<tr><td style=\"padding:16px 24px;font-family:Georgia,serif;font-size:16px;line-height:1.5;color:#222222\">"
        f"<h2 style=\"margin:0 0 8px;font-size:20px\">"
        f"Cloth number {number} for {{{{ contact.first_name or 'you' }}}}</h2>"
        f"<p style=\"margin:0 0 12px\">{_PARAGRAPH}</p>"
        f"<a href=\"https://toko.example/cloth/{number}?from=letter\" style=\"color:#7a3e1d\">See number {number}</a>"
        f"</td></tr>"
        for number in range(1, links + 1)
    )
    return (
        "<!doctype html><html><head><title>News</title></head><body style=\"margin:0;background:#f4efe6\">"
        "<table role=\"presentation\" width=\"600\" align=\"center\" style=\"background:#ffffff\">"
        "<tr><td style=\"padding:24px\"><h1>Hello {{ contact.first_name or 'friend' }} in {{ contact.city or 'town' }}"
        f"</h1></td></tr>{sections}</table></body></html>"
    )


@contextmanager
def _receiver(sink: str, keep_mail: Path | None) -> Iterator[str]:
    """``host:port`` of the receiver; Postfix's smtp-sink started for the time being, or one that is there.

    Our smtp-sink writes each mail into ``keep_mail``: its own header lines first, line ends as LF, a line end more.
    """
    if sink != "smtp-sink":
        yield sink
        return
    program = shutil.which("smtp-sink", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/libexec/postfix")
    if program is None:
        raise DependencyError("smtp-sink is not installed: apt-get install postfix, or name a receiver with --sink.")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    # As root it wants to be told who to be, and nobody may write into a folder of root's.
    who = ["-u", "root" if keep_mail else "nobody"] if os.getuid() == 0 else []
    dump = ["-d", f"{str(keep_mail.resolve()).replace('%', '%%')}/mail."] if keep_mail else []
    process = subprocess.Popen([program, *who, *dump, f"127.0.0.1:{port}", "1000"])  # noqa: S603 - fixed words and numbers
    try:
        while not _listens(port):
            if process.poll() is not None:
                raise DependencyError(f"smtp-sink ended at once, with {process.returncode}.")
            time.sleep(0.05)
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def _rsa_signs_per_second() -> float:
    """RSA-2048 signatures a second on one core by ``openssl speed``: the floor under every signed message."""
    program = shutil.which("openssl")
    if program is None:
        raise DependencyError("openssl is not installed, so that there is nothing to compare with.")
    said = _output([program, "speed", "-seconds", "2", "-mr", "rsa2048"])
    for line in said.splitlines():
        if line.startswith("+F2:"):
            return float(line.split(":")[3])
    raise DependencyError("openssl speed did not say how fast it signs.")


def _output(command: Sequence[str]) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout  # noqa: S603 - fixed program


def _cpu_seconds(pid: int) -> float:
    """User and system time of all threads of ``pid`` so far, from /proc."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICK


def _rss_mb(pid: int) -> float:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
    except OSError:
        return 0.0
