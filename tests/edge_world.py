"""A campaign that was sent, and an edge before it: what the edge's and the fold's tests start from."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from sqlalchemy import insert, select, update

from esp.adapters.local.coordination import LocalCoordination
from esp.adapters.sql.accounts import SqlAccounts
from esp.adapters.sql.archives import SqlArchives
from esp.adapters.sql.campaigns import SqlCampaigns
from esp.adapters.sql.contacts import SqlContacts
from esp.adapters.sql.database import Database
from esp.adapters.sql.domains import SqlDomains
from esp.adapters.sql.engagement import SqlEngagement
from esp.adapters.sql.erasure import SqlErasure
from esp.adapters.sql.ledger import SqlLedger
from esp.adapters.sql.people_store import SqlPeople
from esp.adapters.sql.preferences import SqlPreferences
from esp.adapters.sql.reports import SqlReports
from esp.adapters.sql.schema import campaigns, contacts, links, metadata, variants
from esp.adapters.sql.signup import SqlSignups
from esp.app import App
from esp.compose.freeze import freeze
from esp.model.content import CompiledVariant, Draft
from esp.model.delivery import EventType, NewEvent
from esp.settings import load
from esp.wire.tokens import Purpose, TokenSigner
from tests.sending import Sending, seed
from tests.sending_app import HostsFile
from tracking.edge.door import Edge, build_edge

SENT = datetime(2026, 11, 2, 9, 0, tzinfo=UTC)
WINDOW = timedelta(seconds=10)

#: A template that shows a merge field everywhere an attacker may want it.
SOURCE = """<html><body><h1>Hello {{ contact.first_name }}</h1>
<p title="{{ contact.city }}">{{ contact.city }}</p>
<a href="https://shop.example/one">One</a> <a href="https://shop.example/two?x=1&amp;y=2">Two</a>
<a href="https://shop.example/three?who={{ contact.first_name }}">Three</a>
<a href="https://shop.example/four">Four</a> <a href="https://shop.example/five">Five</a>
<a href="{{ unsubscribe_url }}">Leave</a> <a href="{{ view_url }}">View</a></body></html>"""


class TurnedClock:
    """A clock that stands still until it is turned."""

    def __init__(self, at: datetime) -> None:
        self.at = at

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return self.at.timestamp()

    def turn(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


class Unplugged:
    """The real area of the store until it is unplugged; from then on whatever it is asked fails."""

    def __init__(self, real: Any) -> None:
        self.real = real
        self.broken = False

    def __getattr__(self, name: str) -> Any:
        async def fail(*_: Any) -> None:
            raise OSError(f"the database is gone, so no {name}")
        return fail if self.broken else getattr(self.real, name)


@dataclass
class World:
    """``sent.deliveries`` are in the order of the addresses that were given."""

    app: App
    clock: TurnedClock
    database: Database
    sent: Sending
    compiled: CompiledVariant
    folder: Path

    def token(self, purpose: Purpose, number: int = 0) -> str:
        sent = self.sent
        return self.app.tokens.sign(purpose, sent.workspace_id, sent.campaign_id, sent.deliveries[number])

    def open_path(self, number: int = 0) -> str:
        return f"/o/{self.token(Purpose.OPEN, number)}.gif"

    def click_path(self, index: int, number: int = 0) -> str:
        return f"/c/{self.token(Purpose.CLICK, number)}/{index}"

    def unsubscribe_path(self, number: int = 0) -> str:
        return f"/u/{self.token(Purpose.UNSUBSCRIBE, number)}"

    def preferences_path(self, number: int = 0) -> str:
        return f"/p/{self.token(Purpose.PREFERENCES, number)}"

    def view_path(self, number: int = 0) -> str:
        return f"/v/{self.token(Purpose.VIEW, number)}"

    def paths(self, number: int = 0) -> list[str]:
        """Every URL of a mail."""
        clicks = [self.click_path(link.index, number) for link in self.compiled.links]
        return [self.open_path(number), *clicks, self.unsubscribe_path(number), self.preferences_path(number),
                self.view_path(number)]

    def break_database(self) -> None:
        self.app.store.engagement.broken = True  # type: ignore[attr-defined]

    def mend_database(self) -> None:
        self.app.store.engagement.broken = False  # type: ignore[attr-defined]


def make_app(database: Database, folder: Path, clock: TurnedClock) -> App:
    """An App with the areas that tracking uses."""
    settings = load(server={"data_dir": folder, "public_url": "https://mail.toko.example"})
    store: Any = SimpleNamespace(
        engagement=Unplugged(SqlEngagement(database)), ledger=SqlLedger(database), reports=SqlReports(database),
        preferences=SqlPreferences(database), signups=SqlSignups(database), archives=SqlArchives(database),
        erasure=SqlErasure(database), accounts=SqlAccounts(database), domains=SqlDomains(database),
        people=SqlPeople(database),
        contacts=SqlContacts(database), campaigns=SqlCampaigns(database),
    )
    return App(settings, clock, store, LocalCoordination(clock), HostsFile({}), TokenSigner({1: b"k" * 32}, 1))


async def make_world(
    database: Database, folder: Path, addresses: tuple[str, ...] = ("ani@a.example", "budi@b.example"),
    source: str = SOURCE, fields: dict[str, str] | None = None, delivered: bool = True,
) -> World:
    """A campaign with a frozen variant, delivered to ``addresses`` at SENT; the clock stands a minute later."""
    sent = await seed(database, addresses, now=SENT - timedelta(minutes=1))
    compiled = freeze(Draft("News for {{ contact.first_name }}", source, preheader="Look"))
    async with database.write() as connection:
        await connection.execute(
            update(variants).where(variants.c.id == sent.variant_id).values(compiled=compiled.payload)
        )
        await connection.execute(insert(links), [
            {"workspace_id": sent.workspace_id, "campaign_id": sent.campaign_id, "variant_id": sent.variant_id,
             "link_index": link.index, "url": link.url, "text": link.text} for link in compiled.links
        ])
        await connection.execute(update(contacts).values({"city": "Solo", "language": "en"} | (fields or {})))
    clock = TurnedClock(SENT + timedelta(minutes=1))
    app = make_app(database, folder, clock)
    await app.store.signups.public_pages(sent.workspace_id)  # the look of its pages is made when first asked for
    if delivered:
        await app.store.ledger.apply([
            NewEvent(EventType.DELIVERED, SENT, sent.workspace_id, sent.campaign_id, delivery)
            for delivery in sent.deliveries
        ])
    return World(app, clock, database, sent, compiled, folder)


@asynccontextmanager
async def open_edge(world: World) -> AsyncIterator[tuple[Edge, "TestClient[web.Request, web.Application]"]]:
    """The edge on a port of its own; its journal is written out when the block ends."""
    application = web.Application()
    edge = build_edge(world.app)
    edge.mount(application)
    client: TestClient[web.Request, web.Application] = TestClient(TestServer(application))
    await client.start_server()
    try:
        yield edge, client
    finally:
        await client.close()


async def snapshot(database: Database, without: tuple[str, ...] = ()) -> dict[str, list[Any]]:
    """Every row of every table."""
    async with database.read() as connection:
        return {
            table.name: sorted(map(repr, (await connection.execute(select(table))).all()))
            for table in metadata.sorted_tables if table.name not in without
        }


async def make_test_send(world: World) -> World:
    """The same campaign as a test send: hidden, to one colleague who is no contact."""
    async with world.database.write() as connection:
        await connection.execute(update(campaigns).values(test_of=world.sent.campaign_id, include_lists=[]))
    return replace(world)
