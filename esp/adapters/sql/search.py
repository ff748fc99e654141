"""Contacts found by the beginning of an address or a name, and listed, page by page along an index."""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from sqlalchemy import ColumnElement, Row, and_, not_, or_, select, text, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from esp.adapters.sql.among import among
from esp.adapters.sql.schema import contact_tags, contacts, subscriptions
from esp.errors import InputError
from esp.model.contact import SubscriptionState
from esp.ports.contacts import Contact, ContactPage

_LAST: Final = "\U0010ffff"
# Where a prefix is looked for, one after the other; each is an index (workspace_id, column, id).
_PHASES: Final = ("email_key", "name_key", "last_name_key")
# So many people are few: they are looked at one by one, whatever else is asked. Where there are more, every page of a
# walk along the addresses or ids meets enough of them.
_FEW: Final = 2000
_CHUNK: Final = 500


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


def is_place(after: str | None, prefix: str) -> bool:
    """Whether a page begins there; searches by prefix say more in their key than lists do."""
    return after is None or bool(prefix) or _is_id(after)


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


async def few(
    connection: AsyncConnection, workspace_id: int, list_id: int | None, tag_id: int | None,
    state: SubscriptionState | None,
) -> list[int] | None:
    """The ids of those whom one of the demands leaves, where these are few: no planner knows how rare a tag is, and
    would go past everybody whose address begins with the prefix to find three. None where they are many."""
    of, on = subscriptions.c, contact_tags.c
    wanted = (state or SubscriptionState.SUBSCRIBED).value
    # Said literally, for SQLite takes a partial index only where its condition stands in the query.
    left = text("subscriptions.state <> 'subscribed'")
    asked = []
    if tag_id is not None:
        asked.append(select(on.contact_id).where(on.tag_id == tag_id))
    if list_id is not None:
        asked.append(select(of.contact_id).where(of.list_id == list_id, of.state == wanted))
    elif wanted != SubscriptionState.SUBSCRIBED.value:
        asked.append(select(of.contact_id).where(of.workspace_id == workspace_id, of.state == wanted))
    if wanted != SubscriptionState.SUBSCRIBED.value:
        asked[-1] = asked[-1].where(left)
    for query in asked:
        ids = (await connection.execute(query.limit(_FEW + 1))).scalars().all()
        if len(ids) <= _FEW:
            return sorted(set(ids), reverse=True)
    return None


async def find_among(
    connection: AsyncConnection, workspace_id: int, ids: Sequence[int], prefix: str,
    demands: Sequence[ColumnElement[bool]], after: str | None, limit: int,
) -> ContactPage:
    """What ``find_by_prefix`` and ``list_newest`` would find among these few people, who are looked up by id."""
    place = _Place(0, "", 0) if after is None or not prefix else _read_place(after)
    before = int(after) if after is not None and not prefix else 2**62
    it = contacts.c
    there: list[_Place] = []
    for start in range(0, len(ids), _CHUNK):
        rows = await connection.execute(
            select(it.id, *(it[name] for name in _PHASES))
            .where(among(connection, it.id, ids[start:start + _CHUNK]), it.workspace_id == workspace_id, *demands))
        for row in rows:
            phase = next((number for number, name in enumerate(_PHASES)
                          if row._mapping[name].startswith(prefix)), None) if prefix else 0
            if phase is not None:
                there.append(_Place(phase, row._mapping[_PHASES[phase]] if prefix else "", row.id))
    # By octets, as both databases compare keys: UTF-8 sorts as code points do.
    if prefix:
        shown = sorted(one for one in there if after is None or one > place)[:limit + 1]
    else:
        shown = sorted((one for one in there if one.id < before), key=lambda one: -one.id)[:limit + 1]
    page = shown[:limit]
    found = await connection.execute(
        select(contacts).where(among(connection, it.id, [one.id for one in page]), it.workspace_id == workspace_id))
    people = {row.id: contact_of(row) for row in found}
    more = (page[-1].key() if prefix else str(page[-1].id)) if len(shown) > limit else None
    return ContactPage(tuple(people[one.id] for one in page if one.id in people), more)


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
