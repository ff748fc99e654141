"""Postmark's API, as its libraries speak it: email, batches, and templates with a model."""

import uuid
from datetime import datetime
from typing import Any, Final, Literal

from aiohttp import web
from pydantic import Field, JsonValue

from esp.entry.api.compat import (
    Foreign,
    ManyForeign,
    Visit,
    attachment,
    decoded,
    json,
    route,
    split_mailboxes,
    unsupported,
)
from esp.entry.api.door import Door, ForeignApi
from esp.entry.api.problems import Problem
from esp.errors import NotFoundError
from esp.flows.app_mail import Description
from esp.model.relay import Scope

_MOST: Final = 500
_OURS: Final = {"outbound": ""}  # their standard stream is our key's own
# Their libraries read an item's fields before they look whether it was sent.
_NOT_SENT: Final = {"To": "", "SubmittedAt": "0001-01-01T00:00:00Z", "MessageID": str(uuid.UUID(int=0))}
_CODES: Final = {"unauthenticated": 10, "malformed": 402, "refused": 400, "rate": 429, "media-type": 409}


class HeaderIn(Foreign):
    Name: str
    Value: str


class AttachmentIn(Foreign):
    Name: str
    Content: str
    ContentType: str = ""
    ContentID: str | None = None
    ContentLength: int | None = None


class _Shared(Foreign):
    From: str
    To: str = ""
    Cc: str | None = None
    Bcc: str | None = None
    Tag: str | None = None
    ReplyTo: str | None = None
    Headers: list[HeaderIn] | None = None
    TrackOpens: bool | None = None
    TrackLinks: Literal["None", "HtmlAndText", "HtmlOnly", "TextOnly"] | None = None
    Metadata: dict[str, str] | None = None
    Attachments: list[AttachmentIn] | None = None
    MessageStream: str | None = None


class EmailIn(_Shared):
    Subject: str | None = None
    HtmlBody: str | None = None
    TextBody: str | None = None


class TemplatedIn(_Shared):
    TemplateAlias: str | None = None
    TemplateId: int | str | None = None
    TemplateModel: dict[str, JsonValue] = Field(default_factory=dict)
    InlineCss: bool | None = None


class TemplatedBatchIn(Foreign):
    Messages: list[TemplatedIn]


def _links(it: _Shared) -> bool | None:
    if it.TrackLinks in ("HtmlOnly", "TextOnly"):
        raise unsupported("TrackLinks", "Links are tracked in both parts or in none: HtmlAndText or None.")
    return None if it.TrackLinks is None else it.TrackLinks == "HtmlAndText"


def _description(it: _Shared, subject: str, text: str, html: str, data: dict[str, Any] | None) -> Description:
    return Description(
        it.From, split_mailboxes(it.To), subject, text, html, split_mailboxes(it.Cc or ""),
        split_mailboxes(it.Bcc or ""), split_mailboxes(it.ReplyTo or ""),
        {one.Name: one.Value for one in it.Headers or ()},
        [attachment(f"Attachments.{n}", one.Name, decoded(f"Attachments.{n}.Content", one.Content), one.ContentType,
                    one.ContentID or "") for n, one in enumerate(it.Attachments or ())],
        data=data, stream=_OURS.get(it.MessageStream or "", it.MessageStream or ""), tags=[it.Tag] if it.Tag else [],
        metadata=it.Metadata or {}, track_opens=it.TrackOpens, track_clicks=_links(it))


def _plain(it: EmailIn) -> Description:
    return _description(it, it.Subject or "", it.TextBody or "", it.HtmlBody or "", None)


async def _templated(visit: Visit, it: TemplatedIn) -> Description:
    if it.InlineCss is False:
        pass  # nothing is inlined here anyway
    elif it.InlineCss:
        raise unsupported("InlineCss", "Styles are sent as they stand in the template; inline them there.")
    name = it.TemplateAlias or (str(it.TemplateId) if it.TemplateId is not None else "")
    try:
        stored = await visit.app.store.api.template(visit.workspace_id, name.replace("\0", ""))
    except NotFoundError:
        raise Problem("invalid", f"The template {name[:80]!r} was not found.",
                      (("TemplateAlias", "There is no such template."),)) from None
    return _description(it, stored.subject, stored.text, stored.html, it.TemplateModel)


def _said(problem: Problem) -> dict[str, Any]:
    code = _CODES.get(problem.kind, 300)
    if "suppressed" in problem.detail:
        code = 406
    elif any(name == "TemplateAlias" for name, _ in problem.errors):
        code = 1101
    return {"ErrorCode": code, "Message": problem.body()["detail"]}


async def _answer(visit: Visit, described: list[Description | Problem]) -> list[dict[str, Any]]:
    now: datetime = visit.app.clock.now()
    return [
        {**_said(one), **_NOT_SENT} if isinstance(one, Problem) else {
            "To": ", ".join(to.address for to in one.recipients), "SubmittedAt": now.isoformat(),
            "MessageID": str(uuid.UUID(one.public_id)), "ErrorCode": 0, "Message": "OK"}
        for one in await visit.send(described)]


async def _single(visit: Visit, described: Description) -> web.Response:
    (found,) = await _answer(visit, [described])
    return json(found, 200 if found["ErrorCode"] == 0 else 422)


async def _send(visit: Visit) -> web.Response:
    return await _single(visit, _plain(visit.read(EmailIn)))


async def _send_templated(visit: Visit) -> web.Response:
    return await _single(visit, await _templated(visit, visit.read(TemplatedIn)))


def _bounded(emails: list[Any]) -> None:
    if not 1 <= len(emails) <= _MOST:
        raise unsupported("Messages", f"A batch has 1 to {_MOST} messages.")


async def _send_batch(visit: Visit) -> web.Response:
    emails = visit.read(ManyForeign[EmailIn]).root
    _bounded(emails)
    described: list[Description | Problem] = []
    for one in emails:
        try:
            described.append(_plain(one))
        except Problem as problem:
            described.append(problem)
    return json(await _answer(visit, described))


async def _send_templated_batch(visit: Visit) -> web.Response:
    emails = visit.read(TemplatedBatchIn).Messages
    _bounded(emails)
    described: list[Description | Problem] = []
    for one in emails:
        try:
            described.append(await _templated(visit, one))
        except Problem as problem:
            described.append(problem)
    return json(await _answer(visit, described))


def _token(request: web.Request) -> str:
    return request.headers.get("X-Postmark-Server-Token", "")


class Postmark(ForeignApi):
    """Base URL: ``/api/postmark``."""

    prefix = "/postmark"

    def words(self, problem: Problem, request_id: str) -> web.StreamResponse:
        # Whatever is wrong with a message is 422 there, with a code of its own.
        status = 422 if problem.kind in ("invalid", "refused", "malformed") else (
            401 if problem.kind == "scope" else problem.status)
        return json(_said(problem), status)

    def mount(self, router: web.UrlDispatcher, door: Door) -> None:
        for path, handler in (("/email", _send), ("/email/batch", _send_batch),
                              ("/email/withTemplate", _send_templated),
                              ("/email/batchWithTemplates", _send_templated_batch)):
            router.add_post(self.prefix + path, route(door, _token, Scope.SEND, handler))
