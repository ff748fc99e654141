"""Header fields written by ourselves (RFC 5322, RFC 2047), for the standard library's serialiser breaks two promises:
it encodes a long List-Unsubscribe, which mailbox providers then ignore, and it lets some line separators through.

Every value passes ``clean``, so that nothing a stranger typed can start a header line.
"""

import base64
import re
from collections.abc import Sequence
from datetime import datetime
from typing import Final

MAXIMUM_LINE: Final = 998  # octets without CRLF, RFC 5322 section 2.1.1
PREFERRED_LINE: Final = 78

# All that str.splitlines takes for a line's end, NUL, and every other control character (C0, DEL, C1).
_CONTROLS: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_SAFE: Final = re.compile(r"[!-~]+(?: [!-~]+)*")
_WORD: Final = re.compile(r"[!-~]+")
_ATOMS: Final = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?: [A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
_URL: Final = re.compile(r"[!-;=?-~]+")  # printable ASCII but < and >
_DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def clean(text: str) -> str:
    """``text`` on one line: a run of line separators and control characters becomes a space, ends are stripped."""
    return _CONTROLS.sub(" ", text).strip()


def _encoded_words(text: str, first_room: int) -> list[bytes]:
    """RFC 2047 encoded-words of at most 75 octets, none of which cuts a character (section 5, rule 3)."""
    words: list[bytes] = []
    chunk = b""
    room = max(12, min(63, first_room - 12) // 4 * 3)
    for character in text:
        octets = character.encode("utf-8", "replace")
        if len(chunk) + len(octets) > room:
            words.append(b"=?utf-8?b?" + base64.b64encode(chunk) + b"?=")
            chunk, room = b"", 45
        chunk += octets
    words.append(b"=?utf-8?b?" + base64.b64encode(chunk) + b"?=")
    return words


def _fold(text: str, used: int) -> bytes | None:
    """ASCII ``text`` folded before blanks into lines of 78; None where one word alone would pass 998 octets."""
    lines: list[str] = []
    line = ""
    for word in re.findall(r" *[^ ]+", text):
        if line and used + len(line) + len(word) > PREFERRED_LINE:
            lines.append(line)
            line, used = word, 0
        else:
            line += word
    lines.append(line)
    if any(len(line) > MAXIMUM_LINE - 80 for line in lines):
        return None
    return "\r\n".join(lines).encode("ascii")


def encode_text(text: str, used: int) -> bytes:
    """An unstructured value (Subject): plain ASCII where possible, else encoded-words; folded by CRLF and a blank.

    ``used`` is the number of octets already on the line, name and colon.
    """
    if len(text) + used <= PREFERRED_LINE and _SAFE.fullmatch(text) and "=?" not in text:
        return text.encode("ascii")  # most subjects: printable words with a blank between them
    text = clean(text)
    if text.isascii() and "=?" not in text:
        if len(text) + used <= PREFERRED_LINE and _SAFE.fullmatch(text):
            return text.encode("ascii")
        folded = _fold(text, used)
        if folded is not None:
            return folded
    return b"\r\n ".join(_encoded_words(text, PREFERRED_LINE - used))


def encode_phrase(name: str, used: int) -> bytes:
    """A display name: atoms, a quoted string, or encoded-words (RFC 5322 section 3.2.5, RFC 2047 section 5 rule 3)."""
    name = clean(name)
    if name.isascii() and "=?" not in name and len(name) < 200:
        plain = name if _ATOMS.fullmatch(name) else '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'
        folded = _fold(plain, used)  # blanks may be folded inside of quotation marks too (section 3.2.4)
        if folded is not None:
            return folded
    return b"\r\n ".join(_encoded_words(name, PREFERRED_LINE - used))


def encode_mailbox(name: str, address: str, used: int) -> bytes:
    """``name <address>``, or the bare address without a name; ``address`` has passed ``addresses.parse_address``."""
    if not name and _WORD.fullmatch(address):
        return address.encode("ascii")
    spec = clean(address).replace(" ", "").encode("utf-8", "replace")
    if not clean(name):
        return spec
    phrase = encode_phrase(name, used)
    last = len(phrase.rsplit(b"\r\n", 1)[-1]) + (used if b"\r\n" not in phrase else 0)
    return phrase + (b"\r\n <" if last + len(spec) + 3 > PREFERRED_LINE else b" <") + spec + b">"


def encode_urls(urls: Sequence[str]) -> bytes:
    """URLs in angle brackets, as List-Unsubscribe wants them (RFC 2369 section 2): ASCII, folded only between two.

    Raises ValueError for a URL that is not printable ASCII, or too long for a line; never encodes it.
    """
    for url in urls:
        if not _URL.fullmatch(url) or len(url) > MAXIMUM_LINE - 30:
            raise ValueError(f"{url!r} cannot stand in a header")
    return b",\r\n ".join(b"<" + url.encode("ascii") + b">" for url in urls)


def encode_list_id(name: str, list_id: str, used: int) -> bytes:
    """``phrase <list-id>`` (RFC 2919 section 3)."""
    if not clean(name):
        return b"<" + clean(list_id).encode("ascii", "replace") + b">"
    return encode_mailbox(name, list_id, used)


def encode_date(moment: datetime) -> bytes:
    """RFC 5322 section 3.3, always in UTC. ``moment`` must be aware."""
    offset = moment.utcoffset()
    if offset is None:
        raise ValueError("a message's date needs a time zone")
    utc = moment - offset
    return (
        f"{_DAYS[utc.weekday()]}, {utc.day:02d} {_MONTHS[utc.month - 1]} {utc.year:04d} "
        f"{utc.hour:02d}:{utc.minute:02d}:{utc.second:02d} +0000"
    ).encode("ascii")
