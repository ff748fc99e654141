"""A workspace with a verified domain and a credential, its relay, and a receiver that its engine sends to."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import insert, update

from esp.adapters.sql.database import Database
from esp.adapters.sql.schema import sending_domains
from esp.app import App
from esp.flows.accounts import Passwords
from esp.flows.credentials import create_credential
from esp.flows.relay import Relay
from esp.model.ids import new_public_id
from esp.model.relay import Accepted, Addressee, Credential, CredentialKind, Refused, Submission
from esp.ports.clock import SystemClock
from tests.receiver import Receiver, receiving
from tests.sending import seed
from tests.sending_app import app_for, settings_for

MAIL = b"From: Toko <app@toko.example>\r\nTo: ani@rumah.example\r\nSubject: Your order\r\n\r\nThank you.\r\n"


@dataclass
class House:
    app: App
    relay: Relay
    workspace: int
    receiver: Receiver
    credential: Credential
    password: str

    async def accept(self, raw: bytes = MAIL, *to: str, sender: str = "app@toko.example", **more: Any
                     ) -> Accepted | Refused:
        """One submission by the credential."""
        recipients = tuple(map(Addressee, to or ("ani@rumah.example",)))
        submission = Submission(raw=raw, sender=sender, recipients=recipients, **more)
        return (await self.relay.accept(self.workspace, [submission], self.credential))[0]

    async def taken(self, raw: bytes = MAIL, *to: str, **more: Any) -> Accepted:
        found = await self.accept(raw, *to, **more)
        assert isinstance(found, Accepted), found
        return found

    async def another(self, **more: Any) -> tuple[Credential, str]:
        """A further SMTP credential."""
        return await create_credential(self.app, Passwords(), self.workspace, CredentialKind.SMTP, "Other", **more)

    async def add_domain(self, name: str, workspace: int | None = None, *, verified: bool = True) -> None:
        now = SystemClock().now()
        async with self.app.store.database.write() as connection:  # type: ignore[attr-defined]
            await connection.execute(insert(sending_domains).values(
                public_id=new_public_id(), workspace_id=workspace or self.workspace, name=name, created_at=now,
                verified_at=now if verified else None))


@asynccontextmanager
async def house_at(database_url: str, folder: Path, **settings: Any) -> AsyncIterator[House]:
    """The house on an empty, migrated or unmigrated database."""
    async with receiving(Receiver()) as receiver:
        configured = settings_for(database_url, folder, receiver, **settings)
        async with app_for(configured) as app:
            database = app.store.database  # type: ignore[attr-defined]
            assert isinstance(database, Database)
            seeded = await seed(database, ["someone@else.example"], state="draft")
            async with database.write() as connection:
                await connection.execute(update(sending_domains).values(verified_at=app.clock.now()))
            credential, password = await create_credential(
                app, Passwords(), seeded.workspace_id, CredentialKind.SMTP, "Shop")
            relay = Relay(app)
            try:
                yield House(app, relay, seeded.workspace_id, receiver, credential, password)
            finally:
                await relay.close()
