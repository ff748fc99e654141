"""Contacts found by the beginning of an address or a name, and listed, page by page along an index."""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from sqlalchemy import ColumnElement, Row, and_, not_, or_, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from esp.adapters.sql.schema import contact_tags, contacts, subscriptions
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


def narrowed(
    list_id: int | None, tag_id: int | None, state: SubscriptionState | None,
) -> list[ColumnElement[bool]]:
    """What a contact must be: on the list in the state (or in the state on any list), and with the tag."""
    demands: list[ColumnElement[bool]] = []
    if list_id is not None or state is not None:
        of = subscriptions.c
        member = select(of.contact_id).where(of.contact_id == contacts.c.id,
                                             of.state == (state or SubscriptionState.SUBSCRIBED).value)
        demands.append((member if list_id is None else member.where(of.list_id == list_id)).exists())
    if tag_id is not None:
        on = contact_tags.c
        demands.append(select(on.contact_id).where(on.tag_id == tag_id, on.contact_id == contacts.c.id).exists())
    return demands


def begins_with(prefix: str) -> ColumnElement[bool]:
    """Whether the address, the name or the last name begins with the case-folded ``prefix``."""
    return or_(*(_begins(contacts.c[name], prefix) for name in _PHASES))


async def find_by_prefix(
    connection: AsyncConnection, workspace_id: int, prefix: str, demands: Sequence[ColumnElement[bool]],
    after: str | None, limit: int,
) -> ContactPage:
    """First who has such an address, then such a name, then such a last name; nobody twice."""
    place = _Place(0, "", 0) if after is None else _read_place(after)
    found: list[Contact] = []
    for phase in range(place.phase, len(_PHASES)):
        column = contacts.c[_PHASES[phase]]
        query = select(contacts).where(contacts.c.workspace_id == workspace_id, _begins(column, prefix), *demands)
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
    connection: AsyncConnection, workspace_id: int, list_id: int | None, tag_id: int | None,
    state: SubscriptionState | None, after: str | None, limit: int,
) -> ContactPage:
    """Everybody, or everybody on the list (in the state) and with the tag, newest first."""
    if after is not None and not _is_id(after):
        raise InputError("This page of contacts does not exist.")
    before = int(after) if after is not None else 2**62
    query = select(contacts).where(contacts.c.workspace_id == workspace_id)
    # Along the list's or the tag's own key: a small list of a big workspace costs what it holds.
    if list_id is not None:
        of = subscriptions.c
        query = (
            query.join(subscriptions, of.contact_id == contacts.c.id)
            .where(of.list_id == list_id, of.contact_id < before,
                   of.state == (state or SubscriptionState.SUBSCRIBED).value, *narrowed(None, tag_id, None))
            .order_by(of.contact_id.desc())
        )
    elif tag_id is not None:
        on = contact_tags.c
        query = (
            query.join(contact_tags, on.contact_id == contacts.c.id)
            .where(on.tag_id == tag_id, on.contact_id < before, *narrowed(None, None, state))
            .order_by(on.contact_id.desc())
        )
    else:
        query = query.where(contacts.c.id < before, *narrowed(None, None, state)).order_by(contacts.c.id.desc())
    rows = (await connection.execute(query.limit(limit + 1))).all()
    page = tuple(contact_of(row) for row in rows[:limit])
    return ContactPage(page, str(page[-1].id) if len(rows) > limit else None)
