"""The HTTP part of ``merpati bench relay``: messages posted one by one and in batches of a hundred."""

import asyncio
import sys
import time
from typing import Any, Final

import orjson
from aiohttp import web

from esp.app import App
from esp.cli import relay_http_client
from esp.entry.api.all import mount
from esp.errors import DependencyError
from esp.flows.accounts import Passwords
from esp.flows.credentials import create_credential
from esp.model.relay import CredentialKind, Scope

_KEYS: Final = 8  # a key may make a thousand requests a second
_BATCH: Final = 100


async def measure_http(app: App, workspace_id: int, sender: str, messages: int, octets: int) -> dict[str, Any]:
    """How many messages a second are durably taken by this process over HTTP, and what each cost it."""
    keys = [(await create_credential(app, Passwords(), workspace_id, CredentialKind.API, f"Bench {n}",
                                     scopes=(Scope.SEND,)))[1] for n in range(_KEYS)]
    root = web.Application()
    mount(app, root)
    runner = web.AppRunner(root, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    assert site._server is not None
    port = site._server.sockets[0].getsockname()[1]  # type: ignore[attr-defined]
    what = {"host": "127.0.0.1", "port": port, "keys": keys, "connections": 20, "octets": octets, "sender": sender}
    figures: dict[str, Any] = {}
    try:
        await _client(**what, batch=1, messages=max(20, messages // 10))  # the first pages and statements
        for name, batch, count in (("http", 1, messages), ("http_batch", _BATCH, messages * 2)):
            before = time.process_time()
            found = await _client(**what, batch=batch, messages=count)
            figures[f"{name}_per_second"], figures[f"{name}_p99_ms"] = found["per_second"], found["p99"]
            figures[f"{name}_cpu_us"] = round((time.process_time() - before) / count * 1e6)
    finally:
        await runner.cleanup()
    return figures


async def _client(**what: Any) -> dict[str, Any]:
    process = await asyncio.create_subprocess_exec(
        # By its file: as a module of this package it would load all commands first.
        sys.executable, "-P", relay_http_client.__file__, stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE)
    said, _ = await process.communicate(orjson.dumps(what))
    if process.returncode:
        raise DependencyError("The client of the measurement failed; what it said stands above.")
    found: dict[str, Any] = orjson.loads(said)
    return found
