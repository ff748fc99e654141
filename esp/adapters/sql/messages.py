"""Single messages in SQL: a message, its delivery and its batch at once, carried by one hidden campaign a domain."""

from collections.abc import Sequence
from datetime import datetime
from secrets import randbits
from typing import Any, Final

from sqlalchemy import Row, and_, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from esp.adapters.sql.among import among
from esp.adapters.sql.exclusion import EXCLUDED_BY_RANK, suppression_rank
from esp.adapters.sql.ledger import add_tallies
from esp.adapters.sql.schema import (
    batches,
    campaigns,
    contacts,
    deliveries,
    message_bodies,
    messages,
    sending_domains,
)
from esp.errors import NotFoundError
from esp.events.fold import TallyKey
from esp.model.campaign import CampaignState
from esp.model.contact import ExclusionReason
from esp.model.delivery import OPEN_STATES, DeliveryState
from esp.model.ids import new_public_id
from esp.model.permission import Stream
from esp.ports.outbox import ClaimedBatch, OutboxRow
from esp.ports.signup import NewMessage

#: ``campaigns.test_of`` of what no list of campaigns and no report shows; a test send names its campaign there.
HIDDEN: Final = 0
_OCTETS_AT_ONCE: Final = 16 * 1024 * 1024  # of one batch's messages


async def queue_message(connection: AsyncConnection, dialect: str, message: NewMessage, now: datetime) -> int:
    """Write the message and all that the engine needs to send it; its id. The caller wakes the outbox afterwards.

    Raises NotFoundError where the domain is not the workspace's.
    """
    campaign_id = await _carrier(connection, message.workspace_id, message.domain_id, now)

    async def one(table: Any, **values: object) -> int:
        made = await connection.execute(insert(table).values(workspace_id=message.workspace_id, **values)
                                        .returning(table.c.id))
        return int(made.scalar_one())

    message_id = await one(messages, public_id=new_public_id(), contact_id=message.contact_id, kind=message.kind,
                           subject=message.subject, raw=message.raw, created_at=now, list_id=message.list_id,
                           size=len(message.raw), recipients=1)
    batch_id = await one(batches, campaign_id=campaign_id, provider=message.provider, state="ready", due_at=now,
                         stream=Stream.TRANSACTIONAL.value, size=1)
    delivery_id = await one(
        # Nobody's number, of which a campaign has one each. Not made of the message's, which SQLite gives once more
        # when the newest message is erased, while its delivery stays to be counted.
        deliveries, campaign_id=campaign_id, contact_id=-1 - randbits(62), variant_id=0, batch_id=batch_id,
        address=message.address, domain=message.domain, provider=message.provider, state=DeliveryState.QUEUED.value,
        created_at=now, due_at=now, message_id=message_id, recipient_key=message.address.casefold(),
        report="never")
    await connection.execute(update(messages).where(messages.c.id == message_id).values(delivery_id=delivery_id))
    await add_tallies(connection, dialect, {TallyKey(message.workspace_id, campaign_id, "total", "", "targeted"): 1})
    return message_id


async def _carrier(connection: AsyncConnection, workspace_id: int, domain_id: int, now: datetime) -> int:
    """The hidden campaign that carries a domain's single messages; it is always sending and never finished."""
    # The domain's row is locked first, so that of two first messages one makes the campaign.
    domain = (await connection.execute(
        select(sending_domains.c.name)
        .where(sending_domains.c.id == domain_id, sending_domains.c.workspace_id == workspace_id).with_for_update()
    )).scalar_one_or_none()
    if domain is None:
        raise NotFoundError("There is no such sending domain.")
    it = campaigns.c
    found = (await connection.execute(
        select(it.id).where(it.workspace_id == workspace_id, it.domain_id == domain_id, it.relay_stream_id.is_(None),
                            it.stream == Stream.TRANSACTIONAL.value).limit(1)
    )).scalar_one_or_none()
    if found is not None:
        return int(found)
    made = await connection.execute(insert(campaigns).returning(it.id), {
        "public_id": new_public_id(), "workspace_id": workspace_id, "name": f"Single messages of {domain}",
        "state": CampaignState.SENDING.value, "domain_id": domain_id, "stream": Stream.TRANSACTIONAL.value,
        "test_of": HIDDEN, "walk_done": True, "track_opens": False, "track_clicks": False, "version": 1,
        "created_at": now, "updated_at": now, "started_at": now,
    })
    return int(made.scalar_one())


async def load_messages(connection: AsyncConnection, batch: ClaimedBatch, now: datetime) -> tuple[OutboxRow, ...]:
    """A batch's messages that are still to be sent, each with its octets; as many as memory should hold at once.

    Having left a list refuses nobody an answer to what they asked for; a bounce, a complaint and a marketer's word do.
    What is left out stays open in the batch, which is ready again as soon as the others are done.
    """
    found = []
    rows = await _open_rows(connection, batch, now)
    bodies = await _bodies(connection, rows)
    for row in rows:
        raw = bodies.get(row.message_id)
        if raw is None:
            continue
        found.append(OutboxRow(
            row.id, row.contact_id or 0, 0, row.address, row.key, row.domain, row.provider, row.attempts,
            row.created_at, row.reason, row.maybe_duplicate, _refusal(row), raw=raw, can_leave=row.list_id is not None,
            message_id=row.message_id,
        ))
    return tuple(found)


async def refused_messages(connection: AsyncConnection, batch: ClaimedBatch, now: datetime) -> dict[int, str]:
    """``load_messages``'s check again, without the octets: open deliveries that must not be made, with the reason."""
    return {row.id: reason for row in await _open_rows(connection, batch, now) if (reason := _refusal(row))}


def _refusal(row: Any) -> str:
    refused = EXCLUDED_BY_RANK.get(row.rank or 0)
    if refused is None or (refused is ExclusionReason.UNSUBSCRIBED and row.stream != Stream.BROADCAST.value):
        return ""
    return refused.value


async def _open_rows(connection: AsyncConnection, batch: ClaimedBatch, now: datetime) -> Sequence[Any]:
    d, m, c = deliveries.c, messages.c, contacts.c
    key = func.coalesce(c.email_key, func.lower(d.address))
    return (await connection.execute(
        select(
            d.id, d.address, d.domain, d.provider, d.attempts, d.created_at, d.reason, d.maybe_duplicate, m.contact_id,
            d.message_id, m.size, m.list_id, batches.c.stream, key.label("key"),
            suppression_rank(batch.workspace_id, (), now, key).label("rank"),
        )
        .join(messages, and_(m.id == d.message_id, m.workspace_id == d.workspace_id))
        .join(batches, batches.c.id == d.batch_id)
        .outerjoin(contacts, and_(c.id == m.contact_id, c.workspace_id == d.workspace_id))
        .where(d.batch_id == batch.id, d.workspace_id == batch.workspace_id,
               d.state.in_([state.value for state in OPEN_STATES]))
        .order_by(d.id)
    )).all()


async def _bodies(connection: AsyncConnection, rows: Sequence[Row[Any]]) -> dict[int, bytes]:
    """The octets of as many different messages as fit, by number: one message to a thousand people is loaded once."""
    wanted, octets = list[int](), 0
    for message_id, size in {row.message_id: row.size for row in rows}.items():
        octets += size
        if wanted and octets > _OCTETS_AT_ONCE:
            break
        wanted.append(message_id)
    m, body = messages.c, message_bodies.c
    found = await connection.execute(
        select(m.id, func.coalesce(body.raw, m.raw)).select_from(
            messages.outerjoin(message_bodies, body.message_id == m.id))
        .where(among(connection, m.id, wanted)))
    return {row[0]: bytes(row[1]) for row in found}
