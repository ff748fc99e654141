"""Bounces in others' words: every group and class has some, and a dead address is a hard bounce everywhere."""

import pytest

from esp.verdict.groups import GROUPS, BounceClass, Group
from esp.verdict.outward import outward


@pytest.mark.parametrize("group", Group)
@pytest.mark.parametrize("bounce_class", BounceClass)
def test_every_bounce_has_a_word(group: Group, bounce_class: BounceClass) -> None:
    said = outward(group, bounce_class)
    assert all((*said.ses, said.sendgrid, said.postmark, said.anymail))
    assert (said.ses[0] == "Permanent") is (bounce_class is BounceClass.HARD)


def test_an_unknown_user_is_dead_and_a_block_is_not() -> None:
    dead = outward(Group.INVALID_RECIPIENT, BounceClass.HARD)
    assert (dead.ses, dead.sendgrid, dead.postmark, dead.anymail) == (
        ("Permanent", "NoEmail"), "bounce", "HardBounce", "invalid")
    assert outward(Group.REPUTATION, BounceClass.BLOCK).sendgrid == "blocked"


def test_every_reason_is_in_a_group() -> None:
    assert set(GROUPS.values()) == set(Group)
