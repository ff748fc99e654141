"""Apps' messages read again in SQL: searched along one index, with what became of each recipient."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Select, select
from sqlalchemy.ext.asyncio import AsyncConnection

from esp.adapters.sql.among import among
from esp.adapters.sql.schema import deliveries, messages
from esp.model.delivery import DeliveryState
from esp.model.relay import MessageState
from esp.ports.api import DeliveryRow, MessageFilter, MessageRow

_SHOWN: Final = 100
_LAST: Final = "\U0010ffff"
_COLUMNS: Final = (
    "id", "public_id", "from_address", "subject", "state", "header_id", "stream_id", "tags", "metadata", "size",
    "created_at", "send_at",
)


def _mine(workspace_id: int) -> Select[Any]:
    of = messages.c
    return select(*(of[name] for name in _COLUMNS)).where(of.workspace_id == workspace_id, of.stream_id.is_not(None))


async def read_message(connection: AsyncConnection, workspace_id: int, public_id: str) -> MessageRow | None:
    """One message of an app's, or None."""
    if "\0" in public_id:
        return None
    rows = (await connection.execute(_mine(workspace_id).where(messages.c.public_id == public_id))).all()
    found = await _with_deliveries(connection, rows)
    return found[0] if found else None


async def read_messages(
    connection: AsyncConnection, workspace_id: int, wanted: MessageFilter, before_id: int | None, limit: int,
) -> tuple[MessageRow, ...]:
    """Newest first."""
    of, to = messages.c, deliveries.c
    query = _mine(workspace_id)
    if wanted.recipient_key:
        # Along the recipient's own index, newest first: of one person there are few.
        theirs = select(to.message_id).where(
            to.workspace_id == workspace_id, to.recipient_key == wanted.recipient_key, to.message_id.is_not(None))
        query = query.where(of.id.in_(theirs))
    if wanted.from_key:
        query = query.where(of.from_key == wanted.from_key)
    if wanted.subject:
        key = wanted.subject.casefold()
        query = query.where(of.subject_key >= key, of.subject_key < key + _LAST)
    if wanted.tag:
        query = query.where(of.tag == wanted.tag)
    if wanted.header_id:
        query = query.where(of.header_id == wanted.header_id)
    if wanted.state is not None:
        query = query.where(of.state == wanted.state.value)
    if before_id is not None:
        query = query.where(of.id < before_id)
    rows = (await connection.execute(query.order_by(of.id.desc()).limit(limit))).all()
    return await _with_deliveries(connection, rows)


async def _with_deliveries(connection: AsyncConnection, rows: Sequence[Any]) -> tuple[MessageRow, ...]:
    """The rows with their deliveries: all in one statement, except for a message that has more than are shown."""
    if not rows:
        return ()
    of = deliveries.c
    found: dict[int, list[DeliveryRow]] = defaultdict(list)
    result = await connection.execute(
        select(of.message_id, of.address, of.state, of.reason, of.attempts, of.reply, of.ended_at)
        .where(among(connection, of.message_id, [row.id for row in rows])).order_by(of.message_id, of.id)
        .limit(_SHOWN * len(rows)))
    for one in result:
        if len(found[one.message_id]) < _SHOWN:
            found[one.message_id].append(DeliveryRow(
                one.address, DeliveryState(one.state), one.reason, one.attempts, one.reply, one.ended_at))
    return tuple(
        MessageRow(row.id, row.public_id, row.from_address, row.subject, MessageState(row.state), row.header_id,
                   row.stream_id, tuple(row.tags), row.metadata, row.size, row.created_at, row.send_at,
                   tuple(found[row.id]))
        for row in rows)
