"""Everything that is kept, bundled: one attribute an area, each a small port of its own."""

from typing import Protocol

from esp.ports.accounts import Accounts
from esp.ports.api import Api
from esp.ports.archives import Archives
from esp.ports.campaigns import Campaigns
from esp.ports.contacts import Contacts
from esp.ports.digests import Digests
from esp.ports.domains import Domains
from esp.ports.engagement import Engagement
from esp.ports.erasure import Erasure
from esp.ports.exports import Exports
from esp.ports.imports import Imports
from esp.ports.ledger import Ledger
from esp.ports.listening import Listening
from esp.ports.mailroom import Mailroom
from esp.ports.outbox import Outbox
from esp.ports.people import People
from esp.ports.people_bulk import Bulks
from esp.ports.people_hygiene import Hygiene
from esp.ports.people_suppressions import Suppressions
from esp.ports.pickup import Pickups
from esp.ports.preferences import Preferences
from esp.ports.relay import Relay
from esp.ports.reports import Reports
from esp.ports.segments import Segments
from esp.ports.signup import Signups
from esp.ports.standing import Standings
from esp.ports.transfers import Transfers
from esp.ports.webhooks import Webhooks


class Store(Protocol):
    """The database as the rest of the house sees it."""

    accounts: Accounts
    api: Api
    archives: Archives
    campaigns: Campaigns
    contacts: Contacts
    digests: Digests
    domains: Domains
    engagement: Engagement
    erasure: Erasure
    exports: Exports
    imports: Imports
    ledger: Ledger
    listening: Listening
    mailroom: Mailroom
    outbox: Outbox
    people: People
    bulks: Bulks
    hygiene: Hygiene
    suppressions: Suppressions
    pickups: Pickups
    preferences: Preferences
    relay: Relay
    reports: Reports
    segments: Segments
    signups: Signups
    standings: Standings
    transfers: Transfers
    webhooks: Webhooks

    async def check(self) -> None:
        """Raises DependencyError where the database does not answer."""
        ...

    async def migrate(self) -> None: ...

    async def close(self) -> None: ...
