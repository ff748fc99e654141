"""An app's message written whole from its parts: text, HTML, images within it, attachments (RFC 2045 to 2387)."""

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from esp.wire import headers as wire
from esp.wire.mime import BOUNDARY
from esp.wire.quoted_printable import encode_piece

# "=_" can stand neither in quoted-printable nor in base64, and no boundary is the beginning of another.
_MIXED: Final = b"=_mixed"
_RELATED: Final = b"=_related"
_LONGEST_LINE: Final = 900  # octets; RFC 5322 section 2.1.1 has 998
_LINE: Final = 76  # RFC 2045 section 6.8
_MEDIA_TYPE: Final = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]{0,63}/[a-z0-9][a-z0-9!#$&^_.+-]{0,63}")
_PARAMETER: Final = re.compile(
    r';\s*([a-z0-9-]{1,30})=([a-z0-9!#$&+.^_`{|}~-]{1,60}|"[a-z0-9 !#$&+./:^_`{|}~-]{1,60}")', re.IGNORECASE)
_TOKEN: Final = re.compile(r"[A-Za-z0-9!#$&+.^_`{|}~-]+")


@dataclass(frozen=True, slots=True)
class Mailbox:
    """A name, or '', and an address that ``parse_address`` has passed."""

    name: str
    address: str


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file. With ``content_id`` it is an image within the HTML, which names it as ``cid:``."""

    name: str
    media_type: str
    octets: bytes = field(repr=False)
    content_id: str = ""


@dataclass(frozen=True, slots=True)
class AppMail:
    """What an app says; ``headers`` are further ones, names checked. Bcc is for the envelope and not here."""

    sender: Mailbox
    to: tuple[Mailbox, ...]
    subject: str
    text: str = ""
    html: str = ""
    cc: tuple[Mailbox, ...] = ()
    reply_to: tuple[Mailbox, ...] = ()
    headers: tuple[tuple[str, str], ...] = ()
    attachments: tuple[Attachment, ...] = ()


def is_media_type(text: str) -> bool:
    """Whether it can stand in Content-Type: type and subtype (RFC 6838 section 4.2) with plain parameters, such as
    charset or method; no multipart."""
    kind, separator, rest = text.partition(";")
    return (_MEDIA_TYPE.fullmatch(kind.strip()) is not None and not kind.startswith(("multipart/", "message/"))
            and not _PARAMETER.sub("", separator + rest).strip())


def write_app_mail(mail: AppMail) -> bytes:
    """The message, CRLF-clean, without Date and Message-ID unless ``headers`` hold them: the relay adds those.

    The same mail gives the same octets. Raises ValueError for a header that no line can hold.
    """
    lines = [b"From: " + wire.encode_mailbox(mail.sender.name, mail.sender.address, 6)]
    for name, boxes in ((b"To", mail.to), (b"Cc", mail.cc), (b"Reply-To", mail.reply_to)):
        if boxes:
            lines.append(name + b": " + _mailboxes(boxes, len(name) + 2))
    lines.append(b"Subject: " + wire.encode_text(mail.subject, 9))
    lines += [_header(name, value) for name, value in mail.headers]
    lines.append(b"MIME-Version: 1.0")
    part_lines, body = _content(mail)
    return b"\r\n".join((*lines, *part_lines, b"", body))


def _mailboxes(boxes: Sequence[Mailbox], used: int) -> bytes:
    return b",\r\n ".join(wire.encode_mailbox(one.name, one.address, used) for one in boxes)


def _header(name: str, value: str) -> bytes:
    encoded = wire.encode_text(value, len(name) + 2)
    if name.lower().startswith("list-") and b"=?" in encoded:
        # Encoded, providers ignore it; and it would look as if there were a way out where there is none.
        raise ValueError(f"{name} must be ASCII and fit a line")
    return name.encode("ascii") + b": " + encoded


Part = tuple[list[bytes], bytes]  # its header lines, its body


def _content(mail: AppMail) -> Part:
    part = _readable(mail)
    within = [one for one in mail.attachments if one.content_id]
    beside = [one for one in mail.attachments if not one.content_id]
    if within:
        part = _multipart(b"related", _RELATED, [part, *map(_file, within)])
    if beside:
        part = _multipart(b"mixed", _MIXED, [part, *map(_file, beside)])
    return part


def _readable(mail: AppMail) -> Part:
    if mail.text and mail.html:
        return _multipart(b"alternative", BOUNDARY, [_text(b"plain", mail.text), _text(b"html", mail.html)])
    return _text(b"html", mail.html) if mail.html else _text(b"plain", mail.text)


def _text(kind: bytes, text: str) -> Part:
    """As it is where every server on the way leaves it so; that costs a hundredth of quoted-printable."""
    text = text.replace("\r\n", "\n").rstrip("\n") + "\n"
    plain = (text.isascii() and text.replace("\n", "").replace("\t", "").isprintable()
             and max(map(len, text.split("\n"))) <= _LONGEST_LINE
             and "=_" not in text and "\nFrom " not in "\n" + text)
    body = text.replace("\n", "\r\n").encode("ascii") if plain else encode_piece(text)
    return ([b"Content-Type: text/" + kind + b'; charset="utf-8"',
             b"Content-Transfer-Encoding: " + (b"7bit" if plain else b"quoted-printable")], body)


def _multipart(kind: bytes, boundary: bytes, parts: Sequence[Part]) -> Part:
    pieces: list[bytes] = []
    for lines, body in parts:
        pieces += [b"--" + boundary, *lines, b"", body]
    pieces += [b"--" + boundary + b"--", b""]
    return [b"Content-Type: multipart/" + kind + b'; boundary="' + boundary + b'"'], b"\r\n".join(pieces)


def _file(one: Attachment) -> Part:
    name = _parameter("name", one.name)
    place = b"inline" if one.content_id else b"attachment"
    lines = [
        b"Content-Type: " + _typed(one.media_type) + name,
        b"Content-Transfer-Encoding: base64",
        b"Content-Disposition: " + place + _parameter("filename", one.name),
    ]
    if one.content_id:
        lines.append(b"Content-ID: <" + wire.clean(one.content_id).encode("ascii") + b">")
    encoded = base64.b64encode(one.octets)
    return lines, b"\r\n".join(encoded[at:at + _LINE] for at in range(0, len(encoded), _LINE))


def _typed(media_type: str) -> bytes:
    """The type with its parameters, of which name is ours to say."""
    kind, separator, rest = media_type.partition(";")
    kept = [f"; {found[1].lower()}={found[2]}" for found in _PARAMETER.finditer(separator + rest)
            if found[1].lower() != "name"]
    return (kind.strip() + "".join(kept)).encode("ascii")


def _parameter(name: str, value: str) -> bytes:
    """``; name=value`` on a line of its own: a token, a quoted string, or RFC 2231's encoding for what is not ASCII."""
    value = wire.clean(value)
    if not value:
        return b""
    if _TOKEN.fullmatch(value) and len(value) < 60:
        return f";\r\n {name}={value}".encode("ascii")
    if value.isascii() and len(value) < 60:
        return f';\r\n {name}="'.encode("ascii") + value.replace("\\", "\\\\").replace('"', '\\"').encode() + b'"'
    # RFC 2231 section 4.1: sections of a length that fits a line, none of which cuts an escape.
    octets = [f"%{octet:02X}" if not (chr(octet).isascii() and chr(octet).isalnum()) else chr(octet)
              for octet in value.encode("utf-8", "replace")]
    sections, current = [], ""
    for piece in octets:
        if len(current) + len(piece) > 50:
            sections.append(current)
            current = ""
        current += piece
    sections.append(current)
    if len(sections) == 1:
        return f";\r\n {name}*=utf-8''{sections[0]}".encode("ascii")
    return "".join(
        f";\r\n {name}*{number}*={'' if number else chr(39).join(('utf-8', '', ''))}{section}"
        for number, section in enumerate(sections)).encode("ascii")
