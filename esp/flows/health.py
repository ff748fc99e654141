"""What is wrong with this server and how to mend it: the findings behind ``merpati doctor`` and the health checks."""

import resource
import shutil
import socket
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from urllib.parse import urlsplit

from esp.app import App
from esp.errors import MerpatiError


class Standing(StrEnum):
    GOOD = "good"
    WARNING = "warning"
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing examined; ``remedy`` is what to do, empty where nothing is to be done."""

    name: str
    standing: Standing
    message: str
    remedy: str = ""


async def examine(app: App) -> list[Finding]:
    """Every finding about this server, good ones too, in the order in which to mend them."""
    return [
        _data_dir(app.settings.server.data_dir),
        await _database(app),
        await _coordination(app),
        _public_url(app),
        await _hello_name(app),
        _open_files(),
    ]


def _data_dir(folder: Path) -> Finding:
    name = "data folder"
    try:
        probe = folder / ".doctor"
        probe.write_bytes(b"x")
        probe.unlink()
    except OSError as error:
        return Finding(
            name,
            Standing.BAD,
            f"{folder} cannot be written: {error.strerror}.",
            "Give this user the folder, or set server.data_dir.",
        )
    free = shutil.disk_usage(folder).free
    if free < 500_000_000:
        return Finding(
            name,
            Standing.WARNING,
            f"Only {free // 1_000_000} MB are free at {folder}.",
            "Make room: mail is refused when the disk is full.",
        )
    return Finding(name, Standing.GOOD, f"{folder} can be written, {free // 1_000_000_000} GB free.")


def no_folder_yet(folder: Path) -> Finding:
    """What stands in place of the first finding where no server has run in ``folder`` yet."""
    return Finding(
        "data folder", Standing.WARNING, f"{folder.absolute()} is not there yet.",
        "The first `merpati serve` makes it; to keep the data elsewhere set server.data_dir.",
    )


async def _database(app: App) -> Finding:
    try:
        await app.store.check()
    except MerpatiError as error:
        return Finding("database", Standing.BAD, str(error), "Start it, or mend database.url.")
    kind = "SQLite" if app.settings.database_url.startswith("sqlite") else "PostgreSQL"
    return Finding("database", Standing.GOOD, f"{kind} answers.")


async def _coordination(app: App) -> Finding:
    if not app.settings.redis.url.get_secret_value():
        return Finding("coordination", Standing.GOOD, "This machine alone; rates are shared between its own processes.")
    try:
        await app.coordination.lease("doctor", "doctor", 1.0)
        await app.coordination.release("doctor", "doctor")
    except (OSError, MerpatiError) as error:
        return Finding(
            "coordination",
            Standing.WARNING,
            f"Redis does not answer: {error}",
            "No mail is lost, but each node keeps rates by itself until it is back.",
        )
    return Finding("coordination", Standing.GOOD, "Redis answers.")


def _public_url(app: App) -> Finding:
    url = urlsplit(app.settings.public_url)
    if url.hostname in (None, "127.0.0.1", "localhost", "::1", "0.0.0.0"):  # noqa: S104 - compared, not bound
        return Finding(
            "public address",
            Standing.WARNING,
            f"Links in mails would begin with {app.settings.public_url}, which only this machine reaches.",
            "Set server.public_url to the https address that your TLS proxy serves.",
        )
    if url.scheme != "https":
        return Finding(
            "public address",
            Standing.WARNING,
            f"{app.settings.public_url} is not https, which one-click unsubscribe asks for (RFC 8058).",
            "Put a TLS proxy in front and set server.public_url.",
        )
    return Finding("public address", Standing.GOOD, f"Links begin with {app.settings.public_url}.")


async def _hello_name(app: App) -> Finding:
    host = app.settings.delivery.hello_name or socket.getfqdn()
    if app.settings.delivery.smart_host:
        return Finding("name in EHLO", Standing.GOOD, f"All mail goes through {app.settings.delivery.smart_host}.")
    try:
        addresses = await app.resolver.addresses(host)
    except MerpatiError as error:
        return Finding(
            "name in EHLO",
            Standing.WARNING,
            f"{host} has no address in DNS: {error}",
            "Set delivery.hello_name to a name whose forward and reverse DNS are this machine's address; "
            "large providers refuse mail otherwise.",
        )
    return Finding("name in EHLO", Standing.GOOD, f"{host} is {', '.join(addresses)}.")


def _open_files() -> Finding:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < 1024:
        return Finding(
            "open files",
            Standing.WARNING,
            f"Only {soft} files may be open at once.",
            "Raise it: ulimit -n 4096, or LimitNOFILE in the service.",
        )
    return Finding("open files", Standing.GOOD, f"{soft} files may be open at once.")
