"""Every area's SQL over one database: the Store of the house."""

from esp.adapters.sql.accounts import SqlAccounts
from esp.adapters.sql.api import SqlApi
from esp.adapters.sql.archives import SqlArchives
from esp.adapters.sql.campaigns import SqlCampaigns
from esp.adapters.sql.contacts import SqlContacts
from esp.adapters.sql.database import Database
from esp.adapters.sql.digests import SqlDigests
from esp.adapters.sql.domains import SqlDomains
from esp.adapters.sql.engagement import SqlEngagement
from esp.adapters.sql.erasure import SqlErasure
from esp.adapters.sql.exports import SqlExports
from esp.adapters.sql.hygiene import SqlHygiene
from esp.adapters.sql.imports import SqlImports
from esp.adapters.sql.ledger import SqlLedger
from esp.adapters.sql.listening_store import SqlListening
from esp.adapters.sql.mailroom import SqlMailroom
from esp.adapters.sql.migrate import migrate
from esp.adapters.sql.outbox import SqlOutbox
from esp.adapters.sql.people_bulk import SqlBulks
from esp.adapters.sql.people_store import SqlPeople
from esp.adapters.sql.pickup import SqlPickups
from esp.adapters.sql.preferences import SqlPreferences
from esp.adapters.sql.relay import SqlRelay
from esp.adapters.sql.reports import SqlReports
from esp.adapters.sql.segments import SqlSegments
from esp.adapters.sql.signup import SqlSignups
from esp.adapters.sql.standing import SqlStandings
from esp.adapters.sql.suppressions import SqlSuppressions
from esp.adapters.sql.transfers import SqlTransfers
from esp.adapters.sql.webhooks import SqlWebhooks
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


class SqlStore:
    """Store over SQLite or PostgreSQL; ``batch_size`` is DeliverySettings.batch_size."""

    def __init__(self, database: Database, batch_size: int = 200) -> None:
        self.database = database
        self.accounts: Accounts = SqlAccounts(database)
        self.api: Api = SqlApi(database)
        self.archives: Archives = SqlArchives(database)
        self.campaigns: Campaigns = SqlCampaigns(database)
        self.contacts: Contacts = SqlContacts(database)
        self.digests: Digests = SqlDigests(database)
        self.domains: Domains = SqlDomains(database)
        self.engagement: Engagement = SqlEngagement(database)
        self.exports: Exports = SqlExports(database)
        self.imports: Imports = SqlImports(database)
        self.erasure: Erasure = SqlErasure(database)
        self.ledger: Ledger = SqlLedger(database)
        self.listening: Listening = SqlListening(database)
        self.mailroom: Mailroom = SqlMailroom(database)
        self.outbox: Outbox = SqlOutbox(database, batch_size)
        self.people: People = SqlPeople(database)
        self.bulks: Bulks = SqlBulks(database)
        self.hygiene: Hygiene = SqlHygiene(database)
        self.suppressions: Suppressions = SqlSuppressions(database)
        self.pickups: Pickups = SqlPickups(database)
        self.preferences: Preferences = SqlPreferences(database)
        self.relay: Relay = SqlRelay(database)
        self.reports: Reports = SqlReports(database)
        self.segments: Segments = SqlSegments(database)
        self.signups: Signups = SqlSignups(database)
        self.standings: Standings = SqlStandings(database)
        self.transfers: Transfers = SqlTransfers(database)
        self.webhooks: Webhooks = SqlWebhooks(database)

    async def check(self) -> None:
        """Raises DependencyError where the database does not answer."""
        await self.database.check()

    async def migrate(self) -> None:
        """Bring the database to the newest schema."""
        await migrate(self.database)

    async def close(self) -> None:
        """Close every connection."""
        await self.database.close()
