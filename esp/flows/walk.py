"""The jobs that carry campaigns from their start to their end: start what is due, walk the audience, finish, cancel."""

from functools import partial
from typing import Final

import structlog

from esp.app import App
from esp.audience.batches import plan_batches
from esp.errors import ConflictError, MerpatiError
from esp.flows.campaigns import start
from esp.flows.providers import fresh_after, learn_providers
from esp.model.campaign import CampaignAction
from esp.ports.campaigns import Campaign, Gathering

CHUNK: Final = 10_000  # people a step: a transaction of some tenths of a second, and batches enough for every worker
FIRST: Final = 2_000  # and of the first step, so that the first mail leaves at once

_log = structlog.get_logger()


async def start_due(app: App) -> bool:
    """Start the scheduled campaigns whose time has come. What cannot be sent goes back to draft with the reason."""
    due = await app.store.campaigns.due(app.clock.now())
    for campaign in due:
        try:
            await start(app, await app.store.campaigns.get(campaign.workspace_id, campaign.id))
        except ConflictError:
            continue  # somebody else started or unscheduled it meanwhile
        except MerpatiError as error:
            _log.warning("campaign not started", campaign=campaign.id, reason=str(error))
            await _return_to_draft(app, campaign, str(error))
    return False


async def _return_to_draft(app: App, campaign: Campaign, reason: str) -> None:
    try:
        await app.store.campaigns.move(campaign, CampaignAction.UNSCHEDULE, app.clock.now(), reason=reason)
    except ConflictError:
        return


async def walk_some(app: App) -> bool:
    """One step of the walk of every sending campaign that has not enough written ahead; True where more can be done."""
    more = False
    for campaign in await app.store.campaigns.walking():
        if not await _enough_ahead(app, campaign):
            more |= await walk_step(app, campaign)
    return more


async def walk_digests(app: App) -> bool:
    """Write the deliveries of the next readers of every digest; True where more waits. It writes nobody twice."""
    more = False
    for digest in await app.store.digests.walking():
        if not await _enough_ahead(app, digest):
            more |= await walk_step(app, digest)
    return more


async def _enough_ahead(app: App, campaign: Campaign) -> bool:
    most = app.settings.delivery.audience_backlog
    return await app.store.campaigns.backlog(campaign, most) >= most


async def walk_step(app: App, campaign: Campaign, limit: int | None = None) -> bool:
    """Write the deliveries of the next ``limit`` people; False at the end, or where somebody else went on with it.

    A repeated step writes nobody twice: the cursor moves in the same transaction, and a contact is in a campaign once.
    """
    store, settings = app.store.campaigns, app.settings.delivery
    if limit is None:
        limit = CHUNK if campaign.walk_cursor else FIRST
    step = await store.next_step(campaign, limit)
    gathering = Gathering(
        partial(plan_batches, size=settings.batch_size), fresh_after(app),
        app.shaping.provider_of if settings.smart_host else None)
    try:
        unknown = await store.write_step(campaign, step, gathering, app.clock.now())
        if unknown:
            # Asked outside the transaction, which is tried again; of late comers' domains by the next step.
            await learn_providers(app, unknown)
            if await store.write_step(campaign, step, gathering, app.clock.now()):
                return True
    except ConflictError:
        return False
    await app.coordination.wake("outbox")
    return not step.done


async def finish_done(app: App) -> bool:
    """Campaigns with nobody left are sent; what is left of cancelled ones is written off. True where more waits."""
    for campaign in await app.store.campaigns.finishable():
        try:
            await app.store.campaigns.move(campaign, CampaignAction.FINISH, app.clock.now())
        except ConflictError:
            continue  # paused or cancelled meanwhile
    more = False
    for campaign in await app.store.campaigns.cancelled_with_open():
        more |= await app.store.campaigns.cancel_open(campaign, app.clock.now()) > 0
    return more
