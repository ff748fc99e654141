"""Content as it is written, and as it is once frozen: what compose hands to render."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from esp.model.campaign import ContentKind


@dataclass(frozen=True, slots=True)
class Draft:
    """One variant as a marketer wrote it: all texts may hold merge fields in the template language."""

    subject: str
    source: str
    kind: ContentKind = ContentKind.HTML
    preheader: str = ""
    label: str = "A"


@dataclass(frozen=True, slots=True)
class Problem:
    """What a lint found. ``level``: ``error`` (cannot be sent) or ``warning``; ``where``: subject, preheader, body."""

    level: str
    where: str
    message: str
    line: int | None = None


@dataclass(frozen=True, slots=True)
class Link:
    """A tracked link: ``index`` counts through the campaign; ``url`` may hold merge fields, but not in its host."""

    index: int
    url: str
    text: str = ""

    @property
    def personal(self) -> bool:
        return "{{" in self.url


@dataclass(frozen=True, slots=True)
class CompiledVariant:
    """A variant frozen for sending. ``payload`` is compose's own serialised form, read only by render.

    The same payload always renders to the same bytes, whatever later versions of the source do (a campaign is frozen).
    """

    label: str
    links: tuple[Link, ...]
    payload: bytes
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True)
class Recipient:
    """One person as the renderer sees them; ``fields`` holds only str, numbers, bool, None, lists and dicts.

    ``tracked`` False: they asked us to count nothing, so their mail has no pixel and its links lead straight on.
    """

    delivery_id: int
    contact_id: int
    address: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    tracked: bool = True


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A DKIM key as stored: ``algorithm`` is ``rsa-sha256`` or ``ed25519-sha256``; ``private_pem`` is secret PKCS#8."""

    domain: str
    selector: str
    algorithm: str
    private_pem: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Envelope:
    """What all messages of one campaign share. URLs are without a trailing slash; domains in A-label form.

    ``list_id`` is the RFC 2919 identifier without brackets, e.g. ``news.toko.example``.
    """

    workspace_id: int
    campaign_id: int
    from_name: str
    from_address: str
    reply_to: str
    bounce_domain: str
    message_id_domain: str
    tracking_url: str
    list_id: str
    list_name: str
    feedback_id: str
    unsubscribe_mailto: str = ""
    track_opens: bool = True
    track_clicks: bool = True
    keys: tuple[SigningKey, ...] = ()


@dataclass(frozen=True, slots=True)
class OutgoingMessage:
    """Ready for the wire: ``data`` is CRLF-clean, not dot-stuffed; ``smtputf8``: an address needs RFC 6531.

    ``checked``: every piece was looked at when it was made, so that ``data`` is known to end in CRLF, to hold no CR or
    LF outside of CRLF and no line that begins with a dot.
    """

    delivery_id: int
    mail_from: str
    rcpt_to: str
    data: bytes
    message_id: str
    smtputf8: bool = False
    checked: bool = False
