"""Contacts, campaigns and events written straight into the tables: whom the fold, the fit and the screens look at."""

import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from sqlalchemy import insert

from esp.adapters.sql.database import Database
from esp.adapters.sql.schema import (
    campaigns,
    contacts,
    deliveries,
    events,
    lists,
    subscriptions,
    workspaces,
)

BEGAN = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
NOW = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
Event = tuple[int, str, int, str]  # contact, type, campaign, agent


async def people(
    database: Database, count: int, mails: int = 6, *, workspace: bool = True, untracked: Sequence[int] = ()
) -> None:
    """Workspace 1 with contacts 1 to ``count`` and campaigns 1 to ``mails``, one a week; nothing sent yet."""
    async with database.write() as connection:
        if workspace:
            await connection.execute(insert(workspaces), {
                "id": 1, "public_id": "w1", "name": "Toko", "time_zone": "Asia/Jakarta", "created_at": BEGAN})
        await connection.execute(insert(contacts), [
            {"id": number, "public_id": f"c{number}", "workspace_id": 1, "email": f"p{number}@a.example",
             "email_key": f"p{number}@a.example", "domain": "a.example", "created_at": BEGAN, "updated_at": BEGAN,
             "source": ("form", "import")[number % 2], "time_zone": "America/New_York" if number % 3 == 0 else ""}
            for number in range(1, count + 1)])
        await connection.execute(insert(campaigns), [
            {"id": number, "public_id": f"k{number}", "workspace_id": 1, "name": f"Mail {number}", "state": "sent",
             "created_at": BEGAN, "updated_at": BEGAN, "track_opens": number not in untracked,
             "track_clicks": number not in untracked} for number in range(1, mails + 1)])


def delivery_of(contact: int, campaign: int) -> int:
    return contact * 1000 + campaign


async def happen(database: Database, told: Sequence[Event], start: int = 0) -> None:
    """Events in this order; each a minute after the other, a campaign's a week after the one before."""
    if not told:
        return
    async with database.write() as connection:
        await connection.execute(insert(events), [
            {"workspace_id": 1, "type": kind, "at": BEGAN + timedelta(days=7 * campaign, minutes=start + number),
             "campaign_id": campaign, "delivery_id": delivery_of(contact, campaign), "contact_id": contact,
             "agent": agent}
            for number, (contact, kind, campaign, agent) in enumerate(told)])


async def simulated(
    database: Database, count: int, mails: int, seed: int, response: tuple[float, float] = (0.9, 2.7),
    loss: tuple[float, float] = (0.5, 6.0), workspace: bool = True,
) -> None:
    """People who live by the model: deliveries with their marks, and the events that made them."""
    dice = random.Random(seed)
    await people(database, count, mails, workspace=workspace)
    rows, told = [], []
    for contact in range(1, count + 1):
        p, q, alive = dice.betavariate(*response), dice.betavariate(*loss), True
        for campaign in range(1, mails + 1):
            alive = alive and dice.random() >= q
            at = BEGAN + timedelta(days=7 * campaign)
            opened = at + timedelta(hours=dice.randrange(1, 20)) if alive and dice.random() < p else None
            rows.append({"id": delivery_of(contact, campaign), "workspace_id": 1, "campaign_id": campaign,
                         "contact_id": contact, "variant_id": 1, "address": f"p{contact}@a.example",
                         "state": "delivered", "created_at": at, "ended_at": at, "opened_at": opened})
            told.append((campaign, contact, at, opened))
    happened = []
    for campaign, contact, at, opened in sorted(told, key=lambda one: one[:2]):
        common = {"workspace_id": 1, "campaign_id": campaign, "contact_id": contact,
                  "delivery_id": delivery_of(contact, campaign)}
        happened.append({**common, "type": "delivered", "at": at, "agent": ""})
        if opened:
            happened.append({**common, "type": "opened", "at": opened, "agent": "human"})
    async with database.write() as connection:
        for start in range(0, len(rows), 5000):
            await connection.execute(insert(deliveries), rows[start:start + 5000])
        for start in range(0, len(happened), 5000):
            await connection.execute(insert(events), happened[start:start + 5000])


async def on_a_list(database: Database, count: int) -> int:
    """Contacts 1 to ``count`` subscribed to a list; its number."""
    async with database.write() as connection:
        await connection.execute(insert(lists), {
            "id": 1, "public_id": "l1", "workspace_id": 1, "name": "News", "handle": "news", "created_at": BEGAN,
            "subscribed_count": count})
        await connection.execute(insert(subscriptions), [
            {"workspace_id": 1, "list_id": 1, "contact_id": number, "state": "subscribed", "changed_at": BEGAN}
            for number in range(1, count + 1)])
    return 1
