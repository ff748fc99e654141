"""``merpati bench audience``: a large audience imported, imported again, counted, searched, walked and looked at.

Everything is the ordinary road: the file by the importer, the pages over HTTP from the admin, the campaign by the walk.
The data are made by a seeded generator. With --contacts above 100,000 a run of 100,000 comes first, so that one sees
whether cost grows in proportion. Wall seconds, and beside them what this process and its children used of a CPU.
"""

import asyncio
import os
import resource
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from aiohttp import ClientSession, CookieJar, web

from admin_ui.app import build as build_admin
from esp import wiring
from esp.app import App
from esp.audience.generate_audience import audience_csv
from esp.cli.bench_audience_leaving import measure_leaving, start_patiently
from esp.cli.private_postgres import PRIVATE, PrivatePostgres, private_postgres
from esp.cli.shared import JsonOption, err, out, print_json, run
from esp.errors import MerpatiError
from esp.flows import accounts, imports, segments
from esp.flows.campaigns import act, create
from esp.flows.domains import add_domain
from esp.flows.walk import walk_step
from esp.model.campaign import CampaignAction
from esp.model.segment_json import parse_rule
from esp.ports.accounts import Role
from esp.ports.campaigns import CampaignEdit, VariantEdit
from esp.settings import load

_SMALL: Final = 100_000
_FEW: Final = 500  # so that there is an import to look at where people were made directly
_PAGES: Final = (
    "/contacts", "/contacts?q=budi", "/lists", "/lists/1", "/segments", "/imports", "/imports/1", "/exports",
    "/transfers", "/hygiene", "/suppressions", "/settings/fields", "/settings/topics", "/contacts/1",
)
_SEARCHES: Final = ("b", "bu", "bud", "budi", "siti", "agus.l", "wijaya", "sa", "santoso", "zz", "rina.h", "nug")


def _field(name: str, op: str, value: object = None) -> dict[str, Any]:
    return {"field": name, "op": op, **({} if value is None else {"value": value})}


def _number(op: str, value: int) -> dict[str, Any]:
    return {"field": "fields.points", "type": "number", "op": op, "value": value}


def _group(match: str, rules: list[dict[str, Any]]) -> dict[str, Any]:
    return {"match": match, "rules": rules}


def _rules(campaign_id: int, list_id: int) -> list[dict[str, Any]]:
    """Twenty rules of the kinds that marketers make."""
    bandung = [_field("city", "is", "Bandung")]
    inside = {"list": list_id, "state": "subscribed"}
    return [
        _group("all", bandung), _group("all", [_field("country", "is", "ID")]),
        _group("all", [*bandung, _field("fields.plan", "is", "pro")]),
        _group("any", [_field("fields.plan", "is", "team"), _field("fields.plan", "is", "pro")]),
        _group("all", [_number("greater", 9000)]), _group("all", [_number("less", 50)]),
        _group("all", [_field("first_name", "is", "Siti")]),
        _group("all", [{"did": "opened", "when": {"op": "in_last", "value": 30}}]),
        _group("all", [_field("last_name", "is", "Halim"), _field("city", "is", "Solo")]),
        _group("none", [_field("city", "is", "Jakarta")]), _group("all", [_field("birth_date", "not_empty")]),
        _group("all", [_field("fields.f07", "not_empty")]), _group("all", [_field("fields.f11", "is", "v42")]),
        _group("all", [inside]), _group("all", [inside, _field("city", "is", "Medan")]),
        _group("all", [{"did": "opened", "campaigns": [campaign_id]}]),
        _group("all", [{"did": "clicked", "campaigns": [campaign_id]}]),
        _group("all", [{"did": "clicked", "campaigns": [campaign_id]}, _field("fields.plan", "is", "pro")]),
        _group("all", [_field("email", "contains", "mail7.")]),
        _group("any", [_field("city", "is", "Malang"), _group("all", [_number("greater", 9900), inside])]),
    ]


def command(
    contacts: Annotated[int, typer.Option(min=1000, help="How many people.")] = 100_000,
    database: Annotated[str, typer.Option(
        help="sqlite; postgresql (a server of its own is started); or the URL of an empty database.")] = "sqlite",
    direct: Annotated[bool, typer.Option(
        help="Write people straight into the tables and import a small file only: for all but the import.")] = False,
    import_only: Annotated[bool, typer.Option(help="Only the import, and the import of the same file again.")] = False,
    events: Annotated[int, typer.Option(help="Events behind the segments; default ten for each person.")] = -1,
    as_json: JsonOption = False,
) -> None:
    """Import a large audience and measure what marketers wait for."""

    async def main() -> None:
        sizes = [contacts] if contacts <= _SMALL else [_SMALL, contacts]
        for size in sizes:
            with private_postgres() if database == PRIVATE else nullcontext(PrivatePostgres(database)) as server:
                bench = _Bench(size, 10 * size if events < 0 else events, direct, import_only, server)
                figures = await _measure(bench)
            if as_json:
                print_json(figures)
            else:
                for name, value in figures.items():
                    out.print(f"{name:34} {value}")

    run(main())


@dataclass(frozen=True, slots=True)
class _Bench:
    """What is asked for, and where the data go."""

    contacts: int
    events: int
    direct: bool
    import_only: bool
    server: PrivatePostgres  # on SQLite its URL is that word

    @property
    def database(self) -> str:
        return "sqlite" if self.server.url == "sqlite" else "postgresql"


async def _measure(bench: _Bench) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="merpati-bench-") as folder:
        settings = load(
            server={"data_dir": folder}, database={"url": "" if bench.database == "sqlite" else bench.server.url},
            log={"level": "warning"}, delivery={"audience_backlog": 10 * bench.contacts})
        app = await wiring.build(settings)
        try:
            return await _figures(app, Path(folder), bench)
        finally:
            await app.close()


async def _figures(app: App, folder: Path, bench: _Bench) -> dict[str, Any]:
    contacts = bench.contacts
    _say(f"{contacts:,} people on {bench.database}")
    workspace = await app.store.accounts.create_workspace("Bench", "Jl. Braga 1, Bandung", app.clock.now())
    audience = await app.store.contacts.create_list(workspace.id, "News", "news", "", app.clock.now())
    file = folder / "people.csv"
    with file.open("w", encoding="utf-8", newline="") as target:
        target.writelines(audience_csv(_FEW if bench.direct else contacts, seed=1))
    figures: dict[str, Any] = {"database": bench.database, "contacts": contacts,
                               "file_mb": round(file.stat().st_size / 1e6, 1)}
    peak = 0.0
    for name in ("import", "reimport"):
        its, rss = await _import(app, workspace.id, audience.id, file, bench.server)
        if not bench.direct:
            figures |= {f"{name}_{key}": round(value, 2) for key, value in its.items()}
        peak = max(peak, rss)
    if bench.direct:
        await wiring.seed_audience(app, workspace.id, audience.id, audience_csv(contacts - _FEW, seed=2))
    else:
        figures["import_rss_mb"] = round(peak, 1)
    figures["load_average"] = round(os.getloadavg()[0], 1)
    if bench.import_only:
        return figures
    servers = bench.server.cpu_seconds
    campaign_id, seconds, cpu = await _walk(app, workspace.id, audience.id)
    figures |= {"audience_seconds": round(seconds, 2), "audience_cpu_seconds": round(cpu, 2),
                "audience_server_cpu_seconds": round(bench.server.cpu_seconds - servers, 2)}
    began = time.monotonic()
    figures["events"] = await wiring.seed_engagement(app, workspace.id, campaign_id, bench.events)
    _say(f"{figures['events']:,} events made in {time.monotonic() - began:.0f} s")
    figures |= await _segments(app, workspace.id, campaign_id, audience.id)
    figures["search_p95_ms"] = await _searches(app, workspace.id)
    figures |= await _pages(app, workspace.id)
    figures["unsubscribe_seconds"] = await measure_leaving(app, app.settings, workspace.id, audience.id)
    return figures


def _say(text: str) -> None:
    err.print(text, highlight=False)


def _rss_mb() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def _children_cpu() -> float:
    its = resource.getrusage(resource.RUSAGE_CHILDREN)
    return its.ru_utime + its.ru_stime


async def _octets(file: Path) -> AsyncIterator[bytes]:
    with await asyncio.to_thread(file.open, "rb") as source:
        while data := await asyncio.to_thread(source.read, 1 << 20):
            yield data


async def _import(
    app: App, workspace_id: int, list_id: int, file: Path, server: PrivatePostgres,
) -> tuple[dict[str, float], float]:
    """Seconds, and those of a CPU that this process, the reading child and the server used; and the largest memory of
    this process while it imported."""
    stored = await imports.store_upload(app, workspace_id, None, file.name, _octets(file))
    found = await imports.inspect_import(app, workspace_id, stored.id)
    await imports.begin_import(app, workspace_id, stored.id, list_id, found.mapping)
    used, peak = [(time.monotonic(), time.process_time(), _children_cpu(), server.cpu_seconds)], 0.0
    reading = asyncio.create_task(imports.run_imports(app))
    while not reading.done():
        peak = max(peak, _rss_mb())
        await asyncio.wait({reading}, timeout=0.1)
    await reading
    used.append((time.monotonic(), time.process_time(), _children_cpu(), server.cpu_seconds))
    done = await app.store.imports.get(workspace_id, stored.id)
    if done.rejected or not imports.is_over(done) or done.error:
        raise MerpatiError(f"The import did not go as it should: {done.error or done.rejected}")
    names = ("seconds", "cpu_seconds", "child_cpu_seconds", "server_cpu_seconds")
    its = {name: after - before for name, before, after in zip(names, *used, strict=True)}
    if not server.folder:
        del its["server_cpu_seconds"]
    _say(f"  {done.rows_read:,} rows, {done.created:,} new, {done.unchanged:,} as before: {its['seconds']:.1f} s")
    return its, peak


async def _walk(app: App, workspace_id: int, list_id: int) -> tuple[int, float, float]:
    """The campaign, and how long it took until everybody of it was written down."""
    domain = await add_domain(app, workspace_id, f"bench{workspace_id}.example")
    # Known providers: the network is not what is measured.
    await app.store.campaigns.remember_providers({f"mail{n}.example": f"mail{n % 5}" for n in range(40)},
                                                 app.clock.now())
    campaign = await create(app, workspace_id, CampaignEdit(
        name="Bench", variants=(VariantEdit("Hello {{ contact.first_name or 'friend' }}", "<p>Hello</p>"),),
        include_lists=(list_id,), domain_id=domain.id, from_name="Bench", from_address=f"news@{domain.name}"))
    await start_patiently(app, workspace_id, campaign.id)
    began, cpu = time.monotonic(), time.process_time()
    # Step by step and without the pause for the sending to catch up, which is not what is measured.
    while await walk_step(app, (await app.store.campaigns.get(workspace_id, campaign.id)).campaign):
        pass
    seconds = time.monotonic() - began
    await act(app, workspace_id, campaign.id, CampaignAction.PAUSE)
    _say(f"  the audience written as deliveries: {seconds:.1f} s")
    return campaign.id, seconds, time.process_time() - cpu


async def _segments(app: App, workspace_id: int, campaign_id: int, list_id: int) -> dict[str, Any]:
    taken: dict[str, float] = {}
    now = await segments.here_and_now(app, workspace_id)
    for plain in _rules(campaign_id, list_id):
        try:
            rule = parse_rule(plain)
            await app.store.segments.index(workspace_id, rule)
            began = time.monotonic()
            await app.store.segments.count(workspace_id, rule, now, seconds=60.0)
            taken[str(plain)] = time.monotonic() - began
        except MerpatiError as error:
            raise MerpatiError(f"This rule was not counted: {plain}: {error}") from error
    worst = max(taken, key=lambda key: taken[key])
    _say(f"  the slowest of {len(taken)} rules: {worst} {taken[worst]:.2f} s")
    return {"segment_rules": len(taken), "segment_count_median_seconds": round(statistics.median(taken.values()), 3),
            "segment_count_worst_seconds": round(taken[worst], 3)}


async def _p95(work: Callable[[], Awaitable[object]], times: int = 5) -> list[float]:
    taken = []
    for _ in range(times):
        began = time.monotonic()
        await work()
        taken.append((time.monotonic() - began) * 1000)
    return taken


def _percentile(taken: list[float]) -> float:
    return round(sorted(taken)[max(0, int(len(taken) * 0.95) - 1)], 1)


async def _searches(app: App, workspace_id: int) -> float:
    taken: list[float] = []
    for text in _SEARCHES:
        taken += await _p95(lambda text=text: app.store.contacts.search(workspace_id, text))  # type: ignore[misc]
    return _percentile(taken)


@asynccontextmanager
async def _admin(app: App, workspace_id: int) -> AsyncIterator[ClientSession]:
    """A browser that is logged in to the admin on a port of its own."""
    passwords = accounts.Passwords()
    email, password = f"bench{workspace_id}@bench.example", "kupu kupu terbang tinggi"
    user = await accounts.add_user(
        app, passwords, workspace_id, email, "Bench", password, Role.OWNER)
    assert user
    runner = web.AppRunner(build_admin(app), access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    try:
        async with ClientSession(
            f"http://{host}:{port}", cookie_jar=CookieJar(unsafe=True), headers={"Sec-Fetch-Site": "same-origin"},
        ) as browser:
            async with browser.get("/login") as page:
                token = (await page.text()).partition('name="csrf" value="')[2].partition('"')[0]
            form = {"csrf": token, "email": email, "password": password}
            async with browser.post("/login", data=form, allow_redirects=False) as answer:
                if answer.status != 303:
                    raise MerpatiError(f"The log-in answered {answer.status}.")
            yield browser
    finally:
        await runner.cleanup()


async def _pages(app: App, workspace_id: int) -> dict[str, Any]:
    """Every page of the audience, asked for over HTTP; raises where one is not there."""
    lists = await app.store.contacts.lists(workspace_id)
    people = (await app.store.contacts.search(workspace_id, limit=1)).contacts
    files = await app.store.imports.page(workspace_id, limit=1)
    numbers = {"/lists/1": f"/lists/{lists[0].id}", "/contacts/1": f"/contacts/{people[0].id}",
               "/imports/1": f"/imports/{files[0].id}"}
    taken: dict[str, float] = {}
    spent: dict[str, float] = {}  # of a CPU, by us, the browser's part among it
    every: list[float] = []
    async with _admin(app, workspace_id) as browser:
        for path in (numbers.get(path, path) for path in _PAGES):
            async with browser.get(path) as first:
                await first.read()
                if first.status != 200:
                    raise MerpatiError(f"{path} answers {first.status}.")

            async def ask(path: str = path) -> None:
                async with browser.get(path) as answer:
                    await answer.read()

            cpu = time.process_time()
            times = await _p95(ask, 8)
            spent[path] = (time.process_time() - cpu) / 8 * 1000
            taken[path] = max(times)
            every += times
    worst = max(taken, key=lambda key: taken[key])
    _say(f"  the slowest of {len(taken)} pages: {worst} {taken[worst]:.0f} ms")
    return {"pages": len(taken), "pages_p95_ms": _percentile(every), "pages_worst_ms": round(taken[worst], 1),
            "pages_cpu_worst_ms": round(max(spent.values()), 1)}
