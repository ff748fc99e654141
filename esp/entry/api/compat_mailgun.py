"""Mailgun's API, as its libraries speak it: messages of a domain, posted as a form."""

import base64
import binascii
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final

import orjson
from aiohttp import web

from esp.entry.api.compat import Visit, attachment, json, route, split_mailboxes, unsupported
from esp.entry.api.door import Door, ForeignApi
from esp.entry.api.multipart import Fields, read_form
from esp.entry.api.problems import Problem
from esp.errors import NotFoundError
from esp.flows.app_mail import Description, read_mailbox
from esp.model.relay import Scope
from esp.wire.addresses import AddressError

_YES: Final = frozenset(("yes", "true", "htmlonly"))
_NO: Final = frozenset(("no", "false"))
_KNOWN: Final = frozenset((
    "from", "to", "cc", "bcc", "subject", "text", "html", "template", "t:variables", "t:version", "t:text",
    "o:tag", "o:deliverytime", "o:testmode", "o:tracking", "o:tracking-clicks", "o:tracking-opens",
    "recipient-variables", "attachment", "inline",
))


def _one(form: Fields, name: str) -> str:
    found = form.values.get(name, [])
    if len(found) > 1:
        raise unsupported(name, "It is given twice.")
    return found[0] if found else ""


def _many(form: Fields, name: str) -> list[str]:
    return [one for text in form.values.get(name, []) for one in split_mailboxes(text)]


def _switch(form: Fields, name: str) -> bool | None:
    value = _one(form, name).lower()
    if not value:
        return None
    if value not in _YES | _NO:
        raise unsupported(name, "Expected yes or no.")
    return value in _YES


def _moment(text: str) -> datetime | None:
    if not text:
        return None
    try:
        at = parsedate_to_datetime(text)
    except ValueError:
        raise unsupported("o:deliverytime", "Expected a date as in mail (RFC 2822).") from None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def _variables(field: str, text: str) -> dict[str, Any]:
    try:
        found = orjson.loads(text) if text else {}
    except orjson.JSONDecodeError:
        raise unsupported(field, "Expected a JSON object.") from None
    if not isinstance(found, dict):
        raise unsupported(field, "Expected a JSON object.")
    return found


async def _description(visit: Visit, form: Fields) -> Description:
    for name in (*form.values, *form.files):
        if name.lower() not in _KNOWN and not name.lower().startswith(("h:", "v:")):
            raise unsupported(name, "Not supported here.")
    for name in ("t:version", "t:text"):
        if _one(form, name) not in ("", "no"):
            raise unsupported(name, "A template has one version, and the text that it holds.")
    if any(_variables("recipient-variables", _one(form, "recipient-variables")).values()):
        raise unsupported("recipient-variables", "Send a message for each recipient, or use a template.")
    headers = {name[2:]: values[-1] for name, values in form.values.items() if name.lower().startswith("h:")}
    reply_to = [one for name in list(headers) if name.lower() == "reply-to" for one in split_mailboxes(
        headers.pop(name))]
    metadata = {name[2:]: values[-1] for name, values in form.values.items() if name.lower().startswith("v:")}
    more = next((headers.pop(name) for name in list(headers) if name.lower() == "x-mailgun-variables"), "")
    custom = _variables("h:X-Mailgun-Variables", more)
    metadata |= {name: value if isinstance(value, str) else orjson.dumps(value).decode()
                 for name, value in custom.items()}
    subject, text, html, data = _one(form, "subject"), _one(form, "text"), _one(form, "html"), None
    if template := _one(form, "template"):
        try:
            stored = await visit.app.store.api.template(visit.workspace_id, template.replace("\0", ""))
        except NotFoundError as error:
            raise unsupported("template", str(error)) from None
        subject, text, html = subject or stored.subject, text or stored.text, html or stored.html
        data = {**metadata, **custom, **_variables("t:variables", _one(form, "t:variables"))}
    tracking = _switch(form, "o:tracking")
    opens, clicks = _switch(form, "o:tracking-opens"), _switch(form, "o:tracking-clicks")
    return Description(
        _one(form, "from"), _many(form, "to"), subject, text, html, _many(form, "cc"), _many(form, "bcc"), reply_to,
        headers, [
            *(attachment("attachment", one.name, one.octets, one.media_type)
              for one in form.files.get("attachment", [])),
            *(attachment("inline", one.name, one.octets, one.media_type, one.name)  # its name is its content id there
              for one in form.files.get("inline", []))],
        data=data, tags=form.values.get("o:tag", []), metadata=metadata,
        track_opens=tracking if opens is None else opens, track_clicks=tracking if clicks is None else clicks,
        send_at=_moment(_one(form, "o:deliverytime")))


async def _send(visit: Visit) -> web.Response:
    form = read_form(visit.request.headers.get("Content-Type", ""), visit.octets)
    if any("\0" in text for texts in form.values.values() for text in texts):
        raise unsupported("form", "NUL is not allowed.")
    described = await _description(visit, form)
    domain = visit.request.match_info["domain"].lower()
    try:
        sender = read_mailbox(described.sender).address.rpartition("@")[2]
    except AddressError as error:
        raise unsupported("from", str(error)) from None
    if sender != domain:
        raise unsupported("from", f"The address is not of {domain}, for which this was posted.")
    if _switch(form, "o:testmode"):
        visit.check([described])
        return json({"id": f"<test@{domain}>", "message": "Queued. Thank you."})
    done = await visit.send_one(described)
    return json({"id": f"<{done.header_id}>", "message": "Queued. Thank you."})


def _key(request: web.Request) -> str:
    """The password of Basic (RFC 7617), whose user name is ``api`` there."""
    scheme, _, text = request.headers.get("Authorization", "").partition(" ")
    try:
        user, _, secret = base64.b64decode(text, validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        return ""
    return secret if scheme.lower() == "basic" and user == "api" else ""


class Mailgun(ForeignApi):
    """Base URL: ``/api/mailgun`` (libraries add ``/v3``)."""

    prefix = "/mailgun"

    def words(self, problem: Problem, request_id: str) -> web.StreamResponse:
        status = 400 if problem.kind in ("invalid", "malformed") else problem.status
        return json({"message": problem.body()["detail"]}, status)

    def mount(self, router: web.UrlDispatcher, door: Door) -> None:
        router.add_post(f"{self.prefix}/v3/{{domain}}/messages", route(door, _key, Scope.SEND, _send))
