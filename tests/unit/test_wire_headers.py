"""Header fields: what a stranger typed never starts a line, and a long List-Unsubscribe stays as it is."""

import email.header
import itertools
from datetime import UTC, datetime, timedelta, timezone

import pytest

from esp.wire import headers
from tests.mailing import frozen, parsed, person, send

SEPARATORS = ["\n", "\r", "\r\n", "\v", "\f", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029", "\x00"]
NAMES = [
    "DKIM-Signature", "DKIM-Signature", "Date", "To", "Subject", "Message-ID", "List-Unsubscribe", "From", "Reply-To",
    "MIME-Version", "List-Id", "List-Unsubscribe-Post", "Feedback-ID", "Content-Type",
]  # fmt: skip


@pytest.mark.parametrize("separator", SEPARATORS)
@pytest.mark.parametrize("field", ["subject", "first_name", "from_name", "list_name", "feedback_id"])
def test_no_separator_in_any_field_makes_a_header(separator: str, field: str) -> None:
    hostile = f"x{separator}Bcc: evil@example.com{separator}{separator}body"
    subject = hostile if field == "subject" else "{{ contact.first_name }}"
    fields = {"first_name": hostile} if field == "first_name" else {}
    changes = {field: hostile} if field in ("from_name", "list_name", "feedback_id") else {}
    message = send(frozen("<p>x</p>", subject=subject), person(**fields), **changes)
    head = message.data.split(b"\r\n\r\n", 1)[0]
    assert parsed(message).keys() == NAMES
    assert [line.split(b":")[0].decode() for line in head.split(b"\r\n") if line[:1] not in b" \t"] == NAMES
    assert b"\n" not in head.replace(b"\r\n", b"")
    assert b"\r" not in head.replace(b"\r\n", b"")
    assert head.isascii()
    assert b"\x00" not in head
    assert b"\x0b" not in head


@pytest.mark.parametrize(
    "text",
    [
        "Halo",
        "Halo 🎉 Büku",
        "x" * 2000,
        "kata " * 300,
        "=?utf-8?q?x?= already",
        "مرحبا \u200f dunia",
        "a  b",
        "é" * 500,
        "",
    ],
)
def test_subjects_decode_to_what_was_written(text: str) -> None:
    value = headers.encode_text(text, 9)
    lines = (b"Subject: " + value).split(b"\r\n")
    assert all(len(line) <= 998 for line in lines)
    assert all(len(line) <= 78 for line in lines) or " " not in text.strip()
    decoded = str(email.header.make_header(email.header.decode_header(value.replace(b"\r\n", b"").decode())))
    assert decoded == text.strip()


@pytest.mark.parametrize(
    "name", ["Budi", 'Budi "the" \\ B', "Toko, Büku", "a@b.example", "=?utf-8?q?x?=", "O'Neil (x)", "é" * 20]
)
def test_display_names_come_back_as_they_were(name: str) -> None:
    message = send(frozen("<p>x</p>"), person(), from_name=name)
    (address,) = parsed(message)["From"].addresses
    assert (address.display_name, address.addr_spec) == (name, "news@toko.example")


def test_a_long_unsubscribe_url_is_plain_ascii_and_folded_only_between_two() -> None:
    url = "https://t.example/u/" + "a" * 700
    assert headers.encode_urls([url, "mailto:x@y.example"]) == f"<{url}>,\r\n <mailto:x@y.example>".encode()


@pytest.mark.parametrize(
    "url", ["https://x/\r\nBcc: y", "https://x/>", "https://x/é", "https://x/ y", "https://x/" + "a" * 990]
)
def test_a_url_that_cannot_stand_in_a_header_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="cannot stand"):
        headers.encode_urls([url])


@pytest.mark.parametrize("letter", ["kata", "k\u00fct\u00e4"])
def test_lines_are_short_whatever_the_length_of_what_they_hold(letter: str) -> None:
    """The name of a header counts too: each value is folded for the place where it begins."""
    for length in range(1, 90):
        text = (f"{letter} " * 20)[:length].strip()
        message = send(frozen("<p>x</p>", subject=text), person(), from_name=text, list_name=text, feedback_id=text)
        head = message.data.split(b"\r\n\r\n", 1)[0]
        for start in (b"Subject:", b"From:", b"List-Id:", b"Feedback-ID:"):
            field = (b"\r\n" + head).split(b"\r\n" + start)[1]
            first, *more = field.split(b"\r\n")
            lines = (start + first, *itertools.takewhile(lambda line: line[:1] == b" ", more))
            assert max(map(len, lines)) <= 78, (length, lines)


def test_dates_are_written_in_utc() -> None:
    moment = datetime(2026, 3, 1, 1, 2, 3, tzinfo=timezone(timedelta(hours=7)))
    assert headers.encode_date(moment) == b"Sat, 28 Feb 2026 18:02:03 +0000"
    assert headers.encode_date(moment.astimezone(UTC)) == headers.encode_date(moment)
    with pytest.raises(ValueError, match="time zone"):
        headers.encode_date(moment.replace(tzinfo=None))
