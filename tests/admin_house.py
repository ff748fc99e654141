"""The admin for tests: a real database behind it, a clock that tests turn, and a DNS that tests write."""

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import ClientResponse
from aiohttp.test_utils import TestClient, TestServer

from admin_ui.app import build
from esp.adapters.local.coordination import LocalCoordination
from esp.adapters.sql.database import Database
from esp.adapters.sql.store import SqlStore
from esp.app import App
from esp.flows.accounts import Passwords, add_user, found_server
from esp.ports.accounts import Member, Role
from esp.ports.network import DnsError, MxHost
from esp.settings import load
from esp.wire.tokens import TokenSigner
from tests.turned_clock import TurnedClock

PASSWORD = "kupu kupu terbang tinggi"


@dataclass
class WrittenDns:
    """A resolver that knows what a test wrote: ``(type, name)`` to values, or an error to raise."""

    records: dict[tuple[str, str], tuple[str, ...] | DnsError] = field(default_factory=dict)

    def _find(self, kind: str, name: str) -> tuple[str, ...]:
        found = self.records.get((kind, name), ())
        if isinstance(found, DnsError):
            raise found
        return found

    async def mx(self, domain: str) -> tuple[MxHost, ...]:
        return tuple(MxHost(int(text.split()[0]), text.split()[1]) for text in self._find("MX", domain))

    async def addresses(self, host: str) -> tuple[str, ...]:
        return self._find("A", host)

    async def txt(self, name: str) -> tuple[str, ...]:
        return self._find("TXT", name)

    async def cname(self, name: str) -> str | None:
        return next(iter(self._find("CNAME", name)), None)

    async def close(self) -> None:
        return None


@dataclass
class House:
    """A running admin and what tests reach behind it."""

    app: App
    clock: TurnedClock
    dns: WrittenDns
    server: TestServer
    passwords: Passwords
    browsers: list["Browser"] = field(default_factory=list)

    async def browser(self, **headers: str) -> "Browser":
        """A new browser with its own cookies."""
        client = TestClient(self.server, headers={"Sec-Fetch-Site": "same-origin", **headers})
        browser = Browser(client)
        self.browsers.append(browser)
        return browser

    async def owner(self, email: str = "sri@melati.example") -> Member:
        """The first user, with a named workspace."""
        member = await found_server(self.app, self.passwords, email, "Sri Wahyuni", PASSWORD)
        workspace = await self.app.store.accounts.first_workspace()
        assert workspace
        await self.app.store.accounts.update_workspace(
            workspace.id, name="Toko Melati", postal_address="Jl. Melati 1, Yogyakarta", language="en",
            time_zone="Asia/Jakarta")
        return member

    async def second_workspace(self, email: str = "budi@lain.example") -> Member:
        """Another brand on the same server, with an owner of its own."""
        workspace = await self.app.store.accounts.create_workspace("Lain", "Jl. Lain 2", self.clock.now())
        user = await add_user(self.app, self.passwords, workspace.id, email, "Budi", PASSWORD, Role.OWNER)
        return Member(user, Role.OWNER)

    async def logged_in(self, email: str = "sri@melati.example", password: str = PASSWORD) -> "Browser":
        browser = await self.browser()
        response = await browser.submit("/login", {"email": email, "password": password})
        assert response.status == 303, await response.text()
        return browser


@dataclass
class Browser:
    """Sends forms as a browser does: with the token of the page that holds them."""

    client: TestClient[Any, Any]
    last: str = ""

    async def get(self, path: str, **headers: str) -> ClientResponse:
        response = await self.client.get(path, allow_redirects=False, headers=headers)
        self.last = await response.text()
        return response

    async def post(self, path: str, data: Mapping[str, Any], **headers: str) -> ClientResponse:
        """A bare POST, without any token but what ``data`` holds."""
        response = await self.client.post(path, data=data, allow_redirects=False, headers=headers)
        self.last = await response.text()
        return response

    async def token(self, page: str) -> str:
        await self.get(page)
        found = re.search(r'name="csrf" value="([^"]+)"', self.last)
        assert found, f"{page} holds no form: {self.last[:300]}"
        return found[1]

    async def submit(self, path: str, data: Mapping[str, Any], page: str | None = None) -> ClientResponse:
        """Open ``page`` (the form's own address where none is given), fill its form in and send it to ``path``."""
        return await self.post(path, {"csrf": await self.token(page or path), **data})

    def cookie(self, name: str) -> str:
        return next((cookie.value for cookie in self.client.session.cookie_jar if cookie.key == name), "")


@asynccontextmanager
async def admin_house(database: Database, folder: Path) -> AsyncIterator[House]:
    """The admin over ``database`` on a free port."""
    clock, dns = TurnedClock(), WrittenDns()
    app = App(
        settings=load(None, server={"data_dir": str(folder), "public_url": "http://mail.server.example"}), clock=clock,
        store=SqlStore(database), coordination=LocalCoordination(clock), resolver=dns,
        tokens=TokenSigner({1: b"k" * 32}, 1))
    server = TestServer(build(app))
    await server.start_server()
    house = House(app, clock, dns, server, Passwords())
    try:
        yield house
    finally:
        for browser in house.browsers:
            await browser.client.session.close()
        await server.close()
        await app.content.aclose()
        await app.coordination.close()
