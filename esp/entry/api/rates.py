"""How many requests a key may make: a token bucket for each, and the header fields that say what is left of it."""

import math
from collections import OrderedDict
from typing import Final

from esp.model.bucket import Bucket, full, take
from esp.model.quantities import Rate

#: Requests of one key: a bound against loops that run away. How many messages it may send is the key's own rate.
REQUESTS: Final = Rate(1000, 1)
_MOST_KEPT: Final = 10_000


class KeyRates:
    """Buckets of the keys that called lately, of this process."""

    def __init__(self) -> None:
        self._buckets: OrderedDict[int, Bucket] = OrderedDict()

    def take(self, key: int, now: float) -> tuple[float, dict[str, str]]:
        """Seconds to wait (0: go on) and the header fields. ``now`` is monotonic seconds.

        The fields are those of draft-ietf-httpapi-ratelimit-headers.
        """
        rate = REQUESTS
        bucket = self._buckets.get(key) or full(rate, now)
        left, granted, wait = take(bucket, rate, 1, now)
        self._buckets[key] = left
        self._buckets.move_to_end(key)
        if len(self._buckets) > _MOST_KEPT:
            self._buckets.popitem(last=False)
        missing = max(0.0, rate.burst - left.tokens)
        fields = {
            "RateLimit-Policy": f'"key";q={rate.burst:.0f};w={max(1, math.ceil(rate.burst / rate.per_second))}',
            "RateLimit": f'"key";r={math.floor(left.tokens)};t={math.ceil(missing / rate.per_second)}',
        }
        return (0.0 if granted else max(wait, 0.001)), fields
