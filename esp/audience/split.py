"""Which variant a contact gets: the same one whoever asks and however often, in the proportion of the weights."""

from collections.abc import Sequence
from hashlib import blake2b


def cell(campaign_id: int, contact_id: int, weights: Sequence[int]) -> int:
    """The index into ``weights`` (each at least 0, together more) for this contact.

    A hash and not a turn or a dice: a walk that is repeated after a crash must come to the same answer, and the
    campaign is part of it so that the same people are not the small cell of every test.
    """
    if len(weights) == 1:
        return 0
    digest = blake2b(b"%d:%d" % (campaign_id, contact_id), digest_size=8, person=b"variant").digest()
    mark = int.from_bytes(digest, "big") % sum(weights)
    for index, weight in enumerate(weights):
        mark -= weight
        if mark < 0:
            return index
    raise ValueError("weights must add up to more than nothing")
