"""Unsubscribing through a mail, and undoing it: subscription, counters, consent, event in the caller's transaction."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import and_, delete, exists, func, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from esp.adapters.sql.digests import lists_of_digest
from esp.adapters.sql.ledger import append_events, append_suppressions
from esp.adapters.sql.schema import (
    campaigns,
    consents,
    contact_redirects,
    contacts,
    deliveries,
    lists,
    messages,
    subscriptions,
    suppressions,
)
from esp.model.contact import SubscriptionState, SuppressionReason
from esp.model.delivery import EventType, NewEvent
from esp.ports.engagement import Withdrawal
from esp.ports.ledger import NewSuppression

_ON, _OFF = SubscriptionState.SUBSCRIBED.value, SubscriptionState.UNSUBSCRIBED.value


async def withdraw(connection: AsyncConnection, dialect: str, withdrawal: Withdrawal) -> bool:
    """Take the person off every list of the campaign; True where anything changed.

    Somebody who is on none of them any more gets subscriptions in state ``unsubscribed``, so that a later import does
    not bring them back; and where the contact itself is gone, its address is suppressed.
    """
    delivery = await _delivery(connection, withdrawal)
    if delivery is None:
        return False
    if delivery.list_id is not None:  # a single message of a list, such as its welcome
        list_ids = [int(delivery.list_id)]
    elif delivery.test_of is not None:  # a test send goes to a colleague, whom nobody takes off
        return False
    else:
        list_ids = sorted(int(list_id) for list_id in delivery.include_lists)
    if delivery.digest and delivery.contact_id is not None:  # only the lists of what stood in this person's digest
        list_ids = await lists_of_digest(connection, withdrawal.campaign_id, delivery.contact_id) or list_ids
    if delivery.contact_id is None or not list_ids:
        suppression = NewSuppression(
            withdrawal.workspace_id, delivery.email_key or delivery.address.casefold(), SuppressionReason.UNSUBSCRIBED,
            withdrawal.delivery_id,
        )
        await append_suppressions(connection, [suppression])
        changed = delivery.unsubscribed_at is None
    else:
        changed = await _leave(connection, withdrawal, delivery.contact_id, list_ids)
    if changed:
        detail = {"channel": withdrawal.channel} | ({"reason": withdrawal.reason} if withdrawal.reason else {})
        await append_events(connection, dialect, [NewEvent(
            EventType.UNSUBSCRIBED, withdrawal.at, withdrawal.workspace_id, withdrawal.campaign_id,
            withdrawal.delivery_id, agent="human", detail=detail,
            # Whoever was erased is counted, and nothing is kept of them again.
            ip=withdrawal.ip if delivery.address else "", user_agent=withdrawal.user_agent if delivery.address else "",
        )])
    return changed


async def readmit(
    connection: AsyncConnection, workspace_id: int, email_key: str, list_ids: Sequence[int]
) -> None:
    """Lift what bars an address only because it once left: its owner has come back to these lists, by their own act.

    A complaint, a hard bounce and a marketer's own word stay, for nobody takes those back by joining a list.
    """
    it = suppressions.c
    await connection.execute(delete(suppressions).where(
        it.workspace_id == workspace_id, it.email_key == email_key,
        it.reason == SuppressionReason.UNSUBSCRIBED.value, or_(it.list_id.is_(None), it.list_id.in_(list_ids))))


async def restore(connection: AsyncConnection, withdrawal: Withdrawal) -> bool:
    """Subscribe the person again to those lists that they left through this delivery and have not touched since."""
    delivery = await _delivery(connection, withdrawal)
    if delivery is None or delivery.contact_id is None:
        return False
    it = subscriptions.c
    rows = await connection.execute(
        select(it.list_id)
        .join(consents, and_(
            consents.c.contact_id == it.contact_id, consents.c.list_id == it.list_id, consents.c.at == it.changed_at,
        ))
        .where(
            it.contact_id == delivery.contact_id, it.workspace_id == withdrawal.workspace_id, it.state == _OFF,
            consents.c.workspace_id == withdrawal.workspace_id, consents.c.action == _OFF,
            consents.c.source == _source(withdrawal),
        )
        .order_by(it.list_id)
    )
    list_ids = sorted(set(rows.scalars()))
    if not list_ids:
        return False
    await _lock_lists(connection, withdrawal.workspace_id, list_ids)
    moved = await connection.execute(
        update(subscriptions)
        .where(it.contact_id == delivery.contact_id, it.list_id.in_(list_ids), it.state == _OFF)
        .values(state=_ON, changed_at=withdrawal.at)
    )
    if moved.rowcount != len(list_ids):  # another undo was quicker
        return False
    for list_id in list_ids:
        await _count(connection, list_id, subscribed=1, unsubscribed=-1)
    await _testify(connection, withdrawal, delivery.contact_id, list_ids, _ON)
    return True


async def _delivery(connection: AsyncConnection, withdrawal: Withdrawal) -> Any:
    d, moved, single = deliveries.c, contact_redirects.c, messages.c
    # A single message's delivery has no contact's number; the message knows whom it was for.
    target = func.coalesce(single.contact_id, d.contact_id)
    # Somebody who was merged into another contact leaves as that one.
    person = func.coalesce(select(moved.contact_id).where(moved.old_id == target).scalar_subquery(), target)
    found = await connection.execute(
        select(d.address, d.unsubscribed_at, campaigns.c.include_lists, campaigns.c.test_of, campaigns.c.digest,
               contacts.c.id.label("contact_id"), contacts.c.email_key, single.list_id)
        .select_from(
            deliveries
            .outerjoin(messages, and_(single.delivery_id == d.id, single.workspace_id == d.workspace_id))
            .join(campaigns, and_(campaigns.c.id == d.campaign_id, campaigns.c.workspace_id == d.workspace_id))
            .outerjoin(contacts, and_(contacts.c.id == person, contacts.c.workspace_id == d.workspace_id))
        )
        .where(d.id == withdrawal.delivery_id, d.workspace_id == withdrawal.workspace_id,
               d.campaign_id == withdrawal.campaign_id)
    )
    return found.one_or_none()


async def _leave(
    connection: AsyncConnection, withdrawal: Withdrawal, contact_id: int, list_ids: Sequence[int]
) -> bool:
    it = subscriptions.c
    await _lock_lists(connection, withdrawal.workspace_id, list_ids)
    rows = await connection.execute(
        select(it.list_id, it.state).where(it.contact_id == contact_id, it.list_id.in_(list_ids))
        .order_by(it.list_id).with_for_update()
    )
    states: Mapping[int, str] = {row.list_id: row.state for row in rows}
    left = [list_id for list_id, state in states.items() if state != _OFF]
    if left:
        await connection.execute(
            update(subscriptions).where(it.contact_id == contact_id, it.list_id.in_(left))
            .values(state=_OFF, changed_at=withdrawal.at)
        )
    elif not states:
        left = list((await connection.execute(
            select(lists.c.id).where(lists.c.workspace_id == withdrawal.workspace_id, lists.c.id.in_(list_ids))
            .order_by(lists.c.id)
        )).scalars())
        if left:
            await connection.execute(insert(subscriptions), [
                {"workspace_id": withdrawal.workspace_id, "list_id": list_id, "contact_id": contact_id, "state": _OFF,
                 "changed_at": withdrawal.at} for list_id in left
            ])
    for list_id in left:
        await _count(connection, list_id, subscribed=-int(states.get(list_id) == _ON), unsubscribed=1)
    if left:
        await _testify(connection, withdrawal, contact_id, left, _OFF)
    else:
        await _confirm_leaving(connection, withdrawal, contact_id, list(states))
    return bool(left)


async def _confirm_leaving(
    connection: AsyncConnection, withdrawal: Withdrawal, contact_id: int, list_ids: Sequence[int]
) -> None:
    """Where the team took the person off with many others, their own word is kept too: no undo takes that back."""
    of, it = subscriptions.c, consents.c
    rows = await connection.execute(
        select(of.list_id).where(
            of.contact_id == contact_id, of.list_id.in_(list_ids), of.state == _OFF,
            exists().where(it.contact_id == of.contact_id, it.list_id == of.list_id, it.at == of.changed_at,
                           it.source.like("bulk:%")))
    )
    ours = sorted(set(rows.scalars()))
    if ours:
        await connection.execute(
            update(subscriptions).where(of.contact_id == contact_id, of.list_id.in_(ours))
            .values(changed_at=withdrawal.at)
        )
        await _testify(connection, withdrawal, contact_id, ours, _OFF)


async def _lock_lists(connection: AsyncConnection, workspace_id: int, list_ids: Sequence[int]) -> None:
    """The lists before the subscriptions, as everybody else does (``upsert.lock_list``): an import that holds the list
    and wants the person, and we who hold the person and want the list, would wait for each other."""
    await connection.execute(
        select(lists.c.id).where(lists.c.workspace_id == workspace_id, lists.c.id.in_(list_ids))
        .order_by(lists.c.id).with_for_update()
    )


async def _count(connection: AsyncConnection, list_id: int, subscribed: int, unsubscribed: int) -> None:
    await connection.execute(update(lists).where(lists.c.id == list_id).values(
        subscribed_count=lists.c.subscribed_count + subscribed,
        unsubscribed_count=lists.c.unsubscribed_count + unsubscribed,
    ))


def _source(withdrawal: Withdrawal) -> str:
    return f"delivery:{withdrawal.delivery_id}"


async def _testify(
    connection: AsyncConnection, withdrawal: Withdrawal, contact_id: int, list_ids: Sequence[int], action: str
) -> None:
    await connection.execute(insert(consents), [
        {"workspace_id": withdrawal.workspace_id, "contact_id": contact_id, "list_id": list_id, "action": action,
         "at": withdrawal.at, "source": _source(withdrawal), "actor": "contact", "ip": withdrawal.ip,
         "user_agent": withdrawal.user_agent, "wording": withdrawal.wording}
        for list_id in list_ids
    ])
