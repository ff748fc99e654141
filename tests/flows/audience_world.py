"""An application for the audience's flows: a real database, coordination in process, a DNS that tests fill in."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from esp.adapters.local.coordination import LocalCoordination
from esp.adapters.sql.accounts import SqlAccounts
from esp.adapters.sql.campaigns import SqlCampaigns
from esp.adapters.sql.contacts import SqlContacts
from esp.adapters.sql.database import Database
from esp.adapters.sql.domains import SqlDomains
from esp.adapters.sql.erasure import SqlErasure
from esp.adapters.sql.imports import SqlImports
from esp.adapters.sql.ledger import SqlLedger
from esp.adapters.sql.people_store import SqlPeople
from esp.adapters.sql.preferences import SqlPreferences
from esp.adapters.sql.segments import SqlSegments
from esp.adapters.sql.signup import SqlSignups
from esp.app import App
from esp.flows.domains import add_domain
from esp.ports.campaigns import CampaignEdit, VariantEdit
from esp.ports.contacts import ContactList, NewContact, Subscribing
from esp.ports.network import DnsError, MxHost
from esp.ports.store import Store
from esp.settings import Settings, load
from esp.wire.addresses import parse_address
from esp.wire.tokens import TokenSigner
from tests.turned_clock import NOW, TurnedClock

NEWS = VariantEdit("Halo {{ contact.first_name or 'teman' }}", """<p>Halo {{ contact.first_name or 'teman' }},
<a href="https://toko.example/one">one</a> <a href="https://toko.example/two">two</a></p>""")


@dataclass
class WrittenDns:
    """A resolver that knows what a test wrote into it, and remembers what it was asked."""

    records: dict[str, tuple[str, ...] | DnsError] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    async def mx(self, domain: str) -> tuple[MxHost, ...]:
        self.asked.append(domain)
        found = self.records.get(domain, (f"mx.{domain}",))
        if isinstance(found, DnsError):
            raise found
        return tuple(MxHost(10, name) for name in found)

    async def close(self) -> None:
        return None


@dataclass
class Parts:
    """The areas of the store that an audience touches."""

    database: Database

    def __post_init__(self) -> None:
        self.accounts = SqlAccounts(self.database)
        self.campaigns = SqlCampaigns(self.database)
        self.contacts = SqlContacts(self.database)
        self.domains = SqlDomains(self.database)
        self.imports = SqlImports(self.database)
        self.people = SqlPeople(self.database)
        self.erasure = SqlErasure(self.database)
        self.ledger = SqlLedger(self.database)
        self.segments = SqlSegments(self.database)
        self.preferences = SqlPreferences(self.database)
        self.signups = SqlSignups(self.database)

    async def close(self) -> None:
        return None


@dataclass
class World:
    app: App
    clock: TurnedClock
    dns: WrittenDns
    workspace: int
    domain: int

    async def add_list(self, name: str, *emails: str) -> ContactList:
        """A list with these people subscribed."""
        contacts = self.app.store.contacts
        made = await contacts.create_list(self.workspace, name, name.lower(), "", NOW)
        for start in range(0, len(emails), 1000):
            await contacts.upsert(self.workspace, [new_contact(email) for email in emails[start:start + 1000]], "test",
                                  NOW, Subscribing(made.id, "test"))
        return await contacts.get_list(self.workspace, made.id)

    async def id_of(self, email: str) -> int:
        found = await self.app.store.contacts.find(self.workspace, email)
        assert found is not None
        return found.id

    def edit(self, *lists: ContactList, **more: Any) -> CampaignEdit:
        """A campaign to these lists that can be sent."""
        wanted: dict[str, Any] = {
            "name": "November", "variants": (NEWS,), "include_lists": tuple(it.id for it in lists),
            "domain_id": self.domain, "from_name": "Toko", "from_address": "news@toko.example", **more,
        }
        return CampaignEdit(**wanted)


def new_contact(email: str, **standard: str) -> NewContact:
    address = parse_address(email)
    return NewContact(address.text, address.key, address.domain, standard)


@asynccontextmanager
async def open_world(database: Database, folder: Path, **delivery: Any) -> AsyncIterator[World]:
    """A workspace with a sending domain; ``delivery`` overrides settings of that section."""
    clock, dns = TurnedClock(), WrittenDns()
    settings: Settings = load(None, server={"data_dir": str(folder)}, delivery=delivery)
    app = App(settings, clock, cast(Store, Parts(database)), LocalCoordination(), cast(Any, dns),
              TokenSigner({1: b"k" * 32}, 1))
    workspace = await app.store.accounts.create_workspace("Toko", "Jl. Mawar 1, Bandung", NOW)
    domain = await add_domain(app, workspace.id, "toko.example")
    try:
        yield World(app, clock, dns, workspace.id, domain.id)
    finally:
        await app.close()
