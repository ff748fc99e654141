"""Which variant a contact gets: the same one whoever asks and however often, in the proportion of the weights.

A hash and not a turn or a dice: a walk that is repeated after a crash must come to the same answer. It is plain
arithmetic on numbers below 2**62, so that a database says the same of a million people as Python says of one.
"""

from collections.abc import Sequence
from hashlib import blake2b
from typing import Final

# Two primes a little below 2**31. The second turn takes the order out that equal steps leave in the first.
FIRST_PRIME: Final = 2_147_483_647
SECOND_PRIME: Final = 2_147_483_629


def multipliers(campaign_id: int) -> tuple[int, int]:
    """By what the campaign's two turns multiply: its own, or the same people were the small cell of every test."""
    digest = blake2b(b"%d" % campaign_id, digest_size=16, person=b"variant").digest()
    first, second = int.from_bytes(digest[:8], "big"), int.from_bytes(digest[8:], "big")
    return 1 + first % (FIRST_PRIME - 1), 1 + second % (SECOND_PRIME - 1)


def cell(campaign_id: int, contact_id: int, weights: Sequence[int]) -> int:
    """The index into ``weights`` (each at least 0, together more) for this contact."""
    if len(weights) == 1:
        return 0
    first, second = multipliers(campaign_id)
    mark = contact_id % FIRST_PRIME * first % FIRST_PRIME * second % SECOND_PRIME % sum(weights)
    for index, weight in enumerate(weights):
        mark -= weight
        if mark < 0:
            return index
    raise ValueError("weights must add up to more than nothing")
