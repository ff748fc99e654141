"""Delivery status notifications (RFC 3464): what a sender hears of what became of their message."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from esp.wire import headers as wire

_MOST_LINES: Final = 900  # octets of one line of a reply that is quoted


@dataclass(frozen=True, slots=True)
class RecipientStatus:
    """``action`` is failed or relayed; ``status`` an enhanced code; ``original`` the ORCPT as it came, or ''."""

    address: str
    action: str
    status: str
    diagnostic: str
    at: datetime
    original: str = ""


def write_dsn(
    *, reporting: str, from_address: str, to: str, message_id: str, boundary: str, now: datetime, subject: str,
    accepted_at: datetime, recipients: Sequence[RecipientStatus], returned: bytes, envid: str = "", full: bool = False,
) -> bytes:
    """The whole report, ASCII but for what it returns. ``returned`` is the message, or its header alone."""
    failed = any(one.action == "failed" for one in recipients)
    title = "Undelivered mail" if failed else "Mail handed over"
    lines = [
        b"From: " + wire.encode_mailbox("Mail delivery", from_address, 6),
        b"To: " + wire.encode_mailbox("", to, 4),
        b"Subject: " + wire.encode_text(f"{title}: {subject}"[:200], 9),
        b"Date: " + wire.encode_date(now),
        b"Message-ID: <" + message_id.encode("ascii") + b">",
        b"Auto-Submitted: auto-replied",  # RFC 3834 section 5
        b"MIME-Version: 1.0",
        b"Content-Type: multipart/report; report-type=delivery-status;\r\n\tboundary=\"" + boundary.encode() + b"\"",
        b"",
        *_part(boundary, b"text/plain; charset=utf-8", _words(recipients, failed)),
        *_part(boundary, b"message/delivery-status", _status(reporting, accepted_at, recipients, envid)),
        *_part(boundary, b"message/rfc822" if full else b"text/rfc822-headers", returned),
        b"--" + boundary.encode() + b"--", b"",
    ]
    return b"\r\n".join(lines)


def _part(boundary: str, kind: bytes, content: bytes) -> list[bytes]:
    eight = [] if content.isascii() else [b"Content-Transfer-Encoding: 8bit"]
    return [b"--" + boundary.encode(), b"Content-Type: " + kind, *eight, b"", content.removesuffix(b"\r\n")]


def _words(recipients: Sequence[RecipientStatus], failed: bool) -> bytes:
    said = ["Your message could not be delivered to these recipients:" if failed
            else "Your message was handed over to the servers of these recipients:", ""]
    for one in recipients:
        said += [f"  {one.address}", f"    {one.diagnostic}" if one.diagnostic else "", ""]
    return "\r\n".join(said).encode("utf-8", "replace")


def _status(
    reporting: str, accepted_at: datetime, recipients: Sequence[RecipientStatus], envid: str
) -> bytes:
    """RFC 3464 sections 2.2 and 2.3."""
    lines = [f"Reporting-MTA: dns; {reporting}"]
    if envid:
        lines.append(f"Original-Envelope-Id: {envid}")
    groups = ["\r\n".join([*lines, f"Arrival-Date: {wire.encode_date(accepted_at).decode()}"])]
    for one in recipients:
        kind = "rfc822" if one.address.isascii() else "utf-8"
        fields = [f"Original-Recipient: {one.original}"] if one.original else []
        fields += [f"Final-Recipient: {kind}; {one.address}", f"Action: {one.action}", f"Status: {one.status}"]
        if one.diagnostic:
            fields.append(f"Diagnostic-Code: smtp; {one.diagnostic}")
        groups.append("\r\n".join([*fields, f"Last-Attempt-Date: {wire.encode_date(one.at).decode()}"]))
    return "\r\n\r\n".join(groups).encode("utf-8", "replace") + b"\r\n"


def one_line(text: str) -> str:
    """A remote server's words as they may stand in a field."""
    return wire.clean(text).encode("utf-8", "replace").decode()[:_MOST_LINES]
