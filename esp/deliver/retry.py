"""When a deferred message is tried again, and when it is given up (RFC 5321 section 4.5.4.1)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

JITTER: Final = 0.25


@dataclass(frozen=True, slots=True)
class RetryAt:
    """Try again after ``delay``."""

    delay: timedelta


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Too old and tried often enough: the message expires."""


def next_try(
    attempt_count: int, age: timedelta, delays: Sequence[timedelta], give_up_after: timedelta, minimum_tries: int,
    jitter: float, first_retry: timedelta | None = None,
) -> RetryAt | GiveUp:
    """What to do after the ``attempt_count``-th try (from 1) of a message of ``age`` failed for now.

    ``jitter`` is random in [0, 1): it spreads each delay by a quarter either way, so that a herd deferred together
    does not come back together. Both the age and the number of tries must be reached before giving up: a clock that
    jumps ahead by days must bounce nobody. ``first_retry`` replaces the first delay where a provider asks for it
    (greylisting wants some minutes).
    """
    if attempt_count >= minimum_tries and age >= give_up_after:
        return GiveUp()
    step = delays[min(max(attempt_count, 1), len(delays)) - 1]
    if attempt_count <= 1 and first_retry is not None:
        step = first_retry
    return RetryAt(step * (1 - JITTER + 2 * JITTER * jitter))
