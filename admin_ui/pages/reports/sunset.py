"""Sunset: who has gone silent is asked once more, and whoever does not answer that either is left in peace."""

import json
from typing import Any, Final
from urllib.parse import urlencode

from aiohttp import web

from admin_ui.page import Page, Routes
from admin_ui.words import _
from esp.errors import InputError, TookTooLongError
from esp.flows import segments
from esp.model.campaign import CampaignState
from esp.model.listening import Level
from esp.model.segment_json import parse_rule

routes = Routes()
_DAYS: Final = 14
_CAMPAIGNS: Final = 50
_SILENT: Final = {"field": "engagement.level", "op": "in", "value": [Level.DORMANT.value, Level.LOST.value]}


def win_back_rule() -> dict[str, Any]:
    """Those who have gone silent."""
    return {"version": 1, "match": "all", "rules": [_SILENT]}


def sunset_rule(campaign_id: int, days: int) -> dict[str, Any]:
    """Those still silent who got the win-back mail so many days ago or longer, and neither opened it nor clicked."""
    of = {"campaigns": [campaign_id]}
    return {"version": 1, "match": "all", "rules": [
        _SILENT, {"did": "delivered", **of, "when": {"op": "older", "value": days}},
        {"did": "opened", "count": "at_most", "times": 0, **of},
        {"did": "clicked", "count": "at_most", "times": 0, **of}]}


def _link(rule: dict[str, Any], name: str) -> str:
    return "/segments/new?" + urlencode({"rule": json.dumps(rule), "name": name})


@routes.get("/engagement/sunset")
async def sunset(page: Page) -> web.StreamResponse:
    """Three steps, each a segment to look at and to use; nothing happens by looking."""
    lines = await page.app.store.campaigns.list(
        page.workspace_id, None, _CAMPAIGNS, (CampaignState.SENT, CampaignState.SENDING, CampaignState.PAUSED))
    asked, days = page.query("campaign"), page.query("days")
    chosen = next((line.campaign for line in lines if str(line.campaign.id) == asked), None)
    wait = min(365, max(1, int(days))) if days.isdecimal() and len(days) < 5 else _DAYS
    rule = sunset_rule(chosen.id, wait) if chosen else None
    return page.render(
        "reports/sunset.html", campaigns=[line.campaign for line in lines], chosen=chosen, days=wait,
        silent=await _count(page, win_back_rule()), unmoved=await _count(page, rule) if rule else None,
        win_back=_link(win_back_rule(), _("Gone silent: win back")),
        rest=_link(rule, _("Silent after {name}").format(name=chosen.name)[:120]) if rule and chosen else "")


async def _count(page: Page, rule: dict[str, Any]) -> int | None:
    """How many it finds; None where that takes too long or a campaign in it is gone."""
    try:
        return await segments.count(page.app, page.workspace_id, parse_rule(rule))
    except (InputError, TookTooLongError):
        return None
