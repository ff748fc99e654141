"""Contacts, lists, subscriptions, consents and suppressions in SQL."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Row, delete, insert, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from esp.adapters.sql.database import Database
from esp.adapters.sql.detach import detach
from esp.adapters.sql.schema import (
    consents,
    contact_fields,
    contacts,
    imports,
    lists,
    subscriptions,
    suppressions,
)
from esp.adapters.sql.search import contact_of, few, find_among, find_by_prefix, is_place, list_newest, narrowed
from esp.adapters.sql.tags import read_tag
from esp.adapters.sql.timeline import read_timeline
from esp.adapters.sql.upsert import add_to_counters, lock_list, upsert_contacts
from esp.errors import ConflictError, NotFoundError
from esp.model.contact import SubscriptionState, SuppressionReason
from esp.model.ids import new_public_id
from esp.ports.contacts import (
    STANDARD_FIELDS,
    Contact,
    ContactList,
    ContactPage,
    NewContact,
    Subscribing,
    SubscriptionRow,
    Suppression,
    TimelineItem,
    Upserted,
)

_COUNTED = {SubscriptionState.SUBSCRIBED: (1, 0), SubscriptionState.UNSUBSCRIBED: (0, 1)}


def _list_of(row: Row[Any]) -> ContactList:
    return ContactList(row.id, row.public_id, row.workspace_id, row.name, row.description, row.handle,
                       row.subscribed_count, row.unsubscribed_count, row.created_at, row.archived_at)


async def _read_list(connection: AsyncConnection, workspace_id: int, list_id: int) -> ContactList:
    found = await connection.execute(select(lists).where(lists.c.id == list_id, lists.c.workspace_id == workspace_id))
    row = found.one_or_none()
    if row is None:
        raise NotFoundError("There is no such list.")
    return _list_of(row)


async def _read_contact(connection: AsyncConnection, workspace_id: int, contact_id: int) -> Contact:
    found = await connection.execute(
        select(contacts).where(contacts.c.id == contact_id, contacts.c.workspace_id == workspace_id)
    )
    row = found.one_or_none()
    if row is None:
        raise NotFoundError("There is no such contact.")
    return contact_of(row)


class SqlContacts:
    """The port ``Contacts`` on SQLite and PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # ---- lists

    async def create_list(
        self, workspace_id: int, name: str, handle: str, description: str, now: datetime,
    ) -> ContactList:
        try:
            async with self._database.write() as connection:
                made = await connection.execute(insert(lists).returning(lists.c.id), {
                    "public_id": new_public_id(), "workspace_id": workspace_id, "name": name, "handle": handle,
                    "description": description, "created_at": now,
                })
                return await _read_list(connection, workspace_id, made.scalar_one())
        except IntegrityError:
            raise ConflictError(f"There is a list with the handle {handle} already; choose another one.") from None

    async def edit_list(self, workspace_id: int, list_id: int, name: str, description: str) -> ContactList:
        async with self._database.write() as connection:
            await connection.execute(
                update(lists).values(name=name, description=description)
                .where(lists.c.id == list_id, lists.c.workspace_id == workspace_id)
            )
            return await _read_list(connection, workspace_id, list_id)

    async def archive_list(self, workspace_id: int, list_id: int, now: datetime | None) -> None:
        async with self._database.write() as connection:
            await _read_list(connection, workspace_id, list_id)
            await connection.execute(
                update(lists).values(archived_at=now)
                .where(lists.c.id == list_id, lists.c.workspace_id == workspace_id)
            )

    async def get_list(self, workspace_id: int, list_id: int) -> ContactList:
        async with self._database.read() as connection:
            return await _read_list(connection, workspace_id, list_id)

    async def lists(self, workspace_id: int, archived: bool = False) -> tuple[ContactList, ...]:
        query = select(lists).where(lists.c.workspace_id == workspace_id)
        if not archived:
            query = query.where(lists.c.archived_at.is_(None))
        async with self._database.read() as connection:
            return tuple(_list_of(row) for row in await connection.execute(query.order_by(lists.c.name, lists.c.id)))

    # ---- contacts

    async def get(self, workspace_id: int, contact_id: int) -> Contact:
        async with self._database.read() as connection:
            return await _read_contact(connection, workspace_id, contact_id)

    async def find(self, workspace_id: int, email_key: str) -> Contact | None:
        async with self._database.read() as connection:
            found = await connection.execute(
                select(contacts).where(contacts.c.workspace_id == workspace_id, contacts.c.email_key == email_key)
            )
            row = found.one_or_none()
            return None if row is None else contact_of(row)

    async def upsert(
        self, workspace_id: int, rows: Sequence[NewContact], source: str, now: datetime,
        subscribing: Subscribing | None = None,
    ) -> Upserted:
        if len(rows) > 1000:
            raise ValueError("upsert takes at most 1,000 rows at once")
        async with self._database.write() as connection:
            return await upsert_contacts(
                connection, self._database.dialect, workspace_id, rows, source, now, subscribing)

    async def search(
        self, workspace_id: int, prefix: str = "", list_id: int | None = None, after: str | None = None,
        limit: int = 50, *, tag_id: int | None = None, state: SubscriptionState | None = None,
    ) -> ContactPage:
        async with self._database.read() as connection:
            if list_id is not None:
                await _read_list(connection, workspace_id, list_id)
            if tag_id is not None:
                await read_tag(connection, workspace_id, tag_id)
            key = prefix.replace("\0", "").strip().casefold()
            demands = narrowed(list_id, tag_id, state)
            along_one_index = not key and (state is None or list_id is not None) and (list_id is None or tag_id is None)
            ids = None if along_one_index else await few(connection, workspace_id, list_id, tag_id, state)
            if ids is not None and is_place(after, key):
                return await find_among(connection, workspace_id, ids, key, demands, after, limit)
            if key:
                return await find_by_prefix(connection, workspace_id, key, demands, after, limit)
            return await list_newest(connection, workspace_id, list_id, tag_id, state, after, limit)

    async def sample(self, workspace_id: int, list_ids: Sequence[int]) -> Contact | None:
        of = subscriptions.c
        member = select(of.contact_id).where(
            of.workspace_id == workspace_id, of.list_id.in_(list_ids), of.state == SubscriptionState.SUBSCRIBED.value,
        ).limit(1).scalar_subquery()
        mine = select(contacts).where(contacts.c.workspace_id == workspace_id)
        async with self._database.read() as connection:
            row = (await connection.execute(mine.where(contacts.c.id == member))).one_or_none()
            if row is None:
                row = (await connection.execute(mine.order_by(contacts.c.id.desc()).limit(1))).one_or_none()
            return None if row is None else contact_of(row)

    async def field_names(self, workspace_id: int) -> frozenset[str]:
        async with self._database.read() as connection:
            defined = await connection.execute(
                select(contact_fields.c.key, contact_fields.c.archived_at)
                .where(contact_fields.c.workspace_id == workspace_id))
            own = {row.key: row.archived_at for row in defined}
            names = set(own)
            mappings = await connection.execute(
                select(imports.c.mapping).where(imports.c.workspace_id == workspace_id)
                .order_by(imports.c.id.desc()).limit(50)
            )
            for mapping in mappings.scalars():
                names.update(mapping.values())
            newest = await connection.execute(
                select(contacts.c.fields).where(contacts.c.workspace_id == workspace_id)
                .order_by(contacts.c.id.desc()).limit(200)
            )
            for fields in newest.scalars():
                names.update(fields)
        archived = {key for key, at in own.items() if at is not None}
        return frozenset(names - archived - {"", "email", *STANDARD_FIELDS})

    async def delete(self, workspace_id: int, contact_id: int) -> None:
        async with self._database.write() as connection:
            await _read_contact(connection, workspace_id, contact_id)
            of = subscriptions.c
            found = await connection.execute(select(of.list_id).where(of.contact_id == contact_id).order_by(of.list_id))
            for list_id in found.scalars().all():
                await self._change_subscription(connection, workspace_id, contact_id, list_id, None, None)
            await detach(connection, workspace_id, (contact_id,))
            await connection.execute(delete(contacts).where(contacts.c.id == contact_id))

    # ---- subscriptions and consents

    async def subscriptions(self, workspace_id: int, contact_id: int) -> tuple[SubscriptionRow, ...]:
        of = subscriptions.c
        async with self._database.read() as connection:
            await _read_contact(connection, workspace_id, contact_id)
            rows = await connection.execute(
                select(of.list_id, lists.c.name, of.state, of.changed_at).join(lists, lists.c.id == of.list_id)
                .where(of.contact_id == contact_id, of.workspace_id == workspace_id).order_by(lists.c.name, of.list_id)
            )
            return tuple(SubscriptionRow(r.list_id, r.name, SubscriptionState(r.state), r.changed_at) for r in rows)

    async def set_subscription(
        self, workspace_id: int, contact_id: int, list_id: int, state: SubscriptionState, now: datetime, *,
        source: str, actor: str = "", ip: str = "", user_agent: str = "", wording: str = "",
    ) -> bool:
        async with self._database.write() as connection:
            await _read_contact(connection, workspace_id, contact_id)
            if not await self._change_subscription(connection, workspace_id, contact_id, list_id, state, now):
                return False
            await connection.execute(insert(consents), {
                "workspace_id": workspace_id, "contact_id": contact_id, "list_id": list_id, "action": state.value,
                "at": now, "source": source, "actor": actor, "ip": ip, "user_agent": user_agent, "wording": wording,
            })
            return True

    async def _change_subscription(
        self, connection: AsyncConnection, workspace_id: int, contact_id: int, list_id: int,
        state: SubscriptionState | None, now: datetime | None,
    ) -> bool:
        """Set the state, or with None remove the subscription, and keep the counters; False where nothing changes."""
        await lock_list(connection, workspace_id, list_id)
        mine = (subscriptions.c.list_id == list_id, subscriptions.c.contact_id == contact_id)
        before = (await connection.execute(select(subscriptions.c.state).where(*mine))).scalar()
        if before == state:
            return False
        if state is None:
            await connection.execute(delete(subscriptions).where(*mine))
        elif before is None:
            await connection.execute(insert(subscriptions), {
                "workspace_id": workspace_id, "list_id": list_id, "contact_id": contact_id, "state": state.value,
                "changed_at": now,
            })
        else:
            await connection.execute(update(subscriptions).where(*mine).values(state=state.value, changed_at=now))
        there = _COUNTED.get(state, (0, 0)) if state else (0, 0)
        was = _COUNTED.get(SubscriptionState(before), (0, 0)) if before else (0, 0)
        await add_to_counters(connection, list_id, there[0] - was[0], there[1] - was[1])
        return True

    # ---- suppressions

    async def suppressions(
        self, workspace_id: int, after_id: int = 0, limit: int = 50, email_key: str | None = None,
    ) -> tuple[Suppression, ...]:
        of = suppressions.c
        query = select(suppressions).where(of.workspace_id == workspace_id, of.id > after_id)
        if email_key is not None:
            query = query.where(of.email_key == email_key)
        async with self._database.read() as connection:
            return tuple(
                Suppression(row.id, row.email_key, SuppressionReason(row.reason), row.list_id, row.note,
                            row.created_at, row.expires_at)
                for row in await connection.execute(query.order_by(of.id).limit(limit))
            )

    async def suppress(
        self, workspace_id: int, email_key: str, reason: SuppressionReason, now: datetime, *,
        list_id: int | None = None, note: str = "", expires_at: datetime | None = None,
    ) -> bool:
        of = suppressions.c
        async with self._database.write() as connection:
            if list_id is not None:
                await lock_list(connection, workspace_id, list_id)
            found = await connection.execute(
                select(of.id).where(of.workspace_id == workspace_id, of.email_key == email_key,
                                    of.reason == reason.value,
                                    of.list_id.is_(None) if list_id is None else of.list_id == list_id,
                                    or_(of.expires_at.is_(None), of.expires_at > now)).limit(1)
            )
            if found.scalar() is not None:
                return False
            await connection.execute(insert(suppressions), {
                "workspace_id": workspace_id, "email_key": email_key, "reason": reason.value, "list_id": list_id,
                "note": note, "created_at": now, "expires_at": expires_at,
            })
            return True

    async def unsuppress(self, workspace_id: int, suppression_id: int) -> None:
        async with self._database.write() as connection:
            gone = await connection.execute(
                delete(suppressions)
                .where(suppressions.c.id == suppression_id, suppressions.c.workspace_id == workspace_id)
            )
            if gone.rowcount != 1:
                raise NotFoundError("There is no such suppression.")

    async def timeline(
        self, workspace_id: int, contact_id: int, before: str | None = None, limit: int = 50,
    ) -> tuple[TimelineItem, ...]:
        async with self._database.read() as connection:
            await _read_contact(connection, workspace_id, contact_id)
            return await read_timeline(connection, workspace_id, contact_id, before, limit)
