"""Outside names, the events and kept answers in SQL."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Select, and_, delete, func, insert, literal, or_, select, update
from sqlalchemy.exc import IntegrityError

from esp.adapters.sql.api_messages import read_message, read_messages
from esp.adapters.sql.database import Database
from esp.adapters.sql.schema import (
    Id,
    api_answers,
    campaigns,
    contact_redirects,
    contact_tags,
    contacts,
    deliveries,
    events,
    lists,
    messages,
    segments,
    tags,
    templates,
    topics,
)
from esp.adapters.sql.upsert import insert_for
from esp.errors import ConflictError, NotFoundError
from esp.model.ids import new_public_id
from esp.ports.api import (
    Begun,
    EventFilter,
    EventPage,
    EventRow,
    KeptAnswer,
    MessageFilter,
    MessageRow,
    Named,
    StoredTemplate,
)

_TABLES: Final[dict[Named, Any]] = {
    Named.CAMPAIGN: campaigns, Named.CONTACT: contacts, Named.LIST: lists, Named.MESSAGE: messages,
    Named.SEGMENT: segments, Named.TAG: tags, Named.TOPIC: topics,
}
#: Rows of the events' table that one page may look at.
_WINDOW: Final = 50_000


class SqlApi:
    """The port ``Api`` on SQLite and PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def numbers(self, workspace_id: int, kind: Named, names: Sequence[str]) -> dict[str, int]:
        """See ``Api.numbers``."""
        table = _TABLES[kind]
        column = table.c.name_key if kind is Named.TAG else table.c.public_id
        by_key = {(name.casefold() if kind is Named.TAG else name): name for name in names if "\0" not in name}
        if not by_key:
            return {}
        async with self._database.read() as connection:
            rows = await connection.execute(
                select(column, table.c.id).where(table.c.workspace_id == workspace_id, column.in_(sorted(by_key))))
            found = {by_key[row[0]]: int(row[1]) for row in rows}
            if kind is Named.CONTACT and len(found) < len(by_key):
                # Somebody merged into another is still found by the id they had.
                of = contact_redirects.c
                rows = await connection.execute(
                    select(of.old_public_id, of.contact_id)
                    .where(of.workspace_id == workspace_id, of.old_public_id.in_(sorted(by_key))))
                found |= {row[0]: int(row[1]) for row in rows}
        return found

    async def names(self, workspace_id: int, kind: Named, numbers: Sequence[int]) -> dict[int, str]:
        """See ``Api.names``."""
        table = _TABLES[kind]
        column = table.c.name if kind is Named.TAG else table.c.public_id
        wanted = sorted(set(numbers))
        if not wanted:
            return {}
        async with self._database.read() as connection:
            rows = await connection.execute(
                select(table.c.id, column).where(table.c.workspace_id == workspace_id, table.c.id.in_(wanted)))
            return {int(row[0]): str(row[1]) for row in rows}

    async def tag(self, workspace_id: int, email_keys: Sequence[str], tag_ids: Sequence[int]) -> None:
        """See ``Api.tag``."""
        of = contacts.c
        async with self._database.write() as connection:
            for tag_id in sorted(tag_ids):
                people = select(of.workspace_id, literal(tag_id, Id), of.id).where(
                    of.workspace_id == workspace_id, of.email_key.in_(sorted(set(email_keys))))
                await connection.execute(
                    insert_for(self._database.dialect, contact_tags)
                    .from_select(["workspace_id", "tag_id", "contact_id"], people).on_conflict_do_nothing())

    async def events(
        self, workspace_id: int, wanted: EventFilter, before_id: int | None = None, limit: int = 50,
    ) -> EventPage:
        """See ``Api.events``."""
        of = events.c
        async with self._database.read() as connection:
            start = before_id
            if start is None:
                start = int((await connection.execute(select(func.coalesce(func.max(of.id), 0)))).scalar_one()) + 1
            indexed = wanted.contact_id is not None or wanted.message_id is not None or wanted.campaign_id is not None
            floor = 0 if indexed else max(0, start - _WINDOW)
            rows = (await connection.execute(
                _matching(workspace_id, wanted).where(of.id < start, of.id > floor)
                .order_by(of.id.desc()).limit(limit + 1))).all()
        page = tuple(map(event_of, rows[:limit]))
        if len(rows) > limit:
            return EventPage(page, page[-1].id)
        return EventPage(page, floor + 1 if floor else None)

    # ---- messages

    async def messages(
        self, workspace_id: int, wanted: MessageFilter, before_id: int | None = None, limit: int = 50,
    ) -> tuple[MessageRow, ...]:
        """See ``Api.messages``."""
        async with self._database.read() as connection:
            return await read_messages(connection, workspace_id, wanted, before_id, limit)

    async def message(self, workspace_id: int, public_id: str) -> MessageRow | None:
        """See ``Api.message``."""
        async with self._database.read() as connection:
            return await read_message(connection, workspace_id, public_id)

    # ---- templates

    async def templates(
        self, workspace_id: int, after_id: int = 0, limit: int = 50,
    ) -> tuple[StoredTemplate, ...]:
        """See ``Api.templates``."""
        of = templates.c
        async with self._database.read() as connection:
            rows = await connection.execute(
                select(templates).where(of.workspace_id == workspace_id, of.id > after_id).order_by(of.id).limit(limit))
            return tuple(map(_template_of, rows))

    async def template(self, workspace_id: int, name: str) -> StoredTemplate:
        """See ``Api.template``."""
        of = templates.c
        async with self._database.read() as connection:
            row = (await connection.execute(
                select(templates).where(of.workspace_id == workspace_id, or_(of.public_id == name, of.name == name))
                .order_by(of.public_id != name).limit(1))).one_or_none()
        if row is None:
            raise NotFoundError("There is no such template.")
        return _template_of(row)

    async def add_template(
        self, workspace_id: int, name: str, subject: str, text: str, html: str, now: datetime,
    ) -> StoredTemplate:
        """See ``Api.add_template``."""
        values = {"public_id": new_public_id(), "workspace_id": workspace_id, "name": name, "subject": subject,
                  "text": text, "html": html, "created_at": now, "updated_at": now}
        try:
            async with self._database.write() as connection:
                made = await connection.execute(insert(templates).returning(templates), values)
                return _template_of(made.one())
        except IntegrityError:
            raise ConflictError(f"There is a template {name} already.") from None

    async def edit_template(
        self, workspace_id: int, template_id: int, name: str, subject: str, text: str, html: str, now: datetime,
    ) -> StoredTemplate:
        """See ``Api.edit_template``."""
        of = templates.c
        try:
            async with self._database.write() as connection:
                row = (await connection.execute(
                    update(templates).where(of.workspace_id == workspace_id, of.id == template_id)
                    .values(name=name, subject=subject, text=text, html=html, updated_at=now)
                    .returning(templates))).one_or_none()
        except IntegrityError:
            raise ConflictError(f"There is a template {name} already.") from None
        if row is None:
            raise NotFoundError("There is no such template.")
        return _template_of(row)

    async def delete_template(self, workspace_id: int, template_id: int) -> None:
        """See ``Api.delete_template``."""
        of = templates.c
        async with self._database.write() as connection:
            await connection.execute(delete(templates).where(of.workspace_id == workspace_id, of.id == template_id))

    # ---- answers kept

    async def begin(
        self, workspace_id: int, key: str, digest: str, owner: str, now: datetime, lease_until: datetime,
        keep_until: datetime,
    ) -> Begun:
        """See ``Api.begin``."""
        of = api_answers.c
        mine = and_(of.workspace_id == workspace_id, of.key == key)
        claim = {"digest": digest, "owner": owner, "lease_until": lease_until, "keep_until": keep_until,
                 "status": 0, "body": b""}
        try:
            async with self._database.write() as connection:
                row = (await connection.execute(select(api_answers).where(mine).with_for_update())).one_or_none()
                if row is None:
                    await connection.execute(insert(api_answers), {"workspace_id": workspace_id, "key": key, **claim})
                    return Begun()
                if row.keep_until <= now:
                    await connection.execute(update(api_answers).where(mine).values(**claim))
                    return Begun()
                if row.digest != digest:
                    return Begun(differs=True)
                if row.status:
                    return Begun(answered=KeptAnswer(row.status, bytes(row.body)))
                if row.lease_until > now:
                    return Begun(running=True)
                await connection.execute(update(api_answers).where(mine).values(**claim))
                return Begun()
        except IntegrityError:
            return Begun(running=True)  # somebody else began between our look and our insert

    async def finish(self, workspace_id: int, key: str, owner: str, answer: KeptAnswer) -> None:
        """See ``Api.finish``."""
        of = api_answers.c
        async with self._database.write() as connection:
            await connection.execute(
                update(api_answers).where(of.workspace_id == workspace_id, of.key == key, of.owner == owner)
                .values(status=answer.status, body=answer.body))

    async def abandon(self, workspace_id: int, key: str, owner: str) -> None:
        """See ``Api.abandon``."""
        of = api_answers.c
        async with self._database.write() as connection:
            await connection.execute(delete(api_answers).where(
                of.workspace_id == workspace_id, of.key == key, of.owner == owner, of.status == 0))

    async def forget(self, now: datetime, limit: int = 1000) -> int:
        """See ``Api.forget``."""
        of = api_answers.c
        async with self._database.write() as connection:
            old = (await connection.execute(
                select(of.workspace_id, of.key).where(of.keep_until <= now).limit(limit))).all()
            for row in old:
                await connection.execute(delete(api_answers).where(of.workspace_id == row[0], of.key == row[1]))
            return len(old)


def events_of(workspace_id: int) -> Select[Any]:
    """A workspace's events as ``event_of`` reads them."""
    of = events.c
    return (
        select(of.id, of.type, of.at, of.campaign_id, of.delivery_id, of.contact_id, of.link_index, of.provider,
               of.agent, of.ip, of.user_agent, of.detail, deliveries.c.address, deliveries.c.message_id)
        .outerjoin(deliveries, and_(deliveries.c.id == of.delivery_id, deliveries.c.workspace_id == workspace_id))
        .where(of.workspace_id == workspace_id)
    )


def _matching(workspace_id: int, wanted: EventFilter) -> Select[Any]:
    of = events.c
    query = events_of(workspace_id)
    if wanted.types:
        query = query.where(of.type.in_(wanted.types))
    if wanted.campaign_id is not None:
        query = query.where(of.campaign_id == wanted.campaign_id)
    if wanted.contact_id is not None:
        query = query.where(of.contact_id == wanted.contact_id)
    if wanted.message_id is not None:
        query = query.where(of.delivery_id.in_(
            select(deliveries.c.id).where(deliveries.c.message_id == wanted.message_id)))
    return query


def _template_of(row: Any) -> StoredTemplate:
    return StoredTemplate(row.id, row.public_id, row.name, row.subject, row.text, row.html, row.created_at,
                          row.updated_at)


def event_of(row: Any) -> EventRow:
    """A row of ``events_of``."""
    return EventRow(row.id, row.type, row.at, row.campaign_id, row.delivery_id, row.contact_id, row.link_index,
                    row.provider, row.agent, row.ip, row.user_agent, row.detail or {}, row.address or "",
                    row.message_id)
