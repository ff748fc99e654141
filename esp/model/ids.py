"""Identifiers: 64-bit integers inside, UUIDv7 outside."""

import os
import time
from typing import Final

import uuid_utils

_COUNTED: Final = 4096  # twelve bits


def new_public_id() -> str:
    """A fresh UUIDv7 as 32 lower-case hex digits; ids made later sort later (RFC 9562 section 5.7)."""
    return uuid_utils.uuid7().hex


def new_public_ids(count: int) -> list[str]:
    """As many, in ascending order, at a fraction of what they cost one by one.

    Those of one millisecond are told apart by a counter in rand_a (RFC 9562 section 6.2, method 1); where there are
    more, their time runs some milliseconds ahead, as that section allows.
    """
    stamp = time.time_ns() // 1_000_000
    random = os.urandom(count * 8).hex()
    made: list[str] = []
    for first in range(0, count, _COUNTED):
        head = f"{stamp + first // _COUNTED:012x}7"
        made += [
            # rand_b begins with the variant's two bits, 10, which a hexadecimal 8 is.
            f"{head}{n:03x}8{random[at:at + 15]}"
            for n, at in enumerate(range(first * 16, min(first + _COUNTED, count) * 16, 16))
        ]
    return made
