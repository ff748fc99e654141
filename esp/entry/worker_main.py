"""The sending process itself: ``python -m esp.entry.worker_main``, its settings as JSON on standard input.

It sends until SIGTERM (or until its parent is gone, which closes its standard input), then drains, and prints one JSON
object with what it did.
"""

import asyncio
import gc
import os
import resource
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import orjson
import uvloop

from esp import wiring
from esp.entry.worker import Worker
from esp.flows.stopwatch import Stopwatch
from esp.log import configure
from esp.settings import load


async def work(handed: dict[str, Any]) -> dict[str, Any]:
    """Run one worker with ``handed`` = ``{"settings", "workers", "coordination", "precise"}``; returns its figures."""
    settings = load(**handed["settings"])
    configure(settings.log)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    loop.add_reader(sys.stdin.fileno(), _parent_gone, loop, stop)
    coordination = wiring.shared_coordination(Path(handed["coordination"]))
    app = await wiring.build(settings, migrate=False, coordination=coordination)
    try:
        engine = wiring.build_engine(app, handed["workers"], Stopwatch(handed["precise"]))
        try:
            # Everything made so far stays: the collector need not look at it again and again. A batch leaves some two
            # hundred objects that only the collector frees (SQLAlchemy's statements), so it comes every few thousand
            # messages and takes a third of a millisecond; at 50,000 objects it kept ten megabytes of them.
            gc.freeze()
            gc.set_threshold(5_000, 10, 10)
            worker = Worker(engine)
            cpu_before, thread_before = time.process_time(), time.thread_time()
            await worker.run(stop)
        finally:
            await engine.close()
            engine.journal.close()
    finally:
        await app.close()
    return {
        "batches": worker.batches_done, "stages": dict(engine.stopwatch.nanoseconds),
        "cpu": time.process_time() - cpu_before, "thread_cpu": time.thread_time() - thread_before,
        "rss_kb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
    }


def _parent_gone(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    if not os.read(sys.stdin.fileno(), 4096):
        loop.remove_reader(sys.stdin.fileno())
        stop.set()


def main() -> None:
    """Read the settings, work, print the figures."""
    handed = orjson.loads(sys.stdin.buffer.readline())
    figures = uvloop.run(work(handed))
    with suppress(BrokenPipeError):  # where the parent was killed, nobody listens
        os.write(sys.stdout.fileno(), orjson.dumps(figures) + b"\n")


if __name__ == "__main__":
    main()
