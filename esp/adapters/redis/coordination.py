"""Coordination between nodes through Redis. Redis holds hints only: without it each process goes on by its own law."""

import asyncio
import contextlib
import time
from typing import Any, Final

import structlog
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, RedisError

from esp.adapters.local.coordination import LocalCoordination
from esp.adapters.redis.scripts import GIVE_BACK, LEASE, RELEASE, TAKE
from esp.model.quantities import Rate
from esp.ports.coordination import Grant

_log: Final = structlog.get_logger(__name__)
_QUIET: Final = 1.0  # seconds for which a Redis that failed is not asked again, so that sending does not wait for it
_TIMEOUT: Final = 1.0
_TROUBLE: Final = (RedisError, OSError, TimeoutError)


class RedisCoordination:
    """The Coordination port on ``url``; ``namespace`` keeps several installations in one Redis apart.

    While Redis does not answer, rates are kept by this process alone under the same law (so the bound is per process
    for a while) and leases are refused: two schedulers would be worse than none for a minute.
    """

    def __init__(self, url: str, namespace: str = "merpati") -> None:
        self._redis: Redis = Redis.from_url(
            url, socket_timeout=_TIMEOUT, socket_connect_timeout=_TIMEOUT, retry=Retry(NoBackoff(), 1),
            decode_responses=True,
        )
        self._prefix = namespace + ":"
        self._local = LocalCoordination()
        self._quiet_until = 0.0
        self._shas: dict[str, str] = {}
        self._listener: asyncio.Task[None] | None = None
        self._hearing = asyncio.Event()

    async def take(self, key: str, rate: Rate, want: int) -> Grant:
        """Up to ``want`` tokens of the bucket that all nodes share."""
        got = await self._try(TAKE, [self._prefix + "rate:" + key], [-1, rate.amount, rate.seconds, want, "any"])
        if got is None:
            return await self._local.take(key, rate, want)
        return Grant(int(got[0]), float(got[1]))

    async def give_back(self, key: str, rate: Rate, tokens: int) -> None:
        """Return unused tokens."""
        arguments = [-1, rate.amount, rate.seconds, tokens, "known"]
        if await self._try(GIVE_BACK, [self._prefix + "rate:" + key], arguments) is None:
            await self._local.give_back(key, rate, tokens)

    async def lease(self, name: str, owner: str, seconds: float) -> int | None:
        """Take or renew a lease; None where another holds it or Redis does not answer."""
        keys = [self._prefix + "lease:" + name, self._prefix + "fence"]
        got = await self._try(LEASE, keys, [owner, max(1, int(seconds * 1000))])
        return None if got is None else int(got)

    async def release(self, name: str, owner: str) -> None:
        """Give a lease up; where Redis does not answer, it runs out by itself."""
        await self._try(RELEASE, [self._prefix + "lease:" + name], [owner])

    async def wake(self, topic: str) -> None:
        """Wake all who wait for ``topic``, on every node; those of this process Redis or not."""
        if time.monotonic() >= self._quiet_until:
            try:
                await self._redis.publish(self._prefix + "wake:" + topic, "")
                if self._hearing.is_set():
                    return  # it comes back to us too, and would otherwise wake twice
            except _TROUBLE as error:
                self._note(error)
        await self._local.wake(topic)

    async def wait(self, topic: str, timeout: float) -> bool:
        """Wait for a wake from any node."""
        if self._listener is None:
            self._listener = asyncio.create_task(self._listen())
        if not self._hearing.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._hearing.wait(), min(timeout, _TIMEOUT))
        return await self._local.wait(topic, timeout)

    async def close(self) -> None:
        """Close the connections; who still waits is let go."""
        if self._listener is not None:
            self._listener.cancel()
            await asyncio.gather(self._listener, return_exceptions=True)
            self._listener = None
        await self._local.close()
        with contextlib.suppress(*_TROUBLE):
            await self._redis.aclose()

    async def _try(self, script: str, keys: list[str], arguments: list[Any]) -> Any:
        """What the script returned, or None where it returned nothing or Redis is in trouble."""
        if time.monotonic() < self._quiet_until:
            return None
        try:
            return await self._run(script, keys, arguments)
        except _TROUBLE as error:
            self._note(error)
            return None

    async def _run(self, script: str, keys: list[str], arguments: list[Any]) -> Any:
        for _ in range(2):
            sha = self._shas.get(script)
            if sha is None:
                sha = self._shas[script] = await self._redis.script_load(script)
            try:
                return await self._redis.evalsha(sha, len(keys), *keys, *map(str, arguments))
            except NoScriptError:
                self._shas.pop(script, None)  # a restarted or flushed Redis has forgotten it
        return None

    def _note(self, error: BaseException) -> None:
        self._quiet_until = time.monotonic() + _QUIET
        _log.warning("redis_unreachable", error=str(error) or type(error).__name__, now="this process alone")

    async def _listen(self) -> None:
        """Hand wakes from all nodes on, connecting again whenever the connection is lost."""
        said = False
        while True:
            try:
                async with self._redis.pubsub() as channel:
                    await channel.psubscribe(self._prefix + "wake:*")
                    while True:
                        message = await channel.get_message(timeout=30.0)
                        if message is None:
                            continue
                        if message["type"] == "psubscribe":
                            self._hearing.set()
                            said = False
                        elif message["type"] == "pmessage":
                            await self._local.wake(message["channel"].removeprefix(self._prefix + "wake:"))
            except _TROUBLE as error:
                self._hearing.clear()
                if not said:  # once, not every second of a night
                    said = True
                    _log.warning("redis_wakes_lost", error=str(error) or type(error).__name__)
                await asyncio.sleep(_QUIET)
