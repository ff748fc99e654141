"""What went wrong, as RFC 9457 problem details: one shape for every error, from a misspelt field to a dead database."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import orjson
from aiohttp import web

MEDIA_TYPE: Final = "application/problem+json"

#: Every kind of problem: its status, its title, and what to do about it; the documentation shows this table.
KINDS: Final[Mapping[str, tuple[int, str, str]]] = {
    "malformed": (400, "The request cannot be read", "Send valid JSON in UTF-8; the detail says where it ended."),
    "unauthenticated": (401, "A valid key is needed", "Send Authorization: Bearer and a key that is in force."),
    "scope": (403, "The key may not do this", "Use a key with the scope that the detail names."),
    "refused": (403, "This is not allowed", "The detail says why: an address, or a domain that is not verified."),
    "not-found": (404, "There is no such thing", "Look the id up again. Of other workspaces a key sees nothing."),
    "method": (405, "This cannot be done here", "The Allow header names what can."),
    "conflict": (409, "It is not in a state that allows this", "Read it again; nothing was changed."),
    "idempotency": (409, "The idempotency key is in use", "Wait for the first request, or use a new key."),
    "gone-on": (412, "It has changed since you read it", "Read it again, and send the new ETag in If-Match."),
    "too-large": (413, "The request is too large", "Send less at once; the detail names the limit."),
    "media-type": (415, "This kind of content is not read here", "Send application/json, not compressed."),
    "invalid": (422, "Something in it cannot be used", "Each entry of errors names a field and says what is wrong."),
    "rate": (429, "Too many requests", "Wait as many seconds as Retry-After says."),
    "internal": (500, "Something is wrong here", "It was recorded with the request id; try again."),
    "unavailable": (503, "The server cannot take this now", "Nothing was accepted; Retry-After says when to come."),
    "full": (507, "The server's disk is full", "Nothing was accepted. Its operator must make room."),
}


@dataclass(slots=True)
class Problem(Exception):  # noqa: N818 - it is the problem that a client reads
    """An answer that is not a success. ``kind`` is a key of KINDS; ``errors`` are (field, sentence)."""

    kind: str
    detail: str = ""
    errors: Sequence[tuple[str, str]] = ()
    headers: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        assert self.kind in KINDS

    @property
    def status(self) -> int:
        return KINDS[self.kind][0]

    def body(self, instance: str = "") -> dict[str, Any]:
        """RFC 9457 section 3.1; ``errors`` is our extension member."""
        status, title, advice = KINDS[self.kind]
        found: dict[str, Any] = {
            "type": f"/api/v1/docs#problem-{self.kind}", "title": title, "status": status,
            "detail": self.detail or advice,
        }
        if instance:
            found["instance"] = instance
        if self.errors:
            found["errors"] = [{"field": name, "message": words} for name, words in self.errors]
        return found

    def response(self, request_id: str = "") -> web.Response:
        return web.Response(
            body=orjson.dumps(self.body(f"urn:uuid:{request_id}" if request_id else "")), status=self.status,
            content_type=MEDIA_TYPE, headers=dict(self.headers))


def invalid(detail: str, **problems: str) -> Problem:
    """A 422 with one sentence beside each field."""
    return Problem("invalid", detail, tuple(problems.items()))
