"""Signatures as two foreign verifiers see them, and that nothing can be added to what was signed."""

import re

import pytest

from esp.wire.dkim import OVERSIGNED, RSA, body_hash, generate_key, public_record, signer_for
from tests.dkim_verifiers import dkimpy_results, perl_results
from tests.mailing import frozen, keys, person, records, send

HTML = '<p>Halo {{ contact.first_name | default("teman") }}, <a href="https://toko.example/x">lihat</a></p>'


def _message() -> bytes:
    return send(frozen(HTML, subject="Halo {{ contact.first_name }} 🎉"), person(first_name="Sãri <&>")).data


def test_both_signatures_pass_dkimpy_and_the_rsa_one_passes_mail_dkim() -> None:
    message = _message()
    assert dkimpy_results(message, records()) == [True, True]
    assert perl_results(message, records())["rsa1"] == "pass"


@pytest.mark.parametrize("name", [name.decode() for name in OVERSIGNED])
def test_a_header_put_in_front_breaks_every_signature(name: str) -> None:
    message = f"{name}: x@evil.example\r\n".encode() + _message()
    assert dkimpy_results(message, records()) == [False, False]


def test_a_header_put_in_front_breaks_the_signature_for_mail_dkim_too() -> None:
    for name in ("Subject", "List-Unsubscribe", "Cc"):
        assert perl_results(f"{name}: x@evil.example\r\n".encode() + _message(), records())["rsa1"] == "fail"


@pytest.mark.parametrize(("old", "new"), [(b"Halo", b"Hal0"), (b"--\r\n", b"--\r\nmore\r\n"), (b"UTC", b"utc")])
def test_a_changed_body_breaks_the_signature(old: bytes, new: bytes) -> None:
    message = _message()
    head, body = message.split(b"\r\n\r\n", 1)
    changed = head + b"\r\n\r\n" + body.replace(old, new)
    expected = changed == message
    assert dkimpy_results(changed, records()) == [expected, expected]


def test_no_length_tag_and_every_required_header_is_signed() -> None:
    message = _message()
    header = re.sub(rb"\s+", b"", message.split(b"\r\nDate:", 1)[0])
    assert b";l=" not in header
    for name in OVERSIGNED:
        assert name in header


def test_no_line_of_a_signature_is_long() -> None:
    """RFC 5322 section 2.1.1: a server that breaks a longer line somewhere breaks the signature with it."""
    head = _message().split(b"\r\nDate:", 1)[0]
    lines = head.split(b"\r\n")
    assert len(lines) > 12
    assert max(map(len, lines)) <= 78
    assert {line[:1] for line in lines if not line.startswith(b"DKIM-Signature: ")} == {b"\t"}


def test_an_unsigned_message_carries_no_signature() -> None:
    assert b"DKIM-Signature" not in send(frozen(HTML), person(), keys=()).data


def test_simple_body_canonicalisation_ends_in_one_line_end() -> None:
    assert body_hash(b"a\r\n\r\n\r\n") == body_hash(b"a\r\n") == body_hash(b"a")
    assert body_hash(b"") == body_hash(b"\r\n")
    # RFC 6376 section 3.4.3: the SHA-256 of an empty body in simple form.
    assert body_hash(b"") == b"frcCV1k9oG9oKj3dpUqdJg1PxRT2RSN/XKdLCPjaYaY="


def test_a_text_mail_that_ends_in_empty_lines_verifies() -> None:
    compiled = frozen("Halo {{ contact.city }}\n\n{{ unsubscribe_url }}{{ contact.last_name }}", kind="text")
    message = send(compiled, person(city="Bandung", last_name="\n\n\n")).data
    assert dkimpy_results(message, records()) == [True, True]
    assert perl_results(message, records())["rsa1"] == "pass"


def test_keys_are_loaded_once_and_a_new_key_under_the_same_name_is_used() -> None:
    key = keys()[0]
    assert signer_for(key).function is signer_for(key).function
    other = type(key)(key.domain, key.selector, RSA, generate_key(RSA)[0])
    assert signer_for(other).function is not signer_for(key).function


def test_a_key_of_the_wrong_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="not one for"):
        public_record("ed25519-sha256", keys()[0].private_pem)
    with pytest.raises(ValueError, match="not a DKIM algorithm"):
        generate_key("rsa-sha1")
