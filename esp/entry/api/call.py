"""What an operation works with: the application, the key that calls, and the request, with the ways of asking of it."""

import hmac
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, Final, TypeVar

from aiohttp import web
from pydantic import BaseModel

from esp.app import App
from esp.entry.api.cursor import Place, read_cursor, write_cursor
from esp.entry.api.problems import Problem
from esp.errors import NotFoundError
from esp.flows.relay import Relay
from esp.model.relay import Credential
from esp.ports.api import Named

_LONGEST_NAME: Final = 320
R = TypeVar("R")


@dataclass(slots=True)
class Call:
    """One request of a key. ``headers`` are added to the answer; ``idempotency_key`` is empty where none was sent."""

    app: App
    relay: Relay
    credential: Credential
    request: web.Request
    request_id: str
    idempotency_key: str = ""
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def workspace_id(self) -> int:
        return self.credential.workspace_id

    @property
    def actor(self) -> str:
        """Who did it, for records that people read."""
        return f"API key {self.credential.name}"

    async def number(self, kind: Named, name: str, field: str = "") -> int:
        """The number behind an outside name. Raises NotFoundError, or with ``field`` a 422 that names it."""
        return (await self.numbers(kind, (name,), field))[0]

    async def numbers(self, kind: Named, names: Sequence[str], field: str = "") -> tuple[int, ...]:
        known = await self.app.store.api.numbers(
            self.workspace_id, kind, [name for name in names if len(name) <= _LONGEST_NAME])
        for place, name in enumerate(names):
            if name not in known:
                words = f"There is no such {kind}."
                if not field:
                    raise NotFoundError(words)
                where = field if len(names) == 1 and not field.endswith("s") else f"{field}.{place}"
                raise Problem("invalid", f"{where}: {words}", ((where, words),))
        return tuple(known[name] for name in names)

    async def names(self, kind: Named, numbers: Sequence[int]) -> dict[int, str]:
        return await self.app.store.api.names(self.workspace_id, kind, numbers)

    def place(self, what: str, cursor: str, kind: type[Any]) -> Any:
        """Where a list goes on, as an int or a str; None at its beginning."""
        if not cursor:
            return None
        found = read_cursor(self.app.tokens, self.workspace_id, what, cursor)
        assert isinstance(found, kind)  # signed for this very list, so it is what the list itself wrote
        return found

    def next(self, what: str, place: Place | None) -> str | None:
        return None if place is None else write_cursor(self.app.tokens, self.workspace_id, what, place)

    def must_match(self, current: BaseModel) -> None:
        """Where the client sent If-Match, it must be the ETag of ``current`` (RFC 9110 section 13.1.1); else a 412."""
        wanted = self.request.headers.get("If-Match", "")
        if not wanted or wanted.strip() == "*":
            return
        now = etag_of(current.model_dump_json(by_alias=True).encode())
        if not any(hmac.compare_digest(part.strip().encode(), now.encode()) for part in wanted.split(",")):
            raise Problem("gone-on")


def etag_of(body: bytes) -> str:
    """A strong validator (RFC 9110 section 8.8.3) of exactly these octets."""
    return f'"{blake2b(body, digest_size=12).hexdigest()}"'
