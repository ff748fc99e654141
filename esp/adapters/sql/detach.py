"""Before a contact's row goes: what stays of its mails is tied to nobody, because SQLite may give its number away."""

from collections.abc import Sequence

from sqlalchemy import delete, null, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from esp.adapters.sql.schema import (
    bulk_changes,
    consents,
    contact_redirects,
    deliveries,
    digest_items,
    events,
    hygiene_findings,
    messages,
    signups,
)

_GO_TOO = (consents, bulk_changes, hygiene_findings, digest_items)
_STAY = (events, messages, signups)


async def detach(connection: AsyncConnection, workspace_id: int, ids: Sequence[int]) -> None:
    """Deliveries keep their address and their place in every count, under minus their own id instead of a contact's.

    So do those that still name a number by which the person was known before a merge.
    """
    former = await connection.execute(select(contact_redirects.c.old_id).where(
        contact_redirects.c.contact_id.in_(ids), contact_redirects.c.workspace_id == workspace_id))
    ids = [*ids, *former.scalars()]
    for table in _GO_TOO:
        await connection.execute(
            delete(table).where(table.c.contact_id.in_(ids), table.c.workspace_id == workspace_id))
    for table in _STAY:
        await connection.execute(
            update(table).where(table.c.contact_id.in_(ids), table.c.workspace_id == workspace_id)
            .values(contact_id=null()))
    it = deliveries.c
    await connection.execute(
        update(deliveries).where(it.contact_id.in_(ids), it.workspace_id == workspace_id).values(contact_id=-it.id))
