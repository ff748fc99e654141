"""How contacts listen: events folded, the model fitted to each workspace, what it says kept, levels moved.

``keep_listening`` runs every few seconds and only looks at whom something happened to; ``look_again`` once a day fits
the model anew, and then everybody's level is looked at, for what the model says of an old history may have changed.
"""

import asyncio
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final
from zoneinfo import ZoneInfo

import structlog

from esp.app import App
from esp.model.listening import Level
from esp.ports.listening import NewFit
from tracking.aside import aside
from tracking.listening_model import fitted_and_scored, odds_of
from tracking.listening_report import make_report
from tracking.science.alive import Rates
from tracking.science.alive_fit import PRIOR_RATES

log = structlog.get_logger("listening")

_EVENTS: Final = 20_000  # a step of the fold
_CONTACTS: Final = 20_000  # a step of a look at everybody
_REBUILT: Final = 1_000
REFIT_EVERY: Final = timedelta(days=1)


async def rates_of(app: App, workspace_id: int) -> Rates:
    """The latest fit's; before there is one, what is believed beforehand."""
    known = await app.store.listening.fit(workspace_id)
    return Rates(*known.rates) if known else PRIOR_RATES


async def keep_listening(app: App) -> bool:
    """Fold the next events and look at whom they touched; True where more can be read at once."""
    store = app.store.listening
    folded = await store.fold(_EVENTS, app.clock.now())
    if folded.touched:
        for workspace_id, some in (await store.unscored(folded.touched)).items():
            rates = await rates_of(app, workspace_id)
            await store.score(workspace_id, await asyncio.to_thread(odds_of, rates, some))
        await store.relevel(folded.touched, app.clock.now())
    return folded.more


async def catch_up(app: App) -> int:
    """Fold everything there is now, for commands; returns how many contacts were touched."""
    touched = 0
    while True:
        step = await app.store.listening.fold(_EVENTS, app.clock.now())
        touched += len(step.touched)
        if not step.behind and not step.more:
            return touched
        if not step.more:
            await asyncio.sleep(0.1)  # others still write


# ---- the model


@dataclass(frozen=True, slots=True)
class Refitted:
    """``histories`` are how many different ones there are; ``moved`` how many contacts changed their level."""

    fit: NewFit
    histories: int
    moved: int
    levels: dict[Level, int]


async def refit(app: App, workspace_id: int) -> Refitted:
    """Fit the model to a workspace, keep what it says of every history, and look at everybody's level."""
    store, now = app.store.listening, app.clock.now()
    histories = await store.histories(workspace_id)
    last = await store.fit(workspace_id)
    made, odds = await aside(fitted_and_scored, now, histories, await store.times(workspace_id),
                             last.rates if last and last.people else None)
    await store.score(workspace_id, odds, replace=True)
    await store.keep_fit(workspace_id, made)
    moved = await look_at_everybody(app, workspace_id)
    levels = await store.count_levels(workspace_id, await today(app, workspace_id))
    return Refitted(made, len(histories), moved, levels)


async def today(app: App, workspace_id: int) -> date:
    """The day, where the workspace is."""
    workspace = await app.store.accounts.workspace(workspace_id)
    return app.clock.now().astimezone(ZoneInfo(workspace.time_zone or "UTC")).date()


async def look_at_everybody(app: App, workspace_id: int) -> int:
    """Move everybody to the level where they belong, a portion a transaction; returns how many moved."""
    last, total = 0, 0
    while True:
        last, moved = await app.store.listening.relevel_some(workspace_id, last, _CONTACTS, app.clock.now())
        total += moved
        if not last:
            return total


async def look_again(app: App) -> bool:
    """Refit one workspace whose last fit is a day old, and write its report; True where others wait."""
    due = []
    for workspace in await app.store.accounts.workspaces():
        last = await app.store.listening.fit(workspace.id)
        if last is None or app.clock.now() - last.at >= REFIT_EVERY:
            due.append(workspace.id)
    if not due:
        return False
    done = await refit(app, due[0])
    await make_report(app, due[0])
    log.info("listeners looked at", workspace=due[0], people=done.fit.people, histories=done.histories,
             moved=done.moved)
    return len(due) > 1


async def rebuild(app: App, workspace_id: int) -> int:
    """Count every contact anew from all of their events, a portion a transaction; returns how many there are."""
    await catch_up(app)
    last, total = 0, 0
    while True:
        last, some = await app.store.listening.rebuild(workspace_id, last, _REBUILT)
        total += some
        if not last:
            return total
