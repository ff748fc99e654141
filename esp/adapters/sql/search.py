"""Contacts found by the beginning of an address or a name, and listed, page by page along an index."""

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from sqlalchemy import ColumnElement, Row, Select, and_, not_, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from esp.adapters.sql.schema import contacts, subscriptions
from esp.errors import InputError
from esp.model.contact import SubscriptionState
from esp.ports.contacts import Contact, ContactPage

_LAST: Final = "\U0010ffff"
# Where a prefix is looked for, one after the other; each is an index (workspace_id, column, id).
_PHASES: Final = ("email_key", "name_key", "last_name_key")


class _Place(NamedTuple):
    """How far a search has come: phase, term and id of the last contact shown."""

    phase: int
    term: str
    id: int

    def key(self) -> str:
        return f"{self.phase}.{self.id}.{self.term}"


def _read_place(key: str) -> _Place:
    phase, _, rest = key.partition(".")
    number, dot, term = rest.partition(".")
    if not dot or phase not in ("0", "1", "2") or not _is_id(number) or "\0" in term:
        raise InputError("This page of contacts does not exist.")
    return _Place(int(phase), term, int(number))


def _is_id(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 19


def contact_of(row: Row[Any]) -> Contact:
    """A row of the table as the port has it."""
    return Contact(**{name: row._mapping[name] for name in Contact.__slots__})


def _begins(column: ColumnElement[str], prefix: str) -> ColumnElement[bool]:
    # A range and not LIKE, which uses an index only under the right collation and pragma.
    return and_(column >= prefix, column < prefix + _LAST)


def _on_list(list_id: int | None) -> Callable[[Select[Any]], Select[Any]]:
    def narrow(query: Select[Any]) -> Select[Any]:
        if list_id is None:
            return query
        of = subscriptions.c
        return query.where(
            select(of.contact_id).where(of.list_id == list_id, of.contact_id == contacts.c.id,
                                        of.state == SubscriptionState.SUBSCRIBED.value).exists()
        )
    return narrow


async def find_by_prefix(
    connection: AsyncConnection, workspace_id: int, prefix: str, list_id: int | None, after: str | None, limit: int,
) -> ContactPage:
    """First who has such an address, then such a name, then such a last name; nobody twice."""
    place = _Place(0, "", 0) if after is None else _read_place(after)
    narrow = _on_list(list_id)
    found: list[Contact] = []
    for phase in range(place.phase, len(_PHASES)):
        column = contacts.c[_PHASES[phase]]
        query = narrow(select(contacts).where(contacts.c.workspace_id == workspace_id, _begins(column, prefix)))
        for earlier in _PHASES[:phase]:
            query = query.where(not_(_begins(contacts.c[earlier], prefix)))
        if phase == place.phase and after is not None:
            query = query.where(tuple_(column, contacts.c.id) > (place.term, place.id))
        rows = (await connection.execute(
            query.order_by(column, contacts.c.id).limit(limit - len(found) + 1)
        )).all()
        found_here = rows[: limit - len(found)]
        found += [contact_of(row) for row in found_here]
        if found_here:
            last = found_here[-1]
            place = _Place(phase, last._mapping[_PHASES[phase]], last.id)
        if len(rows) > len(found_here):
            return ContactPage(tuple(found), place.key())
    return ContactPage(tuple(found), None)


async def list_newest(
    connection: AsyncConnection, workspace_id: int, list_id: int | None, after: str | None, limit: int,
) -> ContactPage:
    """Everybody, or everybody subscribed to the list, newest first."""
    if after is not None and not _is_id(after):
        raise InputError("This page of contacts does not exist.")
    before = int(after) if after is not None else 2**62
    query = select(contacts).where(contacts.c.workspace_id == workspace_id)
    if list_id is None:
        query = query.where(contacts.c.id < before).order_by(contacts.c.id.desc())
    else:
        # Along the list's own key: a small list of a big workspace costs what it holds.
        of = subscriptions.c
        query = (
            query.join(subscriptions, of.contact_id == contacts.c.id)
            .where(of.list_id == list_id, of.contact_id < before, of.state == SubscriptionState.SUBSCRIBED.value)
            .order_by(of.contact_id.desc())
        )
    rows = (await connection.execute(query.limit(limit + 1))).all()
    page = tuple(contact_of(row) for row in rows[:limit])
    return ContactPage(page, str(page[-1].id) if len(rows) > limit else None)
