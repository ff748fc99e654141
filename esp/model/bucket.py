"""The one law of rates: a token bucket on Rate, the same in process, over the socket and in Redis' Lua.

Pure: the time is always handed in. ``tests/properties/test_throttle_law.py`` holds the Lua copy equal to this one.
"""

import math
from dataclasses import dataclass

from esp.model.quantities import Rate


@dataclass(frozen=True, slots=True)
class Bucket:
    """``tokens`` at the moment ``at`` (seconds of whatever clock the owner uses)."""

    tokens: float
    at: float


def full(rate: Rate, now: float) -> Bucket:
    """A bucket nobody has taken from yet."""
    return Bucket(rate.burst, now)


def refilled(bucket: Bucket, rate: Rate, now: float) -> Bucket:
    """The bucket at ``now``. A clock that jumps back refills nothing and starts counting from where it is now."""
    gained = max(0.0, now - bucket.at) * rate.per_second
    return Bucket(min(rate.burst, bucket.tokens + gained), now)


def take(bucket: Bucket, rate: Rate, want: int, now: float) -> tuple[Bucket, int, float]:
    """Up to ``want`` whole tokens: the bucket afterwards, how many were granted, seconds until there is one."""
    bucket = refilled(bucket, rate, now)
    granted = min(max(want, 0), math.floor(bucket.tokens + 1e-9))
    left = Bucket(bucket.tokens - granted, now)
    wait = 0.0 if granted else max(0.0, 1.0 - left.tokens) / rate.per_second
    return left, granted, wait


def give_back(bucket: Bucket, rate: Rate, tokens: int, now: float) -> Bucket:
    """The bucket with ``tokens`` returned; never more than a full one."""
    bucket = refilled(bucket, rate, now)
    return Bucket(min(rate.burst, bucket.tokens + max(tokens, 0)), now)
