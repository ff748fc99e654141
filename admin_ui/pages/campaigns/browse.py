"""All campaigns: a list by key, filtered by state in the URL, and what can be done with one from there."""

from typing import Final

from aiohttp import web

from admin_ui.page import Page, Routes
from admin_ui.pages.campaigns.shown import STATES
from esp.model.campaign import CampaignState
from esp.ports.reports import Progress

routes = Routes()
PAGE: Final = 30

FILTERS: Final = (
    ("", "All", ()),
    ("draft", "Drafts", (CampaignState.DRAFT,)),
    ("scheduled", "Scheduled", (CampaignState.SCHEDULED,)),
    ("running", "Sending", (CampaignState.SENDING, CampaignState.PAUSED)),
    ("sent", "Sent", (CampaignState.SENT,)),
    ("cancelled", "Cancelled", (CampaignState.CANCELLED,)),
)


@routes.get("/campaigns")
async def campaigns(page: Page) -> web.StreamResponse:
    """The list, newest first. ``state`` filters, ``before`` is the id to go on from."""
    wanted = page.query("state")
    states = next((states for key, _label, states in FILTERS if key == wanted), ())
    before = page.query("before")
    lines = await page.app.store.campaigns.list(
        page.workspace_id, int(before) if before.isdecimal() else None, PAGE + 1, states)
    shown, more = lines[:PAGE], len(lines) > PAGE
    ids = [line.campaign.id for line in shown]
    figures = await page.app.store.reports.figures_of(page.workspace_id, ids) if ids else {}
    running: dict[int, Progress] = {}
    for line in shown:
        if line.campaign.state in (CampaignState.SENDING, CampaignState.PAUSED):
            progress = await page.app.store.reports.progress(page.workspace_id, line.campaign.id, page.app.clock.now())
            if progress is not None:
                running[line.campaign.id] = progress
    query = f"state={wanted}&" if wanted else ""
    return page.render(
        "campaigns/list.html", lines=shown, figures=figures, running=running, wanted=wanted, filters=FILTERS,
        states=STATES, first="/campaigns" + (f"?state={wanted}" if wanted else "") if before else "",
        next=f"/campaigns?{query}before={ids[-1]}" if more else "")
