"""A campaign that is sending, written straight into the tables: what the walk would have written, for engine tests."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import func, insert, select, update

from esp.adapters.sql.database import Database
from esp.adapters.sql.schema import (
    batches,
    campaigns,
    contacts,
    deliveries,
    dkim_keys,
    events,
    lists,
    sending_domains,
    subscriptions,
    tallies,
    variants,
    workspaces,
)
from esp.compose.freeze import Facts, freeze
from esp.model.content import Draft, SigningKey
from esp.model.ids import new_public_id
from tests.mailing import keys as standard_keys

BEGAN = datetime(2026, 11, 2, 9, 0, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Sending:
    """Ids of what was seeded; ``deliveries`` in the order of the addresses."""

    workspace_id: int
    campaign_id: int
    list_id: int
    variant_id: int
    contacts: tuple[int, ...]
    deliveries: tuple[int, ...]
    batches: tuple[int, ...]


async def seed(
    database: Database, addresses: Sequence[str], *, batch_size: int = 200, now: datetime = BEGAN,
    state: str = "sending", throttle: str = "", keys: Sequence[SigningKey] | None = None,
    source: str = "<p>Hello {{ contact.first_name }}, <a href='https://toko.example/1'>look</a></p>",
) -> Sending:
    """Contacts with ``addresses`` on one list, and their queued deliveries in batches by domain (= provider).

    The campaign is frozen and can really be sent, signed with ``keys`` (standard: those that a Receiver knows).
    """
    compiled = freeze(Draft("Hello {{ contact.first_name }}", source), facts=Facts("Toko", "Jl. Braga 1", "First"))
    async with database.write() as connection:
        async def one(table: object, **values: object) -> int:
            statement = insert(table).values(**values).returning(table.c.id)  # type: ignore[attr-defined,arg-type]
            return int((await connection.execute(statement)).scalar_one())

        workspace = await one(workspaces, public_id=new_public_id(), name="Toko", created_at=now)
        list_id = await one(lists, public_id=new_public_id(), workspace_id=workspace, name="News", handle="news",
                            created_at=now)
        domain_id = await one(sending_domains, public_id=new_public_id(), workspace_id=workspace, name="toko.example",
                              created_at=now)
        for key in standard_keys() if keys is None else keys:
            await one(dkim_keys, workspace_id=workspace, domain_id=domain_id, selector=key.selector,
                      algorithm=key.algorithm, private_pem=key.private_pem.decode(), public_key="", created_at=now)
        campaign = await one(campaigns, public_id=new_public_id(), workspace_id=workspace, name="First", state=state,
                             include_lists=[list_id], created_at=now, updated_at=now, started_at=now, walk_done=True,
                             throttle=throttle, from_address="news@toko.example", from_name="Toko", domain_id=domain_id)
        variant = await one(variants, workspace_id=workspace, campaign_id=campaign, label="A", subject="Hello",
                            kind="html", source=source, compiled=compiled.payload)
        people = [
            {"public_id": new_public_id(), "workspace_id": workspace, "email": address, "email_key": address.casefold(),
             "domain": address.rpartition("@")[2], "first_name": f"N{number}", "created_at": now, "updated_at": now}
            for number, address in enumerate(addresses)
        ]
        await connection.execute(insert(contacts), people)
        ids = {row[0]: row[1] for row in await connection.execute(select(contacts.c.email, contacts.c.id))}
        await connection.execute(insert(subscriptions), [
            {"workspace_id": workspace, "list_id": list_id, "contact_id": ids[address], "state": "subscribed",
             "changed_at": now} for address in addresses
        ])
        made: list[int] = []
        rows: list[dict[str, object]] = []
        by_domain: dict[str, list[str]] = {}
        for address in addresses:
            by_domain.setdefault(address.rpartition("@")[2], []).append(address)
        for domain, some in by_domain.items():
            for number in range(math.ceil(len(some) / batch_size)):
                part = some[number * batch_size : (number + 1) * batch_size]
                made.append(await one(batches, workspace_id=workspace, campaign_id=campaign, provider=domain,
                                      due_at=now, size=len(part)))
                rows += [
                    {"workspace_id": workspace, "campaign_id": campaign, "contact_id": ids[address],
                     "variant_id": variant, "batch_id": made[-1], "address": address, "domain": domain,
                     "provider": domain, "created_at": now} for address in part
                ]
        await connection.execute(insert(deliveries), rows)
        found = {row[0]: row[1] for row in await connection.execute(select(deliveries.c.address, deliveries.c.id))}
    return Sending(workspace, campaign, list_id, variant, tuple(ids[address] for address in addresses),
                   tuple(found[address] for address in addresses), tuple(made))


async def states(database: Database, campaign_id: int) -> dict[str, int]:
    """Deliveries of the campaign by state, counted row by row."""
    async with database.read() as connection:
        rows = await connection.execute(
            select(deliveries.c.state, func.count()).where(deliveries.c.campaign_id == campaign_id)
            .group_by(deliveries.c.state)
        )
        return {row[0]: row[1] for row in rows}


async def totals(database: Database, campaign_id: int, dimension: str = "total", member: str = "") -> dict[str, int]:
    """The rollups of the campaign by metric."""
    async with database.read() as connection:
        rows = await connection.execute(
            select(tallies.c.metric, tallies.c.n).where(
                tallies.c.campaign_id == campaign_id, tallies.c.dimension == dimension, tallies.c.member == member
            )
        )
        return {row[0]: row[1] for row in rows}


async def event_types(database: Database, delivery_id: int) -> list[str]:
    """The events of one delivery, in the order of their ids."""
    async with database.read() as connection:
        rows = await connection.execute(
            select(events.c.type).where(events.c.delivery_id == delivery_id).order_by(events.c.id)
        )
        return list(rows.scalars())


async def set_campaign_state(database: Database, campaign_id: int, state: str) -> None:
    async with database.write() as connection:
        await connection.execute(update(campaigns).where(campaigns.c.id == campaign_id).values(state=state))
