"""The outbox in SQL: a claim is a row lock, a lease and a fence; what is written afterwards is guarded by all three."""

import math
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from operator import attrgetter
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Row,
    Select,
    and_,
    bindparam,
    exists,
    func,
    or_,
    select,
    tuple_,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from esp.adapters.sql.database import Database
from esp.adapters.sql.digests import items_of
from esp.adapters.sql.exclusion import EXCLUDED_BY_RANK, choice, join_choice, suppression_rank
from esp.adapters.sql.ledger import append_events, append_suppressions, chunked, sqlite_instant
from esp.adapters.sql.messages import load_messages, refused_messages
from esp.adapters.sql.schema import (
    Id,
    batches,
    campaigns,
    contact_preferences,
    contacts,
    deliveries,
    subscriptions,
    suppressions,
)
from esp.errors import LeaseLostError
from esp.model.campaign import CampaignState
from esp.model.contact import ExclusionReason, SubscriptionState
from esp.model.delivery import OPEN_STATES, EventType, NewEvent
from esp.model.permission import Stream
from esp.ports.digests import DigestItem
from esp.ports.ledger import NewSuppression
from esp.ports.outbox import ClaimedBatch, OutboxRow, Outcome, Postponed

_DETAILS: Final = ("reason", "rule", "code", "reply", "host", "tls", "maybe_duplicate")
_details_of: Final = attrgetter(*_DETAILS)
_STEPS: Final = (1, 5, 15, 60)  # seconds; a few fixed ones, so that different waits meet at the same times
_MOST_AVOIDED: Final = 500
_OPEN: Final = tuple(state.value for state in OPEN_STATES)
# Driver-level statements, as in the ledger: one row a deferred message.
_REBATCH_SQLITE: Final = """
UPDATE deliveries SET batch_id = ?, due_at = ? WHERE id = ? AND state IN ('queued', 'deferred')"""
_REBATCH_POSTGRES: Final = """
UPDATE deliveries AS d SET batch_id = v.batch, due_at = v.due FROM unnest($1::bigint[], $2::timestamptz[], $3::bigint[])
AS v(batch, due, id) WHERE d.id = v.id AND d.state IN ('queued', 'deferred')"""


class SqlOutbox:
    """Outbox over SQLite or PostgreSQL; ``batch_size`` bounds the batches that deferred deliveries are gathered in."""

    def __init__(self, database: Database, batch_size: int = 200) -> None:
        self._database = database
        self._batch_size = batch_size

    async def claim(
        self, owner: str, lease_seconds: float, now: datetime, avoid_providers: Collection[str] = (),
        avoid_pairs: Collection[tuple[int, str]] = (), avoid_campaigns: Collection[int] = (),
    ) -> ClaimedBatch | None:
        """See ``esp.ports.outbox.Outbox.claim``."""
        # A day on which thousands of servers are down must not make a statement that no database takes; a batch for one
        # that was not left out is given back at once.
        asked = {"now": now, "providers": sorted(avoid_providers)[:_MOST_AVOIDED], "pairs": sorted(avoid_pairs),
                 "campaigns": sorted(avoid_campaigns)}
        waiting, single = _claimable(False, False), _claimable(True, False)
        async with self._database.read() as connection:
            # Most polls find nothing; looking first keeps them from asking SQLite for its one write lock.
            urgent = (await connection.execute(single, asked)).first() is not None
            # Somebody waits for a single message, whatever the broadcasts have in front of them.
            if not urgent and (await connection.execute(waiting, asked)).first() is None:
                return None
        async with self._database.write() as connection:
            found = (await connection.execute(_claimable(urgent, True), asked)).first()
            if found is None:
                return None
            lost = found.state == "leased"
            until = now + timedelta(seconds=lease_seconds)
            await connection.execute(
                update(batches).where(batches.c.id == found.id)
                .values(state="leased", owner=owner, lease_until=until, fence=found.fence + 1)
            )
            if lost:
                await _mark_doubtful(connection, found.id)
        return ClaimedBatch(found.id, found.workspace_id, found.campaign_id, found.provider, found.size, owner,
                            found.fence + 1, until, taken_from=found.owner if lost else "")

    async def load(self, batch: ClaimedBatch, now: datetime) -> tuple[OutboxRow, ...]:
        """See ``esp.ports.outbox.Outbox.load``."""
        async with self._database.read() as connection:
            it = await _audience_of(connection, batch)
            if it.single:
                return await load_messages(connection, batch, now)
            rows = (await connection.execute(_loading(it.digest, False), _asked(batch, it, now))).all()
            items = await _digest_items(connection, batch, it, rows)
        return tuple([_outbox_row(row, it, items) for row in rows])

    async def refused(self, batch: ClaimedBatch, now: datetime) -> dict[int, str]:
        """See ``esp.ports.outbox.Outbox.refused``."""
        async with self._database.read() as connection:
            it = await _audience_of(connection, batch)
            if it.single:
                return await refused_messages(connection, batch, now)
            rows = (await connection.execute(_loading(it.digest, True), _asked(batch, it, now))).all()
            items = await _digest_items(connection, batch, it, rows)
        refused = {}
        for delivery_id, contact_id, known, suppressed, subscribed, chosen in rows:
            reason = _refusal(known, suppressed, subscribed, chosen, it, bool(items.get(contact_id)))
            if reason:
                refused[delivery_id] = reason
        return refused

    async def renew(self, batches_: Sequence[ClaimedBatch], lease_seconds: float, now: datetime) -> frozenset[int]:
        """See ``esp.ports.outbox.Outbox.renew``."""
        ours: set[int] = set()
        if batches_:
            async with self._database.write() as connection:
                for some in chunked(sorted(batches_, key=lambda batch: batch.id)):
                    held = or_(*(_held(batch) for batch in some))
                    result = await connection.execute(
                        update(batches).where(held).values(lease_until=now + timedelta(seconds=lease_seconds))
                        .returning(batches.c.id)
                    )
                    ours.update(result.scalars())
        return frozenset(ours)

    async def record(
        self, batch: ClaimedBatch, outcomes: Sequence[Outcome], now: datetime, *,
        postponed: Sequence[Postponed] = (), finished: bool = False, rest_doubtful: bool = False,
        ready_in: float = 0.0,
    ) -> None:
        """See ``esp.ports.outbox.Outbox.record``."""
        async with self._database.write() as connection:
            held = (await connection.execute(select(batches.c.id).where(_held(batch)).with_for_update())).first()
            if held is None:
                raise LeaseLostError(f"Batch {batch.id} was taken over while we held it as fence {batch.fence}.")
            dialect = self._database.dialect
            await append_events(connection, dialect, [_event(batch, outcome) for outcome in outcomes])
            await append_suppressions(connection, [
                NewSuppression(batch.workspace_id, outcome.row.email_key, outcome.suppress, outcome.row.delivery_id,
                               note=outcome.reply)
                for outcome in outcomes if outcome.suppress is not None
            ])
            later = [(outcome.row, outcome.due_at) for outcome in outcomes if outcome.due_at is not None]
            later += [(item.row, item.due_at) for item in postponed]
            await self._rebatch(connection, batch, later, now)
            if rest_doubtful:
                await _mark_doubtful(connection, batch.id)
            if finished:
                await _finish(connection, batch, now + timedelta(seconds=ready_in))

    async def sending_campaigns(self) -> frozenset[int]:
        """See ``esp.ports.outbox.Outbox.sending_campaigns``."""
        async with self._database.read() as connection:
            result = await connection.execute(
                select(campaigns.c.id).where(campaigns.c.state == CampaignState.SENDING.value)
            )
            return frozenset(result.scalars())

    async def leased_to(self, owner: str) -> tuple[ClaimedBatch, ...]:
        """See ``esp.ports.outbox.Outbox.leased_to``."""
        async with self._database.read() as connection:
            rows = await connection.execute(
                select(batches).where(batches.c.state == "leased", batches.c.owner == owner).order_by(batches.c.id)
            )
            return tuple(ClaimedBatch(row.id, row.workspace_id, row.campaign_id, row.provider, row.size, row.owner,
                                      row.fence, row.lease_until) for row in rows)

    async def _rebatch(
        self, connection: AsyncConnection, batch: ClaimedBatch, later: Sequence[tuple[OutboxRow, datetime]],
        now: datetime,
    ) -> None:
        """Gather deliveries by provider and time into batches, joining such as are there and not full."""
        groups: dict[tuple[str, datetime], list[int]] = defaultdict(list)
        for row, due_at in later:
            groups[row.provider, _gathered(due_at, now)].append(row.delivery_id)
        moves: list[tuple[int, datetime, int]] = []
        for (provider, due_at), ids in sorted(groups.items()):
            while ids:
                batch_id, room = await self._room(connection, batch, provider, due_at)
                joining, ids = ids[:room], ids[room:]
                moves += [(batch_id, due_at, delivery_id) for delivery_id in joining]
                await connection.execute(
                    update(batches).where(batches.c.id == batch_id).values(size=batches.c.size + len(joining))
                )
        if not moves:
            return
        if self._database.dialect == "sqlite":
            await connection.exec_driver_sql(
                _REBATCH_SQLITE, [(batch_id, sqlite_instant(due), delivery) for batch_id, due, delivery in moves]
            )
        else:
            await connection.exec_driver_sql(_REBATCH_POSTGRES, tuple(map(list, zip(*moves, strict=True))))

    async def _room(
        self, connection: AsyncConnection, batch: ClaimedBatch, provider: str, due_at: datetime
    ) -> tuple[int, int]:
        """A ready batch of this campaign, provider and time, locked, and how many more it takes."""
        found = (await connection.execute(
            select(batches.c.id, batches.c.size).where(
                batches.c.state == "ready", batches.c.due_at == due_at, batches.c.campaign_id == batch.campaign_id,
                batches.c.provider == provider, batches.c.size < self._batch_size, batches.c.id != batch.id,
            ).limit(1).with_for_update(skip_locked=True)
        )).first()
        if found is not None:
            return found.id, self._batch_size - found.size
        created = await connection.execute(batches.insert().values(
            workspace_id=batch.workspace_id, campaign_id=batch.campaign_id, provider=provider, state="ready",
            due_at=due_at, size=0,
        ).returning(batches.c.id))
        return created.scalar_one(), self._batch_size


@lru_cache(maxsize=4)
def _claimable(single: bool, locked: bool) -> Select[Any]:
    """The batch that comes next, ``single`` messages' only or any; ``locked`` for whoever takes it. Built once, for
    every worker asks it every second."""
    table = batches.c
    now = bindparam("now", type_=table.due_at.type)
    statement = (
        select(batches).join(campaigns, campaigns.c.id == table.campaign_id)
        .where(
            campaigns.c.state == CampaignState.SENDING.value,
            or_(and_(table.state == "ready", table.due_at <= now),
                and_(table.state == "leased", table.lease_until < now)),
            table.provider.not_in(bindparam("providers", expanding=True)),
            tuple_(table.campaign_id, table.provider).not_in(bindparam("pairs", expanding=True)),
            table.campaign_id.not_in(bindparam("campaigns", expanding=True)),
        )
        .order_by(table.due_at, table.id).limit(1)
    )
    if single:
        statement = statement.where(table.stream == Stream.TRANSACTIONAL.value)
    return statement.with_for_update(of=batches, skip_locked=True) if locked else statement


def _held(batch: ClaimedBatch) -> ColumnElement[bool]:
    """The guard of every late write: a zombie's batch has another owner or a higher fence by now."""
    table = batches.c
    return and_(table.id == batch.id, table.owner == batch.owner, table.fence == batch.fence, table.state == "leased")


async def _mark_doubtful(connection: AsyncConnection, batch_id: int) -> None:
    await connection.execute(
        update(deliveries).where(deliveries.c.batch_id == batch_id, deliveries.c.state.in_(_OPEN))
        .values(maybe_duplicate=True)
    )


async def _finish(connection: AsyncConnection, batch: ClaimedBatch, due_at: datetime) -> None:
    left = await connection.scalar(
        select(func.count()).where(deliveries.c.batch_id == batch.id, deliveries.c.state.in_(_OPEN))
    )
    ending: dict[str, Any] = {"state": "ready", "due_at": due_at, "size": left} if left else {"state": "done"}
    await connection.execute(
        update(batches).where(batches.c.id == batch.id).values(owner="", lease_until=None, **ending)
    )


@dataclass(frozen=True, slots=True)
class _Aim:
    """What of a campaign decides who gets it: its lists, its topic, whether it is a digest; the fields of a test send
    (which has no lists), else None."""

    include: Sequence[int]
    topic_id: int | None
    digest: bool
    sample: Mapping[str, Any] | None
    single: bool  # single messages, which are for one person each and carry their own text


async def _audience_of(connection: AsyncConnection, batch: ClaimedBatch) -> _Aim:
    of = campaigns.c
    row = (await connection.execute(
        select(of.include_lists, of.test_of, of.sample, of.topic_id, of.digest, of.stream)
        .where(of.id == batch.campaign_id, of.workspace_id == batch.workspace_id)
    )).one()
    return _Aim([int(list_id) for list_id in row.include_lists], row.topic_id, bool(row.digest),
                None if row.test_of is None else row.sample or {}, row.stream == Stream.TRANSACTIONAL.value)


async def _digest_items(
    connection: AsyncConnection, batch: ClaimedBatch, it: _Aim, rows: Sequence[Row[Any]]
) -> dict[int, tuple[DigestItem, ...]]:
    if not it.digest:
        return {}
    return await items_of(connection, batch.workspace_id, batch.campaign_id, [row.contact_id for row in rows])


def _asked(batch: ClaimedBatch, it: _Aim, now: datetime) -> dict[str, Any]:
    """The parameters of ``_loading``."""
    return {"workspace": batch.workspace_id, "batch": batch.id, "lists": list(it.include), "now": now,
            "topic": it.topic_id or 0}


@lru_cache(maxsize=4)
def _loading(digest: bool, checks_only: bool) -> Select[Any]:
    """Open deliveries with their contacts and what may stand in the way of each, or that alone.

    Built once: to build it costs as much as to run it, and it is asked for every second of every batch.
    """
    d, c, s = deliveries.c, contacts.c, subscriptions.c
    workspace, lists = bindparam("workspace", type_=Id), bindparam("lists", type_=Id, expanding=True)
    now = bindparam("now", type_=suppressions.c.expires_at.type)
    key = func.coalesce(c.email_key, func.lower(d.address))
    suppressed = suppression_rank(workspace, lists, now, key)
    subscribed = exists().where(
        s.contact_id == d.contact_id, s.list_id.in_(lists), s.state == SubscriptionState.SUBSCRIBED.value,
        s.workspace_id == workspace,
    )
    people = deliveries.outerjoin(contacts, and_(c.id == d.contact_id, c.workspace_id == workspace))
    checks = (c.id.is_not(None).label("known"), suppressed.label("suppressed"), subscribed.label("subscribed"),
              choice(now, digest).label("choice"))
    columns = (d.id, d.contact_id) if checks_only else (
        d.id, d.contact_id, d.variant_id, d.address, d.domain, d.provider, d.attempts, d.created_at, d.reason,
        d.maybe_duplicate, key.label("key"), c.email, c.first_name, c.last_name, c.city, c.country, c.language,
        c.time_zone, c.birth_date, c.fields, contact_preferences.c.tracking_off,
    )
    return (
        select(*columns, *checks)
        .select_from(join_choice(people, d.contact_id, bindparam("topic", type_=Id)))
        .where(d.batch_id == bindparam("batch", type_=Id), d.workspace_id == workspace, d.state.in_(_OPEN))
        .order_by(d.id)
    )


def _refusal(known: bool, suppressed: int | None, subscribed: bool, choice: str, it: _Aim, items: bool) -> str:
    if suppressed is not None:
        return EXCLUDED_BY_RANK[suppressed].value
    if it.sample is not None:
        return ""
    if not (known and subscribed) or (it.digest and not items):
        return ExclusionReason.UNSUBSCRIBED.value  # somebody who was erased meanwhile is on no list either
    return str(choice)


def _outbox_row(row: Sequence[Any], it: _Aim, items: Mapping[int, tuple[DigestItem, ...]]) -> OutboxRow:
    # Taken apart at once, for to ask a row for each of its columns by name costs ten times as much.
    (
        id_, contact_id, variant_id, address, domain, provider, attempts, created_at, reason, maybe_duplicate, key,
        email, first_name, last_name, city, country, language, time_zone, birth_date, own, tracking_off,
        known, suppressed, subscribed, choice,
    ) = row  # fmt: skip
    found = items.get(contact_id, ())
    fields = it.sample if it.sample is not None else {
        **(own or {}), "first_name": first_name, "last_name": last_name, "email": email, "city": city,
        "country": country, "language": language, "time_zone": time_zone, "birth_date": birth_date,
    }
    return OutboxRow(
        id_, contact_id, variant_id, address, key, domain, provider, attempts, created_at, reason, maybe_duplicate,
        _refusal(known, suppressed, subscribed, choice, it, bool(found)), fields, not tracking_off, found,
    )


def _event(batch: ClaimedBatch, outcome: Outcome) -> NewEvent:
    row, tried = outcome.row, outcome.tried
    detail = {name: value for name, value in zip(_DETAILS, _details_of(outcome), strict=True) if value}
    detail["attempt"] = row.attempts + 1 if tried else row.attempts
    assert (outcome.due_at is not None) == (outcome.type is EventType.DEFERRED)
    return NewEvent(outcome.type, outcome.at, batch.workspace_id, batch.campaign_id, row.delivery_id, row.contact_id,
                    row.variant_id, provider=row.provider, detail=detail)


def _gathered(due_at: datetime, now: datetime) -> datetime:
    """``due_at`` rounded up by a tenth of the wait: what is deferred at nearly the same time makes one batch."""
    wait = (due_at - now).total_seconds()
    step = max((step for step in _STEPS if step <= wait / 10), default=_STEPS[0])
    return datetime.fromtimestamp(math.ceil(due_at.timestamp() / step) * step, due_at.tzinfo)
