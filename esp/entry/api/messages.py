"""Messages over HTTP: sent one by one or a thousand at once, scheduled, called off, found again."""

import base64
import binascii
from collections.abc import Sequence
from hashlib import sha256
from typing import Annotated, Any, Final

from pydantic import AfterValidator, Field, JsonValue

from esp.entry.api.call import Call
from esp.entry.api.events import EventPage, shown
from esp.entry.api.operation import Operations
from esp.entry.api.problems import Problem
from esp.entry.api.shapes import Given, GivenMoment, Line, Moment, Page, PageQuery, ShortLine, Told
from esp.errors import ConflictError, InputError, NotFoundError
from esp.flows.app_mail import LARGEST, MOST_ATTACHMENTS, Description, submission_of
from esp.model.delivery import DeliveryState
from esp.model.relay import MAXIMUM_RECIPIENTS, Accepted, MessageState, RefusalCode, Refused, Scope, Submission
from esp.ports.api import EventFilter, MessageFilter, MessageRow
from esp.render.app_mail import Attachment
from esp.wire.addresses import AddressError, parse_address

operations: Final = Operations("Messages", "Mail that an app sends: each accepted one is kept before the answer, "
                               "signed, sent, tried again where it must be, and logged.")

MOST_IN_BATCH: Final = 1000
#: A message in base64 and JSON, and something around it.
LARGEST_BODY: Final = LARGEST * 4 // 3 + 2 * 1024 * 1024


def _decodable(text: str) -> str:
    try:
        base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("Expected base64.") from None
    return text


Mailbox = Annotated[str, Field(min_length=3, max_length=600, examples=["Ayu <ayu@example.com>"])]
Mailboxes = Annotated[list[Mailbox], Field(max_length=MAXIMUM_RECIPIENTS)]
Body = Annotated[str, Field(max_length=5_000_000)]


class AttachmentIn(Given):
    filename: Annotated[Line, Field(min_length=1, max_length=200, examples=["invoice.pdf"])]
    content: Annotated[str, Field(description="Base64.", examples=["JVBERi0xLjQK"]), AfterValidator(_decodable)]
    content_type: Annotated[str, Field(max_length=130)] = "application/octet-stream"
    content_id: Annotated[str, Field(max_length=200, description="Makes it an image within the HTML, which names it as "
                                     "cid: and this.")] = ""

    def decoded(self) -> Attachment:
        return Attachment(self.filename, self.content_type.lower(), base64.b64decode(self.content), self.content_id)


class MessageIn(Given):
    sender: Annotated[Mailbox, Field(alias="from", description="Of a verified domain of the workspace.",
                                     examples=["Toko Melati <halo@example.com>"])]
    to: Mailboxes | Mailbox = Field(default_factory=list)
    cc: Mailboxes | Mailbox = Field(default_factory=list)
    bcc: Mailboxes | Mailbox = Field(default_factory=list)
    reply_to: Mailboxes | Mailbox = Field(default_factory=list)
    subject: Annotated[Line, Field(max_length=900, examples=["Your order"])] = ""
    text: Annotated[Body, Field(examples=["It is on its way."])] = ""
    html: Body = ""
    template: Annotated[str, Field(max_length=120, description="Id or name of a template; gives subject, text and html "
                                   "where they are not given here.")] = ""
    data: Annotated[dict[str, JsonValue], Field(
        max_length=1000, description="What merge fields read, such as {{ order.number }}. With it, subject, text and "
        "html are templates.")] | None = None
    headers: Annotated[dict[str, Annotated[str, Field(max_length=2000)]], Field(max_length=100)] = Field(
        default_factory=dict)
    attachments: Annotated[list[AttachmentIn], Field(max_length=MOST_ATTACHMENTS)] = Field(default_factory=list)
    stream: Annotated[str, Field(max_length=60, description="A stream's handle; the key's own where none is given.")
                      ] = ""
    tags: Annotated[list[ShortLine], Field(max_length=10)] = Field(default_factory=list)
    metadata: Annotated[dict[str, Annotated[str, Field(max_length=1000)]], Field(max_length=20)] = Field(
        default_factory=dict)
    track_opens: bool | None = Field(None, description="Null: as the stream says.")
    track_clicks: bool | None = None
    send_at: Annotated[GivenMoment | None, Field(description="At most 90 days ahead.")] = None
    hold: Annotated[bool, Field(description="Keep it until somebody releases it.")] = False


class BatchIn(Given):
    messages: Annotated[list[MessageIn], Field(min_length=1, max_length=MOST_IN_BATCH)]


class RecipientOut(Told):
    address: str
    suppressed: str = Field(description="Why it is not sent to this one; empty where it is.")


class SentOut(Told):
    id: str
    state: MessageState
    message_id: str = Field(description="The Message-ID header, without brackets.")
    recipients: list[RecipientOut]


class BatchItem(Told):
    """One of the two: what was accepted, or why it was not."""

    message: SentOut | None
    problem: dict[str, Any] | None


class BatchOut(Told):
    data: list[BatchItem]


class DeliveryOut(Told):
    address: str
    state: DeliveryState
    reason: str
    attempts: int
    reply: str = Field(description="What the receiving server said last.")
    ended_at: Moment | None


class MessageOut(Told):
    id: str
    sender: str = Field(serialization_alias="from")
    subject: str
    state: MessageState
    message_id: str
    stream: str
    tags: list[str]
    metadata: dict[str, str]
    size: int
    created_at: Moment
    send_at: Moment | None
    recipients: list[DeliveryOut] = Field(description="The first hundred.")


class MessagePage(Page[MessageOut]):
    pass


class MessageQuery(PageQuery):
    to: Annotated[str, Field(max_length=320, description="This recipient.")] = ""
    sender: Annotated[str, Field(alias="from", max_length=320, description="This address in From.")] = ""
    subject: Annotated[str, Field(max_length=200, description="The subject begins so, in any case.")] = ""
    tag: Annotated[str, Field(max_length=100)] = ""
    message_id: Annotated[str, Field(max_length=250, description="The Message-ID header, without brackets.")] = ""
    state: Annotated[MessageState | None, Field(strict=False)] = None


class RescheduleIn(Given):
    send_at: GivenMoment


# ---- sent ------------------------------------------------------------------------------------------------------------


def _listed(value: Sequence[str] | str) -> Sequence[str]:
    return (value,) if isinstance(value, str) else value


async def submission(call: Call, it: MessageIn, number: int = 0, of: int = 1) -> Submission:
    """The message as the relay takes it. Raises InputError with problems by field, or NotFoundError's 422."""
    subject, text, html, data = it.subject, it.text, it.html, it.data
    if it.template:
        try:
            stored = await call.app.store.api.template(call.workspace_id, it.template.replace("\0", ""))
        except NotFoundError as error:
            raise InputError(str(error), {"template": str(error)}) from None
        subject, text, html = subject or stored.subject, text or stored.text, html or stored.html
        data = data or {}
    key, fingerprint = "", ""
    if call.idempotency_key:
        # The relay keeps the key with the message, in one transaction: a process that dies between the two cannot send
        # it twice, whatever became of the answer.
        key = f"http:{sha256(f'{call.idempotency_key} {number} {of}'.encode()).hexdigest()}"
        fingerprint = sha256(it.model_dump_json(by_alias=True).encode()).hexdigest()
    return submission_of(Description(
        sender=it.sender, to=_listed(it.to), subject=subject, text=text, html=html, cc=_listed(it.cc),
        bcc=_listed(it.bcc), reply_to=_listed(it.reply_to), headers=it.headers,
        attachments=[one.decoded() for one in it.attachments], data=data, stream=it.stream, tags=it.tags,
        metadata=it.metadata, track_opens=it.track_opens, track_clicks=it.track_clicks, send_at=it.send_at,
        held=it.hold, idempotency_key=key, fingerprint=fingerprint))


_KINDS: Final = {
    RefusalCode.SENDER_UNVERIFIED: ("refused", "from"), RefusalCode.SENDER_NOT_ALLOWED: ("refused", "from"),
    RefusalCode.RATE: ("rate", ""), RefusalCode.IDEMPOTENCY_MISMATCH: ("idempotency", ""),
    RefusalCode.TOO_LARGE: ("too-large", ""), RefusalCode.RECIPIENT_INVALID: ("invalid", "to"),
    RefusalCode.TOO_MANY_RECIPIENTS: ("invalid", "to"), RefusalCode.SUPPRESSED: ("invalid", "to"),
    RefusalCode.UNKNOWN_STREAM: ("invalid", "stream"),
}


def problem_of(refused: Refused) -> Problem:
    """A refusal of the relay as this API says it."""
    kind, field = _KINDS.get(refused.code, ("invalid", refused.where))
    headers = {"Retry-After": "1"} if kind == "rate" else {}
    where = f" ({refused.where})" if refused.where and refused.where != field else ""
    words = f"{refused.message}{where}"
    return Problem(kind, words, ((field, words),) if field else (), headers)


def sent(it: Accepted) -> SentOut:
    return SentOut(id=it.public_id, state=it.state, message_id=it.header_id, recipients=[
        RecipientOut(address=one.address, suppressed=one.suppressed) for one in it.recipients])


@operations.post("/messages", Scope.SEND, status=202, largest=LARGEST_BODY)
async def send_message(call: Call, body: MessageIn) -> SentOut:
    """Send a message.

    The answer comes when the message is kept and synced: from then on it is not lost.
    """
    (done,) = await call.relay.accept(call.workspace_id, [await submission(call, body)], call.credential)
    if isinstance(done, Refused):
        raise problem_of(done)
    return sent(done)


@operations.post("/messages/batch", Scope.SEND, status=202, largest=LARGEST_BODY)
async def send_batch(call: Call, body: BatchIn) -> BatchOut:
    """Send up to 1,000 messages.

    Where one of them is malformed none is sent, and the answer (422) names it. What is refused for another reason, such
    as a suppressed recipient, is answered in its place, and all others are sent.
    """
    ready: list[Submission] = []
    problems: list[tuple[str, str]] = []
    for number, one in enumerate(body.messages):
        try:
            ready.append(await submission(call, one, number, len(body.messages)))
        except InputError as error:
            problems += [(f"messages.{number}.{name}", words) for name, words in error.problems.items()]
    if problems:
        raise Problem("invalid", f"{problems[0][0]}: {problems[0][1]}", problems[:50])
    done = await call.relay.accept(call.workspace_id, ready, call.credential)
    return BatchOut(data=[
        BatchItem(message=None, problem=problem_of(one).body()) if isinstance(one, Refused)
        else BatchItem(message=sent(one), problem=None) for one in done])


# ---- found again -----------------------------------------------------------------------------------------------------


def _shown(row: MessageRow, streams: dict[int, str]) -> MessageOut:
    return MessageOut(
        id=row.public_id, sender=row.from_address, subject=row.subject, state=row.state, message_id=row.header_id,
        stream=streams.get(row.stream_id or 0, ""), tags=list(row.tags), metadata=dict(row.metadata), size=row.size,
        created_at=row.created_at, send_at=row.send_at,
        recipients=[DeliveryOut(address=one.address, state=one.state, reason=one.reason, attempts=one.attempts,
                                reply=one.reply, ended_at=one.ended_at) for one in row.deliveries])


async def _streams(call: Call) -> dict[int, str]:
    return {one.id: one.handle for one in await call.app.store.relay.streams(call.workspace_id)}


async def _found(call: Call, name: str) -> MessageRow:
    row = await call.app.store.api.message(call.workspace_id, name)
    if row is None:
        raise NotFoundError("There is no such message.")
    return row


def _key(address: str, field: str) -> str:
    if not address:
        return ""
    try:
        return parse_address(address).key
    except AddressError as error:
        raise Problem("invalid", f"{field}: {error}", ((field, str(error)),)) from None


@operations.get("/messages", Scope.MESSAGES_READ)
async def list_messages(call: Call, query: MessageQuery) -> MessagePage:
    """List and search messages, newest first.

    Of several conditions all must hold.
    """
    wanted = MessageFilter(
        _key(query.to, "to"), _key(query.sender, "from"), query.subject, query.tag, query.message_id.strip("<>"),
        query.state)
    what = f"messages\0{wanted}"
    rows = await call.app.store.api.messages(
        call.workspace_id, wanted, call.place(what, query.cursor, int), query.limit + 1)
    page, streams = rows[:query.limit], await _streams(call)
    return MessagePage(data=[_shown(row, streams) for row in page],
                       next=call.next(what, page[-1].id) if len(rows) > query.limit else None)


@operations.get("/messages/{message}", Scope.MESSAGES_READ)
async def get_message(call: Call, message: str) -> MessageOut:
    """One message, and where it stands with each recipient."""
    return _shown(await _found(call, message), await _streams(call))


@operations.get("/messages/{message}/events", Scope.MESSAGES_READ)
async def message_events(call: Call, message: str, query: PageQuery) -> EventPage:
    """What happened to a message, newest first."""
    row = await _found(call, message)
    what = f"message\0{row.id}"
    found = await call.app.store.api.events(
        call.workspace_id, EventFilter(message_id=row.id), call.place(what, query.cursor, int), query.limit)
    return EventPage(data=await shown(call, found.events), next=call.next(what, found.next))


# ---- called off ------------------------------------------------------------------------------------------------------


@operations.post("/messages/{message}/cancel", Scope.SEND)
async def cancel_message(call: Call, message: str) -> MessageOut:
    """Call off a message that is scheduled or held."""
    if not await call.app.store.relay.cancel(call.workspace_id, (await _found(call, message)).public_id,
                                             call.app.clock.now()):
        raise ConflictError("It is neither scheduled nor held, so it cannot be called off. Nothing was changed.")
    return await get_message(call, message)


@operations.post("/messages/{message}/release", Scope.SEND)
async def release_message(call: Call, message: str) -> MessageOut:
    """Send a message now that is scheduled or held."""
    if not await call.app.store.relay.release(call.workspace_id, (await _found(call, message)).public_id,
                                              call.app.clock.now()):
        raise ConflictError("It is neither scheduled nor held. Nothing was changed.")
    await call.app.coordination.wake("outbox")
    return await get_message(call, message)


@operations.patch("/messages/{message}", Scope.SEND)
async def reschedule_message(call: Call, message: str, body: RescheduleIn) -> MessageOut:
    """Move a scheduled message to another time."""
    row = await _found(call, message)
    if body.send_at <= call.app.clock.now():
        words = "Choose a moment that is still to come, or release it."
        raise Problem("invalid", f"send_at: {words}", (("send_at", words),))
    if not await call.app.store.relay.reschedule(call.workspace_id, row.public_id, body.send_at):
        raise ConflictError("It is not scheduled, so it has no time to be changed. Nothing was changed.")
    return await get_message(call, message)
