"""Tags in SQL: short words of the team's own, put on people and taken off."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import delete, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from esp.adapters.sql.people_fields import SqlFields, append_change, check_contact
from esp.adapters.sql.schema import contact_tags, tags
from esp.adapters.sql.upsert import insert_for
from esp.errors import ConflictError, InputError, NotFoundError
from esp.model.names import HIDDEN, hides_something, is_blank
from esp.ports.people import Tag

_LAST = "\U0010ffff"


def tag_name(name: str) -> str:
    """The name as it is kept; raises InputError where it is none."""
    name = " ".join(name.replace("\0", "").split())
    if is_blank(name) or len(name) > 60 or "," in name:
        raise InputError("A tag has 1 to 60 characters, without a comma.", {
            "tag": "Write 1 to 60 characters, without a comma."})
    if hides_something(name):
        raise InputError(HIDDEN, {"tag": HIDDEN})
    return name


async def find_or_make_tag(connection: AsyncConnection, dialect: str, workspace_id: int, name: str) -> Tag:
    """The tag of this name, in the caller's transaction."""
    name = tag_name(name)
    key = name.casefold()
    await connection.execute(
        insert_for(dialect, tags).values(workspace_id=workspace_id, name=name, name_key=key)
        .on_conflict_do_nothing(index_elements=[tags.c.workspace_id, tags.c.name_key]))
    row = (await connection.execute(
        select(tags.c.id, tags.c.name).where(tags.c.workspace_id == workspace_id, tags.c.name_key == key))).one()
    return Tag(row.id, row.name)


async def read_tag(connection: AsyncConnection, workspace_id: int, tag_id: int) -> Tag:
    """Raises NotFoundError, also for another workspace's tag."""
    row = (await connection.execute(
        select(tags.c.id, tags.c.name).where(tags.c.id == tag_id, tags.c.workspace_id == workspace_id))).one_or_none()
    if row is None:
        raise NotFoundError("There is no such tag.")
    return Tag(row.id, row.name)


class SqlTags(SqlFields):
    """Tags of the port ``People``."""

    async def tags(self, workspace_id: int, prefix: str = "", limit: int = 200) -> tuple[Tag, ...]:
        """See ``People.tags``."""
        of = tags.c
        query = select(of.id, of.name).where(of.workspace_id == workspace_id)
        key = prefix.replace("\0", "").strip().casefold()
        if key:
            query = query.where(of.name_key >= key, of.name_key < key + _LAST)
        async with self._database.read() as connection:
            return tuple(Tag(row.id, row.name) for row in await connection.execute(
                query.order_by(of.name_key).limit(limit)))

    async def make_tag(self, workspace_id: int, name: str) -> Tag:
        """See ``People.make_tag``."""
        async with self._database.write() as connection:
            return await find_or_make_tag(connection, self._database.dialect, workspace_id, name)

    async def rename_tag(self, workspace_id: int, tag_id: int, name: str) -> Tag:
        """See ``People.rename_tag``."""
        name = tag_name(name)
        try:
            async with self._database.write() as connection:
                await read_tag(connection, workspace_id, tag_id)
                await connection.execute(
                    update(tags).where(tags.c.id == tag_id).values(name=name, name_key=name.casefold()))
        except IntegrityError:
            raise ConflictError(f"There is a tag {name} already.") from None
        return Tag(tag_id, name)

    async def delete_tag(self, workspace_id: int, tag_id: int) -> None:
        """See ``People.delete_tag``."""
        async with self._database.write() as connection:
            await read_tag(connection, workspace_id, tag_id)
            await connection.execute(delete(contact_tags).where(contact_tags.c.tag_id == tag_id))
            await connection.execute(delete(tags).where(tags.c.id == tag_id))

    async def tags_of(self, workspace_id: int, contact_ids: Sequence[int]) -> dict[int, tuple[Tag, ...]]:
        """See ``People.tags_of``."""
        of = contact_tags.c
        found: dict[int, list[Tag]] = defaultdict(list)
        async with self._database.read() as connection:
            for row in await connection.execute(
                select(of.contact_id, tags.c.id, tags.c.name).join(tags, tags.c.id == of.tag_id)
                .where(of.contact_id.in_(contact_ids), of.workspace_id == workspace_id)
                .order_by(of.contact_id, tags.c.name_key)
            ):
                found[row.contact_id].append(Tag(row.id, row.name))
        return {contact_id: tuple(some) for contact_id, some in found.items()}

    async def tag(self, workspace_id: int, contact_id: int, tag_id: int, actor: str, now: datetime) -> bool:
        """See ``People.tag``."""
        async with self._database.write() as connection:
            await check_contact(connection, workspace_id, contact_id)
            one = await read_tag(connection, workspace_id, tag_id)
            put = await connection.execute(
                insert_for(self._database.dialect, contact_tags)
                .values(workspace_id=workspace_id, tag_id=tag_id, contact_id=contact_id).on_conflict_do_nothing())
            if put.rowcount != 1:
                return False
            await append_change(connection, workspace_id, contact_id, "tagged", actor, {"tag": one.name}, now)
            return True

    async def untag(self, workspace_id: int, contact_id: int, tag_id: int, actor: str, now: datetime) -> bool:
        """See ``People.untag``."""
        of = contact_tags.c
        async with self._database.write() as connection:
            await check_contact(connection, workspace_id, contact_id)
            one = await read_tag(connection, workspace_id, tag_id)
            gone = await connection.execute(
                delete(contact_tags).where(of.tag_id == tag_id, of.contact_id == contact_id))
            if gone.rowcount != 1:
                return False
            await append_change(connection, workspace_id, contact_id, "untagged", actor, {"tag": one.name}, now)
            return True
