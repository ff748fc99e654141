"""Gates and meters: as many at once as the pace allows, no token twice, nobody left waiting at a closed door."""

import asyncio

from esp.adapters.local.coordination import LocalCoordination
from esp.flows.pacing import Gate, Meter
from esp.model.quantities import Rate
from esp.model.verdict import Permanence, Reason, Scope, Verdict
from esp.throttle.shaping import Shape

OK = Verdict(Scope.NONE, Permanence.SUCCESS, Reason.OK)
STORM = Verdict(Scope.SITE, Permanence.TRANSIENT, Reason.RATE_LIMITED)
UNREACHED = Verdict(Scope.SITE, Permanence.TRANSIENT, Reason.NETWORK)


class Turned:
    """Monotonic seconds that a test turns."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


async def test_no_more_at_once_than_the_pace_allows() -> None:
    gate = Gate(Shape("a", connections=3), 1, Turned())
    for _ in range(3):
        assert await gate.enter(2.0)
    fourth = asyncio.create_task(gate.enter(2.0))
    await asyncio.sleep(0)
    assert not fourth.done()
    gate.leave(OK)
    assert await fourth
    assert gate.in_flight == 3


async def test_processes_share_the_connections() -> None:
    assert Gate(Shape("a", connections=8), 4, Turned()).pace.maximum == 2
    assert Gate(Shape("a", connections=1), 4, Turned()).pace.maximum == 1


async def test_all_who_wait_learn_that_the_provider_wants_to_be_left_alone() -> None:
    clock = Turned()
    gate = Gate(Shape("a", connections=2), 1, clock)
    for _ in range(2):
        await gate.enter(2.0)
    waiting = [asyncio.create_task(gate.enter(2.0)) for _ in range(5)]
    await asyncio.sleep(0)
    gate.leave(UNREACHED)
    gate.leave(UNREACHED)
    assert await waiting[0]
    gate.leave(UNREACHED)  # the third in a row: the site is taken for dead
    assert gate.closed_for > 2.0
    async with asyncio.timeout(10):  # by being told, and not when their own patience is over
        assert await asyncio.gather(*waiting[1:]) == [False] * 4
    clock.now += gate.closed_for
    assert await gate.enter(2.0)  # one probe when the time is over


async def test_one_who_gives_up_waiting_leaves_no_trace() -> None:
    gate = Gate(Shape("a", connections=1), 1, Turned())
    await gate.enter(2.0)
    gone = asyncio.create_task(gate.enter(2.0))
    stays = asyncio.create_task(gate.enter(2.0))
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.gather(gone, return_exceptions=True)
    gate.abandon()
    assert await stays
    assert gate.in_flight == 1


async def test_meters_of_two_processes_share_one_rate() -> None:
    clock = Turned()

    class Clock:
        def monotonic(self) -> float:
            return clock()

    coordination = LocalCoordination(Clock())  # type: ignore[arg-type]
    meters = [Meter("campaign:1", Rate(10, 1), coordination) for _ in range(2)]
    used = 0

    async def use(meter: Meter) -> None:
        nonlocal used
        while True:
            await meter.token()
            used += 1

    tasks = [asyncio.create_task(use(meter)) for meter in meters]
    for _ in range(200):
        await asyncio.sleep(0)
    assert used == 10  # what the bucket held, however many ask
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_what_was_taken_and_not_used_goes_back() -> None:
    coordination = LocalCoordination()
    rate = Rate(100, 1000)
    meter = Meter("server", Rate(100, 1), coordination)
    await meter.token()
    await meter.close()
    left = await coordination.take("server", Rate(100, 1), 1000)
    assert left.tokens >= 99
    assert rate.burst == 1
