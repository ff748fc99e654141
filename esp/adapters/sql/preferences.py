"""Recipients' choices in SQL: topics, one person's page, and its changes in one transaction with their evidence."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ScalarSelect, and_, delete, false, func, insert, literal, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from esp.adapters.sql.database import Database
from esp.adapters.sql.portable import read_portable
from esp.adapters.sql.schema import (
    consents,
    contact_changes,
    contact_fields,
    contact_preferences,
    contact_redirects,
    contact_topics,
    contacts,
    deliveries,
    lists,
    messages,
    subscriptions,
    topics,
    workspaces,
)
from esp.adapters.sql.upsert import add_to_counters, lock_list, search_keys
from esp.adapters.sql.withdrawals import readmit
from esp.errors import ConflictError, NotFoundError
from esp.model.contact import SubscriptionState
from esp.model.fields import FieldType
from esp.model.ids import new_public_id
from esp.model.preference import ArchiveAccess, Frequency
from esp.ports.people import ContactField
from esp.ports.preferences import (
    MOST_COUNTED,
    Addressee,
    Changes,
    Choices,
    OwnList,
    Proof,
    Publicity,
    Reader,
    Topic,
)

_ON, _OFF = SubscriptionState.SUBSCRIBED.value, SubscriptionState.UNSUBSCRIBED.value
_GATHERED: Final = (Frequency.DAILY.value, Frequency.WEEKLY.value)


class SqlPreferences:
    """Preferences over SQLite or PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # ---- topics

    async def topics(self, workspace_id: int, archived: bool = False) -> tuple[Topic, ...]:
        async with self._database.read() as connection:
            return await _topics(connection, workspace_id, archived, counted=True)

    async def save_topic(
        self, workspace_id: int, topic_id: int | None, name: str, description: str, now: datetime
    ) -> Topic:
        try:
            async with self._database.write() as connection:
                if topic_id is None:
                    highest = await connection.scalar(
                        select(func.max(topics.c.position)).where(topics.c.workspace_id == workspace_id)
                    )
                    made = await connection.execute(insert(topics).returning(topics.c.id), {
                        "public_id": new_public_id(), "workspace_id": workspace_id, "name": name,
                        "description": description, "position": (highest or 0) + 1, "created_at": now,
                    })
                    topic_id = int(made.scalar_one())
                else:
                    await connection.execute(
                        update(topics).values(name=name, description=description)
                        .where(topics.c.id == topic_id, topics.c.workspace_id == workspace_id)
                    )
                return await _topic(connection, workspace_id, topic_id)
        except IntegrityError:
            raise ConflictError(f"There is a topic {name} already; choose another name.") from None

    async def archive_topic(self, workspace_id: int, topic_id: int, now: datetime | None) -> None:
        async with self._database.write() as connection:
            await _topic(connection, workspace_id, topic_id)
            await connection.execute(
                update(topics).values(archived_at=now)
                .where(topics.c.id == topic_id, topics.c.workspace_id == workspace_id)
            )

    # ---- one person

    async def reader_of_delivery(self, workspace_id: int, campaign_id: int, delivery_id: int) -> Addressee | None:
        d = deliveries.c
        async with self._database.read() as connection:
            row = (await connection.execute(
                select(func.coalesce(messages.c.contact_id, d.contact_id), d.created_at)
                .select_from(deliveries.outerjoin(
                    messages, and_(messages.c.delivery_id == d.id, messages.c.list_id.is_not(None))))
                .where(d.id == delivery_id, d.workspace_id == workspace_id, d.campaign_id == campaign_id)
            )).first()
        return None if row is None or row[0] is None or row[0] < 0 else Addressee(int(row[0]), row[1])

    async def reader(self, workspace_id: int, contact_id: int) -> Reader | None:
        async with self._database.read() as connection:
            return await _reader(connection, workspace_id, contact_id)

    async def change(self, reader: Reader, changes: Changes, proof: Proof) -> bool:
        async with self._database.write() as connection:
            seen = await _reader(connection, reader.workspace_id, reader.contact_id)
            if seen is None:
                return False
            # The lists before the person, as everybody locks them; and the person before anything that refers to them,
            # or two forms of one person, sent at once, would wait for each other.
            moving = _moving(seen, changes)
            for list_id in moving:
                await lock_list(connection, seen.workspace_id, list_id)
            await connection.execute(select(contacts.c.id).where(contacts.c.id == seen.contact_id).with_for_update())
            now = await _reader(connection, seen.workspace_id, seen.contact_id)
            if now is None:
                return False
            done: dict[str, Any] = {}
            if changes.choices is not None and changes.choices != now.choices:
                await self._choose(connection, now, changes.choices, proof.at)
                done["choices"] = _plain(changes.choices)
            moved = {list_id: wanted for list_id, wanted in _moving(now, changes).items() if list_id in moving}
            for list_id, wanted in moved.items():
                await _move(connection, now, list_id, wanted, proof)
            if moved:
                done["lists"] = {str(list_id): wanted for list_id, wanted in moved.items()}
            if named := await _write_own(connection, now, changes, proof.at):
                done["fields"] = named
            if done:
                await connection.execute(insert(contact_changes), {
                    "workspace_id": now.workspace_id, "contact_id": now.contact_id, "at": proof.at,
                    "kind": "preferences", "actor": "contact", "detail": done,
                })
            return bool(done)

    async def _choose(self, connection: AsyncConnection, reader: Reader, it: Choices, now: datetime) -> None:
        make = postgresql.insert if self._database.dialect == "postgresql" else sqlite.insert
        mine = {"contact_id": reader.contact_id, "workspace_id": reader.workspace_id}
        values = {"frequency": it.frequency.value, "paused_until": it.paused_until, "tracking_off": it.tracking_off,
                  "changed_at": now}
        await connection.execute(
            make(contact_preferences).values(**mine, **values)
            .on_conflict_do_update(index_elements=[contact_preferences.c.contact_id], set_=values)
        )
        known = {topic.id for topic in await _topics(connection, reader.workspace_id, archived=True)}
        said = {topic: often.value for topic, often in it.topics.items() if topic in known and often != it.frequency}
        await connection.execute(delete(contact_topics).where(contact_topics.c.contact_id == reader.contact_id))
        if said:
            await connection.execute(insert(contact_topics), [
                {**mine, "topic_id": topic, "frequency": often} for topic, often in sorted(said.items())
            ])

    async def portable(self, workspace_id: int, contact_id: int) -> dict[str, Any]:
        async with self._database.read() as connection:
            return await read_portable(connection, workspace_id, contact_id)

    # ---- lists

    async def lists_tracked(self, workspace_id: int, list_ids: Sequence[int]) -> bool:
        it = lists.c
        async with self._database.read() as connection:
            quiet = await connection.scalar(
                select(it.id).where(it.workspace_id == workspace_id, it.id.in_(list_ids), it.tracking == false())
                .limit(1)
            )
        return quiet is None

    async def publicity(self, workspace_id: int, list_id: int) -> Publicity:
        it = lists.c
        async with self._database.read() as connection:
            row = (await connection.execute(
                select(it.archive, it.archive_indexed, it.tracking)
                .where(it.id == list_id, it.workspace_id == workspace_id)
            )).one_or_none()
        if row is None:
            raise NotFoundError("There is no such list.")
        return Publicity(ArchiveAccess(row.archive), row.archive_indexed, row.tracking)

    async def set_publicity(self, workspace_id: int, list_id: int, publicity: Publicity) -> None:
        async with self._database.write() as connection:
            await connection.execute(
                update(lists).where(lists.c.id == list_id, lists.c.workspace_id == workspace_id)
                .values(archive=publicity.access.value, archive_indexed=publicity.indexed,
                        tracking=publicity.tracking)
            )


async def _topics(
    connection: AsyncConnection, workspace_id: int, archived: bool, counted: bool = False
) -> tuple[Topic, ...]:
    query = select(topics).where(topics.c.workspace_id == workspace_id)
    if not archived:
        query = query.where(topics.c.archived_at.is_(None))
    rows = (await connection.execute(
        query.order_by(topics.c.archived_at.is_not(None), topics.c.position, topics.c.name, topics.c.id)
    )).all()
    declined, gathered = dict[int, int](), dict[int, int]()
    if counted:
        for found, often in ((declined, (Frequency.NONE.value,)), (gathered, _GATHERED)):
            for row in await connection.execute(select(topics.c.id, _how_many(often)).where(
                    topics.c.workspace_id == workspace_id)):
                found[row[0]] = row[1]
    return tuple(
        Topic(row.id, row.public_id, row.name, row.description, row.archived_at, declined.get(row.id, 0),
              gathered.get(row.id, 0))
        for row in rows
    )


def _how_many(often: Sequence[str]) -> ScalarSelect[int]:
    """People who chose one of these for the row's topic, counted no further than is said on a page."""
    of = contact_topics.c
    some = (
        select(literal(1)).where(of.topic_id == topics.c.id, of.frequency.in_(often)).correlate(topics)
        .limit(MOST_COUNTED + 1).subquery()
    )
    return select(func.count()).select_from(some).correlate(topics).scalar_subquery()


async def _topic(connection: AsyncConnection, workspace_id: int, topic_id: int) -> Topic:
    found = [one for one in await _topics(connection, workspace_id, archived=True) if one.id == topic_id]
    if not found:
        raise NotFoundError("There is no such topic.")
    return found[0]


async def _reader(connection: AsyncConnection, workspace_id: int, contact_id: int) -> Reader | None:
    c, w, p = contacts.c, workspaces.c, contact_preferences.c
    query = (
        select(contacts, w.time_zone.label("place"), w.language.label("spoken"), p.frequency, p.paused_until,
               p.tracking_off)
        .select_from(contacts.join(workspaces, w.id == c.workspace_id)
                     .outerjoin(contact_preferences, p.contact_id == c.id))
    )
    row = (await connection.execute(query.where(c.id == contact_id, c.workspace_id == workspace_id))).one_or_none()
    if row is None:
        became = select(contact_redirects.c.contact_id).where(
            contact_redirects.c.old_id == contact_id, contact_redirects.c.workspace_id == workspace_id
        ).scalar_subquery()
        row = (await connection.execute(query.where(c.id == became, c.workspace_id == workspace_id))).one_or_none()
        if row is None:
            return None
    said = await connection.execute(
        select(contact_topics.c.topic_id, contact_topics.c.frequency).where(contact_topics.c.contact_id == row.id)
    )
    choices = Choices(Frequency(row.frequency or Frequency.EACH), {one[0]: Frequency(one[1]) for one in said},
                      row.paused_until, bool(row.tracking_off))
    opened = tuple(_field(one) for one in await connection.execute(
        select(contact_fields).where(
            contact_fields.c.workspace_id == workspace_id, contact_fields.c.open_to_recipient,
            contact_fields.c.archived_at.is_(None),
        ).order_by(contact_fields.c.position, contact_fields.c.id)
    ))
    return Reader(
        workspace_id, row.id, row.public_id, row.email, row.email_key, row.first_name, row.last_name, row.language,
        row.time_zone or row.place, row.spoken, choices, await _topics(connection, workspace_id, archived=False),
        await _own_lists(connection, workspace_id, row.id), opened,
        {one.key: row.fields[one.key] for one in opened if one.key in (row.fields or {})},
    )


def _field(row: Any) -> ContactField:
    return ContactField(row.id, row.public_id, row.key, row.label, FieldType(row.type), tuple(row.choices),
                        row.open_to_recipient, row.position, row.archived_at)


async def _own_lists(connection: AsyncConnection, workspace_id: int, contact_id: int) -> tuple[OwnList, ...]:
    """The lists in use that somebody is on, or left; who was only asked to confirm is not on it yet."""
    s = subscriptions.c
    rows = await connection.execute(
        select(lists.c.id, lists.c.name, lists.c.description, lists.c.archive, lists.c.public_id, s.state)
        .join(lists, and_(lists.c.id == s.list_id, lists.c.workspace_id == workspace_id))
        .where(s.contact_id == contact_id, s.workspace_id == workspace_id, s.state.in_((_ON, _OFF)),
               lists.c.archived_at.is_(None))
        .order_by(lists.c.name, lists.c.id)
    )
    return tuple(OwnList(row.id, row.name, row.description, row.state == _ON, ArchiveAccess(row.archive), row.public_id)
                 for row in rows)


def _moving(reader: Reader, changes: Changes) -> dict[int, bool]:
    """The lists that the person would come onto or leave, in the order in which lists are locked."""
    return {one.list_id: changes.lists[one.list_id] for one in sorted(reader.lists, key=lambda it: it.list_id)
            if changes.lists.get(one.list_id, one.subscribed) != one.subscribed}


async def _move(connection: AsyncConnection, reader: Reader, list_id: int, wanted: bool, proof: Proof) -> None:
    """``list_id`` must be locked."""
    before, after = (_OFF, _ON) if wanted else (_ON, _OFF)
    moved = await connection.execute(
        update(subscriptions).values(state=after, changed_at=proof.at)
        .where(subscriptions.c.list_id == list_id, subscriptions.c.contact_id == reader.contact_id,
               subscriptions.c.state == before)
    )
    if moved.rowcount != 1:
        return
    if wanted:
        await readmit(connection, reader.workspace_id, reader.email_key, [list_id])
    step = 1 if wanted else -1
    await add_to_counters(connection, list_id, step, -step)
    await connection.execute(insert(consents), {
        "workspace_id": reader.workspace_id, "contact_id": reader.contact_id, "list_id": list_id,
        "action": "resubscribed" if wanted else after, "at": proof.at, "source": proof.source, "actor": "contact",
        "ip": proof.ip, "user_agent": proof.user_agent, "wording": proof.wording,
    })


async def _write_own(
    connection: AsyncConnection, reader: Reader, changes: Changes, now: datetime
) -> list[str]:
    """Write the person's own fields; the names of those that changed."""
    opened = {one.key for one in reader.open_fields}
    standard = {name: value for name, value in changes.standard.items()
                if name in ("first_name", "last_name", "language") and getattr(reader, name) != value}
    own = {key: value for key, value in changes.fields.items()
           if key in opened and reader.fields.get(key) != value}
    if not standard and not own:
        return []
    row = (await connection.execute(select(contacts.c.fields).where(contacts.c.id == reader.contact_id))).one()
    fields: Mapping[str, Any] = {**(row.fields or {}), **own}
    names = {name: standard.get(name, getattr(reader, name)) for name in ("first_name", "last_name")}
    await connection.execute(update(contacts).where(contacts.c.id == reader.contact_id).values(
        **standard, **search_keys(names["first_name"], names["last_name"]), updated_at=now,
        fields={key: value for key, value in fields.items() if value is not None},
    ))
    return sorted((*standard, *own))


def _plain(choices: Choices) -> dict[str, Any]:
    """Choices as the timeline keeps them."""
    return {
        "frequency": choices.frequency.value, "tracking_off": choices.tracking_off,
        "paused_until": choices.paused_until.date().isoformat() if choices.paused_until else None,
        "topics": {str(topic): often.value for topic, often in choices.topics.items()},
    }
