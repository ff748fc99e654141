"""The jobs that make digests: whose time has come, gathered once a period, its readers written like an audience."""

from datetime import UTC, date, datetime, time, timedelta
from typing import Final

from esp.app import App
from esp.flows.digest_mail import freeze_digest, zone
from esp.model.preference import Cadence
from esp.ports.campaigns import Campaign, FrozenVariant
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
    # What waits may be for the other cadence, or for somebody who pauses: that is asked every half minute.
    if await app.store.digests.is_made(place.workspace_id, cadence, period):
        return None
    workspace = await app.store.accounts.workspace(place.workspace_id)
    kind = "Daily digest" if cadence is Cadence.DAILY else "Weekly digest"
    name = f"{kind} {period}"
    compiled = freeze_digest(cadence, workspace.name, workspace.postal_address, name)
    return await app.store.digests.make(
        place.workspace_id, cadence, period, begun, name, FrozenVariant(0, compiled), app.clock.now())


async def forget_old(app: App) -> bool:
    """Drop what is known of old digests; True where more waits."""
    return await app.store.digests.forget(app.clock.now() - app.settings.retention.digest_items) > 0
