"""The relay in SQL: streams, credentials, and what may still be done about an accepted message."""

from collections import OrderedDict
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy import Row, delete, exists, func, insert, select, text, update
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from esp.adapters.sql.among import among
from esp.adapters.sql.database import Database
from esp.adapters.sql.ledger import append_events
from esp.adapters.sql.relay_at_once import keep_at_once
from esp.adapters.sql.relay_keep import keep, suppressed_among
from esp.adapters.sql.relay_rows import Carrier
from esp.adapters.sql.schema import (
    batches,
    campaigns,
    credentials,
    deliveries,
    message_bodies,
    message_keys,
    messages,
    streams,
    unreported_where,
)
from esp.errors import ConflictError, DependencyError, NotFoundError, StorageFullError
from esp.model.delivery import OPEN_STATES, EventType, NewEvent
from esp.model.ids import new_public_id
from esp.model.relay import (
    Accepted,
    Credential,
    CredentialKind,
    MessageState,
    Refused,
    RelayStream,
    Scope,
    StreamKind,
    SuppressedPolicy,
)
from esp.ports.relay import Ended, KnownCredential, NewCredential, NewRelayMessage

_HEADER_RETURNED: Final = 65_536  # octets of a message that a report may return
_CARRIERS_KNOWN: Final = 10_000
_OPEN: Final = tuple(state.value for state in OPEN_STATES)
_WAITING: Final = (MessageState.HELD.value, MessageState.SCHEDULED.value)


class SqlRelay:
    """Relay over SQLite or PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._carriers: OrderedDict[Carrier, int] = OrderedDict()

    # ---- streams -----------------------------------------------------------------------------------------------------

    async def streams(self, workspace_id: int, *, make: bool = True) -> tuple[RelayStream, ...]:
        """See ``esp.ports.relay.Relay.streams``."""
        it = streams.c
        query = select(streams).where(it.workspace_id == workspace_id, it.archived_at.is_(None)).order_by(it.handle)
        for _ in range(2):
            async with self._database.read() as connection:
                found = tuple(map(_stream, await connection.execute(query)))
            handles = {stream.handle for stream in found}
            missing = [kind for kind in StreamKind if kind.value not in handles]
            if not missing or not make:
                break
            for kind in missing:
                with suppress(ConflictError):  # two first looks at once
                    await self.add_stream(workspace_id, kind.value, kind.value.capitalize(), kind, datetime.now(UTC))
        return found

    async def add_stream(
        self, workspace_id: int, handle: str, name: str, kind: StreamKind, at: datetime
    ) -> RelayStream:
        """See ``esp.ports.relay.Relay.add_stream``."""
        values = {"public_id": new_public_id(), "workspace_id": workspace_id, "handle": handle, "name": name,
                  "kind": kind.value, "created_at": at}
        try:
            async with self._database.write() as connection:
                return _stream((await connection.execute(insert(streams).returning(streams), values)).one())
        except IntegrityError:
            raise ConflictError(f"There is a stream {handle} already.") from None

    async def change_stream(
        self, workspace_id: int, public_id: str, *, name: str, track_opens: bool, track_clicks: bool,
        suppressed: SuppressedPolicy, keep_days: int, keep_octets: int,
    ) -> RelayStream:
        """See ``esp.ports.relay.Relay.change_stream``."""
        it = streams.c
        async with self._database.write() as connection:
            row = (await connection.execute(
                update(streams).where(it.workspace_id == workspace_id, it.public_id == public_id)
                .values(name=name, track_opens=track_opens, track_clicks=track_clicks, suppressed=suppressed.value,
                        keep_days=keep_days, keep_octets=keep_octets).returning(streams)
            )).first()
        if row is None:
            raise NotFoundError("There is no such stream.")
        return _stream(row)

    # ---- credentials -------------------------------------------------------------------------------------------------

    async def add_credential(self, workspace_id: int, new: NewCredential, at: datetime) -> Credential:
        """See ``esp.ports.relay.Relay.add_credential``."""
        values = {
            "public_id": new_public_id(), "workspace_id": workspace_id, "kind": new.kind.value, "name": new.name,
            "login": new.login, "secret_hash": new.secret_hash, "scopes": sorted(scope.value for scope in new.scopes),
            "stream": new.stream, "domains": list(new.domains), "networks": list(new.networks), "rate": new.rate,
            "sandbox": new.sandbox, "created_by": new.created_by, "created_at": at,
        }
        try:
            async with self._database.write() as connection:
                return _credential((await connection.execute(
                    insert(credentials).returning(credentials), values)).one())
        except IntegrityError:
            raise ConflictError(f"The login {new.login} is taken.") from None

    async def credentials(self, workspace_id: int, kind: CredentialKind | None = None) -> tuple[Credential, ...]:
        """See ``esp.ports.relay.Relay.credentials``."""
        it = credentials.c
        query = select(credentials).where(it.workspace_id == workspace_id).order_by(it.id.desc())
        if kind is not None:
            query = query.where(it.kind == kind.value)
        async with self._database.read() as connection:
            rows = (await connection.execute(query)).all()
        return tuple(map(_credential, rows))

    async def credential_by_login(self, kind: CredentialKind, login: str) -> KnownCredential | None:
        """See ``esp.ports.relay.Relay.credential_by_login``."""
        it = credentials.c
        with _told():
          async with self._database.read() as connection:
            row = (await connection.execute(select(credentials).where(
                it.login == login, it.kind == kind.value, it.revoked_at.is_(None)))).first()
        return None if row is None else KnownCredential(_credential(row), row.secret_hash)

    async def revoke_credential(self, workspace_id: int, public_id: str, at: datetime) -> Credential:
        """See ``esp.ports.relay.Relay.revoke_credential``."""
        it = credentials.c
        async with self._database.write() as connection:
            mine = (it.workspace_id == workspace_id, it.public_id == public_id)
            await connection.execute(
                update(credentials).where(*mine, it.revoked_at.is_(None)).values(revoked_at=at))
            row = (await connection.execute(select(credentials).where(*mine))).first()
        if row is None:
            raise NotFoundError("There is no such credential.")
        return _credential(row)

    async def credentials_used(self, last_used: Mapping[int, datetime]) -> None:
        """See ``esp.ports.relay.Relay.credentials_used``."""
        async with self._database.write() as connection:
            for number, at in sorted(last_used.items()):
                await connection.execute(
                    update(credentials).where(credentials.c.id == number).values(last_used_at=at))

    # ---- messages ----------------------------------------------------------------------------------------------------

    async def keep(self, messages_: Sequence[NewRelayMessage], now: datetime) -> list[Accepted | Refused]:
        """See ``esp.ports.relay.Relay.keep``."""
        carriers: dict[Carrier, int] = dict(self._carriers)
        with _told():
            if self._database.dialect == "sqlite":
                kept = await keep_at_once(self._database, messages_, now, carriers)
                if kept is not None:
                    return kept
            async with self._database.write() as connection:
                results = await keep(connection, self._database.dialect, messages_, now, carriers)
        self._carriers.update(carriers)  # only now: had it been rolled back, there would be none
        while len(self._carriers) > _CARRIERS_KNOWN:
            self._carriers.popitem(last=False)
        return results

    async def suppressed(self, workspace_id: int, keys: Collection[str], now: datetime) -> dict[str, str]:
        """See ``esp.ports.relay.Relay.suppressed``."""
        async with self._database.read() as connection:
            found = await suppressed_among(connection, {(workspace_id, key) for key in keys}, now)
        return {key: reason for (_, key), reason in found.items()}

    async def release(self, workspace_id: int, public_id: str, now: datetime) -> bool:
        """See ``esp.ports.relay.Relay.release``."""
        async with self._database.write() as connection:
            message_id = await _waiting(connection, workspace_id, public_id, _WAITING)
            if message_id is None:
                return False
            await _set(connection, message_id, state=MessageState.ACCEPTED.value, send_at=None)
            await _move_batches(connection, message_id, now)
        return True

    async def reschedule(self, workspace_id: int, public_id: str, send_at: datetime) -> bool:
        """See ``esp.ports.relay.Relay.reschedule``."""
        async with self._database.write() as connection:
            message_id = await _waiting(connection, workspace_id, public_id, (MessageState.SCHEDULED.value,))
            if message_id is None:
                return False
            await _set(connection, message_id, send_at=send_at)
            await _move_batches(connection, message_id, send_at)
        return True

    async def cancel(self, workspace_id: int, public_id: str, now: datetime) -> bool:
        """See ``esp.ports.relay.Relay.cancel``."""
        async with self._database.write() as connection:
            message_id = await _waiting(connection, workspace_id, public_id, _WAITING)
            if message_id is None:
                return False
            d = deliveries.c
            rows = (await connection.execute(select(d.id, d.campaign_id).where(
                d.message_id == message_id, d.state.in_(_OPEN)))).all()
            await append_events(connection, self._database.dialect, [
                NewEvent(EventType.CANCELLED, now, workspace_id, row.campaign_id, row.id) for row in rows])
            await _set(connection, message_id, state=MessageState.CANCELLED.value)
        return True

    async def unreported(self, limit: int) -> tuple[Ended, ...]:
        """See ``esp.ports.relay.Relay.unreported``."""
        d, m, k, body = deliveries.c, messages.c, campaigns.c, message_bodies.c
        async with self._database.read() as connection:
            rows = (await connection.execute(
                select(d.id, d.workspace_id, d.message_id, k.domain_id, d.address, d.state, d.reason, d.reply_code,
                       d.reply, d.ended_at, d.created_at, m.sender, m.from_address, m.subject, d.report, m.dsn,
                       func.substr(body.raw, 1, _HEADER_RETURNED).label("raw"))
                .join(messages, m.id == d.message_id).join(campaigns, k.id == d.campaign_id)
                .outerjoin(message_bodies, body.message_id == m.id)
                .where(text(unreported_where("deliveries"))).order_by(d.id).limit(limit)
            )).all()
        return tuple(
            Ended(row.id, row.workspace_id, row.message_id, row.domain_id, row.address, row.state, row.reason,
                  row.reply_code, row.reply, row.ended_at or row.created_at, row.created_at, row.sender,
                  row.from_address, row.subject, row.report, row.dsn, bytes(row.raw or b""))
            for row in rows
        )

    async def report(
        self, reports: Sequence[NewRelayMessage], delivery_ids: Sequence[int], now: datetime
    ) -> None:
        """See ``esp.ports.relay.Relay.report``."""
        carriers: dict[Carrier, int] = dict(self._carriers)
        async with self._database.write() as connection:
            if reports:
                await keep(connection, self._database.dialect, reports, now, carriers)
            await connection.execute(update(deliveries).where(
                among(connection, deliveries.c.id, delivery_ids)).values(reported_at=now))
        self._carriers.update(carriers)

    async def start_due(self, now: datetime, limit: int) -> int:
        """See ``esp.ports.relay.Relay.start_due``."""
        m = messages.c
        due = select(m.id).where(m.state == MessageState.SCHEDULED.value, m.send_at <= now).order_by(m.send_at)
        async with self._database.write() as connection:
            done = await connection.execute(
                update(messages).where(m.id.in_(due.limit(limit))).values(state=MessageState.ACCEPTED.value))
            return int(done.rowcount)

    async def forget_bodies(self, now: datetime, after: int, limit: int) -> int | None:
        """See ``esp.ports.relay.Relay.forget_bodies``."""
        body, m, s, d = message_bodies.c, messages.c, streams.c, deliveries.c
        still = exists().where(d.message_id == m.id, d.state.in_(_OPEN))
        async with self._database.read() as connection:
            rows = (await connection.execute(
                select(body.message_id, m.created_at, s.keep_days, still.label("still"))
                .join(messages, m.id == body.message_id).outerjoin(streams, s.id == m.stream_id)
                .where(body.message_id > after).order_by(body.message_id).limit(limit)
            )).all()
        old = [row.message_id for row in rows
               if row.keep_days and not row.still and row.created_at < now - timedelta(days=row.keep_days)]
        if old:
            async with self._database.write() as connection:
                await connection.execute(delete(message_bodies).where(among(connection, body.message_id, old)))
        return rows[-1].message_id if len(rows) == limit else None

    async def forget_keys(self, before: datetime, limit: int) -> int:
        """See ``esp.ports.relay.Relay.forget_keys``."""
        it = message_keys.c
        old = select(it.workspace_id, it.key).where(it.created_at < before).order_by(it.created_at).limit(limit)
        async with self._database.write() as connection:
            rows = (await connection.execute(old)).all()
            for row in rows:
                await connection.execute(
                    delete(message_keys).where(it.workspace_id == row.workspace_id, it.key == row.key))
        return len(rows)


@contextmanager
def _told() -> Iterator[None]:
    """What a door must know of a database that does not do its work: that it is full, or that it is away."""
    try:
        yield
    except (DBAPIError, OSError) as error:
        # The drivers have no common word for it: SQLite says "disk is full", PostgreSQL 53100 "No space left".
        words = str(getattr(error, "orig", None) or error).lower()
        if "disk is full" in words or "no space left" in words or "disk full" in words:
            raise StorageFullError("The disk of the database is full.") from error
        raise DependencyError("The database does not answer.") from error


async def _waiting(
    connection: AsyncConnection, workspace_id: int, public_id: str, states: Sequence[str]
) -> int | None:
    """The message's number, locked, where it is in one of ``states`` and no worker has begun it; NotFoundError."""
    m, b, d = messages.c, batches.c, deliveries.c
    row = (await connection.execute(select(m.id, m.state).where(
        m.workspace_id == workspace_id, m.public_id == public_id).with_for_update())).first()
    if row is None:
        raise NotFoundError("There is no such message.")
    if row.state not in states:
        return None
    mine = select(d.batch_id).where(d.message_id == row.id, d.state.in_(_OPEN))
    found = await connection.execute(select(b.state).where(b.id.in_(mine)).with_for_update())
    return None if any(state not in ("ready", "held") for state in found.scalars()) else int(row.id)


async def _move_batches(connection: AsyncConnection, message_id: int, due_at: datetime) -> None:
    d = deliveries.c
    mine = select(d.batch_id).where(d.message_id == message_id, d.state.in_(_OPEN))
    await connection.execute(update(batches).where(batches.c.id.in_(mine)).values(state="ready", due_at=due_at))
    await connection.execute(
        update(deliveries).where(d.message_id == message_id, d.state.in_(_OPEN)).values(due_at=due_at))


async def _set(connection: AsyncConnection, message_id: int, **values: Any) -> None:
    await connection.execute(update(messages).where(messages.c.id == message_id).values(**values))


def _stream(row: Row[Any]) -> RelayStream:
    return RelayStream(
        row.id, row.public_id, row.handle, row.name, StreamKind(row.kind), bool(row.track_opens),
        bool(row.track_clicks), SuppressedPolicy(row.suppressed), row.keep_days, row.keep_octets)


def _credential(row: Row[Any]) -> Credential:
    known = {scope.value for scope in Scope}
    return Credential(
        row.id, row.public_id, row.workspace_id, CredentialKind(row.kind), row.name, row.login, row.created_at,
        frozenset(Scope(scope) for scope in row.scopes if scope in known), row.stream, tuple(row.domains),
        tuple(row.networks), row.rate, bool(row.sandbox), row.created_by, row.last_used_at, row.revoked_at)
