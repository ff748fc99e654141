"""One chunk of people of a bulk action, done or undone, in the caller's transaction."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from sqlalchemy import and_, delete, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from esp.adapters.sql.detach import detach
from esp.adapters.sql.schema import (
    consents,
    contact_tags,
    contacts,
    hygiene_findings,
    subscriptions,
    suppression_changes,
    suppressions,
)
from esp.adapters.sql.upsert import add_to_counters, insert_for, lock_list
from esp.model.contact import SubscriptionState, SuppressionReason
from esp.ports.people_bulk import Bulk, BulkAction

_ON: Final = SubscriptionState.SUBSCRIBED.value
_OFF: Final = SubscriptionState.UNSUBSCRIBED.value
_WORDS_OF_UNDO: Final = "Undone"


@dataclass(slots=True)
class Done:
    """Whom the chunk changed, with what was before; and how many it left alone for a reason."""

    before: dict[int, str] = field(default_factory=dict)
    kept: int = 0


async def apply_chunk(
    connection: AsyncConnection, dialect: str, bulk: Bulk, ids: Sequence[int], now: datetime,
) -> Done:
    """Do the action to ``ids``, which are all of its workspace."""
    match bulk.action:
        case BulkAction.ADD_TAG:
            return await _add_tag(connection, dialect, bulk, ids)
        case BulkAction.REMOVE_TAG:
            return await _remove_tag(connection, bulk, ids)
        case BulkAction.SUBSCRIBE:
            return await _subscribe(connection, dialect, bulk, ids, now)
        case BulkAction.UNSUBSCRIBE:
            return await _unsubscribe(connection, bulk, ids, now)
        case BulkAction.SUPPRESS:
            return await _suppress(connection, bulk, ids, now)
        case BulkAction.CORRECT_DOMAIN:
            return await _correct(connection, bulk, ids, now)
        case BulkAction.DELETE:
            return await _delete(connection, bulk, ids)


async def undo_chunk(
    connection: AsyncConnection, dialect: str, bulk: Bulk, original: Bulk, before: Mapping[int, str], now: datetime,
) -> Done:
    """Bring back what was before for those whom nobody touched since."""
    ids = list(before)
    match bulk.action:
        case BulkAction.ADD_TAG:
            return await _remove_tag(connection, bulk, ids)
        case BulkAction.REMOVE_TAG:
            return await _add_tag(connection, dialect, bulk, ids)
        case BulkAction.SUBSCRIBE | BulkAction.UNSUBSCRIBE:
            return await _restore_subscriptions(connection, bulk, original, before, now)
        case BulkAction.SUPPRESS:
            return await _allow_again(connection, bulk, original, before, now)
        case BulkAction.CORRECT_DOMAIN:
            return await _address_back(connection, bulk, before, now)
        case BulkAction.DELETE:
            raise ValueError("a deletion cannot be undone")


# ---- tags


async def _with_tag(connection: AsyncConnection, tag_id: int, ids: Sequence[int]) -> set[int]:
    of = contact_tags.c
    found = await connection.execute(select(of.contact_id).where(of.tag_id == tag_id, of.contact_id.in_(ids)))
    return set(found.scalars())


async def _add_tag(connection: AsyncConnection, dialect: str, bulk: Bulk, ids: Sequence[int]) -> Done:
    tag_id = int(bulk.arguments["tag_id"])
    new = sorted(set(ids) - await _with_tag(connection, tag_id, ids))
    if new:
        await connection.execute(
            insert_for(dialect, contact_tags).on_conflict_do_nothing(),
            [{"workspace_id": bulk.workspace_id, "tag_id": tag_id, "contact_id": one} for one in new])
    return Done(dict.fromkeys(new, ""))


async def _remove_tag(connection: AsyncConnection, bulk: Bulk, ids: Sequence[int]) -> Done:
    tag_id = int(bulk.arguments["tag_id"])
    there = sorted(await _with_tag(connection, tag_id, ids))
    of = contact_tags.c
    await connection.execute(delete(contact_tags).where(of.tag_id == tag_id, of.contact_id.in_(there)))
    return Done(dict.fromkeys(there, ""))


# ---- lists


async def _states(connection: AsyncConnection, bulk: Bulk, ids: Sequence[int]) -> dict[int, tuple[str, datetime]]:
    of, list_id = subscriptions.c, int(bulk.arguments["list_id"])
    await lock_list(connection, bulk.workspace_id, list_id)
    found = await connection.execute(
        select(of.contact_id, of.state, of.changed_at).where(of.list_id == list_id, of.contact_id.in_(ids)))
    return {row.contact_id: (row.state, row.changed_at) for row in found}


async def _testify(
    connection: AsyncConnection, bulk: Bulk, actions: Mapping[int, str], now: datetime, wording: str = "",
) -> None:
    if actions:
        await connection.execute(insert(consents), [
            {"workspace_id": bulk.workspace_id, "contact_id": contact_id, "list_id": int(bulk.arguments["list_id"]),
             "action": action, "at": now, "source": f"bulk:{bulk.undo_of or bulk.id}", "actor": bulk.actor,
             "wording": wording or str(bulk.arguments.get("wording", ""))}
            for contact_id, action in actions.items()])


async def _subscribe(
    connection: AsyncConnection, dialect: str, bulk: Bulk, ids: Sequence[int], now: datetime,
) -> Done:
    states = await _states(connection, bulk, ids)
    again = bool(bulk.arguments.get("resubscribe"))
    done = Done()
    for contact_id in ids:
        state = states[contact_id][0] if contact_id in states else ""
        if state == _OFF and not again:
            done.kept += 1
        elif state != _ON:
            done.before[contact_id] = state
    if done.before:
        of, list_id = subscriptions.c, int(bulk.arguments["list_id"])
        statement = insert_for(dialect, subscriptions)
        await connection.execute(
            statement.on_conflict_do_update(
                index_elements=[of.list_id, of.contact_id],
                set_={"state": statement.excluded.state, "changed_at": statement.excluded.changed_at}),
            [{"workspace_id": bulk.workspace_id, "list_id": list_id, "contact_id": contact_id, "state": _ON,
              "changed_at": now} for contact_id in done.before])
        back = sum(state == _OFF for state in done.before.values())
        await add_to_counters(connection, list_id, len(done.before), -back)
        await _testify(connection, bulk, {
            contact_id: "resubscribed" if state == _OFF else "subscribed"
            for contact_id, state in done.before.items()}, now)
    return done


async def _unsubscribe(connection: AsyncConnection, bulk: Bulk, ids: Sequence[int], now: datetime) -> Done:
    states = await _states(connection, bulk, ids)
    done = Done({contact_id: state for contact_id, (state, _) in states.items() if state != _OFF})
    if done.before:
        of, list_id = subscriptions.c, int(bulk.arguments["list_id"])
        await connection.execute(
            update(subscriptions).where(of.list_id == list_id, of.contact_id.in_(list(done.before)))
            .values(state=_OFF, changed_at=now))
        left = sum(state == _ON for state in done.before.values())
        await add_to_counters(connection, list_id, -left, len(done.before))
        await _testify(connection, bulk, dict.fromkeys(done.before, _OFF), now)
    return done


async def _restore_subscriptions(
    connection: AsyncConnection, bulk: Bulk, original: Bulk, before: Mapping[int, str], now: datetime,
) -> Done:
    """Only where the last word about this list is the bulk action's own: what a person said since stands."""
    states = await _states(connection, bulk, list(before))
    of, list_id = subscriptions.c, int(bulk.arguments["list_id"])
    it = consents.c
    newest = (
        select(it.contact_id, it.source, it.at)
        .where(it.contact_id.in_(list(before)), or_(it.list_id == list_id, it.list_id.is_(None)),
               it.workspace_id == bulk.workspace_id)
        .order_by(it.contact_id, it.id))
    last = {row.contact_id: (row.source, row.at) for row in await connection.execute(newest)}
    made = _ON if bulk.action is BulkAction.SUBSCRIBE else _OFF
    done = Done()
    for contact_id, state in before.items():
        now_so, changed_at = states.get(contact_id, ("", now))
        if now_so == made and last.get(contact_id) == (f"bulk:{original.id}", changed_at):
            done.before[contact_id] = now_so
            if state:
                await connection.execute(
                    update(subscriptions).where(of.list_id == list_id, of.contact_id == contact_id)
                    .values(state=state, changed_at=now))
            else:
                await connection.execute(
                    delete(subscriptions).where(of.list_id == list_id, of.contact_id == contact_id))
        else:
            done.kept += 1
    back = [before[contact_id] for contact_id in done.before]
    count = len(back)
    await add_to_counters(
        connection, list_id, back.count(_ON) - (count if made == _ON else 0),
        back.count(_OFF) - (count if made == _OFF else 0))
    await _testify(connection, bulk, {one: before[one] or "removed" for one in done.before}, now, _WORDS_OF_UNDO)
    return done


# ---- suppressions


async def _suppress(connection: AsyncConnection, bulk: Bulk, ids: Sequence[int], now: datetime) -> Done:
    of = suppressions.c
    found = await connection.execute(
        select(contacts.c.id, contacts.c.email_key, of.id.label("there"))
        .outerjoin(suppressions, and_(
            of.workspace_id == bulk.workspace_id, of.email_key == contacts.c.email_key, of.list_id.is_(None),
            or_(of.expires_at.is_(None), of.expires_at > now)))
        .where(contacts.c.id.in_(ids), contacts.c.workspace_id == bulk.workspace_id))
    people = {row.email_key: row.id for row in found if row.there is None}
    if not people:
        return Done()
    row = {"workspace_id": bulk.workspace_id, "reason": SuppressionReason.MANUAL.value,
           "note": str(bulk.arguments.get("note", ""))}
    made = await connection.execute(
        insert(suppressions).returning(of.id, of.email_key),
        [{**row, "email_key": key, "created_at": now} for key in people])
    numbers = {one.email_key: one.id for one in made}
    await _record(connection, bulk, "added", list(people), now)
    return Done({contact_id: str(numbers[key]) for key, contact_id in people.items()})


async def _allow_again(
    connection: AsyncConnection, bulk: Bulk, original: Bulk, before: Mapping[int, str], now: datetime,
) -> Done:
    of = suppressions.c
    numbers = {int(number): contact_id for contact_id, number in before.items() if number.isdigit()}
    gone = await connection.execute(
        # SQLite gives a number that was the highest once more: it must still be what the action made.
        delete(suppressions).where(of.id.in_(list(numbers)), of.workspace_id == bulk.workspace_id,
                                   of.reason == SuppressionReason.MANUAL.value,
                                   of.created_at.between(original.created_at, original.finished_at or now))
        .returning(of.id, of.email_key))
    rows = gone.all()
    await _record(connection, bulk, "removed", [row.email_key for row in rows], now)
    return Done({numbers[row.id]: "" for row in rows}, len(before) - len(rows))


async def _record(connection: AsyncConnection, bulk: Bulk, action: str, keys: Sequence[str], now: datetime) -> None:
    if keys:
        await connection.execute(insert(suppression_changes), [
            {"workspace_id": bulk.workspace_id, "at": now, "action": action, "email_key": key, "actor": bulk.actor,
             "reason": SuppressionReason.MANUAL.value, "note": str(bulk.arguments.get("note", ""))} for key in keys])


# ---- addresses


async def _readdress(
    connection: AsyncConnection, bulk: Bulk, wanted: Mapping[int, str], now: datetime,
) -> Done:
    """Give each contact its new address; whose new address somebody has already keeps the old one."""
    found = await connection.execute(
        select(contacts.c.id, contacts.c.email).where(contacts.c.id.in_(list(wanted)))
        .order_by(contacts.c.id).with_for_update())
    old = {row.id: row.email for row in found}
    taken = await connection.execute(
        select(contacts.c.email_key).where(
            contacts.c.workspace_id == bulk.workspace_id,
            contacts.c.email_key.in_([email.casefold() for email in wanted.values()])))
    there = set(taken.scalars())
    done = Done()
    for contact_id, email in wanted.items():
        key = email.casefold()
        if contact_id not in old or key in there:
            done.kept += 1
            continue
        there.add(key)
        done.before[contact_id] = old[contact_id]
        await connection.execute(
            update(contacts).where(contacts.c.id == contact_id).values(
                email=email, email_key=key, domain=email.rpartition("@")[2], updated_at=now))
    return done


async def _correct(connection: AsyncConnection, bulk: Bulk, ids: Sequence[int], now: datetime) -> Done:
    of = hygiene_findings.c
    found = await connection.execute(
        select(of.contact_id, of.suggestion, contacts.c.email).join(contacts, contacts.c.id == of.contact_id)
        .where(of.contact_id.in_(ids), of.report_id == int(bulk.arguments["report_id"]), of.kind == "mistyped",
               of.workspace_id == bulk.workspace_id))
    wanted = {row.contact_id: f"{row.email.rpartition('@')[0]}@{row.suggestion}" for row in found if row.suggestion}
    return await _readdress(connection, bulk, wanted, now)


async def _address_back(connection: AsyncConnection, bulk: Bulk, before: Mapping[int, str], now: datetime) -> Done:
    # An old address whose owner had it erased meanwhile is none any more.
    return await _readdress(connection, bulk, {one: email for one, email in before.items() if "@" in email}, now)


# ---- and away


async def _delete(connection: AsyncConnection, bulk: Bulk, ids: Sequence[int]) -> Done:
    """As one contact is deleted, with the counters of every list; nobody is named in the log."""
    of = subscriptions.c
    found = await connection.execute(select(of.list_id).where(of.contact_id.in_(ids)).distinct().order_by(of.list_id))
    for list_id in found.scalars().all():
        await lock_list(connection, bulk.workspace_id, list_id)
        gone = await connection.execute(
            delete(subscriptions).where(of.list_id == list_id, of.contact_id.in_(ids)).returning(of.state))
        states = list(gone.scalars())
        await add_to_counters(connection, list_id, -states.count(_ON), -states.count(_OFF))
    await detach(connection, bulk.workspace_id, ids)
    away = await connection.execute(
        delete(contacts).where(contacts.c.id.in_(ids), contacts.c.workspace_id == bulk.workspace_id)
        .returning(contacts.c.id))
    return Done(dict.fromkeys(away.scalars(), ""))
