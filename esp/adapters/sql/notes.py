"""Notes about a person in SQL: what a colleague wrote down, by whom and when."""

from datetime import datetime

from sqlalchemy import delete, insert, select, update

from esp.adapters.sql.people_fields import SqlFields, check_contact
from esp.adapters.sql.schema import contact_notes
from esp.errors import NotFoundError
from esp.ports.people import Note


class SqlNotes(SqlFields):
    """Notes of the port ``People``."""

    async def add_note(self, workspace_id: int, contact_id: int, author: str, text: str, now: datetime) -> Note:
        """See ``People.add_note``."""
        async with self._database.write() as connection:
            await check_contact(connection, workspace_id, contact_id)
            made = await connection.execute(insert(contact_notes).returning(contact_notes.c.id), {
                "workspace_id": workspace_id, "contact_id": contact_id, "author": author, "text": text, "at": now})
            return Note(made.scalar_one(), author, text, now, None)

    async def edit_note(self, workspace_id: int, contact_id: int, note_id: int, text: str, now: datetime) -> None:
        """See ``People.edit_note``."""
        of = contact_notes.c
        async with self._database.write() as connection:
            changed = await connection.execute(
                update(contact_notes).values(text=text, edited_at=now)
                .where(of.id == note_id, of.contact_id == contact_id, of.workspace_id == workspace_id))
            if changed.rowcount != 1:
                raise NotFoundError("There is no such note.")

    async def delete_note(self, workspace_id: int, contact_id: int, note_id: int) -> None:
        """See ``People.delete_note``."""
        of = contact_notes.c
        async with self._database.write() as connection:
            gone = await connection.execute(
                delete(contact_notes)
                .where(of.id == note_id, of.contact_id == contact_id, of.workspace_id == workspace_id))
            if gone.rowcount != 1:
                raise NotFoundError("There is no such note.")

    async def notes(
        self, workspace_id: int, contact_id: int, before_id: int | None = None, limit: int = 50,
    ) -> tuple[Note, ...]:
        """See ``People.notes``."""
        of = contact_notes.c
        query = select(contact_notes).where(of.contact_id == contact_id, of.workspace_id == workspace_id)
        if before_id is not None:
            query = query.where(of.id < before_id)
        async with self._database.read() as connection:
            return tuple(Note(row.id, row.author, row.text, row.at, row.edited_at)
                         for row in await connection.execute(query.order_by(of.id.desc()).limit(limit)))
