"""Webhooks over HTTP: endpoints made, paused, tried and told once more."""

from typing import Annotated, Any, Final

from pydantic import Field

from esp.entry.api.call import Call
from esp.entry.api.operation import Operations
from esp.entry.api.problems import Problem
from esp.entry.api.shapes import Given, GivenMoment, Moment, Page, PageQuery, Told
from esp.flows.webhooks import add, check_endpoint, event_name
from esp.model.delivery import EventType
from esp.model.relay import Scope
from esp.ports.webhooks import Endpoint

operations: Final = Operations("Webhooks", "Events posted to an app's address, signed after the Standard Webhooks "
                               "specification, in order for each message, tried again for three days.")

Url = Annotated[str, Field(min_length=8, max_length=2000, examples=["https://shop.example/hooks"])]
Types = Annotated[list[Annotated[EventType, Field(strict=False)]], Field(
    max_length=50, description="Which events; empty for all.", examples=[["delivered", "bounced"]])]


class WebhookIn(Given):
    url: Url
    types: Types = Field(default_factory=list)


class WebhookEdit(Given):
    url: Url | None = None
    types: Types | None = None
    paused: bool | None = None


class WebhookOut(Told):
    id: str
    url: str
    types: list[EventType]
    created_at: Moment
    failing_since: Moment | None
    paused_at: Moment | None
    paused_reason: str


class NewWebhookOut(WebhookOut):
    secret: str = Field(description="What the signatures are made with. It is shown this once.")


class Webhooks(Told):
    data: list[WebhookOut]


class TryOut(Told):
    event: str
    at: Moment
    milliseconds: int
    status: int = Field(description="What was answered; 0 where nothing was.")
    answer: str


class TryPage(Page[TryOut]):
    pass


class ReplayIn(Given):
    since: GivenMoment


def _members(it: Endpoint) -> dict[str, Any]:
    return {"id": it.public_id, "url": it.url, "types": list(map(EventType, it.types)), "created_at": it.created_at,
            "failing_since": it.failing_since, "paused_at": it.paused_at, "paused_reason": it.paused_reason}


async def _found(call: Call, name: str) -> Endpoint:
    return await call.app.store.webhooks.get(call.workspace_id, name)


@operations.get("/webhooks", Scope.WEBHOOKS_WRITE)
async def list_webhooks(call: Call) -> Webhooks:
    """All endpoints, oldest first."""
    return Webhooks(data=[WebhookOut(**_members(one)) for one in await call.app.store.webhooks.all(call.workspace_id)])


@operations.post("/webhooks", Scope.WEBHOOKS_WRITE, status=201)
async def create_webhook(call: Call, body: WebhookIn) -> NewWebhookOut:
    """Make an endpoint. It is told events that come from now on; its secret is shown this once."""
    if call.idempotency_key:
        words = "Not here: the answer would have to be kept, and with it the secret."
        raise Problem("invalid", f"Idempotency-Key: {words}", (("Idempotency-Key", words),))
    made, secret = await add(call.app, call.workspace_id, body.url, [one.value for one in body.types])
    return NewWebhookOut(**_members(made), secret=secret)


@operations.get("/webhooks/{webhook}", Scope.WEBHOOKS_WRITE, tagged=True)
async def get_webhook(call: Call, webhook: str) -> WebhookOut:
    """One endpoint."""
    return WebhookOut(**_members(await _found(call, webhook)))


@operations.patch("/webhooks/{webhook}", Scope.WEBHOOKS_WRITE)
async def edit_webhook(call: Call, webhook: str, body: WebhookEdit) -> WebhookOut:
    """Change an endpoint, pause it, or let it go on where it stopped."""
    it = await _found(call, webhook)
    call.must_match(WebhookOut(**_members(it)))
    url = it.url if body.url is None else body.url
    types = it.types if body.types is None else [one.value for one in body.types]
    check_endpoint(url, types)
    now = call.app.clock.now()
    paused_at, reason = it.paused_at, it.paused_reason
    if body.paused is not None and body.paused != (paused_at is not None):
        paused_at, reason = (now, f"Paused by {call.actor}.") if body.paused else (None, "")
    return WebhookOut(**_members(await call.app.store.webhooks.change(it, url, types, paused_at, reason, now)))


@operations.delete("/webhooks/{webhook}", Scope.WEBHOOKS_WRITE)
async def delete_webhook(call: Call, webhook: str) -> None:
    """Delete an endpoint."""
    await call.app.store.webhooks.delete(call.workspace_id, (await _found(call, webhook)).id)


@operations.get("/webhooks/{webhook}/attempts", Scope.WEBHOOKS_WRITE)
async def list_attempts(call: Call, webhook: str, query: PageQuery) -> TryPage:
    """What was posted and answered, newest first, for thirty days."""
    it = await _found(call, webhook)
    what = f"attempts\0{it.id}"
    found = await call.app.store.webhooks.tries(
        call.workspace_id, it.id, call.place(what, query.cursor, int), query.limit + 1)
    page = found[:query.limit]
    return TryPage(data=[
        TryOut(event=event_name(call.app, call.workspace_id, one.event_id), at=one.at, milliseconds=one.milliseconds,
               status=one.status, answer=one.answer) for _, one in page],
        next=call.next(what, page[-1][0]) if len(found) > query.limit else None)


@operations.post("/webhooks/{webhook}/replay", Scope.WEBHOOKS_WRITE, status=202)
async def replay_webhook(call: Call, webhook: str, body: ReplayIn) -> WebhookOut:
    """Post everything once more that happened since a moment, under the same ids."""
    it = await _found(call, webhook)
    await call.app.store.webhooks.replay(it, body.since, call.app.clock.now())
    return WebhookOut(**_members(await _found(call, webhook)))
