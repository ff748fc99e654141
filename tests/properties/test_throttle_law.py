"""The token bucket's law: never more than its rate allows, and the same in Redis' Lua as here."""

import asyncio

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis

from esp.adapters.redis.scripts import GIVE_BACK, TAKE
from esp.model.bucket import full, give_back, refilled, take
from esp.model.ids import new_public_id
from esp.model.quantities import Rate
from tests.services import RedisServer

RATES = st.builds(
    Rate, st.one_of(st.integers(1, 100_000).map(float), st.floats(0.1, 1e5)),
    st.sampled_from([1.0, 60.0, 3600.0, 86400.0]),
)
# (seconds that pass, negative for a clock that jumps back; tokens wanted; returned rather than taken?)
STEPS = st.lists(
    st.tuples(st.one_of(st.just(0.0), st.floats(-10, 5000)), st.integers(-2, 3000), st.booleans()),
    min_size=1, max_size=25,
)


@given(RATES, STEPS)
def test_no_window_gives_more_than_burst_and_rate(rate: Rate, steps: list[tuple[float, int, bool]]) -> None:
    now, given_out = 1000.0, 0
    bucket = full(rate, now)
    for passed, want, _ in steps:
        now += abs(passed)
        bucket, granted, wait = take(bucket, rate, want, now)
        given_out += granted
        assert 0 <= granted <= max(want, 0)
        assert (granted > 0) or want <= 0 or wait > 0
        assert given_out <= rate.burst + (now - 1000.0) * rate.per_second + 1e-6 * (1 + given_out)


@given(RATES, st.integers(1, 500))
def test_who_waits_as_long_as_told_gets_one(rate: Rate, want: int) -> None:
    bucket, _, _ = take(full(rate, 0.0), rate, 10**9, 0.0)
    _, granted, wait = take(bucket, rate, want, 0.0)
    assert granted == 0
    assert take(bucket, rate, want, wait * (1 + 1e-9) + 1e-6)[1] >= 1


@given(RATES, st.floats(0, 1e6))
def test_a_clock_that_jumps_back_neither_fills_nor_freezes(rate: Rate, jump: float) -> None:
    empty, _, _ = take(full(rate, 1e6), rate, 10**9, 1e6)
    back = refilled(empty, rate, 1e6 - jump)
    assert back.tokens == empty.tokens
    assert take(back, rate, 1, back.at + 2 / rate.per_second)[1] == 1


@given(rate=RATES, steps=STEPS)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_lua_obeys_the_same_law(redis_server: RedisServer, rate: Rate, steps: list[tuple[float, int, bool]]) -> None:
    async def both() -> None:
        redis = Redis.from_url(redis_server.url, decode_responses=True)
        key, now = "law:" + new_public_id(), 1_700_000_000.0
        bucket = None
        try:
            for passed, count, returned in steps:
                now += passed
                ours = [repr(now), repr(rate.amount), repr(rate.seconds), count]
                if returned:
                    await redis.eval(GIVE_BACK, 1, key, *ours, "known")
                    bucket = None if bucket is None else give_back(bucket, rate, count, now)
                    continue
                granted, wait = await redis.eval(TAKE, 1, key, *ours, "any")
                bucket, expected, expected_wait = take(bucket or full(rate, now), rate, count, now)
                assert granted == expected
                assert abs(float(wait) - expected_wait) <= 1e-9 * (1 + expected_wait)
        finally:
            await redis.delete(key)
            await redis.aclose()
    asyncio.run(both())
