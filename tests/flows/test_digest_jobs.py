"""The job that makes digests: what was made is neither compiled nor written again every half minute."""

from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import event, insert

from esp.adapters.sql.database import Database
from esp.adapters.sql.digests import SqlDigests
from esp.adapters.sql.schema import contact_preferences, digest_items
from esp.flows import campaigns as flow
from esp.flows.digest import make_due
from esp.model.campaign import CampaignAction
from tests.flows.audience_world import open_world
from tests.turned_clock import NOW


async def test_a_period_is_made_once_and_then_left_alone(database: Database, tmp_path: Path) -> None:
    async with open_world(database, tmp_path) as world:
        world.app.store.digests = SqlDigests(database)
        news = await world.add_list("News", "a@x.example", "b@x.example")
        draft = await flow.create(world.app, world.workspace, world.edit(news))
        sent = await flow.act(world.app, world.workspace, draft.id, CampaignAction.START)
        async with database.write() as connection:
            for number, often in enumerate(("daily", "weekly"), 1):
                person = await world.id_of(f"{'ab'[number - 1]}@x.example")
                await connection.execute(insert(contact_preferences).values(
                    contact_id=person, workspace_id=world.workspace, frequency=often, changed_at=NOW))
                await connection.execute(insert(digest_items).values(
                    workspace_id=world.workspace, contact_id=person, campaign_id=sent.id, delivery_id=number,
                    at=NOW - timedelta(days=2)))
        await make_due(world.app)
        lines = await world.app.store.campaigns.list(world.workspace)
        made = [line.campaign for line in lines if line.campaign.digest]
        assert [one.digest for one in made] == ["daily"], "the week's is for another day"
        # Somebody's weekly mail goes on waiting, so that the workspace is looked at again and again.
        written: list[str] = []

        def note(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
            written.append(statement)

        engine = database._writer.sync_engine
        event.listen(engine, "before_cursor_execute", note)
        await make_due(world.app)
        event.remove(engine, "before_cursor_execute", note)
        assert not [one for one in written if one.lstrip().startswith(("INSERT", "UPDATE"))]
