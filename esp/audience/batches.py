"""How a chunk of the audience is cut into batches: one mailbox provider each, the rare ones together."""

from collections import defaultdict
from collections.abc import Sequence
from itertools import zip_longest
from typing import Final

from esp.ports.campaigns import NewBatch

VARIOUS: Final = "various"


def plan_batches(providers: Sequence[str], size: int) -> tuple[list[NewBatch], list[int]]:
    """Batches of at most ``size`` for people whose providers are given, and for each person the index of its batch.

    A provider with less than a tenth of a batch shares one (``various``), or a thousand company domains would be a
    thousand leases. Batches come out provider by provider in turn, so that a chunk that begins with a slow provider
    does not keep the others waiting.
    """
    people: dict[str, list[int]] = defaultdict(list)
    for person, provider in enumerate(providers):
        people[provider].append(person)
    few = max(1, size // 10)
    rare = [name for name, members in people.items() if len(members) < few]
    if len(rare) > 1:
        people[VARIOUS] = people.get(VARIOUS, []) + [person for name in rare for person in people.pop(name)]
    pieces = [
        [(name, members[start:start + size]) for start in range(0, len(members), size)]
        for name, members in people.items()
    ]
    batches: list[NewBatch] = []
    batch_of = [0] * len(providers)
    for turn in zip_longest(*pieces):
        for piece in turn:
            if piece is not None:
                name, members = piece
                for person in members:
                    batch_of[person] = len(batches)
                batches.append(NewBatch(name, len(members)))
    return batches, batch_of
