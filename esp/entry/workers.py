"""The parent of the sending processes: starts them, starts them again when they die, lets them drain at the end."""

import asyncio
import contextlib
import os
import sys
import time
from pathlib import Path
from typing import Any, Final

import orjson
import structlog

from esp import wiring
from esp.app import App
from esp.entry.scratch import scratch
from esp.settings import dump

_DRAIN: Final = 30.0  # seconds a process may take to end after SIGTERM
_SHORTEST_LIFE: Final = 10.0  # a process that lives shorter is started again only after a growing wait
_LONGEST_WAIT: Final = 60.0

log = structlog.get_logger()


class WorkerPool:
    """``count`` sending processes of one server. ``figures`` holds what those that ended said about themselves.

    ``precise``: see Stopwatch.
    """

    def __init__(self, app: App, count: int | None = None, precise: bool = False) -> None:
        self._app, self._precise = app, precise
        self._count = app.settings.server.workers if count is None else count
        self._processes: dict[int, asyncio.subprocess.Process] = {}
        self.figures: list[dict[str, Any]] = []

    @property
    def pids(self) -> tuple[int, ...]:
        """Process ids of those that live now."""
        return tuple(process.pid for process in self._processes.values() if process.returncode is None)

    async def run(self, stop: asyncio.Event) -> None:
        """Keep the processes alive until ``stop`` is set, then end them, each by its own id."""
        # A socket's path has 108 octets at most, so it cannot lie in data_dir.
        with scratch() as folder:
            server = wiring.coordination_server(self._app, folder / "coordination")
            await server.start()
            try:
                async with asyncio.TaskGroup() as keepers:
                    for number in range(self._count):
                        keepers.create_task(self._keep(number, folder / "coordination", stop))
            finally:
                await server.close()

    async def _keep(self, number: int, socket: Path, stop: asyncio.Event) -> None:
        wait = 0.0
        while not stop.is_set():
            began = time.monotonic()
            process = await self._start(number, socket)
            await self._watch(process, stop)
            if stop.is_set():
                return
            wait = 0.0 if time.monotonic() - began > _SHORTEST_LIFE else min(_LONGEST_WAIT, wait * 2 or 0.5)
            log.error("worker died", number=number, pid=process.pid, code=process.returncode, again_in=wait)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await stop.wait()

    async def _start(self, number: int, socket: Path) -> asyncio.subprocess.Process:
        handed = {"settings": dump(self._app.settings), "workers": self._count, "coordination": str(socket),
                  "precise": self._precise}  # fmt: skip
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "esp.entry.worker_main",
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
            # glibc gives each database thread an arena of its own, whose free memory the others cannot use.
            env={"MALLOC_ARENA_MAX": "2", **os.environ},
        )  # fmt: skip
        self._processes[number] = process
        assert process.stdin is not None
        # Secrets go through the pipe: a command line or an environment can be read by others. The pipe stays open, so
        # that the child sees when we are gone.
        process.stdin.write(orjson.dumps(handed) + b"\n")
        with contextlib.suppress(ConnectionError):
            await process.stdin.drain()
        return process

    async def _watch(self, process: asyncio.subprocess.Process, stop: asyncio.Event) -> None:
        """Wait until the process ends, by itself or because of ``stop``; note what it says at its end."""
        assert process.stdout is not None
        reading = asyncio.create_task(process.stdout.read())
        stopping = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait((reading, stopping), return_when=asyncio.FIRST_COMPLETED)
            if not reading.done():
                process.terminate()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_DRAIN):
                        await asyncio.shield(reading)
        finally:
            stopping.cancel()
            if process.returncode is None and not reading.done():
                process.kill()
            said = await reading
            await process.wait()
            if process.stdin is not None:
                process.stdin.close()
        with contextlib.suppress(orjson.JSONDecodeError, IndexError):
            self.figures.append(orjson.loads(said.splitlines()[-1]))
