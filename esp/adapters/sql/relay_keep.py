"""Accepted messages written: many at once, a handful of statements and one sync for all of them."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

import orjson
from sqlalchemy import insert, or_, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from esp.adapters.sql.exclusion import EXCLUDED_BY_RANK, SUPPRESSION_RANK
from esp.adapters.sql.ledger import add_tallies, append_events, chunked, sqlite_instant, write_events
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
from esp.events.fold import TallyKey
from esp.model.campaign import CampaignState
from esp.model.delivery import DeliveryState, EventType, NewEvent
from esp.model.ids import new_public_id
from esp.model.permission import Stream
from esp.model.relay import Accepted, MessageState, Placed, RefusalCode, Refused, barred
from esp.ports.relay import NewRelayMessage

#: What the delivery of a sandbox's message says for a reason: it was never meant to be sent.
SANDBOX: Final = "sandbox"
_KEYS_FRESH: Final = timedelta(hours=24)
_BATCH: Final = 200  # deliveries of one batch at most, as the engine's own
_MESSAGE_COLUMNS: Final = (
    "id", "public_id", "workspace_id", "delivery_id", "contact_id", "kind", "subject", "raw", "created_at", "size",
    "sender", "from_address", "from_key", "subject_key", "header_id", "tag", "tags", "metadata", "state", "recipients",
    "stream_id", "credential_id", "send_at", "track_opens", "track_clicks", "dsn",
)
_BODY_COLUMNS: Final = ("message_id", "workspace_id", "raw")
_BATCH_COLUMNS: Final = ("id", "workspace_id", "campaign_id", "provider", "stream", "state", "due_at", "size")
_DELIVERY_COLUMNS: Final = (
    "id", "workspace_id", "campaign_id", "contact_id", "variant_id", "batch_id", "address", "domain", "provider",
    "state", "created_at", "due_at", "message_id", "recipient_key",
)
_LONGEST_SUBJECT_KEY: Final = 200  # characters that are searched by

Carrier = tuple[int, int, int]  # workspace, domain, stream


@dataclass(slots=True)
class _Rows:
    """What one transaction writes."""

    messages: list[tuple[Any, ...]] = field(default_factory=list)
    bodies: list[tuple[Any, ...]] = field(default_factory=list)
    deliveries: list[list[Any]] = field(default_factory=list)
    accepted: list[NewEvent] = field(default_factory=list)
    dropped: list[NewEvent] = field(default_factory=list)
    targeted: Counter[TallyKey] = field(default_factory=Counter)
    #: Deliveries that share a batch: campaign, provider, stream kind, state, due, and whose batch it is alone.
    batches: dict[tuple[int, int, str, str, str, datetime, int], list[list[Any]]] = field(
        default_factory=lambda: defaultdict(list))


async def keep(
    connection: AsyncConnection, dialect: str, wanted: Sequence[NewRelayMessage], now: datetime,
    carriers: dict[Carrier, int],
) -> list[Accepted | Refused]:
    """``Relay.keep`` within the caller's transaction. ``carriers`` are campaigns known already; new ones are put in."""
    known = await suppressed_among(
        connection, {(it.workspace_id, one.address) for it in wanted for one in it.addressees}, now)
    results: list[Accepted | Refused | None] = [_refusal(it, known) for it in wanted]
    ids = await _numbers(connection, dialect, "messages", len(wanted))
    await _claim_keys(connection, dialect, wanted, ids, results, now)
    kept = [(number, it, ids[number]) for number, it in enumerate(wanted) if results[number] is None]
    rows = _Rows()
    for it in {(it.workspace_id, it.domain_id, it.stream.id): it for _, it, _ in kept}.values():
        await _carrier(connection, it, now, carriers)
    people = await _contacts_of(connection, [it for _, it, _ in kept if len(it.addressees) == 1])
    numbers = iter(await _numbers(connection, dialect, "deliveries", sum(len(it.addressees) for _, it, _ in kept)))
    for number, it, message_id in kept:
        campaign = carriers[it.workspace_id, it.domain_id, it.stream.id]
        results[number] = _add(rows, it, message_id, campaign, numbers, known, people, now, dialect)
    await _write(connection, dialect, rows, now)
    return [it for it in results if it is not None]


def _reason(known: Mapping[tuple[int, str], str], it: NewRelayMessage, address: str) -> str:
    """Why this recipient of ``it`` is dropped, or ''."""
    return barred(known.get((it.workspace_id, address), ""), it.stream.kind)


def _refusal(it: NewRelayMessage, known: Mapping[tuple[int, str], str]) -> Refused | None:
    if it.refuse and it.state is not MessageState.SANDBOX:
        for one in it.addressees:
            if reason := _reason(known, it, one.address):
                return Refused(RefusalCode.SUPPRESSED, f"This address is suppressed ({reason}).", one.address)
    return None


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


def _add(
    rows: _Rows, it: NewRelayMessage, message_id: int, campaign: int, numbers: Any,
    known: Mapping[tuple[int, str], str], people: Mapping[tuple[int, str], int], now: datetime, dialect: str,
) -> Accepted:
    public_id, placed = new_public_id(), []
    sandbox = it.state is MessageState.SANDBOX
    due = it.send_at if it.state is MessageState.SCHEDULED and it.send_at else now
    waiting = it.state in (MessageState.SCHEDULED, MessageState.HELD)
    person = people.get((it.workspace_id, it.addressees[0].address.casefold())) if len(it.addressees) == 1 else None
    for one in it.addressees:
        delivery_id = next(numbers)
        domain = one.address.rpartition("@")[2]
        provider = it.providers.get(domain, domain)
        # Under minus its own number, as everybody whom no contact is known for: one person may get many of these.
        row = [delivery_id, it.workspace_id, campaign, -delivery_id, 0, None, one.address, domain, provider,
               DeliveryState.QUEUED.value, now, due, message_id, one.address.casefold()]
        rows.deliveries.append(row)
        reason = SANDBOX if sandbox else _reason(known, it, one.address)
        placed.append(Placed(one.address, delivery_id, reason))
        rows.accepted.append(NewEvent(EventType.ACCEPTED, now, it.workspace_id, campaign, delivery_id, person, 0,
                                      provider=provider))
        if reason:
            rows.dropped.append(NewEvent(EventType.SUPPRESSED, now, it.workspace_id, campaign, delivery_id,
                                         detail={"reason": reason}))
        else:
            state = "held" if it.state is MessageState.HELD else "ready"
            rows.batches[it.workspace_id, campaign, provider, it.stream.kind.value, state, due,
                         message_id if waiting else 0].append(row)
    rows.targeted[TallyKey(it.workspace_id, campaign, "total", "", "targeted")] += len(placed)
    rows.bodies.append((message_id, it.workspace_id, it.raw))
    rows.messages.append((
        message_id, public_id, it.workspace_id, placed[0].delivery_id if len(placed) == 1 else None, person, it.kind,
        it.subject, b"", now, len(it.raw), it.sender, it.from_address, it.from_address.casefold(),
        it.subject.casefold()[:_LONGEST_SUBJECT_KEY], it.header_id, it.tags[0] if it.tags else "",
        orjson.dumps(it.tags).decode(), orjson.dumps(dict(it.metadata)).decode(), it.state.value, len(placed),
        it.stream.id, it.credential_id, it.send_at, it.track_opens, it.track_clicks, _notices(it),
    ))
    return Accepted(message_id, public_id, it.state, tuple(placed), header_id=it.header_id)


def _notices(it: NewRelayMessage) -> str | None:
    """What the sender asked to hear (RFC 3461), by recipient, where they asked for anything."""
    asked = {one.address: {"notify": sorted(one.notify), "orcpt": one.original}
             for one in it.addressees if one.notify or one.original}
    if not (asked or it.ret or it.envid):
        return None
    return orjson.dumps({"ret": it.ret, "envid": it.envid, "to": asked}).decode()


async def _write(connection: AsyncConnection, dialect: str, rows: _Rows, now: datetime) -> None:
    if not rows.messages:
        return
    groups = [(key, some) for key, whole in rows.batches.items()
              for some in (whole[at:at + _BATCH] for at in range(0, len(whole), _BATCH))]
    batch_rows: list[tuple[Any, ...]] = []
    for batch_id, (key, some) in zip(await _numbers(connection, dialect, "batches", len(groups)), groups, strict=True):
        workspace_id, campaign, provider, stream, state, due, _alone = key
        batch_rows.append((batch_id, workspace_id, campaign, provider, stream, state, due, len(some)))
        for row in some:
            row[5] = batch_id
    await _copy(connection, dialect, "messages", _MESSAGE_COLUMNS, rows.messages)
    await _copy(connection, dialect, "message_bodies", _BODY_COLUMNS, rows.bodies)
    await _copy(connection, dialect, "batches", _BATCH_COLUMNS, batch_rows)
    await _copy(connection, dialect, "deliveries", _DELIVERY_COLUMNS, rows.deliveries)
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
