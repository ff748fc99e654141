"""Deliverability: how mailbox providers take the mail, why some is refused, and what the limits are."""

from datetime import timedelta
from typing import Final

from aiohttp import web

from admin_ui.page import Page, Routes
from admin_ui.pages.campaigns.shown import reason_words
from admin_ui.pages.reports.definitions import DEFINITIONS
from admin_ui.words import _
from esp.errors import NotFoundError
from esp.ports.reports import Figures, Metric

routes = Routes()

_DAYS: Final = (7, 30, 90)
# Gmail's and Yahoo's rules for bulk senders: below 0.10 %, never 0.30 %. A warning comes before the first limit is
# reached, and a share of few mails says nothing.
WARN_COMPLAINTS: Final = 0.0008
HARM_COMPLAINTS: Final = 0.002
WARN_BOUNCES: Final = 0.02
HARM_BOUNCES: Final = 0.05
ENOUGH: Final = 200
_METRICS: Final = (Metric.DELIVERED, Metric.BOUNCED, Metric.EXPIRED, Metric.OPENED, Metric.COMPLAINED,
                   Metric.UNSUBSCRIBED)


def complaints_kind(figures: Figures) -> str:
    """``harm``, ``warn``, ``good``, or empty where too few were delivered to say."""
    return _kind(figures.complained, figures.delivered, WARN_COMPLAINTS, HARM_COMPLAINTS)


def bounces_kind(figures: Figures) -> str:
    """The same of bounces, among all that were tried to an end."""
    return _kind(figures.bounced, figures.delivered + figures.bounced + figures.expired, WARN_BOUNCES, HARM_BOUNCES)


def _kind(count: int, whole: int, warn: float, harm: float) -> str:
    if whole < ENOUGH:
        return ""
    share = count / whole
    return "harm" if share >= harm else "warn" if share >= warn else "good"


def _days(page: Page) -> int:
    asked = page.query("days")
    return int(asked) if asked in {str(days) for days in _DAYS} else 30


@routes.get("/deliverability")
async def deliverability(page: Page) -> web.Response:
    days = _days(page)
    it = await page.app.store.standings.standing(page.workspace_id, page.app.clock.now() - timedelta(days=days))
    return page.render(
        "reports/deliverability.html", it=it, days=days, choices=_DAYS, complaints_kind=complaints_kind,
        bounces_kind=bounces_kind, reason_words=reason_words, definitions=DEFINITIONS, enough=ENOUGH)


@routes.get("/deliverability/campaigns")
async def behind(page: Page) -> web.Response:
    """The campaigns that one number is made of, each with its people."""
    days = _days(page)
    try:
        metric = Metric(page.query("metric"))
    except ValueError:
        metric = Metric.TARGETED
    if metric not in _METRICS:
        raise NotFoundError(_("There is no such figure."))
    provider, reason = page.query("provider")[:200], page.query("reason")[:100]
    lines = await page.app.store.standings.campaigns_behind(
        page.workspace_id, page.app.clock.now() - timedelta(days=days), metric, provider, reason)
    return page.render(
        "reports/deliverability_part.html", lines=lines, metric=metric, definition=DEFINITIONS[metric],
        provider=provider, reason=reason, reason_words=reason_words, days=days)
