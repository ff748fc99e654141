"""How providers take the mail: sums over campaigns, and the campaigns behind each, on both databases."""

from datetime import timedelta
from pathlib import Path

from esp.adapters.sql.database import Database
from esp.adapters.sql.standing import SqlStandings
from esp.ports.reports import Metric
from tests.contract.test_reports import make_report
from tests.edge_world import SENT


async def test_sums_are_those_of_the_campaigns_in_the_time(database: Database, tmp_path: Path) -> None:
    sent = (await make_report(database, tmp_path)).sent
    standings = SqlStandings(database)
    since = SENT - timedelta(days=1)
    it = await standings.standing(sent.workspace_id, since)
    assert it.campaigns == 1
    assert (it.total.targeted, it.total.delivered, it.total.bounced, it.total.complained) == (12, 6, 2, 1)
    assert sum(one.figures.delivered for one in it.providers) == 6
    assert [(one.metric, one.reason, one.count) for one in it.reasons if one.metric is Metric.BOUNCED] == [
        (Metric.BOUNCED, "unknown_user", 2)]
    assert not [one for one in it.reasons if one.metric is Metric.SUPPRESSED]  # nobody refused these
    nothing = await standings.standing(sent.workspace_id, SENT + timedelta(days=1))
    assert (nothing.campaigns, nothing.total.targeted, nothing.providers, nothing.reasons) == (0, 0, (), ())
    other = await standings.standing(sent.workspace_id + 1, since)
    assert (other.campaigns, other.total.targeted, other.providers) == (0, 0, ())


async def test_each_sum_opens_its_campaigns(database: Database, tmp_path: Path) -> None:
    sent = (await make_report(database, tmp_path)).sent
    standings = SqlStandings(database)
    since = SENT - timedelta(days=1)
    for one in (await standings.standing(sent.workspace_id, since)).providers:
        for metric in (Metric.DELIVERED, Metric.BOUNCED, Metric.COMPLAINED):
            lines = await standings.campaigns_behind(sent.workspace_id, since, metric, provider=one.provider)
            assert sum(getattr(line.figures, metric) for line in lines) == getattr(one.figures, metric)
    (line,) = await standings.campaigns_behind(sent.workspace_id, since, Metric.BOUNCED, reason="unknown_user")
    assert (line.campaign_id, line.figures.bounced) == (sent.campaign_id, 2)
    assert not await standings.campaigns_behind(sent.workspace_id + 1, since, Metric.BOUNCED)
    assert not await standings.campaigns_behind(sent.workspace_id, SENT + timedelta(days=1), Metric.BOUNCED)
