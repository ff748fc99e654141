"""A message as an app hands it over: its header read once, strictly, and never written anew.

What is taken out (control headers, Bcc) is cut out of the octets, and what is added is put in front; every other octet
stays, for whoever re-serialises a message changes it.
"""

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from email.errors import HeaderParseError
from email.header import decode_header, make_header
from typing import Final

from esp.wire.addresses import Address, AddressError, parse_address

CONTROL: Final = b"x-merpati-"
_HEADER_OCTETS: Final = 256 * 1024
_FIELDS: Final = 1000
_FIELD: Final = re.compile(rb"([!-9;-~]{1,100})[ \t]*:((?:[^\r\n]|\r\n[ \t])*)\r\n")
# At most once each (RFC 5322 section 3.6): with two of them, one program shows the one and the next checks the other.
_ONCE: Final = frozenset((
    b"from", b"sender", b"reply-to", b"to", b"cc", b"message-id", b"in-reply-to", b"references", b"subject", b"date",
    b"mime-version", b"content-type", b"content-transfer-encoding",
))  # fmt: skip
_MESSAGE_ID: Final = re.compile(rb"<([^<>\s\x00-\x1f\x7f-\xff]{1,250})>")
_QUOTED: Final = re.compile(r'"(?:[^"\\]|\\.)*"')
_BLANKS: Final = re.compile(r"[ \t\r\n]+")
_CONTROLS: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_SUBJECT_KEPT: Final = 500


class SubmittedError(ValueError):
    """The octets are not a message that can be sent; the text says why, for the app's developer."""


@dataclass(frozen=True, slots=True)
class Head:
    """``fields`` are (lower-case name, whole octets with the last CRLF, value unfolded), in order; ``body`` the rest,
    which begins behind the blank line."""

    fields: tuple[tuple[bytes, bytes, bytes], ...]
    body: bytes

    def first(self, name: bytes) -> bytes | None:
        """The value of the first field of that name (lower case)."""
        return next((value for known, _, value in self.fields if known == name), None)

    def count(self, name: bytes) -> int:
        return sum(known == name for known, _, _ in self.fields)

    def without(self, *prefixes: bytes) -> "Head":
        """The same with no field whose name begins with one of ``prefixes``."""
        return Head(tuple(it for it in self.fields if not it[0].startswith(prefixes)), self.body)

    def octets(self, before: bytes = b"") -> bytes:
        """The message: ``before`` (whole header lines), what was kept, the blank line and the body."""
        return b"".join((before, *(whole for _, whole, _ in self.fields), b"\r\n", self.body))


def read_head(raw: bytes) -> Head:
    """Split a CRLF-clean message. Raises SubmittedError for what is no header, or one too many of a kind."""
    end = raw.find(b"\r\n\r\n", 0, _HEADER_OCTETS)
    if end >= 0:
        head, body = raw[: end + 2], raw[end + 4 :]
    elif len(raw) < _HEADER_OCTETS and raw.endswith(b"\r\n"):
        head, body = raw, b""
    else:
        raise SubmittedError("The header has no end, or is longer than 256 KB.")
    fields: list[tuple[bytes, bytes, bytes]] = []
    at, seen = 0, set[bytes]()
    while at < len(head):
        found = _FIELD.match(head, at)
        if found is None:
            line = head.count(b"\n", 0, at) + 1
            raise SubmittedError(f"Line {line} of the header is no header field.")
        name = found[1].lower()
        if name in _ONCE:
            if name in seen:
                raise SubmittedError(f"There is more than one {found[1].decode('ascii')} header.")
            seen.add(name)
        fields.append((name, found[0], found[2].replace(b"\r\n", b"").strip(b" \t")))
        at = found.end()
        if len(fields) > _FIELDS:
            raise SubmittedError("There are more than 1,000 header fields.")
    if not fields:
        raise SubmittedError("There is no header.")
    return Head(tuple(fields), body)


def one_mailbox(value: bytes) -> Address:
    """The one address of a From or Sender. Raises SubmittedError for none, several, groups, routes and riddles.

    What two parsers could read differently is refused: whoever signs for a sender must know who that is.
    """
    try:
        text = value.decode("utf-8")
    except UnicodeDecodeError:
        raise SubmittedError("It holds octets that are no UTF-8.") from None
    plain = _without_comments(_QUOTED.sub('"', text))
    before, bracket, rest = plain.partition("<")
    if bracket:
        inner, closing, after = rest.partition(">")
        phrase = before.replace('"', "").strip()
        if not closing or after.strip() or "<" in inner or any(sign in phrase for sign in ",;:"):
            raise SubmittedError("It must hold exactly one address.")
        if "@" in phrase and phrase.lower() != inner.strip().lower():
            raise SubmittedError("The name before the address looks like another address; put it in quotation marks.")
    else:
        inner = before.strip()
        if any(sign in inner for sign in ',;:" '):
            raise SubmittedError("It must hold exactly one address.")
    try:
        return parse_address(inner.strip())
    except AddressError as error:
        raise SubmittedError(str(error)) from None


def _without_comments(text: str) -> str:
    if "(" not in text and ")" not in text:
        return text
    kept: list[str] = []
    depth, escaped = 0, False
    for sign in text:
        if escaped:
            escaped = False
        elif depth and sign == "\\":
            escaped = True
        elif sign == "(":
            depth += 1
        elif sign == ")":
            depth -= 1
            if depth < 0:
                raise SubmittedError("A comment is closed that was not opened.")
        elif not depth:
            kept.append(sign)
    if depth:
        raise SubmittedError("A comment is not closed.")
    return "".join(kept)


def message_id_in(value: bytes) -> str:
    """A Message-ID without its brackets. Raises SubmittedError."""
    found = _MESSAGE_ID.fullmatch(value.strip())
    if found is None:
        raise SubmittedError("The Message-ID is not of the form <name@host>.")
    return found[1].decode("ascii")


def words_of(value: bytes) -> str:
    """An unstructured value in plain words, on one line and at most 500 characters: for lists and searches."""
    text = value[:4000].decode("utf-8", "replace")
    if "=?" in text:
        with suppress(HeaderParseError, ValueError, LookupError):  # what cannot be read is shown as it came
            text = str(make_header(decode_header(text)))
    return _BLANKS.sub(" ", _CONTROLS.sub(" ", text)).encode("utf-8", "replace").decode().strip()[:_SUBJECT_KEPT]


def controls_of(head: Head) -> Mapping[str, Sequence[str]]:
    """Values of the control headers by the lower-case name behind ``X-Merpati-``."""
    found: dict[str, list[str]] = {}
    for name, _, value in head.fields:
        if name.startswith(CONTROL):
            found.setdefault(name[len(CONTROL) :].decode("ascii"), []).append(value.decode("utf-8", "replace"))
    return found
