"""Mailboxes to be collected from, in SQL; what was fetched and how far it was read are stored in one transaction."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Row, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from esp.adapters.sql.database import Database
from esp.adapters.sql.mailroom import columns_of
from esp.adapters.sql.schema import inbound_messages, pickup_seen, pickups
from esp.errors import ConflictError, NotFoundError
from esp.model.ids import new_public_id
from esp.ports.mailroom import NewInbound
from esp.ports.pickup import Afterwards, Haul, MailProtocol, NewPickup, Pickup, Security

MOST: Final = 50  # mailboxes of one workspace


def _pickup_of(row: Row[Any]) -> Pickup:
    it = row._mapping
    values: dict[str, Any] = {name: it[name] for name in Pickup.__slots__}
    values |= {"protocol": MailProtocol(it["protocol"]), "security": Security(it["security"]),
               "afterwards": Afterwards(it["afterwards"])}
    return Pickup(**values)


def _values(it: NewPickup) -> dict[str, Any]:
    values = {"name": it.name, "protocol": it.protocol.value, "host": it.host, "port": it.port,
              "security": it.security.value, "username": it.username, "folder": it.folder,
              "afterwards": it.afterwards.value}
    return values if it.secret is None else {**values, "secret": it.secret}


class SqlPickups:
    """The port ``Pickups`` on SQLite and PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, workspace_id: int, it: NewPickup, now: datetime) -> Pickup:
        async with self._database.write() as connection:
            there = await connection.execute(
                select(pickups.c.id).where(pickups.c.workspace_id == workspace_id).limit(MOST))
            if len(there.all()) == MOST:
                raise ConflictError(f"{MOST} mailboxes are the most a workspace has. Delete one first.")
            made = await connection.execute(insert(pickups).returning(pickups.c.id), {
                **_values(it), "workspace_id": workspace_id, "public_id": new_public_id(), "created_at": now})
            return await _read(connection, workspace_id, made.scalar_one())

    async def change(self, workspace_id: int, pickup_id: int, it: NewPickup) -> Pickup:
        async with self._database.write() as connection:
            before = await _read(connection, workspace_id, pickup_id)
            values = _values(it) | {"error": ""}
            other = (before.protocol, before.host, before.username, before.folder)
            if other != (it.protocol, it.host, it.username, it.folder):
                values["position"] = ""
                await connection.execute(delete(pickup_seen).where(pickup_seen.c.pickup_id == pickup_id))
            await _set(connection, workspace_id, pickup_id, values)
            return await _read(connection, workspace_id, pickup_id)

    async def get(self, workspace_id: int, pickup_id: int) -> Pickup:
        async with self._database.read() as connection:
            return await _read(connection, workspace_id, pickup_id)

    async def all(self, workspace_id: int) -> tuple[Pickup, ...]:
        query = select(pickups).where(pickups.c.workspace_id == workspace_id).order_by(pickups.c.id).limit(MOST)
        async with self._database.read() as connection:
            return tuple(_pickup_of(row) for row in await connection.execute(query))

    async def pause(self, workspace_id: int, pickup_id: int, at: datetime | None) -> None:
        async with self._database.write() as connection:
            await _set(connection, workspace_id, pickup_id, {"paused_at": at, "error": ""})

    async def delete(self, workspace_id: int, pickup_id: int) -> None:
        async with self._database.write() as connection:
            await _read(connection, workspace_id, pickup_id)
            await connection.execute(delete(pickup_seen).where(pickup_seen.c.pickup_id == pickup_id))
            await connection.execute(
                delete(pickups).where(pickups.c.id == pickup_id, pickups.c.workspace_id == workspace_id))

    async def active(self) -> tuple[Pickup, ...]:
        """Of every workspace: collecting is the server's work. What is collected stays in its workspace."""
        query = select(pickups).where(pickups.c.paused_at.is_(None)).order_by(pickups.c.id)
        async with self._database.read() as connection:
            return tuple(_pickup_of(row) for row in await connection.execute(query))

    async def keep(
        self, pickup: Pickup, haul: Haul, messages: Sequence[NewInbound], seen: Sequence[str], now: datetime,
    ) -> bool:
        async with self._database.write() as connection:
            moved = await connection.execute(
                update(pickups)
                .where(pickups.c.id == pickup.id, pickups.c.workspace_id == pickup.workspace_id,
                       pickups.c.position == pickup.position, pickups.c.collected == pickup.collected,
                       pickups.c.skipped == pickup.skipped)
                .values(position=haul.position, checked_at=now, error="",
                        collected=pickups.c.collected + len(messages),
                        skipped=pickups.c.skipped + len(haul.messages) - len(messages)))
            if moved.rowcount != 1:
                return False
            if messages:
                await connection.execute(insert(inbound_messages), [columns_of(one) for one in messages])
            if seen:
                await connection.execute(
                    insert(pickup_seen),
                    [{"workspace_id": pickup.workspace_id, "pickup_id": pickup.id, "uid": uid} for uid in seen])
        return True

    async def seen(self, pickup_id: int) -> frozenset[str]:
        async with self._database.read() as connection:
            rows = await connection.execute(select(pickup_seen.c.uid).where(pickup_seen.c.pickup_id == pickup_id))
            return frozenset(rows.scalars())

    async def forget(self, pickup_id: int, uids: Sequence[str]) -> None:
        async with self._database.write() as connection:
            await connection.execute(
                delete(pickup_seen).where(pickup_seen.c.pickup_id == pickup_id, pickup_seen.c.uid.in_(uids)))

    async def checked(self, pickup_id: int, at: datetime, error: str = "") -> None:
        values: dict[str, Any] = {"error": error} if error else {"error": "", "checked_at": at}
        async with self._database.write() as connection:
            await connection.execute(update(pickups).where(pickups.c.id == pickup_id).values(**values))


async def _read(connection: AsyncConnection, workspace_id: int, pickup_id: int) -> Pickup:
    found = await connection.execute(
        select(pickups).where(pickups.c.id == pickup_id, pickups.c.workspace_id == workspace_id))
    row = found.one_or_none()
    if row is None:
        raise NotFoundError("There is no such mailbox.")
    return _pickup_of(row)


async def _set(connection: AsyncConnection, workspace_id: int, pickup_id: int, values: dict[str, Any]) -> None:
    await _read(connection, workspace_id, pickup_id)
    await connection.execute(
        update(pickups).values(**values).where(pickups.c.id == pickup_id, pickups.c.workspace_id == workspace_id))
