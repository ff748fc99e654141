"""A received message as far as recognition needs it: its header, its reports, its prose, and whose mail came back.

A returned message is told apart from what was written about it, and is never searched for failures: it may quote any.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from esp.inbound.mime import Part, TooComplexError, clean, decoded, header, parts, words
from esp.inbound.phrases import returned_from

__all__ = ["Fields", "ReadMessage", "ReportPart", "TooComplexError", "read"]

_TEXT: Final = 24_000  # characters of prose that are read: some hundred recipients
_TEXTS: Final = 4
_BLOCKS: Final = 100  # recipients of one report that are read
_REPORT_TYPES: Final = frozenset(
    ("message/delivery-status", "message/global-delivery-status", "message/feedback-report",
     "message/disposition-notification", "message/global-disposition-notification")
)
_ORIGINAL_TYPES: Final = frozenset(
    ("message/rfc822", "message/global", "text/rfc822-headers", "message/rfc822-headers", "message/global-headers",
     "text/rfc822", "text/rfc822-header", "message/partial")
)
_TAG: Final = re.compile(r"<(?:/?[a-zA-Z!][^<>]{0,2000})>")
_UNSEEN: Final = ("style", "script", "head")
_BREAK: Final = re.compile(r"<(?:br|/p|/div|/tr|/h\d|/li|/pre)\b[^<>]{0,200}>", re.IGNORECASE)
_CELL: Final = re.compile(r"</td\b[^<>]{0,200}>", re.IGNORECASE)
_ENTITIES: Final = {"&lt;": "<", "&gt;": ">", "&quot;": '"', "&#39;": "'", "&nbsp;": " ", "&#64;": "@", "&amp;": "&"}

Fields = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ReportPart:
    """One machine-readable part: its media type and its blocks of fields, names in lower case."""

    media_type: str
    blocks: tuple[Fields, ...]


@dataclass(frozen=True, slots=True)
class ReadMessage:
    """``fields`` is the message's header (the first of each name, in lower case), ``original`` the returned mail's.

    ``text`` is what was written, without the returned mail; ``lower`` the same in lower case, for phrases.
    ``files`` are the media types and names of the other parts.
    """

    media_type: str
    report_type: str
    fields: Fields
    reports: tuple[ReportPart, ...]
    original: Fields
    subject: str = ""
    text: str = ""
    lower: str = ""
    files: tuple[tuple[str, str], ...] = ()


def read(raw: bytes) -> ReadMessage:
    """The message, or TooComplexError. Never another exception, whatever the octets."""
    reports: list[ReportPart] = []
    texts: list[str] = []
    html = ""
    files: list[tuple[str, str]] = []
    original: Fields = {}
    top: Part | None = None
    for part in parts(raw):
        top = top or part
        kind = part.media_type
        if kind in _REPORT_TYPES:
            reports.append(ReportPart(kind, tuple(_blocks(part))))
        elif kind in _ORIGINAL_TYPES:
            original = original or _original(part)
        elif kind == "text/html":
            html = html or part.text(_TEXT * 2)
        elif kind.startswith("text/") and _is_prose(part) and len(texts) < _TEXTS and not original:
            texts.append(part.text(_TEXT))
        elif not kind.startswith("multipart/"):
            files.append((kind, _file_name(part)))
    assert top is not None  # the first part is the message itself
    text = "\n".join(texts)[:_TEXT]
    if html and not text.strip():
        text = _without_tags(html)[:_TEXT]
    at = returned_from(text)
    if at is not None and not original:
        original = _header_in(text[at : at + 8000])
    text = text if at is None else text[:at]
    return ReadMessage(
        top.media_type, top.parameters.get("report-type", "").lower(), top.fields, tuple(reports), original,
        words(top.fields.get("subject", "")), text, text.lower(), tuple(files),
    )


def _is_prose(part: Part) -> bool:
    """Not a file: some systems name the text of their report, but none attaches it to be kept."""
    if part.depth == 0:
        return True
    kept = part.fields.get("content-disposition", "").lower().startswith("attachment")
    return part.media_type == "text/plain" and not kept


def _file_name(part: Part) -> str:
    found = re.search(r'filename\*?="?([^";]{1,200})', part.fields.get("content-disposition", ""), re.IGNORECASE)
    return words(found[1] if found else part.parameters.get("name", "")).lower()


def _without_tags(html: str) -> str:
    for name in _UNSEEN:
        html = _without(name, html)
    text = _TAG.sub(" ", _CELL.sub(" ", _BREAK.sub("\n", html)))
    for entity, letter in _ENTITIES.items():
        text = text.replace(entity, letter)
    return "\n".join(" ".join(line.split()) for line in text.split("\n"))


def _without(name: str, html: str) -> str:
    """The text without the first ten elements of that name."""
    for _ in range(10):
        lower = html.lower()
        start = lower.find("<" + name)
        end = lower.find("</" + name, start)
        if start < 0 or end < 0 or len(lower) != len(html):
            break
        html = html[:start] + html[end + len(name) + 2 :]
    return html


def _blocks(part: Part) -> Iterator[Fields]:
    """Field groups between empty lines (RFC 3464 section 2.1); some systems encode them, which it forbids."""
    encoding = part.fields.get("content-transfer-encoding", "")
    if encoding.strip().lower() in ("base64", "quoted-printable"):
        body = decoded(part.body, encoding, "utf-8", _TEXT * 4).encode("utf-8", "replace")
    else:
        body = part.body
    for block in re.split(rb"\n[ \t]*\n", body.strip(b"\n"), maxsplit=_BLOCKS)[:_BLOCKS]:
        if block.strip():
            yield from map(header, _recipients_apart(block))


def _recipients_apart(block: bytes) -> Iterator[bytes]:
    """A block that goes on with the next recipient, for want of an empty line: it begins where a field repeats."""
    lower = b"\n" + block.lower()
    if max(lower.count(b"\nfinal-recipient:"), lower.count(b"\naction:")) < 2:
        yield block
        return
    lines: list[bytes] = []
    names: set[bytes] = set()
    for line in block.split(b"\n"):
        name = line.partition(b":")[0].strip().lower()
        if name in (b"final-recipient", b"original-recipient", b"action", b"status") and line[:1] not in (b" ", b"\t"):
            if name in names:
                yield b"\n".join(lines)
                lines, names = [], set()
            names.add(name)
        lines.append(line)
    yield b"\n".join(lines)


def _original(part: Part) -> Fields:
    body = part.body
    if part.fields.get("content-transfer-encoding", "").strip().lower() in ("base64", "quoted-printable"):
        body = decoded(body, part.fields["content-transfer-encoding"], "utf-8", _TEXT).encode("utf-8", "replace")
    try:
        return header(body.lstrip(b"\n").partition(b"\n\n")[0][:32_000])
    except TooComplexError:
        return {}


def _header_in(text: str) -> Fields:
    """The header of a mail that is quoted behind a line of prose."""
    fields: dict[str, str] = {}
    for line in text.split("\n")[:200]:
        name, colon, value = line.strip().partition(":")
        if colon and re.fullmatch(r"[A-Za-z][A-Za-z0-9-]{1,60}", name):
            fields.setdefault(name.lower(), clean(value[:2000]))
        elif not line.strip() and len(fields) > 2:
            break
    return fields
