"""A sender with keys, and short cuts from a draft to a message, for the tests of compose and render."""

from dataclasses import replace
from datetime import UTC, datetime
from email import policy
from email.message import EmailMessage
from email.parser import BytesParser
from functools import cache
from typing import Any

from esp.compose.freeze import Facts, freeze
from esp.model.content import CompiledVariant, Draft, Envelope, OutgoingMessage, Recipient, SigningKey
from esp.render import Renderer
from esp.wire.dkim import ED25519, RSA, dns_record, generate_key
from esp.wire.tokens import TokenSigner

NOW = datetime(2026, 11, 21, 8, 30, tzinfo=UTC)
TOKENS = TokenSigner({1: b"k" * 32}, 1)
FACTS = Facts("Toko Büku", "Jl. Braga 1, Bandung", "November")


@cache
def keys() -> tuple[SigningKey, ...]:
    """One RSA and one Ed25519 key of the sending domain."""
    return tuple(
        SigningKey("toko.example", selector, algorithm, generate_key(algorithm)[0])
        for selector, algorithm in (("rsa1", RSA), ("ed1", ED25519))
    )


def records() -> dict[str, str]:
    return dict(dns_record(key) for key in keys())


def envelope(**changes: Any) -> Envelope:
    standard = Envelope(
        workspace_id=1, campaign_id=2, from_name="Toko Büku", from_address="news@toko.example",
        reply_to="halo@toko.example", bounce_domain="b.toko.example", message_id_domain="toko.example",
        tracking_url="https://t.toko.example", list_id="news.toko.example", list_name="Berita",
        feedback_id="2:1:campaign:merpati", unsubscribe_mailto="keluar@toko.example", keys=keys(),
    )  # fmt: skip
    return replace(standard, **changes)


def person(address: str = "budi@example.com", delivery_id: int = 7, **fields: Any) -> Recipient:
    return Recipient(delivery_id, 9, address, fields)


def frozen(
    source: str, *, subject: str = "Halo", fields: frozenset[str] = frozenset(), **changes: Any
) -> CompiledVariant:
    return freeze(Draft(subject, source, **changes), known_fields=fields, facts=FACTS)


def send(compiled: CompiledVariant, recipient: Recipient, **changes: Any) -> OutgoingMessage:
    return Renderer(compiled, envelope(**changes), TOKENS).render(recipient, NOW)


def parsed(message: OutgoingMessage) -> EmailMessage:
    found = BytesParser(policy=policy.default).parsebytes(message.data)
    assert isinstance(found, EmailMessage)
    return found


def part(message: OutgoingMessage, kind: str) -> str:
    """The decoded ``plain`` or ``html`` part, its line ends as LF."""
    body = parsed(message).get_body((kind,))
    assert body is not None
    content: str = body.get_content()
    return content.replace("\r\n", "\n")
