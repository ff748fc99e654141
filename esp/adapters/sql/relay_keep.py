"""Accepted messages written: many at once, a handful of statements and one sync for all of them."""

import hashlib
from collections import defaultdict
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import insert, or_, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from esp.adapters.sql.exclusion import EXCLUDED_BY_RANK, SUPPRESSION_RANK
from esp.adapters.sql.ledger import add_tallies, append_events, chunked, sqlite_instant, write_events
from esp.adapters.sql.relay_rows import (
    BATCH_COLUMNS,
    BODY_COLUMNS,
    DELIVERY_COLUMNS,
    MESSAGE_COLUMNS,
    Carrier,
    Rows,
    add,
    batched,
    number_batches,
    refusal,
)
from esp.adapters.sql.schema import (
    campaigns,
    contacts,
    deliveries,
    message_keys,
    messages,
    sending_domains,
    suppressions,
)
from esp.errors import NotFoundError
from esp.model.campaign import CampaignState
from esp.model.delivery import DeliveryState
from esp.model.ids import new_public_id
from esp.model.permission import Stream
from esp.model.relay import Accepted, MessageState, Placed, RefusalCode, Refused
from esp.ports.relay import NewRelayMessage

_KEYS_FRESH: Final = timedelta(hours=24)
async def keep(
    connection: AsyncConnection, dialect: str, wanted: Sequence[NewRelayMessage], now: datetime,
    carriers: dict[Carrier, int],
) -> list[Accepted | Refused]:
    """``Relay.keep`` within the caller's transaction. ``carriers`` are campaigns known already; new ones are put in."""
    known = await suppressed_among(
        connection, {(it.workspace_id, one.address) for it in wanted for one in it.addressees}, now)
    results: list[Accepted | Refused | None] = [refusal(it, known) for it in wanted]
    ids = await _numbers(connection, dialect, "messages", len(wanted))
    await _claim_keys(connection, dialect, wanted, ids, results, now)
    kept = [(number, it, ids[number]) for number, it in enumerate(wanted) if results[number] is None]
    rows = Rows()
    for it in {(it.workspace_id, it.domain_id, it.stream.id): it for _, it, _ in kept}.values():
        await _carrier(connection, it, now, carriers)
    people = await _contacts_of(connection, [it for _, it, _ in kept if len(it.addressees) == 1])
    numbers = iter(await _numbers(connection, dialect, "deliveries", sum(len(it.addressees) for _, it, _ in kept)))
    for number, it, message_id in kept:
        campaign = carriers[it.workspace_id, it.domain_id, it.stream.id]
        results[number] = add(rows, it, message_id, campaign, numbers, known, people, now)
    await _write(connection, dialect, rows)
    return [it for it in results if it is not None]


async def suppressed_among(
    connection: AsyncConnection, asked: Collection[tuple[int, str]], now: datetime
) -> dict[tuple[int, str], str]:
    """Of (workspace, address) those that may not be written to, with the ExclusionReason."""
    by_workspace: dict[int, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for workspace_id, address in asked:
        key = address.casefold()
        by_workspace[workspace_id][key].append(address)
        by_workspace[workspace_id][key[key.index("@"):]].append(address)
    table, found = suppressions.c, dict[tuple[int, str], int]()
    for workspace_id, addresses in by_workspace.items():
        for keys in chunked(sorted(addresses)):
            rows = await connection.execute(select(table.email_key, table.reason).where(
                table.workspace_id == workspace_id, table.email_key.in_(keys), table.list_id.is_(None),
                or_(table.expires_at.is_(None), table.expires_at > now)))
            for key, reason in rows:
                for address in addresses[key]:
                    rank = SUPPRESSION_RANK.get(reason, 2)
                    found[workspace_id, address] = max(rank, found.get((workspace_id, address), 0))
    return {who: EXCLUDED_BY_RANK[rank].value for who, rank in found.items()}


async def _numbers(connection: AsyncConnection, dialect: str, table: str, count: int) -> list[int]:
    """``count`` fresh ids of ``table``: known before its rows are written, so that all of them go in at once."""
    if not count:
        return []
    if dialect == "sqlite":  # we hold the one write lock
        top = (await connection.exec_driver_sql(f"SELECT coalesce(max(id), 0) FROM {table}")).scalar_one()  # noqa: S608
        return list(range(top + 1, top + 1 + count))
    found = await connection.execute(
        text(f"SELECT nextval(pg_get_serial_sequence('{table}', 'id')) FROM generate_series(1, :n)"),  # noqa: S608
        {"n": count})
    return list(found.scalars())


def hashed_key(key: str) -> str:
    """An idempotency key as it is kept: of bounded length, and nothing that an app put in it."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


async def _claim_keys(
    connection: AsyncConnection, dialect: str, wanted: Sequence[NewRelayMessage], ids: Sequence[int],
    results: list[Accepted | Refused | None], now: datetime,
) -> None:
    """Write the idempotency keys; what has a key of before is answered with the message of before.

    Two doors that claim one key at once: the second waits for the first one's transaction, and then finds the key.
    """
    claims = {(it.workspace_id, hashed_key(it.idempotency_key)): number for number, it in reversed(list(
        enumerate(wanted))) if it.idempotency_key and results[number] is None}
    table = message_keys.c
    for (workspace_id, key), _number in sorted(claims.items()):
        await connection.execute(message_keys.delete().where(
            table.workspace_id == workspace_id, table.key == key, table.created_at <= now - _KEYS_FRESH))
    for number, it in enumerate(wanted):
        if not it.idempotency_key or results[number] is not None:
            continue
        key = hashed_key(it.idempotency_key)
        made = await connection.exec_driver_sql(*_claim(
            dialect, it.workspace_id, key, ids[number], it.fingerprint, now))
        if made.rowcount == 1:
            continue
        known = (await connection.execute(select(message_keys).where(
            table.workspace_id == it.workspace_id, table.key == key))).one()
        if known.fingerprint != it.fingerprint:
            results[number] = Refused(RefusalCode.IDEMPOTENCY_MISMATCH,
                                      "This idempotency key was used for another message within the last 24 hours.")
        elif known.message_id in ids:  # of this very transaction: its rows are not written yet
            results[number] = Refused(RefusalCode.RATE, "The same message is being taken just now; ask again.")
        else:
            results[number] = await replayed(connection, it.workspace_id, known.message_id)


def _claim(
    dialect: str, workspace_id: int, key: str, message_id: int, fingerprint: str, now: datetime
) -> tuple[str, tuple[Any, ...]]:
    columns = "INSERT INTO message_keys (workspace_id, key, message_id, fingerprint, created_at)"
    if dialect == "sqlite":
        return (f"{columns} VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
                (workspace_id, key, message_id, fingerprint, sqlite_instant(now)))
    return f"{columns} VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING", (
        workspace_id, key, message_id, fingerprint, now)


async def replayed(connection: AsyncConnection, workspace_id: int, message_id: int) -> Accepted | Refused:
    """The message of before, as it was answered then."""
    m, d = messages.c, deliveries.c
    row = (await connection.execute(select(m.public_id, m.state, m.header_id).where(
        m.id == message_id, m.workspace_id == workspace_id))).first()
    if row is None:  # it was erased meanwhile, and its key remains
        return Refused(RefusalCode.IDEMPOTENCY_MISMATCH, "The message of this idempotency key was erased.")
    placed = await connection.execute(
        select(d.address, d.id, d.state, d.reason).where(d.message_id == message_id).order_by(d.id))
    return Accepted(
        message_id, row.public_id, MessageState(row.state),
        tuple(Placed(it.address, it.id, it.reason if it.state == DeliveryState.SUPPRESSED.value else "")
              for it in placed),
        replayed=True, header_id=row.header_id)


async def _carrier(
    connection: AsyncConnection, message: NewRelayMessage, now: datetime, carriers: dict[Carrier, int]
) -> None:
    """The hidden campaign that carries what apps send over one stream from one domain; always sending, never done."""
    workspace_id, domain_id, stream_id = key = (message.workspace_id, message.domain_id, message.stream.id)
    if key in carriers:
        return
    domain = (await connection.execute(
        select(sending_domains.c.name)
        .where(sending_domains.c.id == domain_id, sending_domains.c.workspace_id == workspace_id).with_for_update()
    )).scalar_one_or_none()
    if domain is None:
        raise NotFoundError("There is no such sending domain.")
    it = campaigns.c
    found = (await connection.execute(select(it.id).where(
        it.workspace_id == workspace_id, it.domain_id == domain_id, it.relay_stream_id == stream_id).limit(1)
    )).scalar_one_or_none()
    if found is None:
        found = (await connection.execute(insert(campaigns).returning(it.id), {
            "public_id": new_public_id(), "workspace_id": workspace_id,
            "name": f"{message.stream.handle} of {domain}", "state": CampaignState.SENDING.value,
            "domain_id": domain_id, "stream": Stream.TRANSACTIONAL.value, "relay_stream_id": stream_id, "test_of": 0,
            "walk_done": True, "track_opens": False, "track_clicks": False, "version": 1, "created_at": now,
            "updated_at": now, "started_at": now,
        })).scalar_one()
    carriers[key] = int(found)


async def _contacts_of(
    connection: AsyncConnection, single: Sequence[NewRelayMessage]
) -> dict[tuple[int, str], int]:
    """Contacts by workspace and address key: what an app writes to a contact stands in the contact's timeline."""
    keys: dict[int, set[str]] = defaultdict(set)
    for it in single:
        keys[it.workspace_id].add(it.addressees[0].address.casefold())
    found: dict[tuple[int, str], int] = {}
    for workspace_id, wanted in keys.items():
        for some in chunked(sorted(wanted)):
            rows = await connection.execute(select(contacts.c.email_key, contacts.c.id).where(
                contacts.c.workspace_id == workspace_id, contacts.c.email_key.in_(some)))
            found.update({(workspace_id, key): number for key, number in rows})
    return found


async def _write(connection: AsyncConnection, dialect: str, rows: Rows) -> None:
    if not rows.messages:
        return
    groups = batched(rows)
    number_batches(rows, groups, await _numbers(connection, dialect, "batches", len(groups)))
    await _copy(connection, dialect, "messages", MESSAGE_COLUMNS, rows.messages)
    await _copy(connection, dialect, "message_bodies", BODY_COLUMNS, rows.bodies)
    await _copy(connection, dialect, "batches", BATCH_COLUMNS, rows.batch_rows)
    await _copy(connection, dialect, "deliveries", DELIVERY_COLUMNS, rows.deliveries)
    await write_events(connection, dialect, rows.accepted)
    await add_tallies(connection, dialect, rows.targeted)
    if rows.dropped:
        await append_events(connection, dialect, rows.dropped)


async def _copy(
    connection: AsyncConnection, dialect: str, table: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]
) -> None:
    """All rows in one go, past SQLAlchemy's treatment of each value, which costs more than the writing."""
    if not rows:
        return
    if dialect == "sqlite":
        marks = ", ".join("?" * len(columns))
        await connection.exec_driver_sql(
            f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})",  # noqa: S608
            [tuple(sqlite_instant(value) if isinstance(value, datetime) else value for value in row) for row in rows])
    else:
        raw = await connection.get_raw_connection()
        assert raw.driver_connection is not None
        await raw.driver_connection.copy_records_to_table(table, records=map(tuple, rows), columns=columns)
