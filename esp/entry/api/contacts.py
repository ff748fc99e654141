"""Contacts over HTTP: made and changed by address, one or a thousand at once, read, searched, deleted."""

import difflib
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final

from pydantic import Field, JsonValue

from esp.audience.field_values import read_values
from esp.entry.api.call import Call
from esp.entry.api.operation import LARGE, Operations
from esp.entry.api.problems import Problem
from esp.entry.api.shapes import Given, Line, Moment, Page, PageQuery, PublicId, ShortLine, Told
from esp.errors import InputError, NotFoundError
from esp.flows.erasure import bar_erased
from esp.model.contact import SubscriptionState
from esp.model.relay import Scope
from esp.ports.api import Named
from esp.ports.contacts import STANDARD_FIELDS, Contact, NewContact, Subscribing
from esp.ports.people import ContactField
from esp.wire.addresses import AddressError, parse_address

operations: Final = Operations("Contacts", "People with one address each. A path takes a contact's id or address.")

SOURCE: Final = "api"
_MOST_LISTS: Final = 20


class ContactFields(Given):
    """What may be said of a person. Only what is named is changed; an own field that is null is emptied."""

    first_name: ShortLine | None = None
    last_name: ShortLine | None = None
    city: ShortLine | None = None
    country: ShortLine | None = None
    language: Annotated[Line, Field(max_length=35)] | None = None
    time_zone: Annotated[Line, Field(max_length=64)] | None = None
    birth_date: Annotated[str, Field(pattern=r"^(\d{4}-\d{2}-\d{2})?$", examples=["1990-12-31"])] | None = None
    fields: Annotated[dict[str, JsonValue], Field(
        max_length=200, description="The workspace's own fields, by key.", examples=[{"shoe_size": 39}],
    )] = Field(default_factory=dict)

    def standard(self) -> dict[str, str]:
        return {name: value for name in STANDARD_FIELDS if (value := getattr(self, name)) is not None}


class Joining(Given):
    """Lists to subscribe people to, and how they agreed."""

    lists: Annotated[list[PublicId], Field(
        max_length=_MOST_LISTS, description="Ids of lists to subscribe to.")] = Field(default_factory=list)
    tags: Annotated[list[ShortLine], Field(
        max_length=50, description="Tags to put on; new ones are made.")] = Field(default_factory=list)
    consent: Annotated[str, Field(max_length=500, description="How they agreed, as it is kept with the consent "
                                  "record.", examples=["Ticked “Send me news” at the checkout"])] = ""
    resubscribe: Annotated[bool, Field(description="Bring back also those who left a list. Only where they asked for "
                                       "it anew.")] = False


class ContactIn(ContactFields, Joining):
    """A person as they are to be."""


class BulkContact(ContactFields):
    email: Annotated[str, Field(max_length=400, examples=["ayu@example.com"])]


class BulkIn(Joining):
    contacts: Annotated[list[BulkContact], Field(min_length=1, max_length=1000)]


class RowProblem(Told):
    index: int = Field(description="Which contact of the request, from 0.")
    field: str
    message: str


class BulkOut(Told):
    """What became of the contacts; those with errors were left out, all others are done."""

    created: int
    updated: int
    unchanged: int
    kept_out: int = Field(description="Had left a list and were not brought back.")
    errors: list[RowProblem]


class SubscriptionOut(Told):
    list: str
    name: str
    state: SubscriptionState
    changed_at: Moment


class ContactOut(Told):
    id: str
    email: str
    first_name: str
    last_name: str
    city: str
    country: str
    language: str
    time_zone: str
    birth_date: str
    fields: dict[str, Any]
    source: str
    created_at: Moment
    updated_at: Moment


class ContactDetail(ContactOut):
    subscriptions: list[SubscriptionOut]
    tags: list[str]


class ContactPage(Page[ContactOut]):
    pass


class ContactQuery(PageQuery):
    prefix: Annotated[str, Field(max_length=320, description="The address, the name or the last name begins so.")] = ""
    list: Annotated[str, Field(max_length=64, description="Only those on this list.")] = ""
    tag: Annotated[str, Field(max_length=120, description="Only those with this tag.")] = ""
    state: Annotated[SubscriptionState | None, Field(strict=False, description="Their state on the list.")] = None


def shown(contact: Contact) -> ContactOut:
    return ContactOut(**_members(contact))


def _members(contact: Contact) -> dict[str, Any]:
    return {"id": contact.public_id, "email": contact.email, "fields": dict(contact.fields), "source": contact.source,
            "created_at": contact.created_at, "updated_at": contact.updated_at,
            **{name: getattr(contact, name) for name in STANDARD_FIELDS}}


async def found(call: Call, name: str) -> Contact:
    """The contact of an id or an address; NotFoundError."""
    if "@" in name:
        try:
            address = parse_address(name)
        except AddressError:
            raise NotFoundError("There is no such contact.") from None
        contact = await call.app.store.contacts.find(call.workspace_id, address.key)
        if contact is None:
            raise NotFoundError("There is no such contact.")
        return contact
    return await call.app.store.contacts.get(call.workspace_id, await call.number(Named.CONTACT, name))


async def _detail(call: Call, contact: Contact) -> ContactDetail:
    store = call.app.store
    rows = await store.contacts.subscriptions(call.workspace_id, contact.id)
    names = await call.names(Named.LIST, [row.list_id for row in rows])
    tags = await store.people.tags_of(call.workspace_id, (contact.id,))
    return ContactDetail(
        **_members(contact), tags=[tag.name for tag in tags.get(contact.id, ())],
        subscriptions=[SubscriptionOut(list=names[row.list_id], name=row.list_name, state=row.state,
                                       changed_at=row.changed_at) for row in rows if row.list_id in names])


# ---- read ------------------------------------------------------------------------------------------------------------


@operations.get("/contacts", Scope.CONTACTS_READ)
async def list_contacts(call: Call, query: ContactQuery) -> ContactPage:
    """List and search contacts.

    Without a prefix, newest first.
    """
    list_id = await call.number(Named.LIST, query.list, "list") if query.list else None
    tag_id = await call.number(Named.TAG, query.tag, "tag") if query.tag else None
    what = f"contacts\0{query.prefix}\0{list_id}\0{tag_id}\0{query.state}"
    page = await call.app.store.contacts.search(
        call.workspace_id, query.prefix, list_id, call.place(what, query.cursor, str), query.limit, tag_id=tag_id,
        state=query.state)
    return ContactPage(data=list(map(shown, page.contacts)), next=call.next(what, page.next))


@operations.get("/contacts/{contact}", Scope.CONTACTS_READ, tagged=True)
async def get_contact(call: Call, contact: str) -> ContactDetail:
    """One contact, with subscriptions and tags."""
    return await _detail(call, await found(call, contact))


# ---- written ---------------------------------------------------------------------------------------------------------


@operations.put("/contacts/{contact}", Scope.CONTACTS_WRITE)
async def put_contact(call: Call, contact: str, body: ContactIn) -> ContactDetail:
    """Make or change a contact.

    By its address a new one is made where there is none; by its id one that exists is changed. Only fields that are
    named are touched, so that the same request twice changes nothing the second time.
    """
    email = contact if "@" in contact else (await found(call, contact)).email
    try:
        address = parse_address(email)
    except AddressError as error:
        raise Problem("invalid", f"contact: {error}", (("contact", str(error)),)) from None
    if "If-Match" in call.request.headers:
        call.must_match(await _detail(call, await found(call, address.text)))
    own = _own_values(await call.app.store.people.fields(call.workspace_id), body.fields)
    row = NewContact(address.text, address.key, address.domain, body.standard(), own)
    await _write(call, [row], body)
    return await _detail(call, await found(call, address.text))


@operations.post("/contacts/bulk", Scope.CONTACTS_WRITE, largest=LARGE)
async def bulk_contacts(call: Call, body: BulkIn) -> BulkOut:
    """Make or change up to 1,000 contacts.

    A row that cannot be used is named in `errors` and left out; all others are done.
    """
    fields = await call.app.store.people.fields(call.workspace_id)
    rows: list[NewContact] = []
    problems: list[RowProblem] = []
    for index, one in enumerate(body.contacts):
        try:
            address = parse_address(one.email)
            rows.append(NewContact(address.text, address.key, address.domain, one.standard(),
                                   _own_values(fields, one.fields)))
        except AddressError as error:
            problems.append(RowProblem(index=index, field="email", message=str(error)))
        except Problem as problem:
            problems += [RowProblem(index=index, field=name, message=words) for name, words in problem.errors]
    done = await _write(call, rows, body)
    return BulkOut(created=done[0], updated=done[1], unchanged=done[2], kept_out=done[3], errors=problems)


@operations.delete("/contacts/{contact}", Scope.CONTACTS_WRITE)
async def delete_contact(call: Call, contact: str) -> None:
    """Delete a contact, with subscriptions and consents.

    Its suppression, if there is one, stays: it is not written to when it comes back.
    """
    await call.app.store.contacts.delete(call.workspace_id, (await found(call, contact)).id)


def _own_values(fields: Sequence[ContactField], raw: Mapping[str, Any]) -> dict[str, Any]:
    """Own fields checked by their types; Problem names each that is wrong or not there."""
    known = {field.key for field in fields}
    problems = [(f"fields.{key}", _unknown(key, known)) for key in raw if key not in known]
    values: dict[str, Any] = {}
    try:
        values = read_values(fields, raw)
    except InputError as error:
        problems += [(f"fields.{key}", words) for key, words in error.problems.items()]
    if problems:
        raise Problem("invalid", f"{problems[0][0]}: {problems[0][1]}", problems)
    return values


def _unknown(key: str, known: set[str]) -> str:
    near = difflib.get_close_matches(key, known, 1, 0.5)
    return (f"There is no such field; did you mean {near[0]}?" if near
            else "There is no such field; add it first, under Settings, Contact fields.")


async def _write(call: Call, rows: Sequence[NewContact], joining: Joining) -> tuple[int, int, int, int]:
    """Upsert, subscribe and tag; created, updated, unchanged, kept out."""
    store, now = call.app.store, call.app.clock.now()
    list_ids = await call.numbers(Named.LIST, joining.lists, "lists")
    if list_ids and not joining.consent.strip():
        words = "Say how they agreed; it is kept with the consent record."
        raise Problem("invalid", f"consent: {words}", (("consent", words),))
    if not rows:
        return 0, 0, 0, 0
    await bar_erased(call.app, call.workspace_id, [row.email_key for row in rows])
    done = await store.contacts.upsert(call.workspace_id, rows, SOURCE, now)
    kept_out = 0
    bare = [NewContact(row.email, row.email_key, row.domain) for row in rows]
    for list_id in list_ids:
        joined = await store.contacts.upsert(call.workspace_id, bare, SOURCE, now, Subscribing(
            list_id, SOURCE, call.actor, joining.consent.strip(), joining.resubscribe))
        kept_out += joined.kept_out
    if joining.tags:
        await _tag(call, rows, joining.tags)
    return done.created, done.updated, done.unchanged, kept_out


async def _tag(call: Call, rows: Sequence[NewContact], names: Sequence[str]) -> None:
    tags = [await call.app.store.people.make_tag(call.workspace_id, name) for name in dict.fromkeys(names)]
    await call.app.store.api.tag(
        call.workspace_id, [row.email_key for row in rows], [tag.id for tag in tags])
