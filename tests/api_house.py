"""The HTTP API over a relay's house: a key that may do everything, another workspace with a key, and clients."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web
from aiohttp.test_utils import TestServer

from esp.app import App
from esp.entry.api.all import mount
from esp.flows.accounts import Passwords
from esp.flows.credentials import create_credential
from esp.model.relay import CredentialKind, Scope
from tests.relay_house import House, house_at

V1 = "/api/v1"
MESSAGE = {"from": "Toko <app@toko.example>", "to": ["ani@rumah.example"], "subject": "Your order", "text": "Thanks."}


@dataclass
class Answer:
    status: int
    body: Any
    headers: Any


@dataclass
class Client:
    """Calls with one key."""

    session: aiohttp.ClientSession
    base: str
    key: str

    async def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        """JSON there and back; ``headers`` with _ for -."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if self.key:
            named.setdefault("Authorization", f"Bearer {self.key}")
        more: dict[str, Any] = {"data": body} if isinstance(body, bytes) else {"json": body} if body is not None else {}
        async with self.session.request(method, self.base + path, headers=named, **more) as response:
            raw = await response.read()
            known = response.content_type in ("application/json", "application/problem+json")
            return Answer(response.status, await response.json(content_type=None) if known and raw else raw,
                          response.headers)

    async def get(self, path: str, **headers: str) -> Answer:
        return await self.ask("GET", path, **headers)

    async def post(self, path: str, body: Any = None, **headers: str) -> Answer:
        return await self.ask("POST", path, body, **headers)

    async def put(self, path: str, body: Any = None, **headers: str) -> Answer:
        return await self.ask("PUT", path, body, **headers)


@dataclass
class ApiHouse:
    """``mine`` may do everything in the house's workspace, ``theirs`` in another."""

    house: House
    server: TestServer
    session: aiohttp.ClientSession
    mine: Client
    theirs: Client
    other: int

    @property
    def app(self) -> App:
        return self.house.app

    @property
    def origin(self) -> str:
        return str(self.server.make_url("")).rstrip("/")

    async def key(self, *scopes: Scope, workspace: int | None = None, **more: Any) -> str:
        _, secret = await create_credential(
            self.app, Passwords(), workspace or self.house.workspace, CredentialKind.API, "Test", scopes=scopes, **more)
        return secret

    async def client(self, *scopes: Scope, base: str = V1, **more: Any) -> Client:
        return Client(self.session, self.origin + base, await self.key(*scopes, **more))


@asynccontextmanager
async def api_house(database_url: str, folder: Path, **settings: Any) -> AsyncIterator[ApiHouse]:
    """The API on a free port."""
    async with house_at(database_url, folder, **settings) as house:
        root = web.Application()
        mount(house.app, root)
        server = TestServer(root)
        await server.start_server()
        other = await house.app.store.accounts.create_workspace("Lain", "Jl. Lain 2", house.app.clock.now())
        async with aiohttp.ClientSession() as session:
            nobody = Client(session, "", "")
            found = ApiHouse(house, server, session, nobody, nobody, other.id)
            found.mine = await found.client(Scope.FULL)
            found.theirs = await found.client(Scope.FULL, workspace=other.id)
            try:
                yield found
            finally:
                await server.close()
