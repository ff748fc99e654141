"""A single message: written whole when it was accepted, signed and given its return path when it is sent.

Its octets are only ever prepended to, for whoever re-serialises a message changes it. The Message-ID is in them, so it
is the same for every try.
"""

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from esp.model.content import Envelope, OutgoingMessage
from esp.wire import headers as wire
from esp.wire.dkim import body_hash, signer_for
from esp.wire.mime import ALTERNATIVE, TEXT_ONLY
from esp.wire.quoted_printable import encode_piece
from esp.wire.tokens import Purpose, TokenSigner

_FIELD: Final = re.compile(rb"([!-9;-~]+):[ \t]?((?:[^\r\n]|\r\n[ \t])*)\r\n")
_MESSAGE_ID: Final = re.compile(rb"<([^<>\s]+)>")


class Sealer:
    """Signs single messages of one domain. ``signed=False`` leaves DKIM to a smart host."""

    def __init__(self, envelope: Envelope, tokens: TokenSigner, *, signed: bool = True) -> None:
        self._envelope = envelope
        self._tokens = tokens
        self._signers = [signer_for(key) for key in envelope.keys] if signed else []

    def seal(
        self, delivery_id: int, address: str, raw: bytes, now: datetime, *, can_leave: bool = False
    ) -> OutgoingMessage:
        """``raw`` (CRLF-clean) ready for the wire, with a one-click way out where ``can_leave`` (RFC 8058), which is
        signed with the rest. Raises ValueError where it is no message or has no Message-ID."""
        if can_leave:
            raw = self._way_out(delivery_id) + raw
        head, separator, body = raw.partition(b"\r\n\r\n")
        head += b"\r\n"
        headers = [(found[1], found[2]) for found in _FIELD.finditer(head)]
        if not separator or sum(len(name) + len(value) for name, value in headers) == 0:
            raise ValueError("a single message needs a header and a body")
        ids = [value for name, value in headers if name.lower() == b"message-id"]
        found_id = _MESSAGE_ID.search(ids[0]) if len(ids) == 1 else None
        if found_id is None:
            raise ValueError("a single message needs exactly one Message-ID")
        digest, timestamp = body_hash(body), int(now.timestamp())
        signatures = [signer.sign(headers, digest, timestamp) for signer in self._signers]
        envelope = self._envelope
        local = self._tokens.return_path(envelope.workspace_id, envelope.campaign_id, delivery_id)
        return OutgoingMessage(
            delivery_id, f"{local}@{envelope.bounce_domain}", address, b"".join((*signatures, raw)),
            found_id[1].decode("ascii"), smtputf8=not address.isascii(),
        )

    def _way_out(self, delivery_id: int) -> bytes:
        """As a campaign's mail has it: a link that a POST unsubscribes by, and an address of our own MX."""
        to = self._envelope
        claims = (to.workspace_id, to.campaign_id, delivery_id)
        urls = [f"{to.tracking_url}/u/{self._tokens.sign(Purpose.UNSUBSCRIBE, *claims)}",
                f"mailto:{self._tokens.unsubscribe_mailbox(*claims)}@{to.bounce_domain}"]
        return (b"List-Unsubscribe: " + wire.encode_urls(urls) + b"\r\n"
                b"List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n")


def write_message(
    *, from_name: str, from_address: str, to: str, subject: str, text: str, message_id: str, now: datetime,
    html: str = "", reply_to: str = "", extra: Sequence[tuple[str, str]] = (),
) -> bytes:
    """A whole message of ours without signatures: a text part, and an HTML part beside it where there is one.

    ``extra`` are further headers, in words: whatever is in them stays on its line. ``message_id`` is without brackets.
    """
    shape = ALTERNATIVE if html else TEXT_ONLY
    lines = [
        (b"From", wire.encode_mailbox(from_name, from_address, 6)),
        (b"To", wire.encode_mailbox("", to, 4)),
        (b"Subject", wire.encode_text(subject, 9)),
        (b"Date", wire.encode_date(now)),
        (b"Message-ID", b"<" + message_id.encode("ascii") + b">"),
        (b"MIME-Version", b"1.0"),
        *([(b"Reply-To", wire.encode_mailbox("", reply_to, 10))] if reply_to else []),
        *((name.encode("ascii"), wire.encode_text(value, len(name) + 2)) for name, value in extra),
        *shape.headers,
    ]
    body = [shape.before, encode_piece(text.rstrip("\n") + "\n")]
    if html:
        body += [shape.between, encode_piece(html.rstrip("\n") + "\n")]
    body.append(shape.after)
    return b"".join((*(name + b": " + value + b"\r\n" for name, value in lines), b"\r\n", *body))
