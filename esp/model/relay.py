"""What an app hands over: submissions, what becomes of them, and the credentials that apps show."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final

from esp.model.contact import ExclusionReason


class CredentialKind(StrEnum):
    SMTP = "smtp"  # a user name and a password; the password is kept as argon2id
    API = "api"  # a key of 256 random bits, kept as its SHA-256: nobody guesses it, so nothing slow guards it


class Scope(StrEnum):
    """What an API key may do. ``full`` is everything; a pair ``thing:read`` is contained in ``thing:write``."""

    FULL = "full"
    SEND = "messages:send"
    MESSAGES_READ = "messages:read"
    CONTACTS_READ = "contacts:read"
    CONTACTS_WRITE = "contacts:write"
    CAMPAIGNS_READ = "campaigns:read"
    CAMPAIGNS_WRITE = "campaigns:write"
    DOMAINS_READ = "domains:read"
    DOMAINS_WRITE = "domains:write"
    SUPPRESSIONS_READ = "suppressions:read"
    SUPPRESSIONS_WRITE = "suppressions:write"
    EVENTS_READ = "events:read"
    WEBHOOKS_WRITE = "webhooks:write"
    KEYS_WRITE = "keys:write"


class StreamKind(StrEnum):
    """Which queue a stream's mail waits in: transactional mail is claimed before every broadcast."""

    TRANSACTIONAL = "transactional"
    BROADCAST = "broadcast"


class SuppressedPolicy(StrEnum):
    """What happens to a recipient who may not be written to."""

    DROP = "drop"  # accepted, and an event says why it was not sent
    REFUSE = "refuse"  # said at once: 550 at RCPT, 422 over HTTP


class MessageState(StrEnum):
    """Where a message as a whole stands; each recipient's delivery has a state of its own."""

    ACCEPTED = "accepted"
    SCHEDULED = "scheduled"  # waits for ``send_at``
    HELD = "held"  # waits for somebody's word
    CANCELLED = "cancelled"
    SANDBOX = "sandbox"  # accepted by a sandbox credential: never delivered


#: The stream that is meant where none is named; every workspace has it, and ``broadcast``.
DEFAULT_STREAM: Final = "transactional"

#: Most recipients of one message, over SMTP and HTTP alike.
MAXIMUM_RECIPIENTS: Final = 1000


class RefusalCode(StrEnum):
    """Why a submission was not accepted; each door has its own words and numbers for them."""

    NOT_A_MESSAGE = "not_a_message"  # no header, two From, bare CR or LF ...
    SENDER_UNVERIFIED = "sender_unverified"  # the domain is not a verified one of this workspace
    SENDER_NOT_ALLOWED = "sender_not_allowed"  # it is, but not for this credential
    RECIPIENT_INVALID = "recipient_invalid"
    TOO_MANY_RECIPIENTS = "too_many_recipients"
    SUPPRESSED = "suppressed"
    UNKNOWN_STREAM = "unknown_stream"
    BAD_CONTROL = "bad_control"  # a tag, metadata, time or header that cannot be used
    RATE = "rate"  # more than the credential may send; try again later
    IDEMPOTENCY_MISMATCH = "idempotency_mismatch"  # this key was used for another message
    TOO_LARGE = "too_large"
    TOO_MANY_HOPS = "too_many_hops"


@dataclass(frozen=True, slots=True)
class Addressee:
    """One recipient. ``notify`` (any of SUCCESS, FAILURE, DELAY, or NEVER) and ``original`` as RFC 3461 has them."""

    address: str
    notify: frozenset[str] = frozenset()
    original: str = ""  # ORCPT, xtext as it came


@dataclass(frozen=True, slots=True)
class Submission:
    """One message as a door hands it over.

    ``raw`` is whole and CRLF-clean, with or without Date and Message-ID (which are added), without control headers and
    Bcc; it is never re-serialised. ``sender`` is the envelope's, '' for the null sender. ``stream`` is a handle.
    ``metadata`` are short texts by short names. ``track_*`` None means what the stream says. ``idempotency_key``
    is whatever the app chose; the same key and message within a day is answered with the first message.
    """

    raw: bytes = field(repr=False)
    sender: str
    recipients: tuple[Addressee, ...]
    stream: str = ""
    tags: tuple[str, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)
    track_opens: bool | None = None
    track_clicks: bool | None = None
    send_at: datetime | None = None
    idempotency_key: str = ""
    fingerprint: str = ""  # what a repetition must share with the first; '' for envelope, From and subject
    held: bool = False
    ret: str = ""  # RFC 3461: FULL or HDRS
    envid: str = ""  # RFC 3461: how the sender names this envelope, xtext


@dataclass(frozen=True, slots=True)
class Placed:
    """One recipient of an accepted message; ``suppressed`` is the ExclusionReason it was dropped for, or ''."""

    address: str
    delivery_id: int
    suppressed: str = ""


@dataclass(frozen=True, slots=True)
class Accepted:
    """Committed and synced. ``replayed``: an idempotency key said that this is the message of before."""

    message_id: int
    public_id: str
    state: MessageState
    recipients: tuple[Placed, ...] = ()
    replayed: bool = False
    header_id: str = ""  # its Message-ID without brackets


@dataclass(frozen=True, slots=True)
class Refused:
    """Nothing of it was kept. ``message`` is for the app's developer; ``where`` is the field or address."""

    code: RefusalCode
    message: str
    where: str = ""


Outcome = Accepted | Refused


@dataclass(frozen=True, slots=True)
class RelayStream:
    """A stream of a workspace's apps: kept apart from the others in queue, counts and retention."""

    id: int
    public_id: str
    handle: str
    name: str
    kind: StreamKind
    track_opens: bool = False
    track_clicks: bool = False
    suppressed: SuppressedPolicy = SuppressedPolicy.DROP
    keep_days: int = 45  # bodies; 0 keeps them for ever
    keep_octets: int = 0  # bodies, all together; 0 is no bound


def barred(reason: str, kind: StreamKind) -> str:
    """The ExclusionReason ``reason`` (or '') as far as it counts for a stream of that kind.

    Having left lists refuses nobody an answer to what they asked for; a bounce, a complaint and a marketer's word do.
    """
    left = reason == ExclusionReason.UNSUBSCRIBED.value and kind is StreamKind.TRANSACTIONAL
    return "" if left else reason


@dataclass(frozen=True, slots=True)
class Credential:
    """What an app shows at a door, without its secret. ``login`` is the SMTP user name or the key's public first part.

    Empty ``domains``, ``networks``: no restriction beyond the workspace's own. ``scopes`` matter for API keys alone.
    """

    id: int
    public_id: str
    workspace_id: int
    kind: CredentialKind
    name: str
    login: str
    created_at: datetime
    scopes: frozenset[Scope] = frozenset()
    stream: str = ""  # the handle of the one stream it may use; '' for any, the default one first
    domains: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()  # addresses or networks it may be shown from
    rate: str = ""  # a Rate's spelling, or ''
    sandbox: bool = False
    created_by: str = ""
    last_used_at: datetime | None = None
    revoked_at: datetime | None = None

    def may(self, scope: Scope) -> bool:
        """Whether an API key has ``scope``, or one that contains it."""
        thing, _, verb = scope.value.partition(":")
        wider = {Scope.FULL.value, scope.value} | ({f"{thing}:write"} if verb == "read" else set())
        return any(one.value in wider for one in self.scopes)
