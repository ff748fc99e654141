"""Messages that apps describe by their parts: no field begins a header line, and every reader finds what was put in."""

import dataclasses
from email import message_from_bytes, policy
from typing import Any

import pytest

from esp.errors import InputError
from esp.flows.app_mail import Description, read_mailbox, submission_of
from esp.render.app_mail import AppMail, Attachment, Mailbox, write_app_mail
from esp.wire.addresses import AddressError
from esp.wire.submitted import SubmittedError, read_head

SEPARATORS = ["\n", "\r", "\r\n", "\v", "\f", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029", "\x00"]
PLAIN = Description("app@toko.example", ["ani@rumah.example"], "Order", "Thanks.")


@pytest.mark.parametrize("separator", SEPARATORS)
@pytest.mark.parametrize("field", ["subject", "sender", "to", "cc", "reply_to", "header", "filename", "content_id",
                                   "content_type"])
def test_no_field_begins_a_header_line(field: str, separator: str) -> None:
    bad = f"x{separator}Bcc: eve@evil.example"
    changes: dict[str, Any] = {field: bad}
    match field:
        case "sender":
            changes = {field: f"{bad} <app@toko.example>"}
        case "to" | "cc" | "reply_to":
            changes = {field: [f"{bad} <ani@rumah.example>"]}
        case "header":
            changes = {"headers": {"X-One": bad}}
        case "filename" | "content_id" | "content_type":
            parts = {"filename": "a", "content_id": "", "content_type": "text/plain", field: bad}
            changes = {"attachments": [Attachment(parts["filename"], parts["content_type"], b"", parts["content_id"])]}
    try:
        raw = submission_of(dataclasses.replace(PLAIN, **changes)).raw
        head = read_head(raw)
    except (InputError, SubmittedError):
        return
    assert {name for name, _, _ in head.fields} <= {
        b"from", b"to", b"cc", b"reply-to", b"subject", b"mime-version", b"content-type", b"content-transfer-encoding"}
    assert b"\nBcc" not in raw


@pytest.mark.parametrize(("text", "name", "address"), [
    ("ani@rumah.example", "", "ani@rumah.example"), ("<ani@rumah.example>", "", "ani@rumah.example"),
    ("Ani <ani@rumah.example>", "Ani", "ani@rumah.example"),
    ('"Ani, \\"Bu\\"" <ani@rumah.example>', 'Ani, "Bu"', "ani@rumah.example"),
    ("Ani, Bu <ani@RUMAH.example>", "Ani, Bu", "ani@rumah.example"),
])
def test_mailboxes_are_read(text: str, name: str, address: str) -> None:
    assert read_mailbox(text) == Mailbox(name, address)


@pytest.mark.parametrize("text", ["", "ani", "Ani <ani>", "a@b.example, c@d.example", "<a@b.example> <c@d.example>",
                                  "a@b.example <c@d.example> x", "Ani <ani@rumah.example"])
def test_what_is_no_mailbox_is_refused(text: str) -> None:
    with pytest.raises(AddressError):
        read_mailbox(text)


@pytest.mark.parametrize("name", ["plain.pdf", "with blank.pdf", 'quo"te.pdf', "tagihan — lengkap.pdf", "x" * 150,
                                  "é" * 90, "a%b'c*d.txt", "back\\slash"])
def test_any_reader_finds_the_files_name(name: str) -> None:
    raw = write_app_mail(AppMail(
        Mailbox("", "a@b.example"), (Mailbox("", "c@d.example"),), "S", "text",
        attachments=(Attachment(name, "application/pdf", b"octets"),)))
    mail = message_from_bytes(raw, policy=policy.default)
    (found,) = mail.iter_attachments()
    assert found.get_filename() == name
    assert max(map(len, raw.split(b"\r\n"))) <= 998


def test_the_same_mail_gives_the_same_octets() -> None:
    assert submission_of(PLAIN).raw == submission_of(PLAIN).raw


def test_a_list_header_is_never_encoded() -> None:
    with pytest.raises(InputError):
        submission_of(dataclasses.replace(PLAIN, headers={"List-Unsubscribe": "<https://toko.example/é>"}))


@pytest.mark.parametrize("text", [
    "plain\nlines\n", "From here on\nFrom there", ".dot\n..\n.", "x" * 5000, "é and ü\n", "--=_merpati\n--=_mixed--\n",
    "trailing blank \n\ttab\t\n", "a\r\nb\rc\n", "", "\x0b\x0c",
])
def test_texts_arrive_as_they_were_written(text: str) -> None:
    raw = submission_of(dataclasses.replace(PLAIN, text=text, html="<p>Hi</p>", attachments=[
        Attachment("a.txt", "text/plain", b"abc")])).raw
    mail = message_from_bytes(raw, policy=policy.default)
    part = mail.get_body(("plain",))
    if text:
        assert part is not None
        found = part.get_content().replace("\r\n", "\n")
        assert found.rstrip("\n") == text.replace("\r\n", "\n").replace("\r", "\n").rstrip("\n")
    assert max(map(len, raw.split(b"\r\n"))) <= 998
    assert b"\nFrom " not in raw[raw.index(b"\r\n\r\n"):]
    assert len(list(mail.iter_attachments())) == 1
