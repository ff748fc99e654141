"""The scheduler: a job that fails holds up nobody, more work is done at once, one node at a time."""

import asyncio
from typing import Any, cast

from esp.adapters.local.coordination import LocalCoordination
from esp.app import App
from esp.entry.scheduler import Job, run


class Node:
    """As much of an App as the scheduler sees."""

    def __init__(self, coordination: LocalCoordination) -> None:
        self.coordination = coordination


async def test_a_failing_job_neither_ends_the_loop_nor_holds_up_another() -> None:
    stop, failed, worked = asyncio.Event(), asyncio.Semaphore(0), asyncio.Semaphore(0)

    async def bad(_: App) -> bool:
        failed.release()
        raise RuntimeError("broken")

    async def good(_: App) -> bool:
        worked.release()
        return True

    app = cast(App, cast(Any, Node(LocalCoordination())))
    async with asyncio.timeout(20):
        task = asyncio.create_task(run(app, [Job("bad", 0.001, bad), Job("good", 0.001, good)], stop))
        for calls in (failed, failed, failed, *[worked] * 50):
            await calls.acquire()
        stop.set()
        await task


async def test_a_wake_calls_a_job_early() -> None:
    stop, called = asyncio.Event(), asyncio.Semaphore(0)

    async def job(_: App) -> bool:
        called.release()
        return False

    coordination = LocalCoordination()
    app = cast(App, cast(Any, Node(coordination)))
    async with asyncio.timeout(20):
        task = asyncio.create_task(run(app, [Job("walk", 3600, job, wakes="walk")], stop))
        await called.acquire()
        while called.locked():
            await coordination.wake("walk")
            await asyncio.sleep(0)
        stop.set()
        await coordination.wake("walk")
        await task


async def test_two_nodes_never_run_the_jobs_together() -> None:
    stop, running, called = asyncio.Event(), set[str](), asyncio.Semaphore(0)

    def job_of(node: str) -> Job:
        async def job(_: App) -> bool:
            running.add(node)
            called.release()
            return True

        return Job("walk", 0.001, job)

    app = cast(App, cast(Any, Node(LocalCoordination())))
    async with asyncio.timeout(20):
        tasks = [asyncio.create_task(run(app, [job_of(node)], stop)) for node in ("one", "two")]
        for _ in range(100):
            await called.acquire()
        stop.set()
        await asyncio.gather(*tasks)
    assert len(running) == 1
