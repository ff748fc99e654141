"""Sending domains: their keys, and what the last look at their DNS records found."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from esp.model.content import SigningKey


@dataclass(frozen=True, slots=True)
class SendingDomain:
    """``name`` is in A-label form, lower case. ``check_result`` is the last DNS check as flows.domains wrote it."""

    id: int
    public_id: str
    name: str
    created_at: datetime
    checked_at: datetime | None = None
    verified_at: datetime | None = None
    check_result: Mapping[str, Any] | None = None

    @property
    def bounce_domain(self) -> str:
        """Where return paths live. A subdomain, so that the domain's own mail stays where it is."""
        return f"bounce.{self.name}"

    @property
    def tracking_host(self) -> str:
        return f"links.{self.name}"


@dataclass(frozen=True, slots=True)
class NewKey:
    """A fresh key. ``public_key`` is base64 as it stands in ``p=`` (RFC 6376 section 3.6.1)."""

    selector: str
    algorithm: str
    private_pem: str = field(repr=False)
    public_key: str


@dataclass(frozen=True, slots=True)
class DkimKey:
    """A key without its secret, for showing."""

    id: int
    selector: str
    algorithm: str
    public_key: str
    created_at: datetime
    retired_at: datetime | None


class Domains(Protocol):
    async def add(self, workspace_id: int, name: str, keys: Sequence[NewKey], at: datetime) -> SendingDomain:
        """ConflictError where this workspace has the domain already."""
        ...

    async def all(self, workspace_id: int) -> tuple[SendingDomain, ...]:
        """Every domain, oldest first; a workspace has a handful."""
        ...

    async def get(self, workspace_id: int, public_id: str) -> SendingDomain:
        """Raises NotFoundError."""
        ...

    async def by_id(self, workspace_id: int, domain_id: int) -> SendingDomain:
        """Raises NotFoundError."""
        ...

    async def by_name(self, workspace_id: int, name: str) -> SendingDomain | None: ...

    async def verified_elsewhere(self, workspace_id: int, names: Sequence[str]) -> str:
        """The first of ``names`` whose records another workspace of this server has published; empty where none."""
        ...

    async def keys(self, workspace_id: int, domain_id: int) -> tuple[DkimKey, ...]:
        """Keys in use, oldest first."""
        ...

    async def signing_keys(self, workspace_id: int, domain_id: int) -> tuple[SigningKey, ...]:
        """Keys in use with their secrets, RSA first: what a message is signed with."""
        ...

    async def record_check(
        self, workspace_id: int, domain_id: int, result: Mapping[str, Any], at: datetime, *, verified: bool
    ) -> None:
        """Keep what was found; ``verified_at`` keeps the first moment of an unbroken row of good checks."""
        ...

    async def remove(self, workspace_id: int, domain_id: int) -> None:
        """Forget a domain and its keys; ConflictError where a campaign uses it."""
        ...
