"""The mailroom's SQL: incoming messages kept, read in order, and marked as judged."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import and_, bindparam, delete, func, insert, select, update

from esp.adapters.sql.database import Database
from esp.adapters.sql.schema import contacts, deliveries, events, inbound_messages, messages, sending_domains
from esp.ports.mailroom import Filed, InboundMessage, NewInbound, PastEvent, ReportedDelivery

# No address that the MX accepts can hold a line break, so one joins several in one column.
_SEPARATOR: Final = "\n"

_DELIVERY: Final = (
    select(
        deliveries.c.id, deliveries.c.workspace_id, deliveries.c.campaign_id,
        # A single message keeps its person beside the delivery, see ``schema.messages``.
        func.coalesce(messages.c.contact_id, deliveries.c.contact_id).label("contact_id"),
        deliveries.c.variant_id, deliveries.c.provider, deliveries.c.state, deliveries.c.created_at,
        deliveries.c.address, contacts.c.email_key,
    )
    # Outer: the contact may be gone, or never have been one (a test send); the report is true all the same.
    .outerjoin(messages, messages.c.delivery_id == deliveries.c.id)
    .outerjoin(contacts, and_(
        contacts.c.id == func.coalesce(messages.c.contact_id, deliveries.c.contact_id),
        contacts.c.workspace_id == deliveries.c.workspace_id
    ))
    .where(
        deliveries.c.id == bindparam("delivery"),
        deliveries.c.workspace_id == bindparam("workspace"),
        deliveries.c.campaign_id == bindparam("campaign"),
    )
)

_FILE: Final = (
    update(inbound_messages)
    .where(inbound_messages.c.id == bindparam("message"), inbound_messages.c.state == "new")
    .values(
        state="filed", kind=bindparam("what"), outcome=bindparam("result"),
        # What was collected from a workspace's mailbox stays that workspace's, whatever it is about.
        workspace_id=func.coalesce(inbound_messages.c.workspace_id, bindparam("workspace")),
        delivery_id=bindparam("delivery"),
    )
)


def columns_of(message: NewInbound) -> dict[str, Any]:
    """The row of a message that has just come in."""
    return {
        "received_at": message.received_at, "peer": message.peer, "mail_from": message.mail_from,
        "rcpt_to": _SEPARATOR.join(message.recipients), "raw": message.raw, "workspace_id": message.workspace_id,
        "pickup_id": message.pickup_id,
    }


class SqlMailroom:
    """Mailroom over SQLite and PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def keep(self, message: NewInbound) -> int:
        """Store a message durably and return its id."""
        async with self._database.write() as connection:
            result = await connection.execute(
                insert(inbound_messages).values(columns_of(message)).returning(inbound_messages.c.id)
            )
            return int(result.scalar_one())

    async def keep_all(self, messages: Sequence[NewInbound]) -> None:
        """Store several messages durably, all or none."""
        if messages:
            async with self._database.write() as connection:
                await connection.execute(insert(inbound_messages), [columns_of(one) for one in messages])

    async def waiting(self, limit: int) -> tuple[InboundMessage, ...]:
        """The oldest ``limit`` messages that are still new."""
        query = (
            select(inbound_messages).where(inbound_messages.c.state == "new")
            .order_by(inbound_messages.c.id).limit(limit)
        )
        async with self._database.read() as connection:
            rows = (await connection.execute(query)).all()
        return tuple(
            InboundMessage(
                row.id, row.received_at, row.peer, row.mail_from, tuple(row.rcpt_to.split(_SEPARATOR)), row.raw,
                row.workspace_id, row.pickup_id,
            )
            for row in rows
        )

    async def file(self, filed: Sequence[Filed]) -> None:
        """Mark messages as judged; one that is judged already stays as it is."""
        if not filed:
            return
        async with self._database.write() as connection:
            await connection.execute(_FILE, [
                {"message": item.id, "what": item.kind.value, "result": item.outcome.value,
                 "workspace": item.workspace_id, "delivery": item.delivery_id}
                for item in filed
            ])

    async def forget(self, received_before: datetime, limit: int) -> int:
        """Delete at most ``limit`` filed messages received before that moment."""
        it = inbound_messages.c
        # Ids grow with time: only the oldest few are looked at, however many young ones there are behind them.
        oldest = select(it.id, it.received_at).where(it.state == "filed").order_by(it.id).limit(limit).subquery()
        old = select(oldest.c.id).where(oldest.c.received_at < received_before)
        async with self._database.write() as connection:
            return int((await connection.execute(delete(inbound_messages).where(it.id.in_(old)))).rowcount)

    async def delivery(self, workspace_id: int, campaign_id: int, delivery_id: int) -> ReportedDelivery | None:
        """The delivery with all three ids, or None."""
        parameters = {"delivery": delivery_id, "workspace": workspace_id, "campaign": campaign_id}
        async with self._database.read() as connection:
            row = (await connection.execute(_DELIVERY, parameters)).one_or_none()
        if row is None:
            return None
        return ReportedDelivery(
            row.id, row.workspace_id, row.campaign_id, row.contact_id, row.variant_id, row.provider,
            row.email_key or row.address.casefold(), row.state, row.created_at,
        )

    async def recent(self, workspace_id: int, contact_id: int, limit: int) -> tuple[PastEvent, ...]:
        """By the index of a contact's events, so its cost is that of ``limit`` rows."""
        it = events.c
        query = (
            select(it.type, it.at, it.delivery_id, it.detail)
            .where(it.contact_id == contact_id, it.workspace_id == workspace_id).order_by(it.id.desc()).limit(limit)
        )
        async with self._database.read() as connection:
            rows = (await connection.execute(query)).all()
        return tuple(
            PastEvent(row.type, row.at, row.delivery_id, str((row.detail or {}).get("reason", ""))) for row in rows
        )

    async def receiving_domains(self) -> frozenset[str]:
        """Names of all sending domains, in lower case."""
        async with self._database.read() as connection:
            return frozenset((await connection.execute(select(sending_domains.c.name))).scalars())
