"""After a worker's death: what its journal knows is recorded, what it leaves in doubt is marked, the rest goes on."""

import asyncio
import random
from typing import Final

import structlog

from esp.app import App
from esp.errors import LeaseLostError
from esp.flows.outcomes import doubtful_outcome
from esp.model.contact import SuppressionReason
from esp.model.delivery import EventType
from esp.ports.journal import DeadJournal, Noted, OutcomeJournal
from esp.ports.outbox import ClaimedBatch, OutboxRow, Outcome

log = structlog.get_logger()


_A_MOMENT: Final = 0.1  # seconds between looks whether another worker has cleared up


async def recover(app: App, journal: OutcomeJournal, *, wait: bool = True) -> int:
    """Clear up after every dead worker of this machine; returns how many of their deliveries got an outcome.

    While another worker does that, ``wait`` for its end: a batch whose lease ran out meanwhile could be claimed before
    its outcomes are recorded, and everybody who has had the mail would get it once more.
    """
    while (found := journal.dead()) is None:
        if not wait:
            return 0
        await asyncio.sleep(_A_MOMENT)
    recorded = 0
    for dead in found:
        for batch in await app.store.outbox.leased_to(dead.owner):
            recorded += await _clear_up(app, dead, batch)
        journal.bury(dead)
        await app.coordination.wake("outbox")
    return recorded


async def _clear_up(app: App, dead: DeadJournal, batch: ClaimedBatch) -> int:
    rows = {row.delivery_id: row for row in await app.store.outbox.load(batch, app.clock.now())}
    outcomes = [
        _outcome(app, rows[noted.delivery_id], noted) for noted in dead.noted
        if noted.batch_id == batch.id and noted.fence == batch.fence and noted.delivery_id in rows
    ]
    log.warning("worker died", owner=dead.owner, batch=batch.id, campaign=batch.campaign_id, outcomes=len(outcomes),
                doubtful=sum(outcome.maybe_duplicate for outcome in outcomes), journal_complete=dead.complete)
    try:
        await app.store.outbox.record(batch, outcomes, app.clock.now(), finished=True, rest_doubtful=not dead.complete)
    except LeaseLostError:
        return 0  # somebody has taken it over since, and has marked everything in it
    return len(outcomes)


def _outcome(app: App, row: OutboxRow, noted: Noted) -> Outcome:
    if noted.outcome is None:
        jitter = random.random()  # noqa: S311 - spreads retries, guards nothing
        return doubtful_outcome(row, app.clock.now(), app.settings.delivery, jitter)
    said = dict(noted.outcome)
    said["type"] = EventType(str(said["type"]))
    if said["suppress"] is not None:
        said["suppress"] = SuppressionReason(str(said["suppress"]))
    return Outcome(row, **said)  # type: ignore[arg-type]
