"""What the relay keeps: streams, credentials, and accepted messages with their deliveries."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from esp.model.relay import (
    Accepted,
    Addressee,
    Credential,
    CredentialKind,
    MessageState,
    Refused,
    RelayStream,
    Scope,
    StreamKind,
    SuppressedPolicy,
)


@dataclass(frozen=True, slots=True)
class NewCredential:
    """``secret_hash`` is argon2id for SMTP, the SHA-256 in hexadecimal for API keys."""

    kind: CredentialKind
    name: str
    login: str
    secret_hash: str = field(repr=False)
    scopes: frozenset[Scope] = frozenset()
    stream: str = ""
    domains: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    rate: str = ""
    sandbox: bool = False
    created_by: str = ""


@dataclass(frozen=True, slots=True)
class KnownCredential:
    """A credential with the print of its secret: for the doors, and nowhere shown."""

    credential: Credential
    secret_hash: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class NewRelayMessage:
    """A judged submission, ready to be kept. ``raw`` is complete but for DKIM; ``domain_id`` whose domain signs it.

    ``providers`` is by recipient domain. ``addressees`` hold addresses as ``parse_address`` spells them. ``refuse``:
    nothing is kept where one of them is suppressed. ``fingerprint`` is what a replay of ``idempotency_key`` must share.
    """

    workspace_id: int
    domain_id: int
    stream: RelayStream
    credential_id: int | None
    raw: bytes = field(repr=False)
    sender: str
    from_address: str
    subject: str
    header_id: str  # Message-ID without brackets
    addressees: tuple[Addressee, ...]
    providers: Mapping[str, str]
    state: MessageState
    kind: str = "relay"
    tags: tuple[str, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)
    track_opens: bool = False
    track_clicks: bool = False
    send_at: datetime | None = None
    idempotency_key: str = ""
    fingerprint: str = ""
    refuse: bool = False
    ret: str = ""
    envid: str = ""


@dataclass(frozen=True, slots=True)
class Ended:
    """A delivery of an app's that has ended, with what a report to its sender says (RFC 3464). ``header`` is the
    message's header as sent. ``report``: failure, success or never; ``dsn`` as the sender asked (RFC 3461)."""

    delivery_id: int
    workspace_id: int
    message_id: int
    domain_id: int
    address: str
    state: str
    reason: str
    reply_code: int
    reply: str
    ended_at: datetime
    accepted_at: datetime
    sender: str
    from_address: str
    subject: str
    report: str
    dsn: Mapping[str, Any] | None
    raw: bytes = field(repr=False)


class Relay(Protocol):
    # ---- streams
    async def streams(self, workspace_id: int, *, make: bool = True) -> tuple[RelayStream, ...]:
        """Every stream in use, by handle. The first look makes ``transactional`` and ``broadcast``, if it may."""
        ...

    async def add_stream(
        self, workspace_id: int, handle: str, name: str, kind: StreamKind, at: datetime
    ) -> RelayStream:
        """Raises ConflictError where the workspace has the handle already."""
        ...

    async def change_stream(
        self, workspace_id: int, public_id: str, *, name: str, track_opens: bool, track_clicks: bool,
        suppressed: SuppressedPolicy, keep_days: int, keep_octets: int,
    ) -> RelayStream:
        """Raises NotFoundError."""
        ...

    # ---- credentials
    async def add_credential(self, workspace_id: int, new: NewCredential, at: datetime) -> Credential:
        """Raises ConflictError where the login is taken, by whatever workspace."""
        ...

    async def credentials(self, workspace_id: int, kind: CredentialKind | None = None) -> tuple[Credential, ...]:
        """All of them, revoked ones too, newest first."""
        ...

    async def credential_by_login(self, kind: CredentialKind, login: str) -> KnownCredential | None:
        """Whoever's it is: this is how a door learns the workspace. Revoked ones are not found."""
        ...

    async def revoke_credential(self, workspace_id: int, public_id: str, at: datetime) -> Credential:
        """Raises NotFoundError. Doors notice within seconds."""
        ...

    async def credentials_used(self, last_used: Mapping[int, datetime]) -> None:
        """Remember when each was last used; a hint for people, written now and then."""
        ...

    # ---- messages
    async def keep(self, messages: Sequence[NewRelayMessage], now: datetime) -> list[Accepted | Refused]:
        """All of them in one synced transaction, in their order. Refused are such as are suppressed (where that is to
        be refused) or whose idempotency key belongs to another message; these keep nobody else from being kept."""
        ...

    async def suppressed(self, workspace_id: int, keys: Collection[str], now: datetime) -> dict[str, str]:
        """Of addresses' keys those that may not be written to, with the ExclusionReason."""
        ...

    async def release(self, workspace_id: int, public_id: str, now: datetime) -> bool:
        """Send a held or scheduled message now; False where it was neither. Raises NotFoundError."""
        ...

    async def cancel(self, workspace_id: int, public_id: str, now: datetime) -> bool:
        """Call off what has not been sent of a held or scheduled message; False where it was neither. NotFoundError."""
        ...

    async def reschedule(self, workspace_id: int, public_id: str, send_at: datetime) -> bool:
        """Move a scheduled message to another time; False where it was not scheduled. Raises NotFoundError."""
        ...

    async def unreported(self, limit: int) -> tuple["Ended", ...]:
        """Deliveries that ended and whose senders were not told, oldest first."""
        ...

    async def report(
        self, reports: Sequence[NewRelayMessage], delivery_ids: Sequence[int], now: datetime
    ) -> None:
        """Keep ``reports`` and remember in the same transaction that these deliveries are seen to."""
        ...

    async def start_due(self, now: datetime, limit: int) -> int:
        """Mark scheduled messages whose time has come as accepted (their batches are due by themselves)."""
        ...

    async def forget_bodies(self, now: datetime, after: int, limit: int) -> int | None:
        """Look at the next ``limit`` messages' octets behind number ``after``, delete those older than their stream
        keeps them and sent to their end; the last number looked at, or None at the end."""
        ...

    async def forget_keys(self, before: datetime, limit: int) -> int:
        """Forget idempotency keys of before that moment."""
        ...
