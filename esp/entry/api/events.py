"""Events over HTTP: what happened to messages and people, newest first; and the figures of the week."""

from typing import Annotated, Any, Final

from pydantic import Field

from esp.entry.api.call import Call
from esp.entry.api.campaigns import FiguresOut, figures_out
from esp.entry.api.contacts import found
from esp.entry.api.operation import Operations
from esp.entry.api.shapes import Given, Moment, Page, PageQuery, Told
from esp.flows.webhooks import event_name
from esp.model.delivery import EventType
from esp.model.relay import Scope
from esp.ports.api import EventFilter, EventRow, Named

operations: Final = Operations("Events", "Facts, in the order in which they were learnt. They never change.")


class EventOut(Told):
    id: str
    type: str
    at: Moment
    address: str = Field(description="Whom the mail was to; empty where their data was erased.")
    message: str | None
    campaign: str | None
    contact: str | None
    link: int | None = Field(description="Which link of the campaign was clicked, from 0.")
    provider: str
    agent: str = Field(description="human, proxy or scanner; empty where nobody acted.")
    ip: str
    user_agent: str
    detail: dict[str, Any]


class EventPage(Page[EventOut]):
    pass


class EventQuery(PageQuery):
    type: Annotated[EventType | None, Field(strict=False)] = None
    campaign: Annotated[str, Field(max_length=64)] = ""
    contact: Annotated[str, Field(max_length=320, description="A contact's id or address.")] = ""


class StatisticsQuery(Given):
    pass


class WeekOut(Told):
    since: Moment
    week: FiguresOut
    week_before: FiguresOut


async def shown(call: Call, rows: tuple[EventRow, ...]) -> list[EventOut]:
    campaigns = await call.names(
        Named.CAMPAIGN, [row.campaign_id for row in rows if row.campaign_id and not row.message_id])
    messages = await call.names(Named.MESSAGE, [row.message_id for row in rows if row.message_id])
    contacts = await call.names(Named.CONTACT, [row.contact_id for row in rows if row.contact_id])
    return [EventOut(
        id=event_name(call.app, call.workspace_id, row.id), type=row.type, at=row.at, address=row.address,
        message=messages.get(row.message_id or 0), campaign=campaigns.get(row.campaign_id or 0),
        contact=contacts.get(row.contact_id or 0), link=row.link_index,
        provider=row.provider, agent=row.agent, ip=row.ip, user_agent=row.user_agent, detail=dict(row.detail))
        for row in rows]


@operations.get("/events", Scope.EVENTS_READ)
async def list_events(call: Call, query: EventQuery) -> EventPage:
    """Events, newest first.

    One page looks at a bounded part of the record: it may hold fewer than asked for, even none. Go on while there is a
    `next`.
    """
    campaign = await call.number(Named.CAMPAIGN, query.campaign, "campaign") if query.campaign else None
    contact = (await found(call, query.contact)).id if query.contact else None
    what = f"events\0{query.type}\0{campaign}\0{contact}"
    page = await call.app.store.api.events(
        call.workspace_id, EventFilter((query.type.value,) if query.type else (), campaign, contact),
        call.place(what, query.cursor, int), query.limit)
    return EventPage(data=await shown(call, page.events), next=call.next(what, page.next))


@operations.get("/statistics", Scope.EVENTS_READ)
async def week_statistics(call: Call) -> WeekOut:
    """The campaigns of the last seven days, summed, and those of the week before."""
    it = await call.app.store.reports.dashboard(call.workspace_id, call.app.clock.now())
    return WeekOut(since=it.since, week=figures_out(it.week), week_before=figures_out(it.before))
