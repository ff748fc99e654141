"""A worker and a real receiver: everybody gets one copy, and what the receiver says becomes states and events."""

from pathlib import Path

import pytest
from sqlalchemy import select

from esp.adapters.sql.database import Database
from esp.adapters.sql.schema import deliveries, suppressions
from tests.receiver import Receiver, receiving
from tests.sending import event_types, seed, states, totals
from tests.sending_app import app_for, settings_for, until_closed, working


def people(count: int, domain: str = "a.example") -> list[str]:
    return [f"p{number:04}@{domain}" for number in range(count)]


async def test_everybody_gets_one_copy(database: Database, database_url: str, tmp_path: Path) -> None:
    addresses = people(250) + people(120, "b.example")
    sending = await seed(database, addresses, batch_size=100)
    async with receiving(Receiver()) as receiver:
        settings = settings_for(database_url, tmp_path, receiver)
        async with app_for(settings) as app, working(app):
            await until_closed(app, sending.campaign_id, sending.workspace_id)
    assert receiver.taken == dict.fromkeys(addresses, 1)
    assert await states(database, sending.campaign_id) == {"delivered": 370}
    assert await totals(database, sending.campaign_id) == {"delivered": 370}
    assert await totals(database, sending.campaign_id, "provider", "b.example") == {"delivered": 120}
    assert receiver.connections <= 10
    async with database.read() as connection:
        rows = (await connection.execute(select(deliveries))).all()
    assert not any(row.maybe_duplicate for row in rows)
    assert {(row.attempts, row.reply_code, row.batch_id) for row in rows} == {(1, 250, None)}
