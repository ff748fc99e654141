"""Variants by weight, batches by provider."""

from collections import Counter

import pytest

from esp.audience.batches import VARIOUS, plan_batches
from esp.audience.split import cell


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
    providers = ["big"] * 45 + ["small"] * 25 + [f"rare{n}" for n in range(30)]
    batches, places = plan_batches(providers, 20)
    assert Counter(places) == {number: batch.size for number, batch in enumerate(batches)}
    for provider, place in zip(providers, places, strict=True):
        assert batches[place].provider == (VARIOUS if provider.startswith("rare") else provider)
    assert all(batch.size <= 20 for batch in batches)
    assert [batch.provider for batch in batches[:3]] == ["big", "small", VARIOUS]


def test_a_lonely_rare_provider_keeps_its_name() -> None:
    batches, _ = plan_batches(["one"], 200)
    assert [batch.provider for batch in batches] == ["one"]
    assert plan_batches([], 200) == ([], [])
