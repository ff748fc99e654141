"""Quoted-printable (RFC 2045 section 6.7) in pieces that can be joined.

A piece ends in a soft line break or in a hard one, so that pieces encoded apart and joined decode to the joined text.
That is what lets a campaign's literals be encoded once and only the recipients' values be encoded per message.

``binascii.b2a_qp`` is not used: it writes lines of 78 octets where a blank ends a full line.
"""

import re
from typing import Final

SOFT_BREAK: Final = b"=\r\n"
_ROOM: Final = 75  # 76 octets a line with the soft break's "="

# Printable ASCII without "=" that fits one line: nothing to encode. A blank at the end is safe before a soft break.
_PLAIN: Final = re.compile(r"[ !-\-/-<>-~][ -<>-~]{0,74}")
# Whole lines, none of which begins with a dot or holds half of a line's end: joined, they are such lines again.
_LINES: Final = re.compile(rb"(?:(?:[^.\r\n][^\r\n]*)?\r\n)*+")
_SPECIAL: Final = re.compile(rb"[^ -<>-~]")


def encode_piece(text: str) -> bytes:
    """``text`` (line ends LF, CRLF or CR) as quoted-printable lines of at most 76 octets, ended by CRLF or soft break.

    No line starts with a dot, so SMTP has nothing to stuff (RFC 5321 section 4.5.2), nor with "From ", which old
    mailboxes would quote. Lone surrogates, which no UTF-8 can carry, become question marks. Empty text gives no octets.
    """
    if _PLAIN.fullmatch(text) and not text.startswith("From "):
        return text.encode("ascii") + SOFT_BREAK
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    *ended, rest = text.encode("utf-8", "replace").split(b"\n")
    pieces: list[bytes] = []
    for line in ended:
        # A blank before a hard line end would be lost on the way (rule 3).
        encoded = _SPECIAL.sub(_escape, line)
        _wrap(encoded[:-1] + b"=20" if encoded.endswith(b" ") else encoded, pieces)
        pieces.append(b"\r\n")
    if rest:
        _wrap(_SPECIAL.sub(_escape, rest), pieces)
        pieces.append(SOFT_BREAK)
    return b"".join(pieces)


def _escape(found: re.Match[bytes]) -> bytes:
    return b"=%02X" % found[0][0]


def _wrap(line: bytes, pieces: list[bytes]) -> None:
    """Append one encoded line to ``pieces``, broken softly where it is too long; no escape is cut."""
    at = 0
    while at < len(line):
        if at:
            pieces.append(SOFT_BREAK)
        room = _ROOM
        if line[at] == 0x2E or line.startswith(b"From ", at):
            pieces.append(b"=%02X" % line[at])
            at += 1
            room -= 3
        end = at + room
        if end < len(line):
            if line[end - 1] == 0x3D:
                end -= 1
            elif line[end - 2] == 0x3D:
                end -= 2
        pieces.append(line[at:end])
        at = end


def checked(piece: bytes) -> bytes:
    """``piece``, where it is whole lines that SMTP may carry as they are; else ValueError, for a bug of ours.

    A body joined of checked pieces needs no second look at its twenty thousand octets: no dot begins a line, and no CR
    or LF is alone, which a lenient server could take for the end of the message (SMTP smuggling).
    """
    if not _LINES.fullmatch(piece):
        raise ValueError("a piece of the message holds what SMTP would have to change")
    return piece
