"""Everything that is held about one person, read out of every table that has their id or their address."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from sqlalchemy import RowMapping, Table, select
from sqlalchemy.ext.asyncio import AsyncConnection

from esp.adapters.sql.schema import campaigns, contact_redirects, contacts, lists, metadata, tags, topics
from esp.errors import NotFoundError

_MOST: Final = 50_000  # rows of one table
#: Numbers that mean nothing outside of our database, and search keys that say again what stands beside them.
_INNER: Final = frozenset((
    "workspace_id", "contact_id", "variant_id", "batch_id", "email_key", "name_key", "last_name_key", "fence",
    "bulk_id", "report_id",
))
_NAMED: Final = {"campaign_id": campaigns, "list_id": lists, "topic_id": topics, "tag_id": tags}


async def read_portable(connection: AsyncConnection, workspace_id: int, contact_id: int) -> dict[str, Any]:
    """See ``Preferences.portable``: ``contact`` is the person, every other key a table with rows about them."""
    row = (await connection.execute(
        select(contacts).where(contacts.c.id == contact_id, contacts.c.workspace_id == workspace_id)
    )).one_or_none()
    if row is None:
        raise NotFoundError("There is no such contact.")
    person = row._mapping
    ids = await ids_of(connection, workspace_id, contact_id)
    held: dict[str, Any] = {"contact": _plain(person)}
    for table in tables_about():
        columns = table.c
        where = columns.contact_id.in_(ids) if "contact_id" in columns else columns.email_key == person["email_key"]
        query = select(table).where(where, columns.workspace_id == workspace_id).limit(_MOST)
        if "id" in columns:
            query = query.order_by(columns.id)
        rows = (await connection.execute(query)).all()
        if rows:
            held[str(table.name)] = [_plain(one._mapping) for one in rows]
    await _name(connection, workspace_id, held)
    return held


def tables_about() -> list[Table]:
    """Every table with rows about a contact: those that know its id, and those that know only its address."""
    return [
        table for table in metadata.sorted_tables
        if table is not contacts and "workspace_id" in table.c and ("contact_id" in table.c or "email_key" in table.c)
    ]


async def ids_of(connection: AsyncConnection, workspace_id: int, contact_id: int) -> list[int]:
    """The contact's id and those of contacts that were merged into it, which old mails still know."""
    of = contact_redirects.c
    merged = await connection.execute(
        select(of.old_id).where(of.contact_id == contact_id, of.workspace_id == workspace_id)
    )
    return [contact_id, *merged.scalars()]


def _plain(row: RowMapping) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in row.items():
        if name in _INNER or value in (None, ""):
            continue
        if isinstance(value, datetime):
            value = value.isoformat()
        elif isinstance(value, bytes):
            value = value.decode("utf-8", "replace")
        found[str(name)] = value  # a column's name is a kind of text that JSON writers refuse
    return found


async def _name(connection: AsyncConnection, workspace_id: int, held: Mapping[str, Any]) -> None:
    """Names instead of the ids of lists, campaigns, topics and tags."""
    rows = [row for name, some in held.items() if name != "contact" for row in some]
    for column, table in _NAMED.items():
        wanted = sorted({row[column] for row in rows if column in row})
        names: dict[int, str] = {}
        for start in range(0, len(wanted), 500):
            some = await connection.execute(
                select(table.c.id, table.c.name)
                .where(table.c.workspace_id == workspace_id, table.c.id.in_(wanted[start:start + 500]))
            )
            names.update({one.id: one.name for one in some})
        for row in rows:
            if column in row:
                row[column.removesuffix("_id")] = names.get(row.pop(column), "")
