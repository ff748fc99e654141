"""The jobs that carry campaigns from their start to their end: start what is due, walk the audience, finish, cancel."""

import structlog

from esp.app import App
from esp.audience.batches import plan_batches
from esp.audience.split import cell
from esp.errors import ConflictError, MerpatiError
from esp.flows.campaigns import start
from esp.flows.providers import providers_of
from esp.model.campaign import CampaignAction
from esp.ports.campaigns import AudienceChunk, AudienceMember, Campaign, NewDelivery, Variant

CHUNK = 4000  # people a step: a transaction of some tenths of a second, and batches enough for every worker

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
        most = app.settings.delivery.audience_backlog
        if await app.store.campaigns.backlog(campaign, most) < most:
            more |= await walk_step(app, campaign)
    return more


async def walk_step(app: App, campaign: Campaign, limit: int = CHUNK) -> bool:
    """Write the deliveries of the next ``limit`` people; False at the end, or where somebody else went on with it.

    A repeated step writes nobody twice: the cursor moves in the same transaction, and a contact is in a campaign once.
    """
    store = app.store.campaigns
    page = await store.next_members(campaign, app.clock.now(), limit)
    members = page.members
    chunk = AudienceChunk(campaign.walk_cursor, campaign.walk_until, True)
    if members:
        variants = (await store.get(campaign.workspace_id, campaign.id)).variants
        providers = await providers_of(app, {member.domain for member in members if member.reason is None})
        chunk = plan_chunk(campaign, members, variants, providers, app.settings.delivery.batch_size)
    if page.until is not None:
        chunk = AudienceChunk(campaign.walk_cursor, page.until, False, chunk.deliveries, chunk.batches)
    try:
        await store.write_chunk(campaign, chunk, app.clock.now())
    except ConflictError:
        return False
    await app.coordination.wake("outbox")
    return not chunk.done


def plan_chunk(
    campaign: Campaign, members: tuple[AudienceMember, ...], variants: tuple[Variant, ...], providers: dict[str, str],
    batch_size: int,
) -> AudienceChunk:
    """The last chunk of a walk over ``members``: a variant for each person, batches for those who will get it."""
    weights = [variant.edit.weight for variant in variants]
    batches, places = plan_batches([providers[it.domain] for it in members if it.reason is None], batch_size)
    place = iter(places)
    deliveries = [
        NewDelivery(
            it.contact_id, variants[cell(campaign.id, it.contact_id, weights)].id, it.address, it.domain,
            providers.get(it.domain, ""), it.reason, next(place) if it.reason is None else None,
        )
        for it in members
    ]
    return AudienceChunk(campaign.walk_cursor, campaign.walk_until, True, deliveries, batches)


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
