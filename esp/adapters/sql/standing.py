"""How providers take a workspace's mail, in SQL: sums over the tallies of its latest campaigns."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Select, func, select

from esp.adapters.sql.database import Database
from esp.adapters.sql.reports import REASONS, Counts, figures_from
from esp.adapters.sql.schema import campaigns, tallies
from esp.ports.reports import CampaignLine, Figures, Metric, ReasonCount
from esp.ports.standing import ProviderStanding, Standing

MOST: Final = 500  # campaigns that are summed: a few tallies each


def _latest(workspace_id: int, since: datetime) -> Select[Any]:
    k = campaigns.c
    return (
        select(k.id).where(k.workspace_id == workspace_id, k.test_of.is_(None), k.started_at >= since)
        .order_by(k.id.desc()).limit(MOST)
    )


class SqlStandings:
    """The port ``Standings`` on SQLite and PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def standing(self, workspace_id: int, since: datetime) -> Standing:
        t = tallies.c
        latest = _latest(workspace_id, since)
        query = (
            select(t.dimension, t.member, t.metric, func.sum(t.n).label("n"))
            .where(t.workspace_id == workspace_id, t.campaign_id.in_(latest),
                   t.dimension.in_(("total", "provider", "reason")))
            .group_by(t.dimension, t.member, t.metric)
        )
        found: dict[str, dict[str, Counts]] = defaultdict(lambda: defaultdict(dict))
        async with self._database.read() as connection:
            for row in await connection.execute(query):
                found[row.dimension][row.member][row.metric] = int(row.n)
            begun = len((await connection.execute(latest)).all())
        providers = [ProviderStanding(name, figures_from(counts)) for name, counts in found["provider"].items()]
        reasons = [
            ReasonCount(metric, reason, counts[metric.value])
            for reason, counts in found["reason"].items()
            for metric in REASONS if metric is not Metric.SUPPRESSED and counts.get(metric.value, 0) > 0
        ]
        return Standing(
            figures_from(found["total"].get("", {})),
            tuple(sorted(providers, key=lambda one: (-one.figures.targeted, one.provider))),
            tuple(sorted(reasons, key=lambda one: (-one.count, one.reason))), begun)

    async def campaigns_behind(
        self, workspace_id: int, since: datetime, metric: Metric, provider: str = "", reason: str = "",
    ) -> Sequence[CampaignLine]:
        t, k = tallies.c, campaigns.c
        dimension, member = ("provider", provider) if provider else ("reason", reason) if reason else ("total", "")
        of: ColumnElement[bool] = t.campaign_id.in_(_latest(workspace_id, since))
        query = (
            select(k.id, k.public_id, k.name, k.state, k.started_at, t.n)
            .join(campaigns, (k.id == t.campaign_id) & (k.workspace_id == t.workspace_id))
            .where(t.workspace_id == workspace_id, of, t.dimension == dimension, t.member == member,
                   t.metric == metric.value, t.n > 0)
            .order_by(k.id.desc())
        )
        async with self._database.read() as connection:
            rows = (await connection.execute(query)).all()
        return [
            CampaignLine(row.id, row.public_id, row.name, row.state, row.started_at,
                         Figures(**{metric.value: int(row.n)}))
            for row in rows
        ]
