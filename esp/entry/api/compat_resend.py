"""Resend's API, as its libraries speak it: emails sent, in batches, scheduled, looked up, called off."""

import uuid
from datetime import UTC, datetime
from typing import Any, Final

from aiohttp import web
from pydantic import Field, JsonValue

from esp.entry.api.compat import Foreign, ManyForeign, Visit, attachment, decoded, json, route, unsupported
from esp.entry.api.door import Door, ForeignApi, bearer_of
from esp.entry.api.problems import Problem
from esp.errors import NotFoundError
from esp.flows.app_mail import Description
from esp.model.relay import Accepted, Scope
from esp.ports.api import MessageRow

_NAMES: Final = {
    "malformed": "validation_error", "unauthenticated": "invalid_api_key", "scope": "restricted_api_key",
    "refused": "validation_error", "not-found": "not_found", "method": "method_not_allowed",
    "conflict": "validation_error", "idempotency": "invalid_idempotent_request", "invalid": "validation_error",
    "rate": "rate_limit_exceeded", "media-type": "validation_error", "too-large": "validation_error",
}


class AttachmentIn(Foreign):
    filename: str = ""
    content: str | list[int] | None = None
    path: str | None = None
    content_type: str | None = None
    content_id: str | None = None
    inline_content_id: str | None = None


class TagIn(Foreign):
    name: str
    value: str = ""


class TemplateIn(Foreign):
    id: str
    variables: dict[str, JsonValue] = Field(default_factory=dict)


class EmailIn(Foreign):
    sender: str = Field(alias="from")
    to: str | list[str]
    subject: str = ""
    html: str | None = None
    text: str | None = None
    cc: str | list[str] | None = None
    bcc: str | list[str] | None = None
    reply_to: str | list[str] | None = None
    headers: dict[str, str] | None = None
    attachments: list[AttachmentIn] | None = None
    tags: list[TagIn] | None = None
    scheduled_at: str | None = None
    template: TemplateIn | None = None


class UpdateIn(Foreign):
    scheduled_at: str
    id: str = ""


def _list(value: str | list[str] | None) -> list[str]:
    return [] if not value else [value] if isinstance(value, str) else value


def _moment(text: str | None) -> datetime | None:
    if not text:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise unsupported("scheduled_at", "Write the time as ISO 8601, such as 2026-11-22T09:30:00Z.") from None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def _octets(field: str, it: AttachmentIn) -> bytes:
    if it.path:
        raise unsupported(f"{field}.path", "Files are not fetched from elsewhere; send content.")
    if isinstance(it.content, list):
        if not all(0 <= octet <= 255 for octet in it.content):
            raise unsupported(f"{field}.content", "Expected octets from 0 to 255, or base64.")
        return bytes(it.content)
    return decoded(f"{field}.content", it.content or "")


async def _description(visit: Visit, it: EmailIn) -> Description:
    subject, text, html, data = it.subject, it.text or "", it.html or "", None
    if it.template:
        try:
            stored = await visit.app.store.api.template(visit.workspace_id, it.template.id.replace("\0", ""))
        except NotFoundError as error:
            raise unsupported("template.id", str(error)) from None
        if text or html:
            raise unsupported("template", "Send a template, or text and html, not both.")
        subject, text, html, data = subject or stored.subject, stored.text, stored.html, it.template.variables
    return Description(
        it.sender, _list(it.to), subject, text, html, _list(it.cc), _list(it.bcc), _list(it.reply_to),
        it.headers or {}, [
            attachment(f"attachments.{n}", one.filename or "attachment", _octets(f"attachments.{n}", one),
                       one.content_type or "", one.content_id or one.inline_content_id or "")
            for n, one in enumerate(it.attachments or ())],
        data=data, metadata={tag.name: tag.value for tag in it.tags or ()}, send_at=_moment(it.scheduled_at))


def _outside(public_id: str) -> str:
    return str(uuid.UUID(public_id))


async def _send(visit: Visit) -> web.Response:
    done = await visit.send_one(await _description(visit, visit.read(EmailIn)))
    return json({"id": _outside(done.public_id)})


async def _send_batch(visit: Visit) -> web.Response:
    emails = visit.read(ManyForeign[EmailIn]).root
    if not 1 <= len(emails) <= 1000:
        raise unsupported("emails", "A batch has 1 to 1,000 emails.")
    permissive = visit.request.headers.get("x-batch-validation", "strict") == "permissive"
    described: list[Description | Problem] = []
    for one in emails:
        try:
            described.append(await _description(visit, one))
        except Problem as problem:
            if not permissive:
                raise
            described.append(problem)
    if not permissive:
        visit.check(described)
    done = await visit.send(described)
    sent = [{"id": _outside(one.public_id)} for one in done if isinstance(one, Accepted)]
    refused = [{"index": n, "message": one.detail} for n, one in enumerate(done) if isinstance(one, Problem)]
    if refused and not permissive and not sent:
        raise next(one for one in done if isinstance(one, Problem))
    return json({"data": sent, "errors": refused} if refused or permissive else {"data": sent})


async def _found(visit: Visit) -> MessageRow:
    try:
        row = await visit.app.store.api.message(
            visit.workspace_id, uuid.UUID(visit.request.match_info["id"]).hex)
    except ValueError:
        row = None
    if row is None:
        raise NotFoundError("Email not found")
    return row


_EVENTS: Final = {"queued": "queued", "deferred": "delivery_delayed", "delivered": "delivered", "bounced": "bounced",
                  "expired": "bounced", "suppressed": "suppressed", "cancelled": "canceled"}


async def _get(visit: Visit) -> web.Response:
    row = await _found(visit)
    state = row.state.value if row.state.value in ("scheduled", "cancelled") or not row.deliveries else (
        _EVENTS[row.deliveries[0].state.value])
    found: dict[str, Any] = {
        "object": "email", "id": _outside(row.public_id), "from": row.from_address, "subject": row.subject,
        "to": [one.address for one in row.deliveries], "created_at": row.created_at.isoformat(), "cc": [], "bcc": [],
        "reply_to": [], "last_event": "canceled" if state == "cancelled" else state, "html": None, "text": None,
        "scheduled_at": row.send_at.isoformat() if row.send_at else None,
        "tags": [{"name": name, "value": value} for name, value in row.metadata.items()]}
    return json(found)


async def _update(visit: Visit) -> web.Response:
    row, at = await _found(visit), _moment(visit.read(UpdateIn).scheduled_at)
    if at is None or at <= visit.app.clock.now():
        raise unsupported("scheduled_at", "Choose a moment that is still to come.")
    if not await visit.app.store.relay.reschedule(visit.workspace_id, row.public_id, at):
        raise Problem("conflict", "The email is not scheduled.")
    return json({"object": "email", "id": _outside(row.public_id)})


async def _cancel(visit: Visit) -> web.Response:
    row = await _found(visit)
    if not await visit.app.store.relay.cancel(visit.workspace_id, row.public_id, visit.app.clock.now()):
        raise Problem("conflict", "The email is not scheduled.")
    return json({"object": "email", "id": _outside(row.public_id)})


class Resend(ForeignApi):
    """Base URL: ``/api/resend``."""

    prefix = "/resend"

    def words(self, problem: Problem, request_id: str) -> web.StreamResponse:
        name = _NAMES.get(problem.kind, "application_error")
        if problem.kind == "idempotency" and "still runs" in problem.detail:
            name = "concurrent_idempotent_requests"
        body = problem.body()
        return json({"statusCode": problem.status, "name": name, "message": body["detail"]}, problem.status)

    def mount(self, router: web.UrlDispatcher, door: Door) -> None:
        p = self.prefix
        router.add_post(f"{p}/emails", route(door, bearer_of, Scope.SEND, _send, keyed=True))
        router.add_post(f"{p}/emails/batch", route(door, bearer_of, Scope.SEND, _send_batch, keyed=True))
        router.add_get(f"{p}/emails/{{id}}", route(door, bearer_of, Scope.MESSAGES_READ, _get))
        router.add_patch(f"{p}/emails/{{id}}", route(door, bearer_of, Scope.SEND, _update))
        router.add_post(f"{p}/emails/{{id}}/cancel", route(door, bearer_of, Scope.SEND, _cancel))
