"""Lists over HTTP, and who is on them."""

from typing import Annotated, Final

from pydantic import Field

from esp.entry.api.call import Call
from esp.entry.api.contacts import SOURCE, ContactPage, SubscriptionOut, found, shown
from esp.entry.api.operation import Operations
from esp.entry.api.shapes import Given, Moment, PageQuery, Told
from esp.flows.contacts import create_list as make_list
from esp.model.contact import SubscriptionState
from esp.model.relay import Scope
from esp.ports.api import Named
from esp.ports.contacts import ContactList

operations: Final = Operations("Lists", "Groups that people join and leave by their own will.")

Name = Annotated[str, Field(min_length=1, max_length=100, examples=["Spring news"])]
Description = Annotated[str, Field(max_length=2000)]


class ListIn(Given):
    name: Name
    description: Description = ""
    handle: Annotated[str, Field(pattern=r"^[a-z0-9-]{0,40}$", description="First part of its List-Id; made of the name"
                                 " where none is given, and never changed.")] = ""


class ListEdit(Given):
    name: Name | None = None
    description: Description | None = None
    archived: Annotated[bool, Field(description="Put it away, or bring it back.")] | None = None


class ListOut(Told):
    id: str
    name: str
    description: str
    handle: str
    subscribed: int
    unsubscribed: int
    created_at: Moment
    archived_at: Moment | None


class Lists(Told):
    data: list[ListOut]


class ListsQuery(Given):
    archived: Annotated[bool, Field(description="With those that were put away.")] = False


class MembersQuery(PageQuery):
    state: Annotated[SubscriptionState, Field(strict=False)] = SubscriptionState.SUBSCRIBED


class SubscriptionIn(Given):
    """Consent, or its end, as it will stand in the record of this person."""

    state: Annotated[SubscriptionState, Field(strict=False)] = SubscriptionState.SUBSCRIBED
    wording: Annotated[str, Field(max_length=2000, description="The words that they agreed to, or how.",
                                  examples=["Ticked “Send me news” at the checkout"])] = ""
    ip: Annotated[str, Field(max_length=64)] = ""
    user_agent: Annotated[str, Field(max_length=400)] = ""


def _shown(it: ContactList) -> ListOut:
    return ListOut(id=it.public_id, name=it.name, description=it.description, handle=it.handle,
                   subscribed=it.subscribed, unsubscribed=it.unsubscribed, created_at=it.created_at,
                   archived_at=it.archived_at)


async def _found(call: Call, name: str) -> ContactList:
    return await call.app.store.contacts.get_list(call.workspace_id, await call.number(Named.LIST, name))


@operations.get("/lists", Scope.CONTACTS_READ)
async def list_lists(call: Call, query: ListsQuery) -> Lists:
    """All lists, by name."""
    return Lists(data=[_shown(one) for one in await call.app.store.contacts.lists(call.workspace_id, query.archived)])


@operations.post("/lists", Scope.CONTACTS_WRITE, status=201)
async def create_list(call: Call, body: ListIn) -> ListOut:
    """Make a list."""
    return _shown(await make_list(call.app, call.workspace_id, body.name, body.description, body.handle))


@operations.get("/lists/{contact_list}", Scope.CONTACTS_READ, tagged=True)
async def get_list(call: Call, contact_list: str) -> ListOut:
    """One list."""
    return _shown(await _found(call, contact_list))


@operations.patch("/lists/{contact_list}", Scope.CONTACTS_WRITE)
async def edit_list(call: Call, contact_list: str, body: ListEdit) -> ListOut:
    """Rename a list, or put it away."""
    it = await _found(call, contact_list)
    call.must_match(_shown(it))
    contacts = call.app.store.contacts
    if body.name is not None or body.description is not None:
        name = it.name if body.name is None else body.name
        await contacts.edit_list(
            call.workspace_id, it.id, name, it.description if body.description is None else body.description)
    if body.archived is not None and body.archived != (it.archived_at is not None):
        await contacts.archive_list(call.workspace_id, it.id, call.app.clock.now() if body.archived else None)
    return _shown(await contacts.get_list(call.workspace_id, it.id))


@operations.get("/lists/{contact_list}/contacts", Scope.CONTACTS_READ)
async def list_members(call: Call, contact_list: str, query: MembersQuery) -> ContactPage:
    """Who is on a list, newest first."""
    list_id = await call.number(Named.LIST, contact_list)
    what = f"members\0{list_id}\0{query.state}"
    page = await call.app.store.contacts.search(
        call.workspace_id, "", list_id, call.place(what, query.cursor, str), query.limit, state=query.state)
    return ContactPage(data=list(map(shown, page.contacts)), next=call.next(what, page.next))


@operations.put("/lists/{contact_list}/contacts/{contact}", Scope.CONTACTS_WRITE)
async def set_subscription(call: Call, contact_list: str, contact: str, body: SubscriptionIn) -> SubscriptionOut:
    """Subscribe somebody to a list, or unsubscribe them, with a consent record."""
    it, person = await _found(call, contact_list), await found(call, contact)
    now = call.app.clock.now()
    await call.app.store.contacts.set_subscription(
        call.workspace_id, person.id, it.id, body.state, now, source=SOURCE, actor=call.actor, ip=body.ip,
        user_agent=body.user_agent, wording=body.wording)
    rows = await call.app.store.contacts.subscriptions(call.workspace_id, person.id)
    row = next(one for one in rows if one.list_id == it.id)
    return SubscriptionOut(list=it.public_id, name=it.name, state=row.state, changed_at=row.changed_at)
