"""A workspace with public lists, its doors open, its mail received by a real server: where sign-ups' tests start."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from email import policy
from email.message import EmailMessage
from email.parser import BytesParser
from hashlib import sha256
from itertools import count
from pathlib import Path
from typing import Any

from aiohttp import ClientResponse, web
from aiohttp.test_utils import TestClient, TestServer
from sqlalchemy import func, select

from esp.adapters.sql.database import Database
from esp.adapters.sql.schema import consents, contacts, lists, subscriptions
from esp.app import App
from esp.flows import signup as flow
from esp.model.permission import OptIn
from esp.ports.clock import SystemClock
from esp.ports.signup import ListSignup
from tests.receiver import Receiver, receiving
from tests.sending import Sending, seed
from tests.sending_app import app_for, settings_for, working
from tracking.edge.door import build_edge

AGENT = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"


class Ahead(SystemClock):
    """The real clock, as far ahead as a test has turned it: what waits for a day need not."""

    def __init__(self) -> None:
        self.by = timedelta()

    def now(self) -> datetime:
        return datetime.now(UTC) + self.by


@dataclass
class World:
    app: App
    clock: Ahead
    database: Database
    seeded: Sending
    receiver: Receiver
    client: "TestClient[web.Request, web.Application]"

    @property
    def workspace(self) -> int:
        return self.seeded.workspace_id

    async def set_list(self, list_id: int | None = None, **changes: Any) -> None:
        one = await self.app.store.signups.list_signup(self.workspace, list_id or self.seeded.list_id)
        await self.app.store.signups.save_list_signup(self.workspace, replace(one.signup, **changes))

    async def add_list(self, name: str, **changes: Any) -> int:
        made = await self.app.store.contacts.create_list(self.workspace, name, name.lower(), "", self.clock.now())
        await self.app.store.signups.save_list_signup(
            self.workspace, replace(ListSignup(made.id, OptIn.DOUBLE, public=True), **changes))
        return made.id

    async def get(self, path: str, **headers: str) -> tuple[ClientResponse, str]:
        response = await self.client.get(path, headers={"User-Agent": AGENT, **headers}, allow_redirects=False)
        return response, await response.text()

    async def post(self, path: str, data: Any, **headers: str) -> tuple[ClientResponse, str]:
        response = await self.client.post(
            path, data=data, headers={"User-Agent": AGENT, **headers}, allow_redirects=False)
        return response, await response.text()

    async def sign_up(
        self, email: str, path: str = "/s/toko/news", *, proven: bool = True, wait: float = 10, **more: Any,
    ) -> tuple[ClientResponse, str]:
        """Open the form, wait, work and send it."""
        _, page = await self.get(path)
        self.clock.by += timedelta(seconds=wait)
        form = {"token": hidden(page, "token"), "email": email, "homepage": "", "lang": "en", **more}
        if proven:
            form["proof"] = solve(form["token"], email, self.app.settings.signup.proof_bits)
        return await self.post(path, form)

    async def answer(self) -> None:
        while await flow.answer_new(self.app):
            pass

    async def mails(self, number: int) -> list[EmailMessage]:
        """The first ``number`` mails that arrived, sent by a real worker."""
        async with working(self.app):
            await self.receiver.wait_for(number)
        return [parsed(raw) for raw in self.receiver.messages]

    async def state(self, email: str) -> dict[str, str]:
        """The address's subscriptions by the list's name; empty where there is no contact."""
        async with self.database.read() as connection:
            rows = await connection.execute(
                select(lists.c.name, subscriptions.c.state).join(subscriptions, subscriptions.c.list_id == lists.c.id)
                .join(contacts, contacts.c.id == subscriptions.c.contact_id).where(contacts.c.email_key == email))
            return {row.name: row.state for row in rows}

    async def consents(self, email: str) -> list[Any]:
        async with self.database.read() as connection:
            return list(await connection.execute(
                select(consents).join(contacts, contacts.c.id == consents.c.contact_id)
                .where(contacts.c.email_key == email).order_by(consents.c.id)))

    async def rows(self, table: Any) -> int:
        async with self.database.read() as connection:
            return int((await connection.execute(select(func.count()).select_from(table))).scalar_one())


def hidden(page: str, name: str) -> str:
    found = re.search(rf'name="{name}" value="([^"]*)"', page)
    assert found, page[:2000]
    return found[1]


def solve(token: str, email: str, bits: int) -> str:
    """The proof of work, as the page's script does it."""
    for nonce in count():
        digest = sha256(f"{token}:{email}:{nonce}".encode()).digest()
        if int.from_bytes(digest, "big") >> (256 - bits) == 0:
            return str(nonce)
    raise AssertionError


def parsed(raw: bytes) -> EmailMessage:
    found = BytesParser(policy=policy.default).parsebytes(raw)
    assert isinstance(found, EmailMessage)
    return found


def text_of(mail: EmailMessage) -> str:
    body = mail.get_body(("plain",))
    assert body is not None
    return str(body.get_content())


def link_of(mail: EmailMessage) -> str:
    """The path of the confirmation's link."""
    found = re.search(r"http://[^/]+(/s/-/confirm/\S+)", text_of(mail))
    assert found, text_of(mail)
    return found[1]


@asynccontextmanager
async def signup_world(database: Database, url: str, folder: Path, **signup: Any) -> AsyncIterator[World]:
    """The list News of toko.example, public, double opt-in; three contacts; proof of work made cheap."""
    seeded = await seed(database, [f"orang{number}@warung.example" for number in range(3)], now=datetime.now(UTC),
                        state="paused")
    async with receiving(Receiver()) as receiver:
        settings = settings_for(url, folder, receiver)
        bounds = settings.signup.model_copy(update={"proof_bits": 6, **signup})
        settings = settings.model_copy(update={"signup": bounds})
        async with app_for(settings) as app:
            app.clock = clock = Ahead()
            application = web.Application()
            build_edge(app).mount(application)
            client: TestClient[web.Request, web.Application] = TestClient(TestServer(application))
            await client.start_server()
            world = World(app, clock, database, seeded, receiver, client)
            try:
                await app.store.signups.public_pages(seeded.workspace_id)
                await world.set_list(public=True)
                yield world
            finally:
                await client.close()
