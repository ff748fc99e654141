"""Everything that is kept, bundled: one attribute an area, each a small port of its own."""

from typing import Protocol

from esp.ports.accounts import Accounts
from esp.ports.campaigns import Campaigns
from esp.ports.contacts import Contacts
from esp.ports.domains import Domains
from esp.ports.engagement import Engagement
from esp.ports.imports import Imports
from esp.ports.ledger import Ledger
from esp.ports.mailroom import Mailroom
from esp.ports.outbox import Outbox
from esp.ports.people import People
from esp.ports.reports import Reports
from esp.ports.signup import Signups


class Store(Protocol):
    """The database as the rest of the house sees it."""

    accounts: Accounts
    campaigns: Campaigns
    contacts: Contacts
    domains: Domains
    engagement: Engagement
    imports: Imports
    ledger: Ledger
    mailroom: Mailroom
    outbox: Outbox
    people: People
    reports: Reports
    signups: Signups

    async def check(self) -> None:
        """Raises DependencyError where the database does not answer."""
        ...

    async def migrate(self) -> None: ...

    async def close(self) -> None: ...
