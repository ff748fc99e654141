"""A step of the walk, written by statements over sets: the people go into a temporary table and from there home.

No person comes to Python: only how many there are of each domain, variant and reason does, of which batches are made.
"""

# ruff: noqa: S608 - statements are put together from words of ours alone; every value is bound

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import accumulate
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    MetaData,
    Select,
    Table,
    Text,
    bindparam,
    case,
    func,
    insert,
    literal,
    select,
    text,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from esp.adapters.sql.ledger import add_tallies
from esp.adapters.sql.schema import Id, Instant, batches
from esp.events.fold import TallyKey, minute_of
from esp.model.contact import ExclusionReason
from esp.model.delivery import DeliveryState, EventType
from esp.model.split import FIRST_PRIME, SECOND_PRIME, multipliers
from esp.ports.campaigns import BatchPlan, Campaign, Variant

_walking = Table(
    "walking", MetaData(), Column("contact_id", BigInteger), Column("address", Text), Column("domain", Text),
    Column("reason", Text), Column("variant_id", BigInteger),
)
_PEOPLE: Final = "contact_id {key}, address text, domain text, reason text, variant_id bigint"
_TABLES: Final = {
    "sqlite": (
        f"walking ({_PEOPLE.format(key='integer PRIMARY KEY')})",
        "walking_domains (domain text PRIMARY KEY, provider text, share text) WITHOUT ROWID",
        "walking_batches (share text, piece integer, batch_id integer, PRIMARY KEY (share, piece)) WITHOUT ROWID",
    ),
    "postgresql": (
        f"walking ({_PEOPLE.format(key='bigint')}) ON COMMIT DROP",
        "walking_domains (domain text, provider text, share text) ON COMMIT DROP",
        "walking_batches (share text, piece bigint, batch_id bigint) ON COMMIT DROP",
    ),
}
_HOME: Final = ("workspace_id, campaign_id, contact_id, variant_id, address, domain, provider, state, reason,"
                " created_at, batch_id, due_at, ended_at")
# Numbered within their share by their key alone, and joined with the rest again: to sort whole rows costs more.
_QUEUE: Final = f"""
INSERT INTO deliveries ({_HOME})
SELECT :workspace, :campaign, w.contact_id, w.variant_id, w.address, w.domain, n.provider, :state, '', :now, b.batch_id,
       :now, NULL
FROM (SELECT p.contact_id, d.provider, d.share,
             (row_number() OVER (PARTITION BY d.share ORDER BY p.contact_id) - 1) / :size AS piece
      FROM walking p JOIN walking_domains d ON d.domain = p.domain WHERE p.reason = '') n
JOIN walking_batches b ON b.share = n.share AND b.piece = n.piece
JOIN walking w ON w.contact_id = n.contact_id"""
_EXCLUDE: Final = f"""
INSERT INTO deliveries ({_HOME})
SELECT :workspace, :campaign, w.contact_id, w.variant_id, w.address, w.domain, coalesce(d.provider, ''), :state,
       w.reason, :now, NULL, NULL, :now
FROM walking w LEFT JOIN walking_domains d ON d.domain = w.domain WHERE w.reason <> '' ORDER BY w.contact_id"""
_THEIRS: Final = "FROM walking w JOIN deliveries d ON d.campaign_id = :campaign AND d.contact_id = w.contact_id"
_TELL: Final = f"""
INSERT INTO events (workspace_id, type, at, campaign_id, delivery_id, contact_id, variant_id, provider, agent, ip,
                    user_agent, detail)
SELECT :workspace, :state, :now, :campaign, d.id, d.contact_id, d.variant_id, d.provider, '', '', '', %s
{_THEIRS} WHERE w.reason <> '' ORDER BY d.id"""
_DETAIL: Final = {"sqlite": "json_object('reason', d.reason)", "postgresql": "jsonb_build_object('reason', d.reason)"}
_KEEP_BACK: Final = f"""
INSERT INTO digest_items (workspace_id, contact_id, campaign_id, delivery_id, at)
SELECT :workspace, d.contact_id, :campaign, d.id, :now {_THEIRS} WHERE w.reason = :reason ORDER BY d.id
ON CONFLICT DO NOTHING"""
_TYPES: Final[Mapping[str, Any]] = {"workspace": Id, "campaign": Id, "size": Id, "now": Instant}
_SUPPRESSED: Final = DeliveryState.SUPPRESSED.value


@dataclass(frozen=True, slots=True)
class Crowd:
    """So many people of one domain who get one variant, or do not get it for one reason ('': they do)."""

    domain: str
    variant_id: int
    reason: str
    people: int


def variant_of(campaign_id: int, variants: Sequence[Variant], contact_id: ColumnElement[int]) -> ColumnElement[int]:
    """The id of the contact's variant: ``esp.model.split.cell``, said in SQL."""
    *most, last = variants
    if not most:
        return literal(last.id, Id)
    weights = [variant.edit.weight for variant in variants]
    first, second = (literal(one, Id) for one in multipliers(campaign_id))
    here, there = literal(FIRST_PRIME, Id), literal(SECOND_PRIME, Id)
    mark = contact_id % here * first % here * second % there % literal(sum(weights), Id)
    return case(*((mark < end, literal(one.id, Id)) for one, end in zip(most, accumulate(weights), strict=False)),
                else_=literal(last.id, Id))


class StepWriter:
    """The temporary tables of one step, within the transaction that moves the campaign's cursor."""

    def __init__(self, connection: AsyncConnection, dialect: str, campaign: Campaign, now: datetime) -> None:
        self._connection, self._dialect = connection, dialect
        self._campaign, self._now = campaign, now

    async def stage(self, people: Select[Any], variants: Sequence[Variant]) -> list[Crowd]:
        """Put ``people`` (id, email, domain, reason) into the table, each with a variant; returns how many of what."""
        await self.drop()
        if self._dialect == "postgresql":
            await self._do("SET LOCAL jit = off")  # to compile takes longer than what it saves a step
        for table in _TABLES[self._dialect]:
            await self._connection.exec_driver_sql(f"CREATE TEMPORARY TABLE {table}")
        it = people.subquery().c
        found = select(it.id, it.email, it.domain, it.reason, variant_of(self._campaign.id, variants, it.id))
        await self._connection.execute(insert(_walking).from_select(list(_walking.c.keys()), found))
        kinds = (_walking.c.domain, _walking.c.variant_id, _walking.c.reason)
        rows = await self._connection.execute(select(*kinds, func.count()).group_by(*kinds).order_by(*kinds))
        return [Crowd(*row) for row in rows]

    async def write(self, crowds: Collection[Crowd], providers: Mapping[str, str], plan: BatchPlan) -> None:
        """Deliveries and batches of the staged people; events and items of those who will not get it; tallies."""
        await self._fill("walking_domains", [
            (domain, provider, plan.shares.get(provider, "")) for domain, provider in providers.items()])
        await self._make_batches(plan)
        if getting := sum(crowd.people for crowd in crowds if not crowd.reason):
            queued = await self._do(_QUEUE, state=DeliveryState.QUEUED.value, size=plan.size)
            if queued != getting:  # a person whom a plan left out would be lost without a word
                raise RuntimeError(f"{getting} people are to get campaign {self._campaign.id}, {queued} have a batch.")
        if any(crowd.reason for crowd in crowds):
            await self._do(_EXCLUDE, state=_SUPPRESSED)
            await self._do(_TELL % _DETAIL[self._dialect], state=EventType.SUPPRESSED.value)
        if any(crowd.reason == ExclusionReason.DIGEST.value for crowd in crowds):
            await self._do(_KEEP_BACK, reason=ExclusionReason.DIGEST.value)
        await add_tallies(self._connection, self._dialect, self._tallies(crowds, providers))
        await self.drop()

    async def drop(self) -> None:
        """Free the tables' memory; on PostgreSQL they go with the transaction."""
        if self._dialect == "sqlite":
            for table in ("walking", "walking_domains", "walking_batches"):
                await self._connection.exec_driver_sql(f"DROP TABLE IF EXISTS temp.{table}")

    async def _make_batches(self, plan: BatchPlan) -> None:
        if not plan.batches:
            return
        made = await self._connection.execute(insert(batches).returning(batches.c.id, sort_by_parameter_order=True), [
            {"workspace_id": self._campaign.workspace_id, "campaign_id": self._campaign.id,
             "provider": batch.provider, "size": batch.size, "state": "ready", "due_at": self._now}
            for batch in plan.batches])
        pieces = Counter[str]()
        places: list[tuple[Any, ...]] = []
        for batch, batch_id in zip(plan.batches, made.scalars(), strict=True):
            places.append((batch.provider, pieces[batch.provider], batch_id))
            pieces[batch.provider] += 1
        await self._fill("walking_batches", places)

    def _tallies(self, crowds: Collection[Crowd], providers: Mapping[str, str]) -> Counter[TallyKey]:
        counts = Counter[TallyKey]()
        for crowd in crowds:
            told = [("total", ""), ("provider", providers.get(crowd.domain, "")), ("variant", str(crowd.variant_id))]
            self._count(counts, told, "targeted", crowd.people)
            if crowd.reason:
                told += [("minute", minute_of(self._now)), ("reason", crowd.reason)]
                self._count(counts, told, EventType.SUPPRESSED.value, crowd.people)
        return counts

    def _count(
        self, counts: Counter[TallyKey], told: Collection[tuple[str, str]], metric: str, people: int,
    ) -> None:
        for dimension, member in told:
            counts[TallyKey(self._campaign.workspace_id, self._campaign.id, dimension, member, metric)] += people

    async def _fill(self, table: str, rows: Sequence[tuple[Any, ...]]) -> None:
        if not rows:
            return
        if self._dialect == "sqlite":
            marks = ", ".join("?" * len(rows[0]))
            await self._connection.exec_driver_sql(f"INSERT INTO temp.{table} VALUES ({marks})", list(rows))
        else:
            raw = await self._connection.get_raw_connection()
            assert raw.driver_connection is not None
            await raw.driver_connection.copy_records_to_table(table, records=rows)

    async def _do(self, statement: str, **values: Any) -> int:
        values |= {"workspace": self._campaign.workspace_id, "campaign": self._campaign.id, "now": self._now}
        named = {name: value for name, value in values.items() if re.search(rf":{name}\b", statement)}
        typed = (bindparam(name, value, _TYPES.get(name, Text)) for name, value in named.items())
        return (await self._connection.execute(text(statement).bindparams(*typed))).rowcount
