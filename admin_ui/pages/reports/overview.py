"""All reports: every campaign that has begun, its figures side by side."""

from typing import Final

from aiohttp import web

from admin_ui.page import Page, Routes
from esp.model.campaign import CampaignState

routes = Routes()
_PAGE: Final = 25
_BEGUN: Final = (CampaignState.SENDING, CampaignState.PAUSED, CampaignState.SENT, CampaignState.CANCELLED)


@routes.get("/reports")
async def reports(page: Page) -> web.StreamResponse:
    """By key, newest first; ``before`` is the id to go on from."""
    before = page.query("before")
    lines = await page.app.store.campaigns.list(
        page.workspace_id, int(before) if before.isdecimal() else None, _PAGE + 1, _BEGUN)
    shown = lines[:_PAGE]
    ids = [line.campaign.id for line in shown]
    figures = await page.app.store.reports.figures_of(page.workspace_id, ids) if ids else {}
    return page.render(
        "reports/list.html", lines=shown, figures=figures, first="/reports" if before else "",
        next=f"/reports?before={ids[-1]}" if len(lines) > _PAGE else "")
