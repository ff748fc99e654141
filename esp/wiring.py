"""Where the house is joined: the only module that names adapters."""

import os
import secrets
import socket
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Final

from esp.adapters.hooks import HttpHooks
from esp.adapters.journal import FileJournal
from esp.adapters.local.coordination import LocalCoordination
from esp.adapters.mailbox import OutsideMailboxes
from esp.adapters.places import Bounds, OutsidePlaces
from esp.adapters.redis.coordination import RedisCoordination
from esp.adapters.resolver import DnsResolver
from esp.adapters.smtp.client import SmtpTransport
from esp.adapters.socket import CoordinationServer, SocketCoordination
from esp.adapters.sql import bench_listeners
from esp.adapters.sql.bench_seed import seed_events, seed_people
from esp.adapters.sql.database import Database
from esp.adapters.sql.store import SqlStore
from esp.app import App
from esp.deliver.route import SmartHost, parse_smart_host
from esp.deliver.service import Sending
from esp.errors import SettingsError
from esp.flows.connections import Connections
from esp.flows.engine import Engine
from esp.flows.plan import sending_plan
from esp.flows.stopwatch import Stopwatch
from esp.ports.clock import Clock, SystemClock
from esp.ports.coordination import Coordination
from esp.ports.listening import Counts
from esp.settings import DeliverySettings, Settings
from esp.throttle.shaping import load_shaping
from esp.wire.tokens import TokenSigner

_KEY_OCTETS: Final = 32


async def build(settings: Settings, *, migrate: bool = True, coordination: Coordination | None = None) -> App:
    """The application on the configured database, resolver and coordination.

    ``coordination`` replaces what the settings say, for a sending process that shares its parent's. Raises MerpatiError
    with the operator's sentence where something is missing.
    """
    clock = SystemClock()
    delivery = settings.delivery
    _smart_host(delivery)  # a misspelt one should be known at the start
    _make_folder(settings.server.data_dir)
    database = Database(settings.database_url, settings.database.pool_size, sending=coordination is not None)
    store = SqlStore(database, delivery.batch_size)
    try:
        await store.check()
        if migrate:
            await store.migrate()
    except BaseException:
        await store.close()
        raise
    return App(
        settings=settings, clock=clock, store=store, coordination=coordination or _coordination(settings, clock),
        resolver=DnsResolver(delivery.nameservers), tokens=load_tokens(settings.server.data_dir / "secret.key"),
        places=outside_places(settings), hooks=HttpHooks(settings.transfers.allow_private_addresses),
        mailboxes=outside_mailboxes(settings),
        shaping=load_shaping(delivery.provider_connections, delivery.provider_rate),
    )


async def seed_audience(app: App, workspace_id: int, list_id: int, lines: Iterable[str]) -> int:
    """People of a generated CSV without an import, for ``merpati bench audience --direct``; returns how many."""
    assert isinstance(app.store, SqlStore)
    return await seed_people(app.store.database, workspace_id, list_id, lines, app.clock.now())


async def seed_engagement(app: App, workspace_id: int, campaign_id: int, events: int) -> int:
    """Events of a campaign that never were, for ``merpati bench audience``; returns how many."""
    assert isinstance(app.store, SqlStore)
    return await seed_events(app.store.database, workspace_id, campaign_id, events, app.clock.now())


async def seed_listeners(
    app: App, workspace_id: int, histories: Iterable[Counts], first: datetime, last: datetime
) -> int:
    """A contact for each history in an empty database, for ``merpati bench engagement``; returns how many."""
    assert isinstance(app.store, SqlStore)
    return await bench_listeners.seed_listeners(app.store.database, workspace_id, histories, first, last)


async def seed_mail(app: App, workspace_id: int, campaign_id: int, now: datetime) -> int:
    """Events of one mail to everybody, for ``merpati bench engagement``; returns how many."""
    assert isinstance(app.store, SqlStore)
    return await bench_listeners.seed_one_mail(app.store.database, workspace_id, campaign_id, now)


def outside_places(settings: Settings) -> OutsidePlaces:
    """Where imports come from and exports go, within the bounds of the configuration."""
    it = settings.transfers
    return OutsidePlaces(Bounds(it.folder, it.allow_private_addresses, it.max_octets, it.timeout))


def outside_mailboxes(settings: Settings) -> OutsideMailboxes:
    """How to collect from mailboxes elsewhere, within the bounds of the configuration."""
    return OutsideMailboxes(settings.mailboxes.allow_private_addresses, settings.mailboxes.max_message_bytes)


def _make_folder(folder: Path) -> None:
    """Make ``data_dir``; SettingsError where that or writing in it is not possible."""
    reason = ""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = os.strerror(error.errno or 0)
    if not reason and not os.access(folder, os.W_OK | os.X_OK):
        reason = "it may not be written by this user"
    if reason:
        raise SettingsError(
            f"The data folder {folder.absolute()} cannot be used: {reason}. Give this user the folder, "
            "or name another one with server.data_dir (MERPATI_SERVER__DATA_DIR).")


def _smart_host(delivery: DeliverySettings) -> SmartHost | None:
    password = delivery.smart_host_password.get_secret_value()
    return parse_smart_host(delivery.smart_host, delivery.smart_host_tls, delivery.smart_host_user, password)


def _coordination(settings: Settings, clock: Clock) -> Coordination:
    url = settings.redis.url.get_secret_value()
    if not url:
        return LocalCoordination(clock)
    try:
        return RedisCoordination(url)
    except ValueError:
        raise SettingsError("redis.url is no address of a Redis; write for example redis://host:6379/0") from None


def coordination_server(app: App, path: Path) -> CoordinationServer:
    """The app's coordination for child processes, at the Unix socket ``path``."""
    return CoordinationServer(app.coordination, path)


def shared_coordination(path: Path) -> Coordination:
    """A child's way to its parent's coordination."""
    return SocketCoordination(path)


def build_engine(app: App, workers: int = 1, stopwatch: Stopwatch | None = None) -> Engine:
    """The sending engine of one process, which is one of ``workers`` that share this server's limits.

    Takes a place for its journal in data_dir: close the engine's journal when done.
    """
    delivery = app.settings.delivery
    sending = Sending(
        hello_name=delivery.hello_name or socket.getfqdn(), port=delivery.port,
        allow_private_addresses=delivery.allow_private_addresses,
    )
    smart_host = _smart_host(delivery)
    connections = Connections(SmtpTransport(), app.resolver, sending, smart_host, app.clock)
    journal = FileJournal.open(app.settings.server.data_dir / "outcomes", socket.gethostname())
    signed = smart_host is None or not delivery.smart_host_signs
    return Engine(app, connections, journal, sending_plan, workers=workers, stopwatch=stopwatch, signed=signed)


def load_tokens(path: Path) -> TokenSigner:
    """The keys of links and return paths from ``path``, made on the first start, readable by us alone.

    One line a key, ``number hexadecimal``; the last one signs and all verify, so that links in old mails go on working.
    """
    if not path.exists():
        new = path.with_suffix(f".{os.getpid()}")
        file = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(file, "w") as key_file:
            key_file.write(f"1 {secrets.token_hex(_KEY_OCTETS)}\n")
            key_file.flush()
            os.fsync(file)
        try:
            os.link(new, path)  # unlike a rename this cannot take the place of a key that another process made first
        except FileExistsError:
            pass
        finally:
            new.unlink()
    try:
        lines = [line.split() for line in path.read_text().splitlines() if line.strip()]
        keys = {int(number): bytes.fromhex(text) for number, text in lines}
        return TokenSigner(keys, int(lines[-1][0]))
    except (ValueError, IndexError) as error:
        raise SettingsError(f"{path} holds no keys. Restore it from a backup: links in sent mails need it.") from error
