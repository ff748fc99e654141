"""One contract for every Coordination: in process, over Redis, and through the parent's socket."""

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from esp.adapters.local.coordination import LocalCoordination
from esp.adapters.redis.coordination import RedisCoordination
from esp.adapters.socket import CoordinationServer, SocketCoordination
from esp.model.ids import new_public_id
from esp.model.quantities import Rate
from esp.ports.coordination import Coordination
from tests.services import RedisServer, free_port

SLOW = Rate(10, 3600)  # so slow that no token comes back while a test runs
TEN = Rate(36_000, 3600)  # a burst of ten


@pytest.fixture
def folder() -> Iterator[Path]:
    """A short path: a Unix socket's name is at most some hundred octets."""
    folder = Path(tempfile.mkdtemp(prefix="mrp"))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(params=["local", "redis", "socket"])
async def pair(request: pytest.FixtureRequest, folder: Path) -> AsyncIterator[tuple[Coordination, Coordination]]:
    """The same coordination as two processes (or two tasks of one) see it."""
    opened: list[Coordination] = []
    server = None
    if request.param == "local":
        only = LocalCoordination()
        opened = [only, only]
    elif request.param == "redis":
        redis: RedisServer = request.getfixturevalue("redis_server")
        name = new_public_id()
        opened = [RedisCoordination(redis.url, name), RedisCoordination(redis.url, name)]
    else:
        shared = LocalCoordination()
        server = CoordinationServer(shared, folder / "s")
        await server.start()
        opened = [SocketCoordination(folder / "s"), SocketCoordination(folder / "s")]
    yield opened[0], opened[1]
    for each in opened:
        await each.close()
    if server is not None:
        await server.close()


Pair = tuple[Coordination, Coordination]


async def test_a_bucket_starts_full_and_both_take_from_the_same(pair: Pair) -> None:
    first, second = pair
    assert (await first.take("k", TEN, 6)).tokens == 6
    assert (await second.take("k", TEN, 6)).tokens in (4, 5)  # a moment may have passed


async def test_an_empty_bucket_says_how_long_to_wait(pair: Pair) -> None:
    first, second = pair
    assert (await first.take("k", SLOW, 5)).tokens == 1
    grant = await second.take("k", SLOW, 5)
    assert grant.tokens == 0
    assert 300 < grant.wait <= 360


async def test_buckets_are_apart(pair: Pair) -> None:
    first, _ = pair
    await first.take("a", SLOW, 1)
    assert (await first.take("b", SLOW, 1)).tokens == 1


async def test_what_is_given_back_can_be_taken(pair: Pair) -> None:
    first, second = pair
    await first.take("k", SLOW, 1)
    await first.give_back("k", SLOW, 1)
    assert (await second.take("k", SLOW, 1)).tokens == 1


async def test_no_more_than_a_full_bucket_can_be_given_back(pair: Pair) -> None:
    first, _ = pair
    await first.take("k", SLOW, 1)
    await first.give_back("k", SLOW, 100)
    await first.give_back("new", SLOW, 100)
    assert [(await first.take(key, SLOW, 9)).tokens for key in ("k", "new")] == [1, 1]


async def test_nothing_and_less_than_nothing_take_nothing(pair: Pair) -> None:
    first, _ = pair
    assert (await first.take("k", SLOW, 0)).tokens == 0
    assert (await first.take("k", SLOW, -5)).tokens == 0
    assert (await first.take("k", SLOW, 1)).tokens == 1


async def test_askers_at_once_never_get_more_than_there_is(pair: Pair) -> None:
    rate = Rate(50, 3600 * 50)
    grants = await asyncio.gather(*(pair[n % 2].take("k", rate, 1) for n in range(40)))
    assert sum(grant.tokens for grant in grants) == 1


async def test_a_lease_has_one_holder(pair: Pair) -> None:
    first, second = pair
    fence = await first.lease("scheduler", "one", 30)
    assert fence is not None
    assert await second.lease("scheduler", "two", 30) is None
    assert await first.lease("scheduler", "one", 30) == fence  # renewed, not taken anew


async def test_a_lease_given_up_goes_to_the_next_with_a_higher_fence(pair: Pair) -> None:
    first, second = pair
    fence = await first.lease("scheduler", "one", 30)
    await second.release("scheduler", "two")  # not its own: does nothing
    assert await second.lease("scheduler", "two", 30) is None
    await first.release("scheduler", "one")
    later = await second.lease("scheduler", "two", 30)
    assert fence is not None
    assert later is not None
    assert later > fence


async def eventually(ask: Callable[[], Awaitable[int | None]]) -> int:
    async with asyncio.timeout(20):
        while True:
            got = await ask()
            if got is not None:
                return got
            await asyncio.sleep(0.02)


async def test_a_lease_runs_out(pair: Pair) -> None:
    first, second = pair
    fence = await first.lease("scheduler", "one", 0.05)
    later = await eventually(lambda: second.lease("scheduler", "two", 30))
    assert fence is not None
    assert later > fence
    assert await first.lease("scheduler", "one", 30) is None  # the zombie learns that it lost


async def test_a_wake_reaches_who_waits(pair: Pair) -> None:
    first, _ = pair
    waiting = [asyncio.create_task(each.wait("work", 20)) for each in pair]
    while not all(task.done() for task in waiting):
        await first.wake("work")
        await asyncio.sleep(0.01)
    assert [task.result() for task in waiting] == [True, True]


async def test_a_wake_for_something_else_wakes_nobody(pair: Pair) -> None:
    first, second = pair
    waiting = asyncio.create_task(second.wait("work", 0.3))
    for _ in range(5):
        await first.wake("other")
        await asyncio.sleep(0.01)
    assert await waiting is False


async def test_closing_lets_go_who_waits(folder: Path) -> None:
    only = LocalCoordination()
    waiting = asyncio.create_task(only.wait("work", 60))
    await asyncio.sleep(0)
    await only.close()
    assert await waiting is True


# Redis comes and goes.


async def test_a_flush_of_redis_costs_a_bucket_and_no_fence_goes_back(redis_server: RedisServer) -> None:
    ours = RedisCoordination(redis_server.url, new_public_id())
    try:
        fence = await ours.lease("scheduler", "one", 30)
        await ours.take("k", SLOW, 1)
        await ours._redis.flushall()
        await ours._redis.script_flush()
        assert (await ours.take("k", SLOW, 1)).tokens == 1
        later = await ours.lease("scheduler", "two", 30)
        assert fence is not None
        assert later is not None
        assert later > fence
    finally:
        await ours.close()


async def test_redis_keys_expire_and_carry_the_namespace(redis_server: RedisServer) -> None:
    name = new_public_id()
    ours = RedisCoordination(redis_server.url, name)
    try:
        await ours.take("k", SLOW, 1)
        await ours.lease("l", "one", 30)
        keys = [key async for key in ours._redis.scan_iter(match=name + ":*")]
        kept = {key.removeprefix(name): await ours._redis.pttl(key) for key in keys}
        assert set(kept) == {":rate:k", ":lease:l", ":fence"}
        assert kept[":rate:k"] > 0
        assert kept[":lease:l"] > 0
    finally:
        await ours.close()


async def test_without_redis_rates_are_kept_here_and_leases_refused() -> None:
    ours = RedisCoordination(f"redis://127.0.0.1:{free_port()}/0")
    try:
        assert (await ours.take("k", SLOW, 5)).tokens == 1
        assert (await ours.take("k", SLOW, 5)).tokens == 0
        await ours.give_back("k", SLOW, 1)
        assert (await ours.take("k", SLOW, 5)).tokens == 1
        assert await ours.lease("scheduler", "one", 30) is None
        await ours.release("scheduler", "one")
        waiting = asyncio.create_task(ours.wait("work", 20))
        while not waiting.done():
            await ours.wake("work")
            await asyncio.sleep(0.01)
        assert waiting.result() is True
    finally:
        await ours.close()


async def test_redis_that_comes_back_is_used_again() -> None:
    server = RedisServer.start()
    ours = RedisCoordination(server.url, new_public_id())
    again = None
    try:
        assert await ours.lease("scheduler", "one", 30) is not None
        waiting = asyncio.create_task(ours.wait("work", 60))
        server.stop()
        assert await ours.lease("scheduler", "two", 30) is None
        assert (await ours.take("k", SLOW, 1)).tokens == 1
        again = RedisServer.start(server.port)
        assert await eventually(lambda: ours.lease("scheduler", "two", 30)) is not None
        other = RedisCoordination(again.url, ours._prefix.rstrip(":"))
        while not waiting.done():
            await other.wake("work")
            await asyncio.sleep(0.02)
        await other.close()
    finally:
        await ours.close()
        if again is not None:
            again.stop()


# The parent comes and goes.


async def test_children_of_a_lost_parent_go_on_alone_and_find_a_new_one(folder: Path) -> None:
    server = CoordinationServer(LocalCoordination(), folder / "s")
    await server.start()
    child = SocketCoordination(folder / "s")
    try:
        assert await child.lease("scheduler", "one", 30) is not None
        waiting = asyncio.create_task(child.wait("work", 30))
        await asyncio.sleep(0)
        await server.close()
        assert await child.lease("scheduler", "one", 30) is None
        assert (await child.take("k", SLOW, 5)).tokens == 1
        assert (await child.take("k", SLOW, 5)).tokens == 0
        await child.wake("work")
        assert await waiting is True
        server = CoordinationServer(LocalCoordination(), folder / "s")
        await server.start()
        assert await eventually(lambda: child.lease("scheduler", "one", 30)) is not None
    finally:
        await child.close()
        await server.close()


async def test_a_child_that_talks_nonsense_is_hung_up_on(folder: Path) -> None:
    server = CoordinationServer(LocalCoordination(), folder / "s")
    await server.start()
    child = SocketCoordination(folder / "s")
    try:
        for nonsense in (b"GET / HTTP/1.1\r\n\r\n", b'[1,"drop"]\n', b'{"a":1}\n', b"x" * 200_000 + b"\n"):
            reader, writer = await asyncio.open_unix_connection(str(folder / "s"))
            writer.write(nonsense)
            assert await reader.read() == b""
            writer.close()
        assert (await child.take("k", SLOW, 1)).tokens == 1
    finally:
        await child.close()
        await server.close()


async def test_the_socket_is_for_its_owner_only_and_replaces_a_dead_one(folder: Path) -> None:
    (folder / "s").touch()
    server = CoordinationServer(LocalCoordination(), folder / "s")
    await server.start()
    try:
        assert (folder / "s").stat().st_mode & 0o777 == 0o600
    finally:
        await server.close()
