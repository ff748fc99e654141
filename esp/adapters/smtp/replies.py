"""Octets from a server to replies, within bounds whatever the server sends (THREATS 4.13)."""

import re
from typing import Final

from esp.model.verdict import Reply

MAX_LINE: Final = 2048  # RFC 5321 4.5.3.1.5 says 512; some servers put an essay there
MAX_LINES: Final = 100
MAX_OCTETS: Final = 16_384  # of one reply
MAX_TEXT: Final = 1000  # characters that are kept

_ENHANCED: Final = re.compile(r"([245]\.\d{1,3}\.\d{1,3})(?:\s+|$)")
_CONTROL: Final = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")

RawReply = tuple[int, list[bytes]]


class ReplyError(Exception):
    """What the server sent is no SMTP reply."""


class ReplyReader:
    """Collects octets and gives complete replies; raises ReplyError for what is malformed or beyond the bounds."""

    __slots__ = ("_buffer", "_lines", "_octets")

    def __init__(self) -> None:
        self._buffer = b""
        self._lines: list[bytes] = []
        self._octets = 0

    @property
    def pending(self) -> bool:
        """Part of a reply has arrived."""
        return bool(self._buffer or self._lines)

    def discard(self) -> None:
        """Forget what has not been read: after STARTTLS nothing from before it may count (RFC 3207 section 4.2)."""
        self._buffer, self._lines, self._octets = b"", [], 0

    def feed(self, data: bytes) -> list[RawReply]:
        """The replies that ``data`` completes: code and the lines' text, undecoded."""
        buffer = self._buffer + data if self._buffer else data
        found: list[RawReply] = []
        at = 0
        while (end := buffer.find(b"\n", at)) >= 0:
            line = buffer[at:end]
            at = end + 1
            if line.endswith(b"\r"):
                line = line[:-1]
            if len(line) > MAX_LINE:
                raise ReplyError("a reply line is too long")
            code, mark = line[:3], line[3:4]
            if not code.isdigit() or mark not in (b" ", b"-", b"") or len(code) != 3:
                raise ReplyError(f"not a reply: {line[:80]!r}")
            self._lines.append(line[4:])
            self._octets += len(line)
            if len(self._lines) > MAX_LINES or self._octets > MAX_OCTETS:
                raise ReplyError("a reply has no end")
            if mark != b"-":
                found.append((int(code), self._lines))
                self._lines, self._octets = [], 0
        self._buffer = buffer[at:]
        if len(self._buffer) > MAX_LINE:
            raise ReplyError("a reply line is too long")
        return found


def to_reply(raw: RawReply) -> Reply:
    """A reply in words: UTF-8 as far as it is, control characters (NUL too, which no database takes) as blanks."""
    code, lines = raw
    texts = [_CONTROL.sub(" ", line.decode("utf-8", "replace")) for line in lines]
    enhanced = ""
    found = _ENHANCED.match(texts[0])
    # The class must agree with the code, or it is a version number or an address that begins the text.
    if found and found[1][0] == str(code)[0]:
        enhanced = found[1]
        texts = [text.removeprefix(enhanced).lstrip() for text in texts]
    return Reply(code, enhanced, "\n".join(texts).strip()[:MAX_TEXT])
