"""The jobs that make digests: whose time has come, gathered once a period, its readers written like an audience."""

from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Final

from esp.app import App
from esp.errors import ConflictError
from esp.flows.digest_mail import freeze_digest, zone
from esp.flows.providers import providers_of
from esp.flows.walk import CHUNK, plan_chunk
from esp.model.preference import Cadence
from esp.ports.campaigns import AudienceChunk, Campaign, FrozenVariant
from esp.ports.digests import Waiting

HOUR: Final = time(7)  # in the workspace's time zone: before most people read their mail


def period_of(cadence: Cadence, time_zone: str, now: datetime) -> tuple[str, datetime]:
    """The newest period that has begun: its name (a date; a Monday's for weeks) and the moment it began, in UTC.

    A digest holds what was kept back before that moment, whenever the job comes to make it.
    """
    place = zone(time_zone)
    local = now.astimezone(place)
    day: date = local.date()
    if local.timetz().replace(tzinfo=None) < HOUR:
        day -= timedelta(days=1)
    if cadence is Cadence.WEEKLY:
        day -= timedelta(days=day.weekday())
    return day.isoformat(), datetime.combine(day, HOUR, place).astimezone(UTC)


async def make_due(app: App) -> bool:
    """Make every digest whose time has come; never True, for the next one is due in hours."""
    now = app.clock.now()
    made = False
    for place in await app.store.digests.waiting():
        for cadence in Cadence:
            period, begun = period_of(cadence, place.time_zone, now)
            if place.since < begun:
                made |= await _make(app, place, cadence, period, begun) is not None
    if made:
        await app.coordination.wake("digests")
    return False


async def _make(app: App, place: Waiting, cadence: Cadence, period: str, begun: datetime) -> Campaign | None:
    workspace = await app.store.accounts.workspace(place.workspace_id)
    kind = "Daily digest" if cadence is Cadence.DAILY else "Weekly digest"
    name = f"{kind} {period}"
    compiled = freeze_digest(cadence, workspace.name, workspace.postal_address, name)
    return await app.store.digests.make(
        place.workspace_id, cadence, period, begun, name, FrozenVariant(0, compiled), app.clock.now())


async def walk_digests(app: App) -> bool:
    """Write the deliveries of the next readers of every digest; True where more waits. It writes nobody twice."""
    more = False
    for digest in await app.store.digests.walking():
        more |= await _walk_step(app, digest)
    return more


async def _walk_step(app: App, digest: Campaign) -> bool:
    store = app.store
    most = app.settings.delivery.audience_backlog
    if await store.campaigns.backlog(digest, most) >= most:
        return False
    page = await store.digests.next_members(digest, app.clock.now(), CHUNK)
    chunk = AudienceChunk(digest.walk_cursor, digest.walk_until, True)
    if page.members:
        variants = (await store.campaigns.get(digest.workspace_id, digest.id)).variants
        providers = await providers_of(app, {member.domain for member in page.members if member.reason is None})
        chunk = plan_chunk(digest, page.members, variants, providers, app.settings.delivery.batch_size)
    if page.until is not None:
        chunk = replace(chunk, walk_to=page.until, done=False)
    try:
        await store.campaigns.write_chunk(digest, chunk, app.clock.now())
    except ConflictError:
        return False
    await app.coordination.wake("outbox")
    return not chunk.done


async def forget_old(app: App) -> bool:
    """Drop what is known of old digests; True where more waits."""
    return await app.store.digests.forget(app.clock.now() - app.settings.retention.digest_items) > 0
