"""How a chunk of the audience is cut into batches: one mailbox provider each, the rare ones together."""

from collections.abc import Mapping
from itertools import zip_longest
from typing import Final

from esp.ports.campaigns import BatchPlan, NewBatch

VARIOUS: Final = "various"


def plan_batches(people: Mapping[str, int], size: int) -> BatchPlan:
    """Batches of at most ``size`` for so many ``people`` of each provider.

    A provider with less than a tenth of a batch shares one (``various``), or a thousand company domains would be a
    thousand leases. Batches come out provider by provider in turn, so that a chunk that begins with a slow provider
    does not keep the others waiting.
    """
    few = max(1, size // 10)
    rare = [name for name, count in people.items() if count < few]
    shares = {name: VARIOUS if len(rare) > 1 and count < few else name for name, count in people.items()}
    together: dict[str, int] = {}
    for name, count in people.items():
        together[shares[name]] = together.get(shares[name], 0) + count
    pieces = [
        [NewBatch(name, min(size, count - start)) for start in range(0, count, size)]
        for name, count in together.items()
    ]
    return BatchPlan(shares, [batch for turn in zip_longest(*pieces) for batch in turn if batch is not None], size)
