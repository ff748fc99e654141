"""Mailboxes elsewhere whose mail is collected: for whom bounces and replies do not come to our own MX."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from esp.errors import DependencyError, MerpatiError
from esp.ports.mailroom import NewInbound


class MailboxError(MerpatiError):
    """The mailbox's server cannot be reached, refuses us, or says what nobody understands; the sentence says which."""


class MailProtocol(StrEnum):
    IMAP = "imap"  # RFC 9051, and its older forms
    POP3 = "pop3"  # RFC 1939; needs UIDL


class Security(StrEnum):
    TLS = "tls"  # from the first octet (RFC 8314)
    STARTTLS = "starttls"
    NONE = "none"  # only on a private network: the password is readable on the way


class Afterwards(StrEnum):
    """What becomes of a message at the other side once it is stored here."""

    KEEP = "keep"
    DELETE = "delete"


@dataclass(frozen=True, slots=True)
class NewPickup:
    """``secret`` is the password, sealed; None: as it was."""

    name: str
    protocol: MailProtocol
    host: str
    port: int
    security: Security
    username: str
    folder: str = "INBOX"  # of IMAP
    afterwards: Afterwards = Afterwards.KEEP
    secret: str | None = None


@dataclass(frozen=True, slots=True)
class Pickup:
    """``position`` is how far it was read, in the words of its protocol; ``collected`` how many were stored in all."""

    id: int
    public_id: str
    workspace_id: int
    name: str
    protocol: MailProtocol
    host: str
    port: int
    security: Security
    username: str
    folder: str
    afterwards: Afterwards
    position: str
    collected: int
    skipped: int  # larger than is taken; they stay where they are
    error: str
    created_at: datetime
    checked_at: datetime | None
    paused_at: datetime | None
    secret: str = ""

    def __repr__(self) -> str:
        return f"Pickup({self.id}, {self.name!r}, {self.protocol.value}, {self.host})"  # no secret in any log

    @property
    def connection(self) -> tuple[object, ...]:
        """What a session depends on: another means a new session."""
        return (self.protocol, self.host, self.port, self.security, self.username, self.folder, self.afterwards,
                self.secret)


@dataclass(frozen=True, slots=True)
class Fetched:
    """One message of a mailbox; ``raw`` is None where it is larger than is taken."""

    uid: str
    raw: bytes | None


@dataclass(frozen=True, slots=True)
class Haul:
    """Some messages, oldest first, and the position after them; ``more`` where others wait.

    ``gone`` are those of the seen that the mailbox no longer lists, as far as its protocol lists them all.
    """

    messages: tuple[Fetched, ...]
    position: str
    more: bool = False
    gone: frozenset[str] = frozenset()


class MailSession(Protocol):
    """An open mailbox. Every method raises MailboxError."""

    async def fetch(self, position: str, seen: frozenset[str]) -> Haul:
        """Messages after ``position`` that are not among ``seen``: some dozen, or some megabytes."""
        ...

    async def remove(self, uids: Sequence[str]) -> None:
        """Delete these at the other side; those that are gone already are no error. POP3: at the session's end."""
        ...

    async def wait(self, seconds: float) -> bool:
        """Wait for new mail, at most that long; False where this server cannot tell of it, at once."""
        ...


class MailDoors(Protocol):
    """How to get to mailboxes."""

    def open(self, pickup: Pickup, password: str) -> AbstractAsyncContextManager[MailSession]: ...


class NoMailDoors:
    """For an application that collects nothing."""

    def open(self, pickup: Pickup, password: str) -> AbstractAsyncContextManager[MailSession]:
        raise DependencyError("This process reaches no mailboxes.")


class Pickups(Protocol):
    """Where mailboxes to be collected from are kept."""

    async def create(self, workspace_id: int, it: NewPickup, now: datetime) -> Pickup: ...

    async def change(self, workspace_id: int, pickup_id: int, it: NewPickup) -> Pickup:
        """Another host, user or folder is another mailbox: it is read from its beginning."""
        ...

    async def get(self, workspace_id: int, pickup_id: int) -> Pickup: ...

    async def all(self, workspace_id: int) -> tuple[Pickup, ...]:
        """A workspace's mailboxes, by id; ``MOST`` at most."""
        ...

    async def pause(self, workspace_id: int, pickup_id: int, at: datetime | None) -> None: ...

    async def delete(self, workspace_id: int, pickup_id: int) -> None: ...

    async def active(self) -> tuple[Pickup, ...]:
        """Those of every workspace that are not paused."""
        ...

    async def keep(
        self, pickup: Pickup, haul: Haul, messages: Sequence[NewInbound], seen: Sequence[str], now: datetime,
    ) -> bool:
        """Store ``messages``, move the position from ``pickup.position`` to the haul's and remember ``seen``, at once.

        All is on the disk when this returns True. False, and nothing stored, where somebody else moved it first.
        """
        ...

    async def seen(self, pickup_id: int) -> frozenset[str]:
        """The uids of what was stored and is, or may be, still at the other side."""
        ...

    async def forget(self, pickup_id: int, uids: Sequence[str]) -> None:
        """They are gone from the other side."""
        ...

    async def checked(self, pickup_id: int, at: datetime, error: str = "") -> None:
        """When it was last reached, or why not."""
        ...
