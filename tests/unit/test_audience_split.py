"""Variants by weight, batches by provider."""

from collections import Counter

import pytest

from esp.audience.batches import VARIOUS, plan_batches
from esp.model.split import cell


def test_the_split_is_stable_and_follows_the_weights() -> None:
    cells = [cell(7, contact, (1, 2, 1)) for contact in range(8000)]
    assert cells == [cell(7, contact, (1, 2, 1)) for contact in range(8000)]
    shares = Counter(cells)
    for index, share in ((0, 2000), (1, 4000), (2, 2000)):
        assert abs(shares[index] - share) < 200


def test_another_campaign_splits_otherwise() -> None:
    first = [cell(1, contact, (1, 1)) for contact in range(1000)]
    second = [cell(2, contact, (1, 1)) for contact in range(1000)]
    assert 400 < sum(a == b for a, b in zip(first, second, strict=True)) < 600


def test_one_variant_needs_no_dice_and_no_weights_are_a_fault() -> None:
    assert cell(1, 1, (5,)) == 0
    with pytest.raises((ValueError, ZeroDivisionError)):
        cell(1, 1, (0, 0))


def test_batches_hold_one_provider_each_and_everybody_has_one() -> None:
    people = {"big": 45, "small": 25} | {f"rare{n}": 1 for n in range(30)}
    plan = plan_batches(people, 20)
    assert plan.shares == {name: VARIOUS if name.startswith("rare") else name for name in people}
    sizes: dict[str, list[int]] = {}
    for batch in plan.batches:
        sizes.setdefault(batch.provider, []).append(batch.size)
    assert sizes == {"big": [20, 20, 5], "small": [20, 5], VARIOUS: [20, 10]}, "full but for the last"
    assert [batch.provider for batch in plan.batches[:3]] == ["big", "small", VARIOUS]


def test_a_provider_called_like_the_shared_one_shares_with_it() -> None:
    plan = plan_batches({VARIOUS: 15, "a": 1, "b": 1}, 20)
    assert [(batch.provider, batch.size) for batch in plan.batches] == [(VARIOUS, 17)]


def test_a_lonely_rare_provider_keeps_its_name() -> None:
    assert [batch.provider for batch in plan_batches({"one": 1}, 200).batches] == ["one"]
    assert plan_batches({}, 200).batches == []
