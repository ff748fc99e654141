"""Two contacts made one, in the caller's transaction: everything moves, and the stricter permission wins."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import delete, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from esp.adapters.sql.listening import mark_stale
from esp.adapters.sql.people_fields import append_change
from esp.adapters.sql.schema import (
    bulk_changes,
    consents,
    contact_changes,
    contact_engagement,
    contact_notes,
    contact_preferences,
    contact_redirects,
    contact_tags,
    contact_topics,
    contacts,
    deliveries,
    digest_items,
    events,
    hygiene_findings,
    segment_members,
    subscriptions,
    suppressions,
)
from esp.adapters.sql.upsert import add_to_counters, insert_for, lock_list, search_keys
from esp.errors import ConflictError, NotFoundError
from esp.model.contact import SubscriptionState, SuppressionReason
from esp.model.preference import Frequency
from esp.ports.contacts import STANDARD_FIELDS
from esp.ports.people import Merge

# The further on, the less may be sent.
_STRICTNESS: Final = (SubscriptionState.SUBSCRIBED, SubscriptionState.PENDING, SubscriptionState.UNSUBSCRIBED)
_RAREST_LAST: Final = (Frequency.EACH, Frequency.DAILY, Frequency.WEEKLY, Frequency.NONE)
# A bounce says something about an address; the others say what the person wants.
_WISHES: Final = tuple(reason.value for reason in SuppressionReason if reason is not SuppressionReason.HARD_BOUNCE)


async def merge_contacts(
    connection: AsyncConnection, dialect: str, workspace_id: int, merge: Merge, actor: str, now: datetime,
) -> int:
    """See ``People.merge``; returns the number of the row that stays."""
    if merge.kept == merge.gone:
        raise ConflictError("These are one and the same contact.")
    await _lock_their_lists(connection, workspace_id, (merge.kept, merge.gone))
    found = await connection.execute(
        select(contacts).where(contacts.c.id.in_((merge.kept, merge.gone)), contacts.c.workspace_id == workspace_id)
        .order_by(contacts.c.id).with_for_update())
    people = {row.id: row for row in found}
    if len(people) != 2:
        raise NotFoundError("One of the two contacts is not there any more.")
    # The row with the higher number stays: SQLite may give a number that was the highest to somebody new.
    kept, gone = people[merge.kept], people[merge.gone]
    stays, goes = max(merge.kept, merge.gone), min(merge.kept, merge.gone)
    await _merge_subscriptions(connection, workspace_id, stays, goes, now)
    await _merge_suppressions(connection, workspace_id, kept.email_key, gone.email_key, now)
    await _merge_preferences(connection, stays, goes)
    await _move(connection, dialect, workspace_id, stays, goes)
    await _listen_anew(connection, dialect, workspace_id, stays)
    await connection.execute(delete(contacts).where(contacts.c.id == goes))
    first, last = (merge.standard.get(name, getattr(kept, name)) for name in ("first_name", "last_name"))
    standard = {name: merge.standard.get(name, getattr(kept, name)) for name in STANDARD_FIELDS}
    await connection.execute(
        update(contacts).where(contacts.c.id == stays).values(
            email=kept.email, email_key=kept.email_key, domain=kept.domain, source=kept.source,
            created_at=min(kept.created_at, gone.created_at), updated_at=now, fields=dict(merge.fields), **standard,
            **search_keys(first, last)))
    await connection.execute(insert(contact_redirects), {
        "old_id": goes, "old_public_id": people[goes].public_id, "workspace_id": workspace_id, "contact_id": stays,
        "at": now})
    await append_change(connection, workspace_id, stays, "merged", actor, {"email": gone.email}, now)
    return stays


async def _lock_their_lists(connection: AsyncConnection, workspace_id: int, ids: Sequence[int]) -> None:
    of = subscriptions.c
    lists_ = await connection.execute(
        select(of.list_id).where(of.contact_id.in_(ids), of.workspace_id == workspace_id).distinct()
        .order_by(of.list_id))
    for list_id in lists_.scalars().all():
        await lock_list(connection, workspace_id, list_id)


async def _merge_subscriptions(
    connection: AsyncConnection, workspace_id: int, kept: int, gone: int, now: datetime,
) -> None:
    of = subscriptions.c
    rows = await connection.execute(
        select(of.contact_id, of.list_id, of.state, of.changed_at)
        .where(of.contact_id.in_((kept, gone)), of.workspace_id == workspace_id))
    states: dict[int, dict[int, tuple[SubscriptionState, datetime]]] = {}
    for row in rows:
        states.setdefault(row.list_id, {})[row.contact_id] = (SubscriptionState(row.state), row.changed_at)
    for list_id, both in sorted(states.items()):
        if gone not in both:
            continue
        strictest = max((state for state, _ in both.values()), key=_STRICTNESS.index)
        await connection.execute(delete(subscriptions).where(of.list_id == list_id, of.contact_id == gone))
        if kept not in both:
            await connection.execute(insert(subscriptions), {
                "workspace_id": workspace_id, "list_id": list_id, "contact_id": kept, "state": strictest.value,
                "changed_at": both[gone][1]})
            continue
        if strictest is not both[kept][0]:
            await connection.execute(
                update(subscriptions).where(of.list_id == list_id, of.contact_id == kept)
                .values(state=strictest.value, changed_at=now))
            await connection.execute(insert(consents), {
                "workspace_id": workspace_id, "contact_id": kept, "list_id": list_id, "action": strictest.value,
                "at": now, "source": "merge", "actor": "", "wording": "The stricter of two merged contacts."})
        before = [state for state, _ in both.values()]
        await add_to_counters(
            connection, list_id,
            int(strictest is SubscriptionState.SUBSCRIBED) - before.count(SubscriptionState.SUBSCRIBED),
            int(strictest is SubscriptionState.UNSUBSCRIBED) - before.count(SubscriptionState.UNSUBSCRIBED))


async def _merge_suppressions(
    connection: AsyncConnection, workspace_id: int, kept: str, gone: str, now: datetime,
) -> None:
    """What the other address must not get, this one must not get either; the other's own row stays as it is."""
    of = suppressions.c
    rows = (await connection.execute(
        select(suppressions).where(of.workspace_id == workspace_id, of.email_key.in_((kept, gone)),
                                   or_(of.expires_at.is_(None), of.expires_at > now)))).all()
    there = {(row.reason, row.list_id) for row in rows if row.email_key == kept}
    copied = [
        {"workspace_id": workspace_id, "email_key": kept, "reason": row.reason, "list_id": row.list_id,
         "note": row.note, "created_at": now, "expires_at": row.expires_at}
        for row in rows
        if row.email_key == gone and row.reason in _WISHES and (row.reason, row.list_id) not in there
    ]
    if copied:
        await connection.execute(insert(suppressions), copied)


async def _merge_preferences(connection: AsyncConnection, stays: int, goes: int) -> None:
    """The rarer of two frequencies, the longer of two pauses, and no tracking where either said so."""
    of = contact_preferences.c
    found = await connection.execute(select(contact_preferences).where(of.contact_id.in_((stays, goes))))
    said = list(found)
    if any(row.contact_id == goes for row in said):
        pauses = [row.paused_until for row in said if row.paused_until is not None]
        wish = {
            "frequency": max((row.frequency for row in said), key=_rarity),
            "changed_at": max(row.changed_at for row in said),
            "paused_until": max(pauses, default=None), "tracking_off": any(row.tracking_off for row in said)}
        await connection.execute(delete(contact_preferences).where(of.contact_id.in_((stays, goes))))
        await connection.execute(insert(contact_preferences), {
            "contact_id": stays, "workspace_id": said[0].workspace_id, **wish})
    on = contact_topics.c
    topics: dict[int, list[str]] = {}
    found = await connection.execute(select(contact_topics).where(on.contact_id.in_((stays, goes))))
    rows = list(found)
    for row in rows:
        topics.setdefault(row.topic_id, []).append(row.frequency)
    if rows:
        await connection.execute(delete(contact_topics).where(on.contact_id.in_((stays, goes))))
        await connection.execute(insert(contact_topics), [
            {"contact_id": stays, "topic_id": topic_id, "workspace_id": rows[0].workspace_id,
             "frequency": max(words, key=_rarity)} for topic_id, words in topics.items()])


def _rarity(frequency: str) -> int:
    return _RAREST_LAST.index(Frequency(frequency))


async def _move(connection: AsyncConnection, dialect: str, workspace_id: int, kept: int, gone: int) -> None:
    """Everything that hangs on the contact. Where both got one campaign, the second delivery keeps the old number,
    which ``contact_redirects`` leads back to this person."""
    for table in (consents, events, contact_notes, contact_changes, contact_redirects, digest_items):
        await connection.execute(
            update(table).where(table.c.contact_id == gone, table.c.workspace_id == workspace_id)
            .values(contact_id=kept))
    theirs = deliveries.alias()
    await _move_free(connection, deliveries, deliveries.c.campaign_id, theirs, theirs.c.campaign_id, kept, gone)
    there = segment_members.alias()
    await _move_free(
        connection, segment_members, segment_members.c.snapshot_id, there, there.c.snapshot_id, kept, gone)
    done = bulk_changes.alias()
    await _move_free(connection, bulk_changes, bulk_changes.c.bulk_id, done, done.c.bulk_id, kept, gone)
    await connection.execute(delete(bulk_changes).where(bulk_changes.c.contact_id == gone))
    found = await connection.execute(select(contact_tags.c.tag_id).where(contact_tags.c.contact_id == gone))
    tag_ids = list(found.scalars())
    if tag_ids:
        await connection.execute(
            insert_for(dialect, contact_tags).on_conflict_do_nothing(),
            [{"workspace_id": workspace_id, "tag_id": tag_id, "contact_id": kept} for tag_id in tag_ids])
    await connection.execute(delete(contact_tags).where(contact_tags.c.contact_id == gone))
    await connection.execute(delete(hygiene_findings).where(hygiene_findings.c.contact_id == gone))


async def _listen_anew(connection: AsyncConnection, dialect: str, workspace_id: int, stays: int) -> None:
    """What both heard and answered is one history now; the fold counts it from the events of both."""
    await connection.execute(
        insert_for(dialect, contact_engagement).values(workspace_id=workspace_id, contact_id=stays)
        .on_conflict_do_nothing())
    await mark_stale(connection, [stays])


async def _move_free(
    connection: AsyncConnection, table: Any, key: Any, other: Any, other_key: Any, kept: int, gone: int,
) -> None:
    """Move those rows whose place the other does not hold."""
    taken = select(other_key).where(other.c.contact_id == kept)
    await connection.execute(
        update(table).where(table.c.contact_id == gone, key.not_in(taken)).values(contact_id=kept))
