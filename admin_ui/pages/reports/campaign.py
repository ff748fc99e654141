"""A campaign's report: human figures first, what is estimated with its interval, and everybody accounted for."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from aiohttp import web

from admin_ui.page import Page, Routes
from admin_ui.pages.campaigns.shown import readable, reason_words
from admin_ui.pages.reports.definitions import DEFINITIONS
from admin_ui.pages.reports.figures import compare_variants, people_href, range_words, shown
from admin_ui.words import _
from esp.model.campaign import CampaignState
from esp.ports.campaigns import CampaignDetail
from esp.ports.reports import Bucket, Figures, Metric, ReasonCount, TimeSeries
from tracking.experiments import Progress, progress

routes = Routes()

_HEAD: Final = (Metric.DELIVERED, Metric.BOUNCED, Metric.OPENED, Metric.CLICKED, Metric.UNSUBSCRIBED, Metric.COMPLAINED)
_MACHINES: Final = (Metric.MACHINE_OPENED, Metric.MACHINE_CLICKED)
_ENDS: Final = (Metric.DELIVERED, Metric.BOUNCED, Metric.EXPIRED, Metric.SUPPRESSED, Metric.CANCELLED, Metric.WAITING,
                Metric.DEFERRED)


@routes.get(r"/campaigns/{campaign_id:\d+}/report")
async def report(page: Page) -> web.StreamResponse:
    """``machines=1`` shows what machines opened and clicked, apart from people."""
    campaign_id = page.key("campaign_id")
    detail = await page.app.store.campaigns.get(page.workspace_id, campaign_id)
    if detail.campaign.state in (CampaignState.DRAFT, CampaignState.SCHEDULED):
        return page.redirect(f"/campaigns/{campaign_id}")
    store = page.app.store.reports
    workspace_id = page.workspace_id
    figures = await store.figures(workspace_id, campaign_id)
    series = await store.over_time(workspace_id, campaign_id)
    variants = await store.by_variant(workspace_id, campaign_id)
    machines = page.query("machines") == "1"
    return page.render(
        "reports/campaign.html", campaign=detail.campaign, variants=variants, figures=figures, machines=machines,
        head=[shown(campaign_id, figures, metric) for metric in _HEAD],
        machine_figures=[shown(campaign_id, figures, metric) for metric in _MACHINES],
        account=[shown(campaign_id, figures, metric) for metric in _ENDS],
        range_words=range_words, comparison=compare_variants(variants, *_trial(detail, series, page.app.clock.now())),
        people_href=people_href, Metric=Metric,
        charts=_charts(series, page.session.workspace.time_zone, machines),
        providers=await store.by_provider(workspace_id, campaign_id),
        links=await store.by_link(workspace_id, campaign_id),
        link_variants=await _link_variants(page, detail), readable=readable,
        reasons=_reasons(campaign_id, await store.reasons(workspace_id, campaign_id)),
        definitions=DEFINITIONS)


def _trial(detail: CampaignDetail, series: TimeSeries, now: datetime) -> tuple[dict[str, int], Progress]:
    """The planned shares of the variants by their ids, and how far the campaign is."""
    campaign = detail.campaign
    walked = 1.0 if campaign.walk_done else campaign.walk_cursor / max(1, campaign.walk_until)
    return {str(one.id): one.edit.weight for one in detail.variants}, progress(series, walked, now)


async def _link_variants(page: Page, detail: CampaignDetail) -> dict[str, str]:
    """The letter of each link's variant, by the link's index; nothing where there is one variant only."""
    if len(detail.variants) < 2:
        return {}
    frozen = await page.app.store.campaigns.frozen(page.workspace_id, detail.campaign.id)
    return {str(link.index): one.label for one in frozen.variants.values() for link in one.links}


def _reasons(campaign_id: int, found: Sequence[ReasonCount]) -> dict[Metric, list[tuple[str, int, str]]]:
    """Reasons in words, how many, and where their people are; by what happened."""
    by_metric: dict[Metric, list[tuple[str, int, str]]] = {}
    for one in found:
        by_metric.setdefault(one.metric, []).append(
            (_(reason_words(one.reason)), one.count, people_href(campaign_id, one.metric, reason=one.reason)))
    return by_metric


def _charts(series: TimeSeries, zone: str, machines: bool) -> list[dict[str, Any]]:
    """One message a chart: how it went out, and how people answered. Nothing where nothing has happened."""
    if not series.buckets:
        return []
    answers = [(_("Opened"), Metric.OPENED), (_("Clicked"), Metric.CLICKED)]
    if machines:
        answers.append((_("Opened by machines"), Metric.MACHINE_OPENED))
    return [
        _chart("answers", _("How people answered"), series, zone, answers),
        _chart("sending", _("How it went out"), series, zone,
               [(_("Delivered"), Metric.DELIVERED), (_("Bounced"), Metric.BOUNCED)]),
    ]


def _chart(
    key: str, title: str, series: TimeSeries, zone: str, lines: Sequence[tuple[str, Metric]],
) -> dict[str, Any]:
    buckets = _busy(series.buckets, [metric for _name, metric in lines])

    def counts(metric: Metric) -> list[int]:
        return [0, *(int(getattr(bucket.figures, metric.value)) for bucket in buckets), 0]

    # An empty bucket at each end: a line over one single bucket would be a dot.
    starts = [int(bucket.start.timestamp()) for bucket in buckets]
    times = [starts[0] - series.seconds, *starts, starts[-1] + series.seconds]
    length = _length(series.seconds)
    return {
        "id": key, "title": title, "heads": [_("From"), *(name for name, _metric in lines)],
        "data": {"times": times, "unit": _("people in {length}").format(length=length), "zone": zone, "time": _("Time"),
                 "series": [{"name": name, "values": counts(metric)} for name, metric in lines]},
        "rows": [[_clock(bucket, zone, series.seconds), *(getattr(bucket.figures, one.value) for _name, one in lines)]
                 for bucket in buckets if _moved(bucket.figures, [metric for _name, metric in lines])],
    }


def _busy(buckets: Sequence[Bucket], metrics: Sequence[Metric]) -> Sequence[Bucket]:
    """From the first to the last bucket in which any of these happened; all of them where none did."""
    at = [number for number, bucket in enumerate(buckets) if _moved(bucket.figures, metrics)]
    return buckets[at[0]:at[-1] + 1] if at else buckets


def _moved(figures: Figures, metrics: Sequence[Metric]) -> bool:
    return any(getattr(figures, metric.value) for metric in metrics)


def _length(seconds: int) -> str:
    """A bucket's length in words; they are round (``_BUCKETS`` of the port's adapter), from a minute to a day."""
    match seconds:
        case 60:
            return _("a minute")
        case 3600:
            return _("an hour")
        case 86400:
            return _("a day")
    if seconds > 3600:
        return _("{n} hours").format(n=seconds // 3600)
    return _("{n} minutes").format(n=seconds // 60)


def _clock(bucket: Bucket, zone: str, seconds: int) -> str:
    return bucket.start.astimezone(ZoneInfo(zone)).strftime("%d %b" if seconds >= 86400 else "%d %b %H:%M")
