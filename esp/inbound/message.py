"""A received message as far as recognition needs it, read under strict bounds.

The e-mail package is quadratic in the number of parts and recursive in their depth, so what it sees is cut first:
reports come before the returned original (RFC 3462 section 2), and nothing behind the cut decides.
This module still belongs in a process that can be killed: see ``service``.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from email import policy
from email.message import Message
from email.parser import BytesParser
from typing import Final

_OCTETS: Final = 128 * 1024
_HEADER_OCTETS: Final = 32 * 1024
_DELIMITER_LINES: Final = 400
_MULTIPARTS: Final = 20
_PARTS: Final = 50
_DEPTH: Final = 8
_FIELD_OCTETS: Final = 2000
_BLOCKS: Final = 20  # recipients of one report that are read
_CONTROLS: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_REPORT_TYPES: Final = frozenset(
    ("message/delivery-status", "message/global-delivery-status", "message/feedback-report")
)
_ORIGINAL_TYPES: Final = frozenset(
    ("message/rfc822", "message/global", "text/rfc822-headers", "message/rfc822-headers", "message/global-headers")
)
_PARSER: Final = BytesParser(policy=policy.compat32)

Fields = Mapping[str, str]


class TooComplexError(ValueError):
    """A message with more parts, depth or header than any mail system sends on purpose."""


@dataclass(frozen=True, slots=True)
class ReportPart:
    """One machine-readable part: its media type and its blocks of fields, names in lower case."""

    media_type: str
    blocks: tuple[Fields, ...]


@dataclass(frozen=True, slots=True)
class ReadMessage:
    """``fields`` is the message's header (the first of each name, in lower case), ``original`` the returned mail's."""

    media_type: str
    report_type: str
    fields: Fields
    reports: tuple[ReportPart, ...]
    original: Fields


def read(raw: bytes) -> ReadMessage:
    """The message, or TooComplexError. Never another exception than those of a broken interpreter."""
    head = raw[: _OCTETS]
    end = min((at for at in (head.find(b"\r\n\r\n"), head.find(b"\n\n")) if at >= 0), default=len(head))
    if end > _HEADER_OCTETS:
        raise TooComplexError("header")
    if len(re.findall(rb"^--", head, re.MULTILINE)) > _DELIMITER_LINES:
        raise TooComplexError("parts")
    if len(re.findall(rb"multipart/", head, re.IGNORECASE)) > _MULTIPARTS:
        raise TooComplexError("depth")
    try:
        message = _PARSER.parsebytes(head.replace(b"\x00", b"?"))
    except RecursionError:
        raise TooComplexError("depth") from None
    reports: list[ReportPart] = []
    original: Fields = {}
    for part in _walk(message):
        media_type = part.get_content_type()
        if media_type in _REPORT_TYPES:
            reports.append(ReportPart(media_type, tuple(_blocks(part))))
        elif media_type in _ORIGINAL_TYPES and not original:
            original = _original(part)
    return ReadMessage(
        message.get_content_type(), str(message.get_param("report-type", "") or "").lower(), _fields(message),
        tuple(reports), original,
    )


def _walk(message: "Message[str, str]") -> Iterator["Message[str, str]"]:
    """Parts in order, bounded in number and depth; not into a report's blocks or a returned original."""
    seen = 0
    waiting = [(message, 0)]
    while waiting:
        part, depth = waiting.pop()
        seen += 1
        if seen > _PARTS or depth > _DEPTH:
            raise TooComplexError("parts")
        yield part
        payload = part.get_payload()
        if part.get_content_maintype() == "multipart" and isinstance(payload, list):
            waiting.extend((inner, depth + 1) for inner in reversed(payload) if isinstance(inner, Message))


def _fields(message: "Message[str, str]") -> dict[str, str]:
    fields: dict[str, str] = {}
    for name, value in message.items():
        # NUL and its kin too, which an encoded report can hold: no database of ours has to take them.
        fields.setdefault(name.lower(), " ".join(_CONTROLS.sub(" ", str(value)[:_FIELD_OCTETS]).split()))
    return fields


def _blocks(part: "Message[str, str]") -> Iterator[Fields]:
    """Field groups between empty lines (RFC 3464 section 2.1), whether the parser made messages of them or text."""
    payload = part.get_payload()
    if isinstance(payload, list):
        blocks = [block for block in payload[:_BLOCKS] if isinstance(block, Message)]
        # Some systems encode the report, which RFC 3464 forbids: then the one block is a body without a header.
        if not (len(blocks) == 1 and not blocks[0].items()):
            yield from (_fields(block) for block in blocks)
            return
        inner = blocks[0].get_payload()
        text = inner if isinstance(inner, str) else ""
    else:
        text = payload if isinstance(payload, str) else ""
    if part.get("content-transfer-encoding", "").strip().lower() in ("base64", "quoted-printable"):
        carrier: Message[str, str] = Message()
        carrier["Content-Transfer-Encoding"] = part["content-transfer-encoding"]
        carrier.set_payload(text)
        decoded = carrier.get_payload(decode=True)
        text = decoded.decode("utf-8", "replace") if isinstance(decoded, bytes) else ""
    for block in re.split(r"\r?\n[ \t]*\r?\n", text)[:_BLOCKS]:
        yield _fields(_PARSER.parsebytes(block.strip().encode("utf-8", "surrogateescape"), headersonly=True))


def _original(part: "Message[str, str]") -> dict[str, str]:
    payload = part.get_payload()
    if isinstance(payload, list):
        return _fields(payload[0]) if payload and isinstance(payload[0], Message) else {}
    if isinstance(payload, str):
        return _fields(_PARSER.parsebytes(payload.encode("utf-8", "surrogateescape"), headersonly=True))
    return {}
