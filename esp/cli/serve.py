"""``merpati serve``: every role in this process and its sending processes, until a signal; ``--role`` splits them."""

import asyncio
import errno
import os
import signal
import socket
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from enum import StrEnum
from typing import Annotated, Any, Final

import structlog
import typer
import uvloop
from aiohttp import web

from admin_ui import app as admin
from esp import log as logging
from esp import wiring
from esp.app import App
from esp.cli.shared import ConfigOption, out, run
from esp.entry import health, scheduler
from esp.entry.api import all as api
from esp.entry.api import idempotency
from esp.entry.mx import Mx
from esp.entry.scheduler import Job
from esp.entry.submission import SubmissionDoor
from esp.entry.workers import WorkerPool
from esp.errors import DependencyError
from esp.flows import (
    accounts,
    bulk,
    digest,
    erasure,
    exports,
    hygiene,
    imports,
    mailroom,
    pickup,
    relay_reports,
    relay_upkeep,
    segments,
    signup,
    transfers,
    walk,
    webhooks,
)
from esp.flows.accounts import Passwords
from esp.flows.credentials import Keyring
from esp.flows.relay import Relay
from esp.inbound.service import Reader
from esp.settings import Settings, load
from tracking import jobs as tracking_jobs
from tracking.edge.door import build_edge

log = structlog.get_logger()

_SHUTDOWN: Final = 10.0  # seconds that a page under way may take after SIGTERM


class Role(StrEnum):
    """What a node does. ``web`` is the admin and the tracking links; any number of nodes may have each role."""

    WEB = "web"
    MX = "mx"
    SUBMISSION = "submission"
    WORKER = "worker"
    SCHEDULER = "scheduler"


def with_real_ports(settings: Settings) -> Settings:
    """``settings`` with free ports where they say 0, so that links name the port that is really listened on."""
    changes: dict[str, Any] = {}
    for section, key in (("server", "port"), ("mx", "port"), ("submission", "port"), ("submission", "tls_port")):
        it = changes.get(section, getattr(settings, section))
        if getattr(it, key) == 0:
            with socket.socket() as probe:
                try:
                    probe.bind((it.host, 0))
                except OSError as error:
                    raise _no_listening(it.host, 0, error) from error
                changes[section] = it.model_copy(update={key: probe.getsockname()[1]})
    return settings.model_copy(update=changes)


async def serve(
    app: App, stop: asyncio.Event, *, roles: Sequence[Role] = tuple(Role), ready: Callable[[], None] | None = None,
    pool: WorkerPool | None = None,
) -> None:
    """Run ``roles`` until ``stop`` is set, then drain: no new work, what is on the wire ends and is recorded.

    ``ready`` is called once every door is open. Raises DependencyError where a port cannot be had.
    """
    async with AsyncExitStack() as stack:
        # Doors first: a port that cannot be had should be one sentence, before anything has begun.
        if Role.WEB in roles:
            await stack.enter_async_context(_Web(app))
        if Role.MX in roles and app.settings.mx.enabled:
            mx = Mx(app)
            await _listening(mx.start(), app.settings.mx.host, app.settings.mx.port)
            stack.push_async_callback(mx.close)
        if Role.SUBMISSION in roles and app.settings.submission.enabled:
            await stack.enter_async_context(_Submission(app))
        reader = Reader()
        stack.push_async_callback(reader.close)
        telling = webhooks.Running()
        stack.push_async_callback(telling.close)
        async with asyncio.TaskGroup() as tasks:
            if Role.WEB in roles:
                # Each node folds what its own door wrote: a journal is a file, which no other node sees.
                tasks.create_task(tracking_jobs.keep_folding(app, stop))
            if Role.SCHEDULER in roles:
                tasks.create_task(scheduler.run(app, _jobs(app, reader, telling), stop))
                tasks.create_task(pickup.keep_collecting(app, stop))
            if Role.WORKER in roles and app.settings.server.workers:
                tasks.create_task((pool or WorkerPool(app)).run(stop))
            if ready:
                ready()
            await stop.wait()


def _jobs(app: App, reader: Reader, telling: webhooks.Running) -> list[Job]:
    async def tell(app: App) -> bool:
        return await webhooks.run_webhooks(app, telling)

    async def process_new(app: App) -> bool:
        return await mailroom.process_new(app, reader)

    return [
        Job("start due campaigns", 1.0, walk.start_due),
        Job("walk audiences", 0.5, walk.walk_some, wakes="walk"),
        Job("finish campaigns", 1.0, walk.finish_done),
        Job("run imports", 1.0, imports.run_imports, wakes="imports"),
        Job("write exports", 1.0, exports.run_exports, wakes=exports.WAKES),
        Job("run transfers", 15.0, transfers.run_due, wakes=transfers.WAKES),
        Job("forget imported files", 600.0, imports.forget_files),
        Job("forget exported files", 600.0, exports.forget_files),
        Job("do bulk actions", 1.0, bulk.run_bulk, wakes=bulk.WAKES),
        Job("make hygiene reports", 2.0, hygiene.run_hygiene, wakes=hygiene.WAKES),
        Job("index segments' fields", 60.0, segments.index_fields, wakes=segments.WAKES),
        Job("make digests", 30.0, digest.make_due),
        Job("walk digests", 2.0, walk.walk_digests, wakes="digests"),
        Job("forget digests", 3600.0, digest.forget_old),
        Job("forget what is old", 3600.0, erasure.forget_old),
        Job("judge incoming mail", 1.0, process_new, wakes=mailroom.WAKES),
        Job("forget judged mail", 600.0, mailroom.forget_old),
        Job("tell senders what failed", 2.0, relay_reports.report_ends),
        Job("start scheduled messages", 5.0, relay_upkeep.start_due),
        Job("forget idempotency keys", 600.0, relay_upkeep.forget_keys),
        Job("forget apps' old messages", 600.0, relay_upkeep.forget_bodies),
        Job("answer sign-ups", 1.0, signup.answer_new, wakes=signup.WAKES),
        Job("expire unconfirmed sign-ups", 600.0, signup.expire_old),
        Job("forget sign-ups that are over", 600.0, signup.forget_old),
        Job("tell webhooks", 1.0, tell),
        Job("forget what webhooks were told", 3600.0, webhooks.forget_old),
        Job("forget the api's answers", 600.0, idempotency.forget_old),
        Job("forget expired sessions", 3600.0, accounts.forget_expired),
    ]


class _Web:
    """The admin, the tracking links and the health checks on one port."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __aenter__(self) -> None:
        root = admin.build(self._app)
        root.add_routes(health.routes(self._app))
        api.mount(self._app, root)
        build_edge(self._app).mount(root)
        self._runner = web.AppRunner(root, access_log=None, shutdown_timeout=_SHUTDOWN)
        await self._runner.setup()
        server = self._app.settings.server
        await _listening(web.TCPSite(self._runner, server.host, server.port).start(), server.host, server.port)

    async def __aexit__(self, *_error: object) -> None:
        await self._runner.cleanup()


class _Submission:
    """The door for apps by SMTP."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __aenter__(self) -> None:
        app, passwords = self._app, Passwords()
        self._relay = Relay(app)
        self._door = SubmissionDoor(app, self._relay, Keyring(app, passwords), passwords)
        it = app.settings.submission
        await _listening(self._door.start(), it.host, it.port)

    async def __aexit__(self, *_error: object) -> None:
        await self._door.close()
        await self._relay.close()


async def _listening(start: Any, host: str, port: int) -> None:
    try:
        await start
    except OSError as error:
        raise _no_listening(host, port, error) from error


def _no_listening(host: str, port: int, error: OSError) -> DependencyError:
    if error.errno == errno.EADDRINUSE:
        return DependencyError(
            f"Port {port} on {host} is in use. Stop what runs there, perhaps another Merpati, or choose another port "
            "with server.port, mx.port, submission.port or submission.tls_port (MERPATI_SERVER__PORT and so on).")
    if error.errno == errno.EACCES:
        return DependencyError(f"This user may not listen on port {port} of {host}. Choose a port above 1023.")
    reason = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror
    return DependencyError(
        f"Cannot listen on {host}:{port}: {reason}. server.host and mx.host must be addresses of this machine.")


def stop_on_signals(stop: asyncio.Event) -> None:
    """SIGTERM and Ctrl+C set ``stop``; a second one ends the process as usual."""
    loop = asyncio.get_running_loop()

    def first(number: signal.Signals) -> None:
        stop.set()
        loop.remove_signal_handler(number)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, first, number)


RoleOption = Annotated[list[Role] | None, typer.Option("--role", help="Only this role; may be repeated. Default: all.")]


def command(config: ConfigOption = None, role: RoleOption = None) -> None:
    """Start the server: admin, tracking links, incoming mail and sending, until Ctrl+C."""
    roles = tuple(role or Role)

    async def main() -> None:
        settings = with_real_ports(load(config))
        logging.configure(settings.log)
        app = await wiring.build(settings)
        stop = asyncio.Event()
        stop_on_signals(stop)
        address = await accounts.entrance(app)

        def ready() -> None:
            log.info("started", roles=[str(name) for name in roles], database=settings.database_url.split(":", 1)[0])
            if Role.WEB in roles:
                out.print(f"\nMerpati is at [bold]{address}[/bold]   (Ctrl+C stops it)\n")

        try:
            await serve(app, stop, roles=roles, ready=ready)
        finally:
            await app.close()

    uvloop.install()
    run(main())
