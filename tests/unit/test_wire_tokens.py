"""Tokens: one purpose, one workspace, one spelling; every other octet string is refused in the same words."""

import itertools
import random
from collections.abc import Callable

import pytest

from esp.errors import TokenError
from esp.wire.tokens import Claims, Purpose, TokenSigner

OURS = TokenSigner({1: bytes(range(32))}, 1)
IDS = (3, 300, 70_000)
SIGNS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def refused(read: Callable[[str], Claims], token: str) -> None:
    with pytest.raises(TokenError):
        read(token)


@pytest.mark.parametrize(("made", "read"), list(itertools.product(Purpose, Purpose)))
def test_a_token_serves_its_own_purpose_only(made: Purpose, read: Purpose) -> None:
    token = OURS.sign(made, *IDS)
    if made is read:
        assert OURS.verify(read, token) == Claims(*IDS)
    else:
        refused(lambda text: OURS.verify(read, text), token)


def test_an_address_serves_its_own_purpose_only() -> None:
    bounce, leave = OURS.return_path(*IDS), OURS.unsubscribe_mailbox(*IDS)
    assert OURS.read_return_path(bounce.upper()) == OURS.read_unsubscribe_mailbox(leave) == Claims(*IDS)
    refused(OURS.read_unsubscribe_mailbox, "u-" + bounce.removeprefix("b-"))
    refused(OURS.read_return_path, "b-" + leave.removeprefix("u-"))
    refused(OURS.read_return_path, leave)


def test_a_changed_cut_or_longer_token_is_refused() -> None:
    token = OURS.sign(Purpose.UNSUBSCRIBE, *IDS)

    def read(text: str) -> Claims:
        return OURS.verify(Purpose.UNSUBSCRIBE, text)

    for at, sign in itertools.product(range(len(token)), SIGNS):
        if token[at] != sign:
            refused(read, token[:at] + sign + token[at + 1:])  # the last one's spare bits too: one spelling a token
    for wrong in (*(token[:at] for at in range(len(token))), token + "A", token + "=", token + "\n", " " + token,
                  token + "é", token * 4, token.replace(token[0], chr(ord(token[0]) + 0xFEE0), 1)):
        refused(read, wrong)


def test_a_changed_or_cut_address_is_refused() -> None:
    for make, read in ((OURS.return_path, OURS.read_return_path),
                       (OURS.unsubscribe_mailbox, OURS.read_unsubscribe_mailbox)):
        local = make(*IDS)
        assert len(local) <= 64
        assert len(make(2**31, 2**31, 2**40)) <= 64
        for at, sign in itertools.product(range(2, len(local)), "abcdefghijklmnopqrstuvwxyz234567"):
            if local[at] != sign:
                refused(read, local[:at] + sign + local[at + 1:])
        for wrong in (*(local[:at] for at in range(len(local))), local + "a", local + "=", local + "ſ"):
            refused(read, wrong)


def test_an_address_without_its_first_letters_is_none_of_ours() -> None:
    """One spelling an address: what it is for must be read off it, before any key is tried."""
    for make, read in ((OURS.return_path, OURS.read_return_path),
                       (OURS.unsubscribe_mailbox, OURS.read_unsubscribe_mailbox)):
        refused(read, make(*IDS)[2:])


def test_other_keys_are_refused_and_older_ones_go_on_to_count() -> None:
    token = OURS.sign(Purpose.UNSUBSCRIBE, *IDS)
    refused(lambda text: TokenSigner({1: b"x" * 32}, 1).verify(Purpose.UNSUBSCRIBE, text), token)
    rotated = TokenSigner({1: bytes(range(32)), 2: b"x" * 32}, 2)
    assert rotated.verify(Purpose.UNSUBSCRIBE, token) == Claims(*IDS)
    refused(lambda text: OURS.verify(Purpose.UNSUBSCRIBE, text), rotated.sign(Purpose.UNSUBSCRIBE, *IDS))


def test_chance_makes_no_token() -> None:
    chance = random.Random(7)
    for _ in range(20_000):
        text = "AQ" + "".join(chance.choices(SIGNS, k=chance.randrange(20, 40)))
        refused(lambda text: OURS.verify(Purpose.OPEN, text), text)


def test_what_is_sealed_is_hidden_and_bound_to_what_it_is_and_whose() -> None:
    sealed = OURS.seal("transfer", 3, "Bearer hush")
    assert sealed != OURS.seal("transfer", 3, "Bearer hush")
    assert "hush" not in sealed
    assert OURS.unseal("transfer", 3, sealed) == "Bearer hush"
    both = TokenSigner({1: bytes(range(32)), 2: bytes(32)}, 2)
    assert both.unseal("transfer", 3, sealed) == "Bearer hush"
    assert both.unseal("transfer", 3, both.seal("transfer", 3, "")) == ""
    for signer, kind, workspace, text in (
        (OURS, "transfer", 4, sealed), (OURS, "other", 3, sealed), (OURS, "transfer", 3, "Bearer hush"),
        (OURS, "transfer", 3, ""), (OURS, "transfer", 3, sealed[:-4]), (OURS, "transfer", 3, "C" + sealed[1:]),
        (TokenSigner({1: bytes(32)}, 1), "transfer", 3, sealed),
        (TokenSigner({2: bytes(32)}, 2), "transfer", 3, sealed),
    ):
        with pytest.raises(TokenError):
            signer.unseal(kind, workspace, text)
