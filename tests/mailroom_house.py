"""An App of real parts with as much of the store as incoming mail needs, and samples of incoming mail."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from sqlalchemy import select

from esp.adapters.local.coordination import LocalCoordination
from esp.adapters.sql.contacts import SqlContacts
from esp.adapters.sql.database import Database
from esp.adapters.sql.engagement import SqlEngagement
from esp.adapters.sql.ledger import SqlLedger
from esp.adapters.sql.mailroom import SqlMailroom
from esp.adapters.sql.pickup import SqlPickups
from esp.adapters.sql.schema import inbound_messages, suppressions
from esp.adapters.sql.signup import SqlSignups
from esp.adapters.sql.suppressions import SqlSuppressions
from esp.app import App
from esp.ports.clock import SystemClock
from esp.settings import Settings, load
from esp.wire.tokens import TokenSigner
from tests.sending import Sending, seed

DSN = Path(__file__).parent / "corpus" / "dsn"
SIGNER = TokenSigner({0: bytes(range(32))}, 0)


@dataclass(slots=True)
class PartOfStore:
    mailroom: SqlMailroom
    ledger: SqlLedger
    engagement: SqlEngagement
    signups: SqlSignups
    contacts: SqlContacts
    suppressions: SqlSuppressions
    pickups: SqlPickups


@dataclass(slots=True)
class House:
    app: App
    database: Database
    sending: Sending

    def return_path(self, number: int = 0) -> str:
        seeded = self.sending
        local = SIGNER.return_path(seeded.workspace_id, seeded.campaign_id, seeded.deliveries[number])
        return f"{local}@bounce.toko.example"

    def unsubscribe_address(self, number: int = 0) -> str:
        seeded = self.sending
        local = SIGNER.unsubscribe_mailbox(seeded.workspace_id, seeded.campaign_id, seeded.deliveries[number])
        return f"{local}@bounce.toko.example"

    async def inbound(self) -> list[Any]:
        async with self.database.read() as connection:
            return list((await connection.execute(select(inbound_messages).order_by(inbound_messages.c.id))).all())

    async def suppressions(self) -> list[tuple[str, str]]:
        async with self.database.read() as connection:
            rows = await connection.execute(select(suppressions.c.email_key, suppressions.c.reason))
            return [(row[0], row[1]) for row in rows]


@asynccontextmanager
async def open_house(database: Database, **mx: Any) -> AsyncIterator[House]:
    """Three people at ``warung.example`` in a running campaign of toko.example."""
    sending = await seed(database, [f"orang{number}@warung.example" for number in range(3)], now=datetime.now(UTC))
    store = PartOfStore(SqlMailroom(database), SqlLedger(database), SqlEngagement(database), SqlSignups(database),
                        SqlContacts(database), SqlSuppressions(database), SqlPickups(database))
    settings: Settings = load(mx={"port": 0, **mx})
    nothing = cast(Any, None)
    clock = SystemClock()
    app = App(settings, clock, cast(Any, store), LocalCoordination(clock), nothing, SIGNER)
    try:
        yield House(app, database, sending)
    finally:
        await app.content.aclose()


def sample(name: str, **values: str) -> bytes:
    """A message of tests/corpus/dsn with CRLF line ends; ``{recipient}`` and the like are filled in."""
    text = (DSN / name).read_text()
    for key, value in {"recipient": "orang0@warung.example", **values}.items():
        text = text.replace("{" + key + "}", value)
    return text.replace("\n", "\r\n").encode()
