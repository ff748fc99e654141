"""``merpati bench relay``: how fast apps' mail is taken, durably, beside Postfix on the same cores in the same run.

The server is this process alone; the client is another one on the same machine. Every 250 is behind a sync.
"""

import asyncio
import os
import resource
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import orjson
import typer
import uvloop

from esp import wiring
from esp.app import App
from esp.cli import relay_client
from esp.cli.bench_relay_http import measure_http
from esp.cli.private_postfix import private_postfix
from esp.cli.private_postgres import PRIVATE, private_postgres
from esp.cli.relay_client import Talk
from esp.cli.shared import JsonOption, err, out, print_json, run
from esp.entry.scratch import scratch
from esp.entry.submission import SubmissionDoor
from esp.entry.workers import WorkerPool
from esp.errors import DependencyError, MerpatiError
from esp.flows.accounts import Passwords, create_workspace
from esp.flows.credentials import Keyring, create_credential
from esp.flows.domains import add_domain
from esp.flows.relay import Relay
from esp.model.relay import Credential, CredentialKind
from esp.settings import load

_OCTETS: Final = 10_000
_CONNECTIONS: Final = 20
_SENDER: Final = "app@bench.example"
_ENDLESS: Final = 200 * 1024 * 1024
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")


@dataclass(slots=True)
class Stage:
    """A workspace whose domain counts as verified, its relay, and two credentials."""

    app: App
    relay: Relay
    keyring: Keyring
    passwords: Passwords
    credential: Credential
    password: str

    @asynccontextmanager
    async def door(self, *, known: bool = False) -> AsyncIterator[SubmissionDoor]:
        """The door open; ``known`` takes every session for the credential, which is what a run without TLS needs."""
        door = SubmissionDoor(self.app, self.relay, self.keyring, self.passwords,
                              known=self.credential if known else None)
        await door.start()
        try:
            yield door
        finally:
            await door.close()


def relay(
    messages: Annotated[int, typer.Option(min=100, help="Messages of each kind.")] = 5_000,
    database: Annotated[str, typer.Option(help="sqlite, postgresql (a private server), or an empty one's URL.")]
    = "sqlite",
    postfix: Annotated[bool, typer.Option(help="Measure Postfix beside it (as root).")] = True,
    as_json: JsonOption = False,
) -> None:
    """Hand over 10 KB messages by SMTP on 20 connections, and say how many a second were durably taken."""

    async def main() -> None:
        figures = await _measure(messages, database, postfix)
        if as_json:
            print_json(figures)
            return
        for name, value in figures.items():
            out.print(f"{name:40} {value}")

    uvloop.install()
    run(main())


async def _measure(messages: int, database: str, postfix: bool) -> dict[str, Any]:
    figures: dict[str, Any] = {"messages": messages, "database": database.partition(":")[0]}
    with scratch("relay") as folder, private_postgres() if database == PRIVATE else nullcontext() as server:
        url = server.url if server else "" if database == "sqlite" else database
        async with _stage(folder / "data", url) as stage:
            await _take(stage, messages, figures)
            figures.update(await measure_http(
                stage.app, stage.credential.workspace_id, _SENDER, messages, _OCTETS))
            async with stage.door(known=True) as door:
                figures["rss_growth_mb"] = await _endless(door.port)
            figures["accepted_to_delivered_p95_ms"] = await _until_delivered(stage)
        if postfix:
            figures.update(await _postfix(messages))
    figures["rss_peak_mb"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)
    return figures


@asynccontextmanager
async def _stage(folder: Path, url: str) -> AsyncIterator[Stage]:
    settings = load(
        server={"data_dir": folder}, database={"url": url}, log={"level": "error"},
        delivery={"smart_host": "127.0.0.1:1", "hello_name": "bench.example"},
        submission={"port": 0, "tls_port": 0, "max_connections_per_peer": 1000})
    app = await wiring.build(settings)
    shared = Relay(app)
    try:
        workspace = await create_workspace(app, "Bench", "1 Bench Road")
        domain = await add_domain(app, workspace.id, "bench.example")
        await app.store.domains.record_check(workspace.id, domain.id, {}, app.clock.now(), verified=True)
        passwords = Passwords()
        credential, password = await create_credential(app, passwords, workspace.id, CredentialKind.SMTP, "Bench")
        yield Stage(app, shared, Keyring(app, passwords), passwords, credential, password)
    finally:
        await shared.close()
        await app.close()


async def _take(stage: Stage, messages: int, figures: dict[str, Any]) -> None:
    async with stage.door(known=True) as door:
        await _client(port=door.port, messages=messages // 10)  # the first pages and statements
        before = time.process_time()
        plain = await _client(port=door.port, messages=messages)
        figures["smtp_per_second"], figures["smtp_p99_ms"] = plain["per_second"], plain["p99"]
        figures["smtp_p50_ms"] = plain["p50"]
        figures["smtp_cpu_us"] = round((time.process_time() - before) / messages * 1e6)
    login = {"tls": True, "login": stage.credential.login, "password": stage.password}
    async with stage.door() as door:
        await _client(port=door.tls_port, messages=_CONNECTIONS, **login)
        before = time.process_time()
        kept = await _client(port=door.tls_port, messages=messages, **login)
        figures["smtp_tls_per_second"] = kept["per_second"]
        figures["smtp_tls_cpu_us"] = round((time.process_time() - before) / messages * 1e6)
        before, fewer = time.process_time(), max(100, messages // 5)
        fresh = await _client(port=door.tls_port, messages=fewer, fresh=True, **login)
        figures["smtp_tls_new_connection_per_second"] = fresh["per_second"]
        figures["smtp_tls_new_connection_cpu_us"] = round((time.process_time() - before) / fewer * 1e6)


async def _client(**what: Any) -> dict[str, Any]:
    process = await asyncio.create_subprocess_exec(
        # By its file: as a module of this package it would load all commands first.
        sys.executable, "-P", relay_client.__file__, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE)
    given = {"host": "127.0.0.1", "connections": _CONNECTIONS, "octets": _OCTETS, "tls": False, "login": "",
             "password": "", "fresh": False, "sender": _SENDER, **what}
    said, _ = await process.communicate(orjson.dumps(given))
    if process.returncode:
        raise DependencyError("The client of the measurement failed; what it said stands above.")
    found: dict[str, Any] = orjson.loads(said)
    return found


def _rss_mb() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE / 1024 / 1024


async def _endless(port: int) -> float:
    """By how much this process grew, at most, under 200 MB without a line end on twenty connections."""
    before = peak = _rss_mb()
    block = b"x" * 65_536

    async def pour() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"EHLO a.example\r\nMAIL FROM:<app@bench.example>\r\nRCPT TO:<a@sink.example>\r\nDATA\r\n")
        try:
            while b"354" not in await reader.read(4096):
                pass
            for _ in range(_ENDLESS // _CONNECTIONS // len(block)):
                writer.write(block)
                await writer.drain()
        except ConnectionError:
            pass  # it was told to stop, which is what we want
        finally:
            writer.close()

    pouring = [asyncio.create_task(pour()) for _ in range(_CONNECTIONS)]
    while not all(task.done() for task in pouring):
        await asyncio.sleep(0.01)
        peak = max(peak, _rss_mb())
    await asyncio.gather(*pouring)
    return round(peak - before, 1)


class _Sink:
    """A receiver that notes when it had each message's dot."""

    def __init__(self) -> None:
        self.arrived: dict[bytes, float] = {}
        self.news = asyncio.Event()

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 sink\r\n")
        to = b""
        try:
            while line := await reader.readline():
                match line[:4].upper():
                    case b"EHLO":
                        writer.write(b"250-sink\r\n250-8BITMIME\r\n250 PIPELINING\r\n")
                    case b"RCPT":
                        to = line
                        writer.write(b"250 ok\r\n")
                    case b"DATA":
                        writer.write(b"354 go\r\n")
                        await reader.readuntil(b"\r\n.\r\n")
                        self.arrived[to[to.index(b"<") + 1 : to.index(b"@")]] = time.perf_counter()
                        self.news.set()
                        writer.write(b"250 ok\r\n")
                    case _:
                        writer.write(b"250 ok\r\n")
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


async def _until_delivered(stage: Stage) -> float | None:
    """95th percentile of the milliseconds from a message's 250 to its last octet at a local receiver."""
    sink = _Sink()
    server = await asyncio.start_server(sink.talk, "127.0.0.1", 0, limit=1 << 20)
    port = server.sockets[0].getsockname()[1]
    stop = asyncio.Event()
    settings = stage.app.settings
    delivery = settings.delivery.model_copy(update={"smart_host": f"127.0.0.1:{port}"})
    app = App(**{**{name: getattr(stage.app, name) for name in App.__dataclass_fields__},
                 "settings": settings.model_copy(update={"delivery": delivery})})
    waits: list[float] = []
    working = asyncio.create_task(WorkerPool(app, 1).run(stop))
    try:
        async with stage.door(known=True) as door:
            talk = Talk({"host": "127.0.0.1", "port": door.port, "tls": False, "login": "", "password": "",
                          "sender": _SENDER})
            await talk.open()
            body = b"x" * 70 + b"\r\n"
            first = 10_000_000
            await _drained(stage, talk, sink, first, body)
            for number in range(first + 1, first + 101):
                sink.news.clear()
                await talk.send(number, body * 140)
                taken = time.perf_counter()
                await _arrival(sink, number)
                waits.append(max(0.0, sink.arrived[b"p%d" % number] - taken) * 1000)
                await asyncio.sleep(0.02)
            await talk.close()
    finally:
        stop.set()
        await working
        server.close()
        await server.wait_closed()
    waits.sort()
    return round(waits[len(waits) * 95 // 100], 1)


async def _drained(stage: Stage, talk: Talk, sink: _Sink, number: int, body: bytes) -> None:
    """Everything that the runs before left in the queue is sent, so that the engine is idle."""
    await talk.send(number, body)
    seen = -1
    while seen < len(sink.arrived):
        seen = len(sink.arrived)
        await asyncio.sleep(3)


async def _arrival(sink: _Sink, number: int) -> None:
    async with asyncio.timeout(60):
        while b"p%d" % number not in sink.arrived:
            await sink.news.wait()
            sink.news.clear()


async def _postfix(messages: int) -> dict[str, Any]:
    try:
        with private_postfix() as port:
            await _client(port=port, messages=_CONNECTIONS)
            found = await _client(port=port, messages=messages)
    except MerpatiError as problem:
        err.print(str(problem), markup=False)
        return {"postfix_per_second": None}
    return {"postfix_per_second": found["per_second"], "postfix_p99_ms": found["p99"]}
