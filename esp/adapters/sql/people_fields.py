"""A workspace's own contact fields in SQL: rows that say what a key means; values stay with the contacts."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Row, func, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from esp.adapters.sql.database import Database
from esp.adapters.sql.schema import contact_changes, contact_fields, contacts
from esp.errors import ConflictError, NotFoundError
from esp.model.fields import FieldType
from esp.model.ids import new_public_id
from esp.ports.people import ContactField


def _field_of(row: Row[Any]) -> ContactField:
    return ContactField(row.id, row.public_id, row.key, row.label, FieldType(row.type), tuple(row.choices),
                        row.open_to_recipient, row.position, row.archived_at)


async def _read(connection: AsyncConnection, workspace_id: int, field_id: int) -> ContactField:
    of = contact_fields.c
    found = await connection.execute(
        select(contact_fields).where(of.id == field_id, of.workspace_id == workspace_id))
    row = found.one_or_none()
    if row is None:
        raise NotFoundError("There is no such field.")
    return _field_of(row)


async def check_contact(connection: AsyncConnection, workspace_id: int, contact_id: int) -> None:
    """Raises NotFoundError, also for another workspace's contact."""
    found = await connection.execute(
        select(contacts.c.id).where(contacts.c.id == contact_id, contacts.c.workspace_id == workspace_id))
    if found.scalar() is None:
        raise NotFoundError("There is no such contact.")


async def append_change(
    connection: AsyncConnection, workspace_id: int, contact_id: int, kind: str, actor: str, detail: Mapping[str, Any],
    now: datetime,
) -> None:
    """A line of the person's timeline, in the caller's transaction."""
    await connection.execute(insert(contact_changes), {
        "workspace_id": workspace_id, "contact_id": contact_id, "at": now, "kind": kind, "actor": actor,
        "detail": dict(detail),
    })


class SqlFields:
    """Fields and changes of the port ``People``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def fields(self, workspace_id: int, archived: bool = False) -> tuple[ContactField, ...]:
        """See ``People.fields``."""
        of = contact_fields.c
        query = select(contact_fields).where(of.workspace_id == workspace_id)
        if not archived:
            query = query.where(of.archived_at.is_(None))
        async with self._database.read() as connection:
            rows = await connection.execute(query.order_by(of.archived_at.is_not(None), of.position, of.id))
            return tuple(map(_field_of, rows))

    async def add_field(
        self, workspace_id: int, key: str, label: str, kind: FieldType, choices: Sequence[str],
        open_to_recipient: bool, now: datetime,
    ) -> ContactField:
        """See ``People.add_field``."""
        of = contact_fields.c
        try:
            async with self._database.write() as connection:
                last = await connection.scalar(select(func.max(of.position)).where(of.workspace_id == workspace_id))
                made = await connection.execute(insert(contact_fields).returning(of.id), {
                    "public_id": new_public_id(), "workspace_id": workspace_id, "key": key, "label": label,
                    "type": kind.value, "choices": list(choices), "open_to_recipient": open_to_recipient,
                    "position": (last or 0) + 1, "created_at": now,
                })
                return await _read(connection, workspace_id, made.scalar_one())
        except IntegrityError:
            raise ConflictError(
                f"There is a field {key} already, perhaps an archived one; bring it back or choose another name."
            ) from None

    async def change_field(
        self, workspace_id: int, field_id: int, label: str, choices: Sequence[str], open_to_recipient: bool,
    ) -> ContactField:
        """See ``People.change_field``."""
        of = contact_fields.c
        async with self._database.write() as connection:
            await connection.execute(
                update(contact_fields).where(of.id == field_id, of.workspace_id == workspace_id)
                .values(label=label, choices=list(choices), open_to_recipient=open_to_recipient))
            return await _read(connection, workspace_id, field_id)

    async def move_field(self, workspace_id: int, field_id: int, by: int) -> None:
        """See ``People.move_field``."""
        of = contact_fields.c
        async with self._database.write() as connection:
            await _read(connection, workspace_id, field_id)
            rows = await connection.execute(
                select(of.id).where(of.workspace_id == workspace_id, of.archived_at.is_(None))
                .order_by(of.position, of.id).with_for_update())
            order = list(rows.scalars())
            if field_id not in order:
                return
            place = order.index(field_id)
            there = max(0, min(len(order) - 1, place + by))
            order.insert(there, order.pop(place))
            for position, one in enumerate(order, 1):
                await connection.execute(update(contact_fields).where(of.id == one).values(position=position))

    async def archive_field(self, workspace_id: int, field_id: int, now: datetime | None) -> None:
        """See ``People.archive_field``."""
        of = contact_fields.c
        async with self._database.write() as connection:
            await _read(connection, workspace_id, field_id)
            await connection.execute(
                update(contact_fields).where(of.id == field_id, of.workspace_id == workspace_id)
                .values(archived_at=now))

    async def record_change(
        self, workspace_id: int, contact_id: int, kind: str, actor: str, detail: Mapping[str, Any], now: datetime,
    ) -> None:
        """See ``People.record_change``."""
        async with self._database.write() as connection:
            await check_contact(connection, workspace_id, contact_id)
            await append_change(connection, workspace_id, contact_id, kind, actor, detail, now)
