"""Appending to the journal: callers never wait for the disk unless they ask to, and memory is bounded."""

import asyncio
import contextlib
import fcntl
import os
import time
from collections import deque
from pathlib import Path
from typing import Final

from esp.model.ids import new_public_id

_FLUSH_AFTER: Final = 0.1  # seconds that a line may stay in memory: what a kill can lose
_RETRY_AFTER: Final = 1.0


class JournalWriter:
    """One process's journal. ``file_limit`` and ``folder_limit`` are octets, ``buffer_limit`` is lines."""

    def __init__(
        self, folder: Path, *, file_limit: int = 64 << 20, folder_limit: int = 2 << 30, buffer_limit: int = 50_000
    ) -> None:
        self._folder = folder
        self._file_limit = file_limit
        self._folder_limit = folder_limit
        self._buffer_limit = buffer_limit
        self._buffer: deque[bytes] = deque()
        self._waiting: list[asyncio.Future[None]] = []
        self._descriptor = -1
        self._size = 0
        self._torn = False
        self._full = False
        self._look_again = 0.0
        self._added = asyncio.Event()
        self._urgent = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.shed = 0  # lines dropped because the disk or the memory was full

    async def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="journal")

    async def stop(self) -> None:
        """Write what is left, and let the file go."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None
        with contextlib.suppress(OSError):
            await self._flush()
        for waiter in self._waiting:
            waiter.cancel()
        self._close()

    def add(self, line: bytes, *, precious: bool = True) -> bool:
        """Have ``line`` written within a tenth of a second. False where it was shed.

        Under a flood that the disk cannot take, lines that are not ``precious`` (opens) go first, then all others.
        """
        full = self._full and time.monotonic() < self._look_again
        if full or len(self._buffer) >= (self._buffer_limit if precious else self._buffer_limit // 2):
            self.shed += 1
            return False
        self._buffer.append(line)
        self._added.set()
        return True

    async def add_durably(self, line: bytes) -> None:
        """Return once ``line`` is on the disk. It is never shed: it is somebody's word, not a count."""
        self._buffer.append(line)
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        self._added.set()
        self._urgent.set()
        await waiter

    async def _run(self) -> None:
        while True:
            await self._added.wait()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._urgent.wait(), _FLUSH_AFTER)
            self._added.clear()
            self._urgent.clear()
            try:
                await self._flush()
            except OSError:
                # A full disk: what is in memory stays there, and the mail's links go on working.
                await asyncio.sleep(_RETRY_AFTER)
                self._added.set()

    async def _flush(self) -> None:
        if not self._buffer:
            return
        lines, waiting = list(self._buffer), list(self._waiting)
        # Shielded: a cancelled flush would otherwise go on in its thread while another starts.
        writing = asyncio.ensure_future(asyncio.to_thread(self._write, b"".join(lines)))
        try:
            await asyncio.shield(writing)
        except asyncio.CancelledError:
            await writing
            self._written(len(lines), waiting)
            raise
        self._written(len(lines), waiting)

    def _written(self, lines: int, waiting: list[asyncio.Future[None]]) -> None:
        for _ in range(lines):
            self._buffer.popleft()
        for waiter in waiting:
            self._waiting.remove(waiter)
            if not waiter.done():
                waiter.set_result(None)

    def _write(self, data: bytes) -> None:
        """All of ``data`` onto the disk, or OSError; then nothing of it counts, and it comes again."""
        if self._full:
            self._measure()
        if self._descriptor < 0 or self._size >= self._file_limit:
            self._open()
        # A write that failed half way left half a line; a line break ends it, and the reader skips it.
        left = memoryview(b"\n" + data if self._torn else data)
        start = os.fstat(self._descriptor).st_size
        self._torn = True
        try:
            while left:
                left = left[os.write(self._descriptor, left):]
            os.fdatasync(self._descriptor)
        except OSError:
            with contextlib.suppress(OSError):
                # Without this the lines that did get through would be counted twice when they come again.
                os.ftruncate(self._descriptor, start)
                self._torn = False
            raise
        self._torn = False
        self._size += len(data)

    def _open(self) -> None:
        self._close()
        self._folder.mkdir(parents=True, exist_ok=True)
        self._measure()
        name = f"edge-{new_public_id()}.jsonl"
        # Locked before it has its name, so that no reader can take it for finished.
        fresh = self._folder / f".{name}"
        self._descriptor = os.open(fresh, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        fresh.rename(self._folder / name)
        self._size = 0
        self._torn = False

    def _measure(self) -> None:
        """Shed lines where the fold has not been able to empty the folder for long; look again in a second."""
        used = 0
        for path in self._folder.glob("edge-*.jsonl"):
            with contextlib.suppress(FileNotFoundError):
                used += path.stat().st_size
        self._full = used >= self._folder_limit
        self._look_again = time.monotonic() + _RETRY_AFTER

    def _close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
