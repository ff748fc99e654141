"""Habits of one person, drawn towards the crowd's as far as the crowd is of one mind."""

import random

import pytest

from tracking.science.shrinkage import Crowd, crowd


def made(shares: tuple[float, ...], weight: float, people: int, each: int, seed: int) -> dict[tuple[int, ...], int]:
    dice, found = random.Random(seed), dict[tuple[int, ...], int]()
    for _ in range(people):
        raw = [dice.gammavariate(weight * share, 1) for share in shares]
        drawn = dice.choices(range(len(shares)), raw, k=each)
        counts = tuple(drawn.count(slot) for slot in range(len(shares)))
        found[counts] = found.get(counts, 0) + 1
    return found


def test_how_much_people_differ_is_found_again() -> None:
    for weight in (2.0, 30.0):
        found = crowd(made((0.5, 0.3, 0.15, 0.05), weight, 3000, 12, 1), 4)
        assert found.weight == pytest.approx(weight, rel=0.15)
        assert found.shares == pytest.approx((0.5, 0.3, 0.15, 0.05), abs=0.02)


def test_where_all_are_alike_one_persons_luck_counts_little() -> None:
    dice, alike = random.Random(2), dict[tuple[int, ...], int]()
    for _ in range(2000):
        drawn = dice.choices(range(3), (0.6, 0.3, 0.1), k=8)
        counts = (drawn.count(0), drawn.count(1), drawn.count(2))
        alike[counts] = alike.get(counts, 0) + 1
    found = crowd(alike, 3)
    assert found.weight > 150
    assert found.best((0, 0, 4)) == 0


def test_few_observations_follow_the_crowd_and_many_their_own() -> None:
    habits = Crowd((0.5, 0.3, 0.2), 10.0)
    assert habits.person((0, 0, 0)) == habits.shares
    assert habits.best((0, 0, 2)) == 0
    assert habits.best((0, 0, 9)) == 2
    assert sum(habits.person((1, 5, 2))) == pytest.approx(1)


def test_before_there_is_data_every_slot_is_as_good() -> None:
    found = crowd({}, 24)
    assert found.shares == pytest.approx([1 / 24] * 24)
    assert found.weight == pytest.approx(20, rel=0.01)
    assert found.best([0] * 24) == 0
    with pytest.raises(ValueError, match="24 slots"):
        crowd({(1, 2): 3}, 24)
