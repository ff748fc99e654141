"""The one validator: what two parsers could read differently is refused (THREATS.md section 3 item 9)."""

# ruff: noqa: E501 -- samples read better on one line

import pytest

from esp.wire.addresses import AddressError, parse_address, parse_domain

GOOD = [
    ("budi@example.com", "budi@example.com", "budi@example.com"),
    (" Budi.Santoso+promo@EXAMPLE.Com ", "Budi.Santoso+promo@example.com", "budi.santoso+promo@example.com"),
    ("o'neil@example.co.id", "o'neil@example.co.id", "o'neil@example.co.id"),
    ("a@bücher.example", "a@xn--bcher-kva.example", "a@xn--bcher-kva.example"),
    ("a@例え.jp", "a@xn--r8jz45g.jp", "a@xn--r8jz45g.jp"),
    ("jürgen@example.com", "jürgen@example.com", "jürgen@example.com"),
    ("JÜRGEN@example.com", "JÜRGEN@example.com", "jürgen@example.com"),
    ("x" * 64 + "@example.com", "x" * 64 + "@example.com", "x" * 64 + "@example.com"),
    ("_a-b=c@example.com", "_a-b=c@example.com", "_a-b=c@example.com"),
]

BAD = [
    "", " ", "@", "a@", "@example.com", "a", "a@b", "a@@example.com", "a@b@example.com", "a b@example.com",
    "=?utf-8?q?x?=@example.com", '"a b"@example.com', '"a@evil.example"@example.com', '""@example.com', "a@b.com,c@d.com",
    "a@b.com;c@d.com", "<a@b.com>", "<a@b.com> <c@d.com>", "Budi <a@b.com>", "a@b.com c@d.com", "a@b.com\x00", "a\x00@b.com",
    "a@b.com\n", "a@b.com\r\nRCPT TO:<x@y.com>", "a\n@b.com", "\ta@b.com", "a@b.com\u2028", "a@b\u200b.com", "a@b.com\u202e",
    "user%hack@example.com", "a!b@example.com", "@relay.example:a@b.com", "a@[127.0.0.1]", "a@[IPv6:::1]", "a@127.0.0.1",
    ".a@example.com", "a.@example.com", "a..b@example.com", "a@.example.com", "a@example.com.", "a@exa..mple.com",
    "a@-example.com", "a@example-.com", "a@exam_ple.com", "a@exa mple.com", "a(comment)@example.com", "a@(x)example.com",
    "x" * 65 + "@example.com", "a@" + "x" * 64 + ".com", "a@" + "x." * 130 + "com", "a\\@b@example.com", "a@example.com>",
    "mailto:a@example.com", "a@xn--.com", "a@b.c\uff0eom\u3002", "ａ\u3000@example.com", "a\ud800@example.com", "a@example.123",
    "\u2066a@example.com", "a\u00a0b@example.com", "a\u00ad@example.com", "e\u0301,@example.com", "a@ex\x7fample.com",
]  # fmt: skip


@pytest.mark.parametrize(("text", "sent", "key"), GOOD)
def test_good_addresses_are_kept_as_written_but_for_the_domain(text: str, sent: str, key: str) -> None:
    address = parse_address(text)
    assert (address.text, address.key) == (sent, key)
    assert parse_address(address.text) == address
    assert address.smtputf8 == (not sent.isascii())


@pytest.mark.parametrize("text", BAD)
def test_address_tricks_are_refused_with_a_reason(text: str) -> None:
    with pytest.raises(AddressError) as refused:
        parse_address(text)
    assert str(refused.value).endswith(".")


def test_domains_are_lower_case_ascii() -> None:
    assert parse_domain("BÜCHER.Example") == "xn--bcher-kva.example"
