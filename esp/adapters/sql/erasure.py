"""Erasing a person in SQL: every table that knows the id or the address, found from the schema itself.

What is about a mail stays as a count: the delivery keeps its state and times, the events their type and moment, and
nothing in them says whose they were. Ids of erased people are negative, so that no later contact inherits their mails.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Table, bindparam, case, delete, exists, func, null, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from esp.adapters.sql.database import Database
from esp.adapters.sql.erasure_texts import look_ahead, sweep_texts
from esp.adapters.sql.ledger import append_events
from esp.adapters.sql.portable import ids_of, tables_about
from esp.adapters.sql.schema import (
    bulk_changes,
    campaigns,
    contact_changes,
    contacts,
    deliveries,
    erased_addresses,
    events,
    lists,
    message_bodies,
    messages,
    signups,
    subscriptions,
)
from esp.adapters.sql.upsert import add_to_counters
from esp.model.contact import ExclusionReason, SubscriptionState
from esp.model.delivery import OPEN_STATES, EventType, NewEvent
from esp.ports.erasure import Erased

_CHUNK: Final = 500
_FEW_ERASED: Final = 50_000
_KEPT: Final = (deliveries, events)
_HARMLESS: Final = frozenset(("rule", "version", "trait", "reason", "code", "attempt", "channel"))
_COUNTED: Final = {SubscriptionState.SUBSCRIBED.value: (-1, 0), SubscriptionState.UNSUBSCRIBED.value: (0, -1)}


class SqlErasure:
    """Erasure over SQLite or PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def erase(
        self, workspace_id: int, contact_id: int | None, spellings: Collection[str], digests: Mapping[str, str],
        now: datetime,
    ) -> Erased:
        dialect = self._database.dialect
        keys = sorted(digests)
        ahead = await look_ahead(self._database, workspace_id, {*spellings, *keys})
        async with self._database.write() as connection:
            ids = [] if contact_id is None else await ids_of(connection, workspace_id, contact_id)
            mails = await _mails(connection, workspace_id, ids, keys)
            await append_events(connection, dialect, [
                NewEvent(EventType.SUPPRESSED, now, workspace_id, campaign_id, delivery_id,
                         detail={"reason": ExclusionReason.ERASED.value})
                for delivery_id, campaign_id, is_open in mails if is_open
            ])
            emptied = await _empty(connection, workspace_id, ids, [mail[0] for mail in mails])
            await _uncount(connection, workspace_id, ids)
            deleted = await _unwrite(connection, workspace_id, [mail[0] for mail in mails])
            for table in reversed(tables_about()):
                if table not in _KEPT:
                    deleted += await _drop(connection, table, workspace_id, ids, keys)
            deleted += await sweep_texts(
                connection, dialect, workspace_id, {*spellings, *keys}, [mail[0] for mail in mails], ahead)
            gone = await connection.execute(
                delete(contacts).where(contacts.c.workspace_id == workspace_id, contacts.c.id.in_(ids))
            )
            make = postgresql.insert if dialect == "postgresql" else sqlite.insert
            await connection.execute(make(erased_addresses).on_conflict_do_nothing(), [
                {"workspace_id": workspace_id, "digest": digest, "at": now} for digest in digests.values()])
        await self._scrub_file()
        return Erased(deleted + gone.rowcount, emptied)

    async def addresses(self, workspace_id: int, contact_id: int) -> tuple[str, ...]:
        async with self._database.read() as connection:
            ids = await ids_of(connection, workspace_id, contact_id)
            return await _addresses(connection, workspace_id, ids)

    async def _scrub_file(self) -> None:
        """SQLite's log still holds the pages as they were: move it into the file and empty it, if readers let."""
        if self._database.dialect == "sqlite":
            async with self._database.read() as connection:
                await connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")

    async def known(self, workspace_id: int, digests: Collection[str]) -> frozenset[str]:
        it = erased_addresses.c
        wanted, found = sorted(digests), set[str]()
        async with self._database.read() as connection:
            if len(wanted) > _CHUNK:
                # For many it is quicker to read all that there are, as long as they are not many themselves.
                every = (await connection.execute(
                    select(it.digest).where(it.workspace_id == workspace_id).limit(_FEW_ERASED + 1))).scalars().all()
                if len(every) <= _FEW_ERASED:
                    return frozenset(every) & frozenset(wanted)
            for start in range(0, len(wanted), _CHUNK):
                rows = await connection.execute(
                    select(it.digest).where(it.workspace_id == workspace_id,
                                            it.digest.in_(wanted[start:start + _CHUNK]))
                )
                found.update(rows.scalars())
        return frozenset(found)

    async def knows_any(self, workspace_id: int) -> bool:
        any_of = select(erased_addresses.c.digest).where(erased_addresses.c.workspace_id == workspace_id).limit(1)
        async with self._database.read() as connection:
            return await connection.scalar(any_of) is not None

    async def forgive(self, workspace_id: int, digest: str) -> bool:
        it = erased_addresses.c
        async with self._database.write() as connection:
            gone = await connection.execute(
                delete(erased_addresses).where(it.workspace_id == workspace_id, it.digest == digest)
            )
            return bool(gone.rowcount)

    async def blank_events(self, before: datetime, limit: int = 2000) -> int:
        e = events.c
        # Ids grow with time, so the oldest are the first; what is blank already is passed over by one look each.
        old = (
            select(e.id).where(e.at < before, or_(e.ip != "", e.user_agent != "")).order_by(e.id).limit(limit)
        )
        async with self._database.read() as connection:
            ids = (await connection.execute(old)).scalars().all()
        if not ids:
            return 0
        async with self._database.write() as connection:
            for start in range(0, len(ids), _CHUNK):
                await connection.execute(
                    update(events).where(e.id.in_(ids[start:start + _CHUNK])).values(ip="", user_agent="")
                )
        return len(ids)


async def _addresses(connection: AsyncConnection, workspace_id: int, ids: Sequence[int]) -> tuple[str, ...]:
    """Every address the contact has or had: as written now, written to, corrected, or merged away."""
    asked = (
        select(contacts.c.email).where(contacts.c.workspace_id == workspace_id, contacts.c.id.in_(ids)),
        select(deliveries.c.address).where(
            deliveries.c.workspace_id == workspace_id, deliveries.c.contact_id.in_(ids)).distinct(),
        select(bulk_changes.c.before).where(
            bulk_changes.c.workspace_id == workspace_id, bulk_changes.c.contact_id.in_(ids)),
        select(signups.c.email).where(signups.c.workspace_id == workspace_id, signups.c.contact_id.in_(ids)),
        select(contact_changes.c.detail["email"].as_string()).where(
            contact_changes.c.workspace_id == workspace_id, contact_changes.c.contact_id.in_(ids),
            contact_changes.c.kind == "merged"),
    )
    found = {one for query in asked for one in (await connection.execute(query)).scalars() if one and "@" in one}
    # An address that was corrected may be somebody else's today.
    taken = await connection.execute(select(contacts.c.email_key).where(
        contacts.c.workspace_id == workspace_id, contacts.c.id.not_in(ids),
        contacts.c.email_key.in_(sorted({one.casefold() for one in found}))))
    others = set(taken.scalars())
    return tuple(sorted(one for one in found if one.casefold() not in others))


async def _mails(
    connection: AsyncConnection, workspace_id: int, ids: Sequence[int], keys: Sequence[str]
) -> list[tuple[int, int, bool]]:
    """Every delivery to the person, also a single message or a test: id, campaign, and whether it is still open."""
    d = deliveries.c
    tests = select(campaigns.c.id).where(campaigns.c.workspace_id == workspace_id, campaigns.c.test_of.is_not(None))
    rows = await connection.execute(
        select(d.id, d.campaign_id, d.state).where(
            d.workspace_id == workspace_id,
            # Tests, and mails of a contact that was deleted before, are known by their address alone.
            or_(d.contact_id.in_(ids),
                (d.campaign_id.in_(tests) | (d.contact_id < 0)) & (func.lower(d.address).in_(keys))),
        ).order_by(d.id)
    )
    return [(row.id, row.campaign_id, row.state in OPEN_STATES) for row in rows]


async def _empty(connection: AsyncConnection, workspace_id: int, ids: Sequence[int], mails: Sequence[int]) -> int:
    d, e = deliveries.c, events.c
    emptied = len(mails)
    wheres: list[Any] = [e.contact_id.in_(ids)] if ids else []
    for start in range(0, len(mails), _CHUNK):
        some = mails[start:start + _CHUNK]
        wheres.append(e.delivery_id.in_(some))
        await connection.execute(
            update(deliveries).where(d.id.in_(some), d.workspace_id == workspace_id).values(
                address="", domain="", reply="", recipient_key=null(),
                contact_id=case((d.contact_id < 0, d.contact_id), else_=-d.id),
                provider=case((d.provider == d.domain, ""), else_=d.provider),  # a domain of their own names them
            )
        )
    for where in wheres:
        rows = (await connection.execute(
            select(e.id, e.detail).where(where, e.workspace_id == workspace_id).order_by(e.id)
        )).all()
        emptied += len(rows)
        if rows:
            await connection.execute(
                update(events).where(e.id == bindparam("event")).values(
                    contact_id=null(), ip="", user_agent="", provider="", detail=bindparam("rest")),
                [{"event": row.id, "rest": _harmless(row.detail)} for row in rows],
            )
    return emptied


def _harmless(detail: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """How an open or a click was told from a machine's, and why a mail failed; not what a server said of it."""
    return {key: value for key, value in (detail or {}).items() if key in _HARMLESS} or None


async def _unwrite(connection: AsyncConnection, workspace_id: int, mails: Sequence[int]) -> int:
    """The single messages written to them, also to an address that was no contact's."""
    deleted, m, d, others = 0, messages.c, deliveries.c, deliveries.alias("others")
    for start in range(0, len(mails), _CHUNK):
        # What an app wrote to several names each of them; its octets go unless somebody else still waits for them.
        theirs = select(d.message_id).where(d.id.in_(mails[start:start + _CHUNK]), d.message_id.is_not(None))
        waited_for = exists().where(
            others.c.message_id == message_bodies.c.message_id, others.c.state.in_([it.value for it in OPEN_STATES]),
            others.c.id.not_in(mails[start:start + _CHUNK]))
        await connection.execute(delete(message_bodies).where(
            message_bodies.c.workspace_id == workspace_id, message_bodies.c.message_id.in_(theirs), ~waited_for))
        # Of one that went to nobody else, what the app wrote about it goes, too; that there was one stays.
        somebody_else = exists().where(
            others.c.message_id == m.id, others.c.address != "", others.c.id.not_in(mails[start:start + _CHUNK]))
        await connection.execute(update(messages).where(
            m.workspace_id == workspace_id, m.id.in_(theirs), ~somebody_else,
        ).values(subject="", subject_key="", header_id="", tag="", tags=[], metadata={}, dsn=null()))
        deleted += (await connection.execute(delete(messages).where(
            m.workspace_id == workspace_id, m.delivery_id.in_(mails[start:start + _CHUNK])))).rowcount
        # The message's number may be given once more (SQLite), and is then not theirs.
        await connection.execute(update(deliveries).where(
            d.id.in_(mails[start:start + _CHUNK]), d.workspace_id == workspace_id, d.message_id.is_not(None),
            ~exists().where(m.id == d.message_id)).values(message_id=null()))
    return deleted


async def _uncount(connection: AsyncConnection, workspace_id: int, ids: Sequence[int]) -> None:
    """Take the person off the lists' counters, the lists locked in order as everybody does."""
    s = subscriptions.c
    rows = (await connection.execute(
        select(s.list_id, s.state).where(s.contact_id.in_(ids), s.workspace_id == workspace_id).order_by(s.list_id)
    )).all()
    if not rows:
        return
    await connection.execute(
        select(lists.c.id).where(lists.c.id.in_([row.list_id for row in rows])).order_by(lists.c.id).with_for_update()
    )
    for row in rows:
        await add_to_counters(connection, row.list_id, *_COUNTED.get(row.state, (0, 0)))


async def _drop(
    connection: AsyncConnection, table: Table, workspace_id: int, ids: Sequence[int], keys: Sequence[str]
) -> int:
    columns = table.c
    about: list[Any] = []
    if "contact_id" in columns and ids:
        about.append(columns.contact_id.in_(ids))
    if "email_key" in columns:
        about.append(columns.email_key.in_(keys))
    if "address" in columns:
        about.append(func.lower(columns.address).in_(keys))
    if not about:
        return 0
    gone = await connection.execute(delete(table).where(columns.workspace_id == workspace_id, or_(*about)))
    return int(gone.rowcount)


