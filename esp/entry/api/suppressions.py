"""Suppressions over HTTP: addresses and domains that nothing is sent to."""

from typing import Annotated, Final

from pydantic import Field

from esp.entry.api.call import Call
from esp.entry.api.operation import Operations
from esp.entry.api.problems import Problem
from esp.entry.api.shapes import Given, GivenMoment, Moment, Page, PageQuery, PublicId, Told
from esp.errors import NotFoundError
from esp.flows.suppressions import suppression_key
from esp.model.contact import SuppressionReason
from esp.model.relay import Scope
from esp.ports.api import Named
from esp.ports.people_suppressions import Bar, NewBar
from esp.wire.addresses import AddressError

operations: Final = Operations("Suppressions", "Addresses, and whole domains as *@example.com, that nothing is sent "
                               "to: bounced, complained, unsubscribed, or by hand.")


class SuppressionsIn(Given):
    addresses: Annotated[list[Annotated[str, Field(min_length=1, max_length=320)]], Field(
        min_length=1, max_length=1000, examples=[["ayu@example.com", "*@example.net"]])]
    reason: Annotated[SuppressionReason, Field(strict=False)] = SuppressionReason.MANUAL
    list: PublicId | None = Field(None, description="Only for mail of this list; else for all mail.")
    note: Annotated[str, Field(max_length=500)] = ""
    expires_at: GivenMoment | None = None


class SuppressionsDone(Told):
    added: int
    already_there: int


class SuppressionOut(Told):
    address: str
    reason: SuppressionReason
    list: str | None
    note: str
    created_at: Moment
    expires_at: Moment | None


class SuppressionPage(Page[SuppressionOut]):
    pass


class SuppressionQuery(PageQuery):
    prefix: Annotated[str, Field(max_length=320, description="The address begins so; @example.com finds domains.")] = ""
    reason: Annotated[SuppressionReason | None, Field(strict=False)] = None


def _key(address: str) -> str:
    return suppression_key(address)


def _shown(bar: Bar, lists: dict[int, str]) -> SuppressionOut:
    return SuppressionOut(
        address=f"*{bar.key}" if bar.key.startswith("@") else bar.key, reason=bar.reason,
        list=lists.get(bar.list_id) if bar.list_id else None, note=bar.note, created_at=bar.created_at,
        expires_at=bar.expires_at)


@operations.get("/suppressions", Scope.SUPPRESSIONS_READ)
async def list_suppressions(call: Call, query: SuppressionQuery) -> SuppressionPage:
    """List and search suppressions. Without a prefix, newest first."""
    what = f"suppressions\0{query.prefix}\0{query.reason}"
    page = await call.app.store.suppressions.search(
        call.workspace_id, query.prefix.lstrip("*"), query.reason, None, call.place(what, query.cursor, str),
        query.limit)
    lists = await call.names(Named.LIST, [bar.list_id for bar in page.bars if bar.list_id])
    return SuppressionPage(data=[_shown(bar, lists) for bar in page.bars], next=call.next(what, page.next))


@operations.post("/suppressions", Scope.SUPPRESSIONS_WRITE)
async def add_suppressions(call: Call, body: SuppressionsIn) -> SuppressionsDone:
    """Suppress up to 1,000 addresses or domains."""
    now = call.app.clock.now()
    if body.expires_at is not None and body.expires_at <= now:
        words = "Choose a moment that is still to come."
        raise Problem("invalid", f"expires_at: {words}", (("expires_at", words),))
    list_id = await call.number(Named.LIST, body.list, "list") if body.list else None
    rows: list[NewBar] = []
    problems: list[tuple[str, str]] = []
    for place, address in enumerate(body.addresses):
        try:
            rows.append(NewBar(_key(address), body.reason, list_id, body.note, body.expires_at))
        except AddressError as error:
            problems.append((f"addresses.{place}", str(error)))
    if problems:
        raise Problem("invalid", f"{problems[0][0]}: {problems[0][1]}", problems)
    rows = list(dict.fromkeys(rows))
    added = await call.app.store.suppressions.add(call.workspace_id, rows, call.actor, now)
    return SuppressionsDone(added=added, already_there=len(rows) - added)


@operations.delete("/suppressions/{address}", Scope.SUPPRESSIONS_WRITE)
async def remove_suppression(call: Call, address: str) -> None:
    """Lift every suppression of an address or domain, with a record of who did it."""
    store = call.app.store
    try:
        key = _key(address)
    except AddressError:
        raise NotFoundError("There is no such suppression.") from None
    found = await store.contacts.suppressions(call.workspace_id, limit=100, email_key=key)
    if not found:
        raise NotFoundError("There is no such suppression.")
    for one in found:
        await store.suppressions.remove(call.workspace_id, one.id, call.actor, call.app.clock.now())
