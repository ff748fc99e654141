"""Who works here: workspaces, users, who belongs where, and who is logged in."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol


class Role(StrEnum):
    """What a member may do: an owner also changes the team, the sending domains and the workspace."""

    OWNER = "owner"
    MEMBER = "member"


@dataclass(frozen=True, slots=True)
class Workspace:
    """A brand with its own everything. ``time_zone`` is an IANA name, ``language`` a BCP 47 tag."""

    id: int
    public_id: str
    name: str
    postal_address: str
    language: str
    time_zone: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class User:
    """A person who can log in; ``email`` is lower case and unique on the server."""

    id: int
    public_id: str
    email: str
    name: str
    language: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Member:
    """A user in one workspace; ``disabled_at`` where they are barred from it."""

    user: User
    role: Role
    disabled_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a login is checked against: never leaves the server, never printed."""

    user: User
    password_hash: str


@dataclass(frozen=True, slots=True)
class NewSession:
    """A login. ``token_hash`` is the SHA-256 of the cookie in hex, ``csrf`` the token that forms carry."""

    token_hash: str
    user_id: int
    workspace_id: int
    csrf: str
    ip: str
    user_agent: str
    at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Session:
    """A valid login: the user belongs to the workspace and is not barred from it."""

    token_hash: str
    user: User
    workspace: Workspace
    role: Role
    csrf: str
    ip: str
    user_agent: str
    created_at: datetime
    seen_at: datetime
    expires_at: datetime


class Accounts(Protocol):
    async def has_users(self) -> bool:
        """Whether anybody can log in; before that, the first-run set-up is open."""
        ...

    async def create_first_owner(self, email: str, name: str, password_hash: str, at: datetime) -> Member:
        """The first user and an unnamed workspace, once: ConflictError where a user exists already."""
        ...

    async def create_workspace(
        self, name: str, postal_address: str, at: datetime, *, language: str = "en", time_zone: str = "UTC"
    ) -> Workspace: ...

    async def create_user(
        self, workspace_id: int, email: str, name: str, password_hash: str, role: Role, at: datetime
    ) -> User:
        """A new user in this workspace; ConflictError where the address is in use on this server."""
        ...

    async def join(self, workspace_id: int, user_id: int, role: Role) -> None:
        """Give an existing user this workspace too."""
        ...

    async def workspace(self, workspace_id: int) -> Workspace:
        """Raises NotFoundError."""
        ...

    async def first_workspace(self) -> Workspace | None:
        """The oldest workspace: what a command without ``--workspace`` means."""
        ...

    async def workspaces(self) -> tuple[Workspace, ...]:
        """All, oldest first."""
        ...

    async def workspaces_of(self, user_id: int, *, barred: bool = False) -> tuple[Workspace, ...]:
        """Where this user may work; with ``barred`` also where they belong but may not."""
        ...

    async def update_workspace(
        self, workspace_id: int, *, name: str, postal_address: str, language: str, time_zone: str
    ) -> None: ...

    async def members(self, workspace_id: int) -> tuple[Member, ...]:
        """Everybody of this workspace, oldest first."""
        ...

    async def member(self, workspace_id: int, public_id: str) -> Member:
        """Raises NotFoundError, also for a user of another workspace."""
        ...

    async def set_role(self, workspace_id: int, user_id: int, role: Role) -> None:
        """ConflictError where the last active owner would lose the role."""
        ...

    async def set_disabled(self, workspace_id: int, user_id: int, at: datetime | None) -> None:
        """Bar a user from this workspace (ending their sessions in it) or let them in again; what they do in other
        workspaces is nobody's business here. ConflictError for the last active owner."""
        ...

    async def credentials(self, email: str) -> Credentials | None:
        """By lower-case address; also of somebody barred everywhere, who has no ``workspaces_of``."""
        ...

    async def set_password(self, user_id: int, password_hash: str, *, keep_session: str | None = None) -> None:
        """Store the new hash and end every session but ``keep_session`` in one transaction."""
        ...

    async def update_profile(self, user_id: int, *, name: str, email: str, language: str) -> None:
        """ConflictError where the address is in use by somebody else."""
        ...

    async def open_session(self, session: NewSession) -> None: ...

    async def session(self, token_hash: str, now: datetime) -> Session | None:
        """The valid session, or None: expired, closed, user barred or no longer a member."""
        ...

    async def touch_session(self, token_hash: str, seen_at: datetime, expires_at: datetime) -> None: ...

    async def switch_workspace(self, token_hash: str, user_id: int, workspace_id: int) -> None:
        """NotFoundError where the user is not a member there."""
        ...

    async def sessions_of(self, user_id: int, now: datetime) -> tuple[Session, ...]:
        """Where this user is logged in, latest first."""
        ...

    async def close_session(self, token_hash: str) -> None: ...

    async def close_other_sessions(self, user_id: int, keep: str) -> int:
        """End all but one; returns how many ended."""
        ...

    async def forget_expired_sessions(self, now: datetime) -> int: ...
