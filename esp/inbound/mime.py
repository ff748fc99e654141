"""Received octets as parts: one pass, bounded in size, parts and depth, that never raises on what is written in them.

The e-mail package is quadratic in the number of parts and recursive in their depth; reading reports needs none of its
niceties. What is broken is read as far as it goes: half of the world's bounces are broken.
"""

import binascii
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

OCTETS: Final = 128 * 1024  # reports come before the returned original (RFC 3462 section 2)
_HEADER_OCTETS: Final = 128 * 1024
_FIELDS: Final = 1000
_FIELD_OCTETS: Final = 2000
_DELIMITER_LINES: Final = 2000
_PARTS: Final = 200
_DEPTH: Final = 20
# NUL and its kin too, which an encoded report can hold: no database of ours has to take them.
_CONTROLS: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_FOLD: Final = re.compile(rb"\n[ \t]+")
_NAME: Final = re.compile(rb"[!-9;-~]{1,100}")
_PARAMETER: Final = re.compile(r';\s*([a-z0-9*_-]+)\s*=\s*(?:"([^"]*)"|([^;\s]*))', re.IGNORECASE)
_WORD: Final = re.compile(r"=\?([\w.:-]{1,40})(?:\*[\w-]*)?\?([bBqQ])\?([^?]{0,500})\?=")
_BETWEEN_WORDS: Final = re.compile(r"(\?=)\s+(=\?)")
_DELIMITER: Final = re.compile(rb"(?:\A|\n)--([^\s-][^\n]{0,80}?)[ \t]*\n[A-Za-z-]{3,40}:")
_ESCAPE: Final = re.compile(rb"=([0-9A-Fa-f]{2})")


class TooComplexError(ValueError):
    """A message with more parts, depth or header than any mail system sends on purpose."""


@dataclass(frozen=True, slots=True)
class Part:
    """``fields`` by lower-case name, the first of each; ``body`` as sent; ``depth`` 0 is the message itself."""

    media_type: str
    parameters: dict[str, str]
    fields: dict[str, str]
    body: bytes
    depth: int

    def text(self, limit: int) -> str:
        """The body's first characters in Unicode with LF line ends, its transfer encoding and charset undone."""
        return decoded(self.body, self.fields.get("content-transfer-encoding", ""), self.parameters.get("charset", ""),
                       limit)


def unix(raw: bytes) -> bytes:
    """The part of a message that is looked at, with LF line ends whatever it came with."""
    head = raw[:OCTETS]
    if b"\r" in head:
        head = head.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    # The line that mailbox files begin with, and blank lines that some systems put first.
    head = head.lstrip(b"\n")
    if head.startswith((b"From ", b">From ")):
        head = head.partition(b"\n")[2]
    return head


def parts(raw: bytes) -> Iterator[Part]:
    """The message and the parts in it in order, never those of a message inside it; or TooComplexError."""
    head = unix(raw)
    if head.count(b"\n--") > _DELIMITER_LINES:
        raise TooComplexError("parts")
    seen = 0
    waiting = [(head, 0, "text/plain")]
    while waiting:
        octets, depth, default = waiting.pop()
        seen += 1
        if seen > _PARTS or depth > _DEPTH:
            raise TooComplexError("parts")
        part = _part(octets, depth, default)
        yield part
        if part.media_type.startswith("multipart/"):
            inner = "message/rfc822" if part.media_type == "multipart/digest" else "text/plain"
            waiting.extend((piece, depth + 1, inner) for piece in reversed(_pieces(part)))


def _part(octets: bytes, depth: int, default: str) -> Part:
    head, body = _split(octets, depth)
    fields = header(head)
    media_type, parameters = _content_type(fields.get("content-type", ""), default)
    return Part(media_type, parameters, fields, body, depth)


def _split(octets: bytes, depth: int) -> tuple[bytes, bytes]:
    if octets.startswith(b"\n"):
        return b"", octets[1:]
    head, _, body = octets.partition(b"\n\n")
    if len(head) >= _HEADER_OCTETS - 1 and depth == 0:
        raise TooComplexError("header")
    return head, body


def _pieces(part: Part) -> list[bytes]:
    boundary = part.parameters.get("boundary", "").encode("utf-8", "replace")
    if not boundary or b"--" + boundary not in part.body:
        # A multipart that does not say its boundary, or another: the first line that looks like one is it.
        found = _DELIMITER.search(part.body)
        if found is None:
            return [b"\n" + part.body] if part.depth == 0 else []  # no parts at all: text then
        boundary = found[1]
    pieces = (b"\n" + part.body).split(b"\n--" + boundary, _PARTS + 1)[1:]
    kept: list[bytes] = []
    for piece in pieces:
        if piece.startswith(b"--"):
            break
        kept.append(piece.partition(b"\n")[2])
    return kept


def header(head: bytes) -> dict[str, str]:
    """The fields of a header's octets by lower-case name, the first of each, unfolded and free of controls."""
    fields: dict[str, str] = {}
    lines = _FOLD.sub(b" ", head).split(b"\n")
    if len(lines) > _FIELDS:
        raise TooComplexError("header")
    for line in lines:
        name, colon, value = line.partition(b":")
        name = name.rstrip()
        if colon and _NAME.fullmatch(name):
            fields.setdefault(name.decode("ascii").lower(), clean(unicode(value[:_FIELD_OCTETS])))
    return fields


def clean(value: str) -> str:
    """One line without control characters, line breaks of Unicode or runs of blanks."""
    return " ".join(_CONTROLS.sub(" ", value).split())


def unicode(octets: bytes, charset: str = "") -> str:
    """Text in the charset that it claims, else UTF-8, else Latin-1, which takes every octet."""
    for name in (charset, "utf-8"):
        if name and _known(name):
            try:
                return octets.decode(name)
            except (UnicodeError, ValueError):
                continue
    return octets.decode("latin-1")


@lru_cache(maxsize=256)
def _known(charset: str) -> bool:
    # Some codecs of Python are no charsets (zlib, idna): those would unpack a bomb, or be quadratic.
    name = charset.lower().replace("_", "-")
    if not re.fullmatch(r"(?:us-)?ascii|utf-?(?:7|8|16|32)(?:-?[bl]e)?|iso-?(?:8859|2022)-[a-z0-9-]+|latin-?\d+"
                        r"|(?:windows|cp)-?\d+|koi8-[rtu]|gb(?:2312|k|18030)|big5(?:-?hkscs)?|euc-?(?:jp|kr)"
                        r"|shift-?jis|ks-c-5601-1987|tis-620|mac-?[a-z]+|hz(?:-gb-2312)?|ibm\d+", name):
        return False
    try:
        "".encode(charset)
    except (LookupError, UnicodeError, ValueError):
        return False
    return True


def words(value: str) -> str:
    """A field with its encoded words (RFC 2047) undone, however badly they were put."""
    if "=?" not in value:
        return value
    return clean(_WORD.sub(_word, _BETWEEN_WORDS.sub(r"\1\2", value)))


def _word(found: re.Match[str]) -> str:
    coded = found[3].encode("utf-8", "replace")
    octets = _base64(coded) if found[2] in "bB" else _quoted(coded.replace(b"_", b" "))
    return unicode(octets, found[1])


def decoded(body: bytes, encoding: str, charset: str, limit: int) -> str:
    """A body's text; an encoding that is not kept to leaves it as it was sent."""
    name = encoding.strip().lower()
    octets = body[: limit * 4]
    if name == "base64":
        octets = _base64(octets)
    elif name == "quoted-printable":
        octets = _quoted(octets)
    text = unicode(octets[: limit * 3], charset)[:limit]
    return text.replace("\r\n", "\n").replace("\r", "\n").replace("\xa0", " ")


def _quoted(octets: bytes) -> bytes:
    return _ESCAPE.sub(lambda found: bytes((int(found[1], 16),)), re.sub(rb"=[ \t]*\n", b"", octets))


def _base64(octets: bytes) -> bytes:
    letters = re.sub(rb"[^A-Za-z0-9+/]", b"", octets)
    try:
        return binascii.a2b_base64(letters[: len(letters) // 4 * 4] + _rest(letters))
    except binascii.Error:
        return octets


def _rest(letters: bytes) -> bytes:
    over = letters[len(letters) // 4 * 4 :]
    return over + b"=" * (4 - len(over)) if len(over) > 1 else b""


@lru_cache(maxsize=512)
def _content_type(value: str, default: str) -> tuple[str, dict[str, str]]:
    media_type = value.partition(";")[0].strip().lower()
    # RFC 2045 section 5.2: what cannot be read is plain text.
    if not re.fullmatch(r"[a-z0-9!#$&^_.+-]+/[a-z0-9!#$&^_.+-]+", media_type):
        media_type = default
    parameters = {found[1].lower(): found[2] if found[2] is not None else found[3]
                  for found in _PARAMETER.finditer(value)}
    return media_type, parameters
