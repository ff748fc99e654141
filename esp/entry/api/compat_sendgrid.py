"""SendGrid's API, as its libraries speak it: mail/send with personalizations, each a message of its own."""

from datetime import UTC, datetime
from typing import Any, Final

from aiohttp import web
from pydantic import Field, JsonValue

from esp.entry.api.compat import Foreign, Visit, attachment, decoded, json, route, unsupported
from esp.entry.api.door import Door, ForeignApi, bearer_of
from esp.entry.api.problems import Problem
from esp.errors import NotFoundError
from esp.flows.app_mail import Description
from esp.model.relay import Accepted, Scope

_MOST: Final = 1000


class AddressIn(Foreign):
    email: str
    name: str | None = None

    def mailbox(self) -> str:
        if not self.name:
            return self.email
        quoted = self.name.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{quoted}" <{self.email}>'


class PersonalizationIn(Foreign):
    to: list[AddressIn]
    cc: list[AddressIn] = Field(default_factory=list)
    bcc: list[AddressIn] = Field(default_factory=list)
    sender: AddressIn | None = Field(None, alias="from")
    subject: str | None = None
    headers: dict[str, str] = Field(default_factory=dict)
    custom_args: dict[str, str] = Field(default_factory=dict)
    dynamic_template_data: dict[str, JsonValue] | None = None
    substitutions: dict[str, str] = Field(default_factory=dict)
    send_at: int | None = None


class ContentIn(Foreign):
    type: str
    value: str


class AttachmentIn(Foreign):
    content: str
    filename: str
    type: str | None = None
    disposition: str | None = None
    content_id: str | None = None


class ToggleIn(Foreign):
    enable: bool | None = None


class ClickIn(ToggleIn):
    enable_text: bool | None = None


class OpenIn(ToggleIn):
    substitution_tag: str | None = None


class TrackingIn(Foreign):
    click_tracking: ClickIn | None = None
    open_tracking: OpenIn | None = None


class SettingsIn(Foreign):
    sandbox_mode: ToggleIn | None = None


class MailIn(Foreign):
    personalizations: list[PersonalizationIn] = Field(min_length=1, max_length=_MOST)
    sender: AddressIn = Field(alias="from")
    reply_to: AddressIn | None = None
    reply_to_list: list[AddressIn] = Field(default_factory=list)
    subject: str = ""
    content: list[ContentIn] = Field(default_factory=list)
    attachments: list[AttachmentIn] = Field(default_factory=list)
    template_id: str | None = None
    headers: dict[str, str] = Field(default_factory=dict)
    categories: list[str] = Field(default_factory=list)
    custom_args: dict[str, str] = Field(default_factory=dict)
    send_at: int | None = None
    mail_settings: SettingsIn | None = None
    tracking_settings: TrackingIn | None = None


def _moment(seconds: int | None) -> datetime | None:
    if seconds is None:
        return None
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        raise unsupported("send_at", "Expected seconds since 1970.") from None


def _parts(it: MailIn) -> tuple[str, str]:
    found = {"text/plain": "", "text/html": ""}
    for n, one in enumerate(it.content):
        if one.type not in found or found[one.type]:
            raise unsupported(f"content.{n}.type", "One text/plain and one text/html are sent, and no other.")
        found[one.type] = one.value
    return found["text/plain"], found["text/html"]


def _tracking(it: MailIn) -> tuple[bool | None, bool | None]:
    settings = it.tracking_settings or TrackingIn()
    if settings.open_tracking and settings.open_tracking.substitution_tag:
        raise unsupported("tracking_settings.open_tracking.substitution_tag", "The pixel stands at the mail's end.")
    return (settings.open_tracking.enable if settings.open_tracking else None,
            settings.click_tracking.enable if settings.click_tracking else None)


async def _descriptions(visit: Visit, it: MailIn) -> list[Description]:
    text, html = _parts(it)
    subject = it.subject
    if it.template_id:
        try:
            stored = await visit.app.store.api.template(visit.workspace_id, it.template_id.replace("\0", ""))
        except NotFoundError as error:
            raise unsupported("template_id", str(error)) from None
        subject, text, html = subject or stored.subject, text or stored.text, html or stored.html
    opens, clicks = _tracking(it)
    files = [attachment(f"attachments.{n}", one.filename, decoded(f"attachments.{n}.content", one.content),
                        one.type or "", (one.content_id or "") if one.disposition == "inline" else "")
             for n, one in enumerate(it.attachments)]
    reply_to = [one.mailbox() for one in (*it.reply_to_list, *([it.reply_to] if it.reply_to else []))]
    found = []
    for n, one in enumerate(it.personalizations):
        if one.substitutions:
            raise unsupported(f"personalizations.{n}.substitutions", "Use a template and dynamic_template_data.")
        found.append(Description(
            (one.sender or it.sender).mailbox(), [to.mailbox() for to in one.to], one.subject or subject, text, html,
            [to.mailbox() for to in one.cc], [to.mailbox() for to in one.bcc], reply_to,
            {**it.headers, **one.headers}, files,
            data=(one.dynamic_template_data or {}) if it.template_id else None, tags=it.categories,
            metadata={**it.custom_args, **one.custom_args}, track_opens=opens, track_clicks=clicks,
            send_at=_moment(one.send_at if one.send_at is not None else it.send_at)))
    return found


async def _send(visit: Visit) -> web.Response:
    it = visit.read(MailIn)
    described = await _descriptions(visit, it)
    visit.check(described)
    if it.mail_settings and it.mail_settings.sandbox_mode and it.mail_settings.sandbox_mode.enable:
        return json({}, 200)  # checked, and nothing sent: what their sandbox does
    done = await visit.send(described)
    accepted = [one for one in done if isinstance(one, Accepted)]
    if not accepted:
        raise next(one for one in done if isinstance(one, Problem))
    refused = [{"personalization": n, "message": one.detail} for n, one in enumerate(done) if isinstance(one, Problem)]
    if refused:  # theirs cannot say this; ours must: who was left out stands in the body of the 202
        return json({"errors": refused}, 202, X_Message_Id=accepted[0].public_id)
    return web.Response(status=202, headers={"X-Message-Id": accepted[0].public_id})


class SendGrid(ForeignApi):
    """Host: ``/api/sendgrid``."""

    prefix = "/sendgrid"

    def words(self, problem: Problem, request_id: str) -> web.StreamResponse:
        detail = problem.body()["detail"]
        errors: list[dict[str, Any]] = [
            {"message": words, "field": name, "help": None} for name, words in problem.errors] or [
            {"message": detail, "field": None, "help": None}]
        status = 400 if problem.kind in ("invalid", "malformed") else problem.status
        return json({"errors": errors}, status)

    def mount(self, router: web.UrlDispatcher, door: Door) -> None:
        router.add_post(f"{self.prefix}/v3/mail/send", route(door, bearer_of, Scope.SEND, _send))
