"""Archives in SQL: sent campaigns of one list, by key; whether a list has an archive is asked at every look."""

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Select, select, true
from sqlalchemy.ext.asyncio import AsyncConnection

from esp.adapters.sql.database import Database
from esp.adapters.sql.schema import campaigns, lists, subscriptions, variants, workspaces
from esp.model.campaign import CampaignState
from esp.model.contact import SubscriptionState
from esp.model.preference import ArchiveAccess
from esp.ports.archives import ArchivedList, Issue

_STEP: Final = 200


class SqlArchives:
    """Archives over SQLite or PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, list_public_id: str) -> ArchivedList | None:
        it, w = lists.c, workspaces.c
        async with self._database.read() as connection:
            row = (await connection.execute(
                select(lists, w.name.label("brand"), w.language, w.time_zone).join(workspaces, w.id == it.workspace_id)
                .where(it.public_id == list_public_id, it.archived_at.is_(None),
                       it.archive != ArchiveAccess.OFF.value)
            )).one_or_none()
        if row is None:
            return None
        return ArchivedList(row.workspace_id, row.id, row.public_id, row.name, row.description,
                            ArchiveAccess(row.archive), row.archive_indexed, row.brand, row.language, row.time_zone,
                            row.created_at)

    async def issues(
        self, workspace_id: int, list_id: int, before_id: int | None = None, limit: int = 30
    ) -> tuple[Issue, ...]:
        found: list[Any] = []
        async with self._database.read() as connection:
            while len(found) < limit:
                query = _sent(workspace_id).order_by(campaigns.c.id.desc()).limit(_STEP)
                if before_id is not None:
                    query = query.where(campaigns.c.id < before_id)
                rows = (await connection.execute(query)).all()
                # Which lists is a JSON array, and a workspace sends some hundreds of campaigns: told apart here.
                found += [row for row in rows if list_id in row.include_lists]
                if len(rows) < _STEP:
                    break
                before_id = rows[-1].id
            return await _issues(connection, found[:limit])

    async def issue(self, workspace_id: int, list_id: int, campaign_public_id: str) -> Issue | None:
        async with self._database.read() as connection:
            row = (await connection.execute(
                _sent(workspace_id).where(campaigns.c.public_id == campaign_public_id)
            )).one_or_none()
            if row is None or list_id not in row.include_lists:
                return None
            return next(iter(await _issues(connection, [row])), None)

    async def subscribed(self, workspace_id: int, list_id: int, contact_id: int) -> bool:
        s = subscriptions.c
        async with self._database.read() as connection:
            found = await connection.scalar(select(s.contact_id).where(
                s.workspace_id == workspace_id, s.list_id == list_id, s.contact_id == contact_id,
                s.state == SubscriptionState.SUBSCRIBED.value,
            ))
        return found is not None


def _sent(workspace_id: int) -> Select[Any]:
    k = campaigns.c
    return select(k.id, k.public_id, k.include_lists, k.started_at).where(
        k.workspace_id == workspace_id, k.state == CampaignState.SENT.value, k.test_of.is_(None), k.digest == "",
        k.in_archive == true(), k.started_at.is_not(None), _frozen().exists(),
    )


def _frozen() -> Select[Any]:
    return select(variants.c.id).where(variants.c.campaign_id == campaigns.c.id, variants.c.compiled.is_not(None))


async def _issues(connection: AsyncConnection, rows: Sequence[Any]) -> tuple[Issue, ...]:
    """The campaigns as issues, each with its first variant that was frozen: one statement, for nobody but these."""
    v, other = variants.c, variants.alias()
    earlier = select(other.c.id).where(
        other.c.campaign_id == v.campaign_id, other.c.compiled.is_not(None), other.c.label < v.label)
    found = await connection.execute(
        select(v.campaign_id, v.label, v.compiled)
        .where(v.campaign_id.in_([row.id for row in rows]), v.compiled.is_not(None), ~earlier.exists()))
    first = {it.campaign_id: it for it in found}
    return tuple(Issue(row.id, row.public_id, first[row.id].label, first[row.id].compiled, row.started_at)
                 for row in rows if row.id in first)
