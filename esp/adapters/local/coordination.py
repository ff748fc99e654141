"""Coordination within one process: buckets, leases and wake-ups in memory."""

import asyncio
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from esp.model.bucket import Bucket, full, give_back, take
from esp.model.quantities import Rate
from esp.ports.clock import Clock, SystemClock
from esp.ports.coordination import Grant

_MOST_BUCKETS: Final = 100_000  # keys come from recipients' domains; what is forgotten starts with a full bucket again


@dataclass(slots=True)
class _Lease:
    owner: str
    until: float
    fence: int


class LocalCoordination:
    """Shared by all tasks of one process. Time is the clock's monotonic seconds: no jump of the wall clock matters."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._now = (clock or SystemClock()).monotonic
        self._buckets: OrderedDict[str, Bucket] = OrderedDict()
        self._leases: dict[str, _Lease] = {}
        self._fence = 0
        self._waiters: dict[str, set[asyncio.Future[bool]]] = {}

    async def take(self, key: str, rate: Rate, want: int) -> Grant:
        """Up to ``want`` tokens of the bucket ``key``."""
        now = self._now()
        bucket, granted, wait = take(self._buckets.get(key) or full(rate, now), rate, want, now)
        self._keep(key, bucket)
        return Grant(granted, wait)

    async def give_back(self, key: str, rate: Rate, tokens: int) -> None:
        """Return unused tokens; a bucket that was forgotten meanwhile is full anyway."""
        bucket = self._buckets.get(key)
        if bucket is not None:
            self._keep(key, give_back(bucket, rate, tokens, self._now()))

    def _keep(self, key: str, bucket: Bucket) -> None:
        self._buckets[key] = bucket
        self._buckets.move_to_end(key)
        if len(self._buckets) > _MOST_BUCKETS:
            self._buckets.popitem(last=False)

    async def lease(self, name: str, owner: str, seconds: float) -> int | None:
        """Take or renew ``name``; the fence number grows with every new holding, also by one who lost it meanwhile."""
        now = self._now()
        held = self._leases.get(name)
        if held is not None and held.until > now:
            if held.owner != owner:
                return None
            held.until = now + seconds
            return held.fence
        self._fence += 1
        self._leases[name] = _Lease(owner, now + seconds, self._fence)
        return self._fence

    async def release(self, name: str, owner: str) -> None:
        """Give ``name`` up where ``owner`` holds it."""
        held = self._leases.get(name)
        if held is not None and held.owner == owner:
            del self._leases[name]

    async def wake(self, topic: str) -> None:
        """Wake all who wait for ``topic`` now."""
        for waiter in self._waiters.pop(topic, ()):
            if not waiter.done():
                waiter.set_result(True)

    async def wait(self, topic: str, timeout: float) -> bool:
        """Wait for the next ``wake``; False after ``timeout`` seconds."""
        waiter: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiters.setdefault(topic, set()).add(waiter)
        try:
            async with asyncio.timeout(timeout):
                return await waiter
        except TimeoutError:
            return False
        finally:
            waiting = self._waiters.get(topic)
            if waiting is not None:
                waiting.discard(waiter)
                if not waiting:
                    del self._waiters[topic]

    async def close(self) -> None:
        """Let everybody go who still waits."""
        for topic in list(self._waiters):
            await self.wake(topic)
