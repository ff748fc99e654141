"""The port ``People`` on SQLite and PostgreSQL: fields, tags and notes together, and two contacts made one."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import select, update

from esp.adapters.sql.notes import SqlNotes
from esp.adapters.sql.people_fields import append_change
from esp.adapters.sql.people_merge import merge_contacts
from esp.adapters.sql.schema import contact_redirects, contacts
from esp.adapters.sql.search import contact_of
from esp.adapters.sql.tags import SqlTags
from esp.adapters.sql.upsert import search_keys
from esp.errors import NotFoundError
from esp.ports.contacts import Contact
from esp.ports.people import Merge


class SqlPeople(SqlTags, SqlNotes):
    """Fields, tags, notes and merging."""

    async def merge(self, workspace_id: int, merge: Merge, actor: str, now: datetime) -> Contact:
        """See ``People.merge``."""
        async with self._database.write() as connection:
            stays = await merge_contacts(connection, self._database.dialect, workspace_id, merge, actor, now)
            row = (await connection.execute(select(contacts).where(contacts.c.id == stays))).one()
            return contact_of(row)

    async def save(
        self, workspace_id: int, contact_id: int, standard: Mapping[str, str], fields: Mapping[str, Any], actor: str,
        now: datetime,
    ) -> bool:
        """See ``People.save``."""
        async with self._database.write() as connection:
            found = await connection.execute(
                select(contacts).where(contacts.c.id == contact_id, contacts.c.workspace_id == workspace_id)
                .with_for_update())
            row = found.one_or_none()
            if row is None:
                raise NotFoundError("There is no such contact.")
            own = {key: value for key, value in {**row.fields, **fields}.items() if value is not None}
            changed = [name for name, value in standard.items() if row._mapping[name] != value]
            changed += [key for key in fields if row.fields.get(key) != own.get(key)]
            if not changed:
                return False
            names = {name: standard.get(name, row._mapping[name]) for name in ("first_name", "last_name")}
            await connection.execute(
                update(contacts).where(contacts.c.id == contact_id)
                .values(**dict(standard), fields=own, updated_at=now, **search_keys(**names)))
            await append_change(connection, workspace_id, contact_id, "edited", actor, {"fields": changed}, now)
            return True

    async def merged_into(self, workspace_id: int, contact_id: int) -> int | None:
        """See ``People.merged_into``."""
        of = contact_redirects.c
        async with self._database.read() as connection:
            found = await connection.execute(
                select(of.contact_id).where(of.old_id == contact_id, of.workspace_id == workspace_id))
            return found.scalar()
