"""Periodic work: each job by its own clock, on one node at a time, whatever one of them does."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

import structlog

from esp.app import App
from esp.model.ids import new_public_id

_LEASE: Final = 15.0  # seconds a node that died keeps the others from taking over
_LONGEST_WAIT: Final = 60.0  # after a failure

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Job:
    """``run`` is called every ``every`` seconds, and again at once for as long as it says that more work waits.

    A wake of the coordination topic ``wakes`` calls it early.
    """

    name: str
    every: float
    run: Callable[[App], Awaitable[bool]]
    wakes: str = ""


async def run(app: App, jobs: Sequence[Job], stop: asyncio.Event) -> None:
    """Run ``jobs`` until ``stop``, for as long as the lease ``scheduler`` is ours; wait for it otherwise.

    A job that raises is logged and called again after a growing wait; it never ends the loop, nor holds up the others.
    """
    owner = new_public_id()
    while not stop.is_set():
        if await app.coordination.lease("scheduler", owner, _LEASE) is None:
            await _pause(stop, _LEASE / 3)
            continue
        tasks = [asyncio.create_task(_repeat(app, job, stop)) for job in jobs]
        try:
            while not stop.is_set():
                await _pause(stop, _LEASE / 3)
                # Redis may have been emptied: whoever asks first then has the lease, and the other stops.
                if await app.coordination.lease("scheduler", owner, _LEASE) is None:
                    log.warning("scheduler lease lost")
                    break
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
    await app.coordination.release("scheduler", owner)


async def _repeat(app: App, job: Job, stop: asyncio.Event) -> None:
    failures = 0
    while not stop.is_set():
        try:
            more = await job.run(app)
            failures = 0
        except Exception as problem:
            more, failures = False, failures + 1
            log.error("job failed", job=job.name, failures=failures, exc_info=problem)
        if failures:
            await _pause(stop, min(_LONGEST_WAIT, job.every * 2 ** min(failures, 10)))
        elif more:
            await asyncio.sleep(0)  # the others have their turn
        elif job.wakes:
            await app.coordination.wait(job.wakes, job.every)
        else:
            await _pause(stop, job.every)


async def _pause(stop: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await stop.wait()
