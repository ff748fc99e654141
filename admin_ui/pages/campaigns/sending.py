"""A campaign on its way: live figures, each provider's state, and Pause always in reach."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Final

from aiohttp import web

from admin_ui import live
from admin_ui.page import Page, Routes
from admin_ui.pages.campaigns.shown import REASONS, readable
from admin_ui.words import _
from esp.errors import InputError, NotFoundError
from esp.flows import campaigns as flow
from esp.model.campaign import CampaignAction, CampaignState
from esp.ports.campaigns import CampaignDetail

routes = Routes()

_RUNNING: Final = (CampaignState.SCHEDULED, CampaignState.SENDING, CampaignState.PAUSED)
_EVERY: Final = 1.0  # seconds between two looks
_SOON: Final = timedelta(seconds=90)


@routes.get(r"/campaigns/{campaign_id:\d+}")
async def show(page: Page) -> web.StreamResponse:
    """Where a campaign's link leads: to its editor, its countdown, its progress or its report."""
    detail = await page.app.store.campaigns.get(page.workspace_id, page.key("campaign_id"))
    campaign = detail.campaign
    match campaign.state:
        case CampaignState.DRAFT:
            return page.redirect(f"/campaigns/{campaign.id}/edit")
        case CampaignState.SENT | CampaignState.CANCELLED:
            return page.redirect(f"/campaigns/{campaign.id}/report")
        case _:
            waits = campaign.state is CampaignState.SCHEDULED
            now = page.app.clock.now()
            return page.render(
                "campaigns/sending.html", campaign=campaign, variants=detail.variants, readable=readable,
                now_html=await _now(page, detail), reasons=REASONS,
                soon=waits and campaign.scheduled_at is not None and campaign.scheduled_at - now < _SOON,
                forecast=await page.app.store.campaigns.forecast(campaign, now) if waits else None)


@routes.get(r"/campaigns/{campaign_id:\d+}/live")
async def watch(page: Page) -> web.StreamResponse:
    """The same figures every second, until the campaign enters another state; then the page is asked for anew."""
    campaign_id = page.key("campaign_id")
    await page.app.store.campaigns.get(page.workspace_id, campaign_id)
    return await live.stream(page, _fragments(page, campaign_id, page.query("state")))


async def _fragments(page: Page, campaign_id: int, state: str) -> AsyncIterator[str]:
    while True:
        try:
            detail = await page.app.store.campaigns.get(page.workspace_id, campaign_id)
        except NotFoundError:
            return
        if detail.campaign.state.value != state or detail.campaign.state not in _RUNNING:
            return
        yield await _now(page, detail)
        await asyncio.sleep(_EVERY)


async def _now(page: Page, detail: CampaignDetail) -> str:
    """What changes from second to second, as a fragment."""
    campaign, now = detail.campaign, page.app.clock.now()
    if campaign.state is CampaignState.SCHEDULED:
        left = (campaign.scheduled_at - now) if campaign.scheduled_at else timedelta()
        return page.html("campaigns/waiting.html", campaign=campaign, left=left, soon=left < _SOON,
                         seconds=max(0, round(left.total_seconds())))
    progress = await page.app.store.reports.progress(page.workspace_id, campaign.id, now)
    return page.html("campaigns/progress.html", campaign=campaign, progress=progress)


@routes.post(r"/campaigns/{campaign_id:\d+}/pause")
async def pause(page: Page) -> web.StreamResponse:
    return await _act(page, CampaignAction.PAUSE, _("Paused. What is on its way arrives; nothing new goes out."),
                      reason=_("Paused by {name}").format(name=page.session.user.name or page.session.user.email))


@routes.post(r"/campaigns/{campaign_id:\d+}/resume")
async def resume(page: Page) -> web.StreamResponse:
    return await _act(page, CampaignAction.RESUME, _("It goes on where it stopped."))


@routes.post(r"/campaigns/{campaign_id:\d+}/cancel")
async def cancel(page: Page) -> web.StreamResponse:
    return await _act(page, CampaignAction.CANCEL, _("Cancelled. Nobody else will get it; the figures are kept."),
                      reason=_("Cancelled by {name}").format(name=page.session.user.name or page.session.user.email))


async def _act(page: Page, action: CampaignAction, done: str, reason: str = "") -> web.StreamResponse:
    """Do it and say so. ConflictError says by itself why it could not be done and that nothing was changed."""
    campaign_id = page.key("campaign_id")
    try:
        await flow.act(page.app, page.workspace_id, campaign_id, action, reason=reason)
    except InputError as error:
        return page.redirect(f"/campaigns/{campaign_id}", " ".join((str(error), *error.problems.values())), "harm")
    return page.redirect(f"/campaigns/{campaign_id}", done)
