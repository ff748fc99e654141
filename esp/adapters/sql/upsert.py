"""Contacts made or changed in bulk: a handful of statements for a thousand rows, on both databases."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from sqlalchemy import bindparam, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from esp.adapters.sql.schema import consents, contacts, lists, subscriptions
from esp.errors import NotFoundError
from esp.model.contact import SubscriptionState
from esp.model.ids import new_public_id
from esp.ports.contacts import STANDARD_FIELDS, NewContact, Subscribing, Upserted

_CHANGEABLE: Final = (*STANDARD_FIELDS, "fields", "name_key", "last_name_key")


def search_keys(first_name: str, last_name: str) -> dict[str, str]:
    """The columns by which a name is found."""
    return {"name_key": f"{first_name} {last_name}".strip().casefold(), "last_name_key": last_name.strip().casefold()}


def insert_for(dialect: str, table: Any) -> Any:
    """An INSERT that knows ON CONFLICT, which each dialect has in a class of its own."""
    return postgresql.insert(table) if dialect == "postgresql" else sqlite.insert(table)


async def lock_list(connection: AsyncConnection, workspace_id: int, list_id: int) -> None:
    """Everybody who changes who is on a list locks its row first: counters stay true and nobody waits in a ring.

    Raises NotFoundError, also for another workspace's list.
    """
    found = await connection.execute(
        select(lists.c.id).where(lists.c.id == list_id, lists.c.workspace_id == workspace_id).with_for_update()
    )
    if found.scalar() is None:
        raise NotFoundError("There is no such list.")


async def add_to_counters(connection: AsyncConnection, list_id: int, subscribed: int, unsubscribed: int) -> None:
    if subscribed or unsubscribed:
        await connection.execute(
            update(lists).where(lists.c.id == list_id).values(
                subscribed_count=lists.c.subscribed_count + subscribed,
                unsubscribed_count=lists.c.unsubscribed_count + unsubscribed,
            )
        )


@dataclass(slots=True)
class _Rows:
    """What the chunk does to the people it names: their columns as they will be, by email_key."""

    people: dict[str, dict[str, Any]]
    new: dict[str, dict[str, Any]] = field(default_factory=dict)
    changed: dict[str, dict[str, Any]] = field(default_factory=dict)
    created: int = 0
    updated: int = 0
    unchanged: int = 0

    def add(self, row: NewContact, fresh: Mapping[str, Any]) -> None:
        """Fold one row in; a person twice in one chunk ends as the last row says."""
        person = self.people.get(row.email_key)
        if person is None:
            person = {**dict.fromkeys(STANDARD_FIELDS, ""), "fields": {}, **fresh, "email": row.email,
                      "email_key": row.email_key, "domain": row.domain, "public_id": new_public_id()}
            self._fill(person, row)
            self.people[row.email_key] = self.new[row.email_key] = person
            self.created += 1
        elif self._fill(person, row):
            if row.email_key not in self.new:
                self.changed[row.email_key] = person
            self.updated += 1
        else:
            self.unchanged += 1

    @staticmethod
    def _fill(person: dict[str, Any], row: NewContact) -> bool:
        fields = {key: value for key, value in {**person["fields"], **row.fields}.items() if value is not None}
        same = fields == person["fields"] and all(person[name] == value for name, value in row.standard.items())
        person.update(row.standard)
        person["fields"] = fields
        person.update(search_keys(person["first_name"], person["last_name"]))
        return not same


async def upsert_contacts(
    connection: AsyncConnection, dialect: str, workspace_id: int, wanted: Sequence[NewContact], source: str,
    now: datetime, subscribing: Subscribing | None,
) -> Upserted:
    """``Contacts.upsert`` within the caller's write transaction."""
    if subscribing is not None:
        await lock_list(connection, workspace_id, subscribing.list_id)
    rows = _Rows(await _existing(connection, workspace_id, [row.email_key for row in wanted]))
    fresh = {"workspace_id": workspace_id, "source": source, "created_at": now, "updated_at": now}
    for row in wanted:
        rows.add(row, fresh)
    if rows.new:
        statement = insert_for(dialect, contacts)
        # Somebody else may have made the same person between our look and now; the later word stands.
        statement = statement.on_conflict_do_update(
            index_elements=[contacts.c.workspace_id, contacts.c.email_key],
            set_={name: statement.excluded[name] for name in (*_CHANGEABLE, "updated_at")},
        ).returning(contacts.c.id, contacts.c.email_key)
        for made in await connection.execute(statement, list(rows.new.values())):
            rows.people[made.email_key]["id"] = made.id
    if rows.changed:
        await connection.execute(
            update(contacts).where(contacts.c.id == bindparam("_id"))
            .values({name: bindparam(f"_{name}") for name in _CHANGEABLE} | {"updated_at": now}),
            [{"_id": it["id"], **{f"_{name}": it[name] for name in _CHANGEABLE}} for it in rows.changed.values()],
        )
    kept_out = 0
    if subscribing is not None and rows.people:
        ids = [person["id"] for person in rows.people.values()]
        kept_out = await _subscribe(connection, dialect, workspace_id, ids, now, subscribing)
    return Upserted(rows.created, rows.updated, rows.unchanged, kept_out)


async def _existing(connection: AsyncConnection, workspace_id: int, keys: Sequence[str]) -> dict[str, dict[str, Any]]:
    columns = [contacts.c[name] for name in ("id", "email_key", *STANDARD_FIELDS, "fields")]
    found = await connection.execute(
        select(*columns).where(contacts.c.workspace_id == workspace_id, contacts.c.email_key.in_(sorted(set(keys))))
        .order_by(contacts.c.id).with_for_update()
    )
    return {row.email_key: dict(row._mapping) for row in found}


async def _subscribe(
    connection: AsyncConnection, dialect: str, workspace_id: int, ids: Sequence[int], now: datetime, it: Subscribing,
) -> int:
    """Subscribe ``ids`` with a consent record each; returns how many had left and were left alone."""
    of = subscriptions.c
    found = await connection.execute(
        select(of.contact_id, of.state).where(of.list_id == it.list_id, of.contact_id.in_(ids))
    )
    states = {contact_id: SubscriptionState(state) for contact_id, state in found}
    left = [contact_id for contact_id, state in states.items() if state is SubscriptionState.UNSUBSCRIBED]
    stay = {contact_id for contact_id, state in states.items() if state is SubscriptionState.SUBSCRIBED}
    if not it.resubscribe:
        stay.update(left)
    joining = [contact_id for contact_id in ids if contact_id not in stay]
    if joining:
        statement = insert_for(dialect, subscriptions)
        await connection.execute(
            statement.on_conflict_do_update(
                index_elements=[of.list_id, of.contact_id],
                set_={"state": statement.excluded.state, "changed_at": statement.excluded.changed_at},
            ),
            [{"workspace_id": workspace_id, "list_id": it.list_id, "contact_id": contact_id,
              "state": SubscriptionState.SUBSCRIBED.value, "changed_at": now} for contact_id in joining],
        )
        again = set(left)
        await connection.execute(insert(consents), [
            {"workspace_id": workspace_id, "contact_id": contact_id, "list_id": it.list_id, "at": now,
             "action": "resubscribed" if contact_id in again else "subscribed",
             "source": it.source, "actor": it.actor, "wording": it.wording}
            for contact_id in joining
        ])
        returned = len(left) if it.resubscribe else 0
        await add_to_counters(connection, it.list_id, len(joining), -returned)
    return 0 if it.resubscribe else len(left)
