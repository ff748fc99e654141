"""Tokens of forms and confirmations: any cut, any change, any other purpose or workspace is none."""

from hypothesis import given
from hypothesis import strategies as st

from esp.audience.permission import fold_address, network_of, proof_holds
from esp.errors import TokenError
from esp.wire.tokens import Claims, Purpose, TokenSigner

SIGNER = TokenSigner({1: b"k" * 32}, 1)
OTHER = TokenSigner({1: b"o" * 32}, 1)
IDS = st.integers(min_value=0, max_value=2**62)


def rejected(purpose: Purpose, token: str) -> bool:
    try:
        SIGNER.verify(purpose, token)
    except TokenError:
        return True
    return False


@given(IDS, IDS, IDS, st.sampled_from([Purpose.FORM, Purpose.CONFIRM]))
def test_they_say_what_was_signed_for_their_purpose_only(workspace: int, one: int, two: int, purpose: Purpose) -> None:
    token = SIGNER.sign(purpose, workspace, one, two)
    assert SIGNER.verify(purpose, token) == Claims(workspace, one, two)
    assert all(rejected(other, token) for other in Purpose if other is not purpose)
    assert rejected(purpose, OTHER.sign(purpose, workspace, one, two))


@given(IDS, IDS, IDS, st.data())
def test_cut_stretched_or_changed_they_are_none(workspace: int, one: int, two: int, data: st.DataObject) -> None:
    token = SIGNER.sign(Purpose.CONFIRM, workspace, one, two)
    at = data.draw(st.integers(0, len(token) - 1))
    letter = data.draw(st.sampled_from("abcXYZ019-_=. \u00e9"))
    changed = token[:at] + letter + token[at + 1:]
    assert rejected(Purpose.CONFIRM, token[:at])
    assert rejected(Purpose.CONFIRM, token + letter)
    assert changed == token or rejected(Purpose.CONFIRM, changed)


@given(st.text(max_size=200))
def test_no_text_is_one_by_chance(text: str) -> None:
    assert rejected(Purpose.FORM, text)
    assert rejected(Purpose.CONFIRM, text)


@given(IDS, IDS, IDS)
def test_the_mailbox_form_survives_any_case_and_fits(workspace: int, one: int, two: int) -> None:
    local = SIGNER.confirm_mailbox(workspace, one, two)
    assert len(local) <= 64 or max(workspace, one, two) > 2**40
    if len(local) <= 64:
        assert SIGNER.read_confirm_mailbox(local.upper()) == Claims(workspace, one, two)


@given(st.text(max_size=40), st.text(max_size=40))
def test_a_proof_is_decimal_and_bound_to_the_address(email: str, nonce: str) -> None:
    if proof_holds("token", email, nonce, 0):
        assert nonce.isascii()
        assert nonce.isdecimal()
    assert not proof_holds("token", email, "", 0)


def test_folding() -> None:
    assert fold_address("a.n.i+shop@googlemail.com") == fold_address("ani@gmail.com")
    assert fold_address("+x@b.example") == "+x@b.example"
    assert network_of("203.0.113.77") == "203.0.113.0/24"
    assert network_of("2001:db8:1:2::3") == "2001:db8:1::/48"
    assert network_of("::ffff:203.0.113.9") == "203.0.113.0/24"
    assert network_of("nonsense") == "nonsense"
