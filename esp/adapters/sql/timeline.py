"""One contact's timeline in SQL: deliveries, events, consents, notes, changes and bulk actions, merged newest first.

Each is read by its own key, of which a place in the timeline holds one each.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from esp.adapters.sql.schema import (
    bulk_actions,
    bulk_changes,
    campaigns,
    consents,
    contact_changes,
    contact_notes,
    contact_redirects,
    deliveries,
    events,
    lists,
    messages,
    wordings,
)
from esp.errors import InputError
from esp.model.delivery import DeliveryState
from esp.model.permission import Stream
from esp.ports.contacts import TimelineItem

_START = 2**62
_SOURCES = 6
# What a bulk action does to lists stands among the consents.
_TOLD_ELSEWHERE = ("subscribe", "unsubscribe")
_NEVER_SENT = (DeliveryState.SUPPRESSED.value, DeliveryState.CANCELLED.value)


def _read_key(before: str | None) -> list[int]:
    if before is None:
        return [_START] * _SOURCES
    parts = before.split(".")
    if len(parts) != _SOURCES or not all(part.isascii() and part.isdigit() and len(part) < 20 for part in parts):
        raise InputError("This place in the timeline does not exist.")
    return [int(part) for part in parts]


async def read_timeline(
    connection: AsyncConnection, workspace_id: int, contact_id: int, before: str | None, limit: int,
) -> tuple[TimelineItem, ...]:
    """See ``Contacts.timeline``. An item's key says how far each source has been read up to it."""
    ids = _read_key(before)
    was = contact_redirects.c
    merged = await connection.execute(
        select(was.old_id).where(was.contact_id == contact_id, was.workspace_id == workspace_id))
    sources = [
        await _deliveries(connection, workspace_id, [contact_id, *merged.scalars()], ids[0], limit),
        await _events(connection, workspace_id, contact_id, ids[1], limit),
        await _consents(connection, workspace_id, contact_id, ids[2], limit),
        await _notes(connection, workspace_id, contact_id, ids[3], limit),
        await _changes(connection, workspace_id, contact_id, ids[4], limit),
        await _bulk(connection, workspace_id, contact_id, ids[5], limit),
    ]
    heads = [0] * _SOURCES
    items: list[TimelineItem] = []
    while len(items) < limit:
        left = [which for which in range(_SOURCES) if heads[which] < len(sources[which])]
        if not left:
            break
        newest = max(left, key=lambda which: (sources[which][heads[which]]["at"], which))
        row = sources[newest][heads[newest]]
        heads[newest] += 1
        ids[newest] = row["id"]
        items.append(TimelineItem(
            ".".join(map(str, ids)), row["at"], row["kind"], row.get("campaign_id"), row.get("campaign_name") or "",
            row.get("delivery_id"), row["title"] or "", row["detail"],
        ))
    return tuple(items)


async def _deliveries(
    connection: AsyncConnection, workspace_id: int, contact_ids: Sequence[int], before: int, limit: int,
) -> list[dict[str, Any]]:
    of = deliveries.c
    rows = await connection.execute(
        select(of.id, of.created_at, of.campaign_id, of.state, campaigns.c.name)
        .join(campaigns, campaigns.c.id == of.campaign_id)
        .where(of.contact_id.in_(contact_ids), of.workspace_id == workspace_id, of.id < before,
               of.state.not_in(_NEVER_SENT))
        .order_by(of.id.desc()).limit(limit)
    )
    found = [
        {"id": row.id, "at": row.created_at, "kind": "sent", "campaign_id": row.campaign_id, "campaign_name": row.name,
         "delivery_id": row.id, "title": row.name, "detail": {"state": row.state}}
        for row in rows
    ]
    # Confirmations, welcomes and answers: of no campaign that anybody knows. Read by an index of their own.
    m = messages.c
    single = await connection.execute(
        select(of.id, of.created_at, of.state, m.subject, m.kind).join(messages, m.delivery_id == of.id)
        .where(m.contact_id.in_(contact_ids), m.workspace_id == workspace_id, of.id < before)
        .order_by(of.id.desc()).limit(limit)
    )
    found += [
        {"id": row.id, "at": row.created_at, "kind": "sent", "delivery_id": row.id, "title": row.subject,
         "detail": {"state": row.state, "message": row.kind}}
        for row in single
    ]
    return sorted(found, key=lambda row: -row["id"])[:limit]


async def _events(
    connection: AsyncConnection, workspace_id: int, contact_id: int, before: int, limit: int,
) -> list[dict[str, Any]]:
    of = events.c
    rows = await connection.execute(
        select(of.id, of.at, of.type, of.campaign_id, of.delivery_id, of.agent, of.link_index, of.provider, of.ip,
               of.user_agent, of.detail, campaigns.c.name, campaigns.c.stream)
        .outerjoin(campaigns, campaigns.c.id == of.campaign_id)
        .where(of.contact_id == contact_id, of.workspace_id == workspace_id, of.id < before)
        .order_by(of.id.desc()).limit(limit)
    )
    found = []
    for row in rows:
        detail = {**(row.detail or {}), "agent": row.agent, "link_index": row.link_index, "provider": row.provider,
                  "ip": row.ip, "user_agent": row.user_agent}
        known = row.stream != Stream.TRANSACTIONAL.value  # what carries single messages is shown nowhere
        found.append({
            "id": row.id, "at": row.at, "kind": row.type, "campaign_id": row.campaign_id if known else None,
            "campaign_name": row.name if known else "", "delivery_id": row.delivery_id,
            "title": row.name if known else "",
            "detail": {name: value for name, value in detail.items() if value not in ("", None)},
        })
    return found


async def _consents(
    connection: AsyncConnection, workspace_id: int, contact_id: int, before: int, limit: int,
) -> list[dict[str, Any]]:
    of = consents.c
    rows = await connection.execute(
        select(of.id, of.at, of.action, of.source, of.actor, of.ip, of.user_agent, of.wording, wordings.c.version,
               lists.c.name)
        .outerjoin(lists, lists.c.id == of.list_id).outerjoin(wordings, wordings.c.id == of.wording_id)
        .where(of.contact_id == contact_id, of.workspace_id == workspace_id, of.id < before)
        .order_by(of.id.desc()).limit(limit)
    )
    return [
        {"id": row.id, "at": row.at, "kind": "consent", "title": row.name,
         "detail": {"action": row.action, "source": row.source, "actor": row.actor, "ip": row.ip,
                    "wording": row.wording, "version": row.version, "user_agent": row.user_agent}}
        for row in rows
    ]


async def _notes(
    connection: AsyncConnection, workspace_id: int, contact_id: int, before: int, limit: int,
) -> list[dict[str, Any]]:
    of = contact_notes.c
    rows = await connection.execute(
        select(contact_notes)
        .where(of.contact_id == contact_id, of.workspace_id == workspace_id, of.id < before)
        .order_by(of.id.desc()).limit(limit)
    )
    return [
        {"id": row.id, "at": row.at, "kind": "note", "title": row.text,
         "detail": {"note_id": row.id, "actor": row.author, "edited_at": row.edited_at}}
        for row in rows
    ]


async def _changes(
    connection: AsyncConnection, workspace_id: int, contact_id: int, before: int, limit: int,
) -> list[dict[str, Any]]:
    of = contact_changes.c
    rows = await connection.execute(
        select(contact_changes)
        .where(of.contact_id == contact_id, of.workspace_id == workspace_id, of.id < before)
        .order_by(of.id.desc()).limit(limit)
    )
    return [
        {"id": row.id, "at": row.at, "kind": row.kind, "title": "", "detail": {**row.detail, "actor": row.actor}}
        for row in rows
    ]


async def _bulk(
    connection: AsyncConnection, workspace_id: int, contact_id: int, before: int, limit: int,
) -> list[dict[str, Any]]:
    of, action = bulk_changes.c, bulk_actions.c
    rows = await connection.execute(
        select(action.id, action.created_at, action.action, action.actor, action.arguments, action.undo_of)
        .join(bulk_actions, action.id == of.bulk_id)
        .where(of.contact_id == contact_id, of.workspace_id == workspace_id, of.bulk_id < before,
               action.action.not_in(_TOLD_ELSEWHERE))
        .order_by(of.bulk_id.desc()).limit(limit)
    )
    return [
        {"id": row.id, "at": row.created_at, "kind": "bulk", "title": "",
         "detail": {**row.arguments, "action": row.action, "actor": row.actor, "undo": row.undo_of is not None,
                    "bulk_id": row.id}}
        for row in rows
    ]
