"""Segments in SQL: saved rules, the people whom they find, snapshots, and what rules can speak of."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from sqlalchemy import Row, delete, func, insert, literal, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from esp.adapters.sql.database import Database
from esp.adapters.sql.patience import execute_within
from esp.adapters.sql.schema import (
    campaigns,
    contact_fields,
    contacts,
    links,
    lists,
    segment_members,
    segment_snapshots,
    segments,
    tags,
    topics,
    workspaces,
)
from esp.adapters.sql.search import contact_of
from esp.adapters.sql.segment_index import make_indexes
from esp.adapters.sql.segment_sql import matching
from esp.errors import ConflictError, InputError, NotFoundError
from esp.model.campaign import CampaignState
from esp.model.fields import FieldType
from esp.model.ids import new_public_id
from esp.model.segment import CUSTOM, NOBODY, Group, Rule, SegmentRule, inlined
from esp.model.segment_json import parse_rule, rule_json
from esp.ports.campaigns import Campaign, SegmentRules
from esp.ports.contacts import STANDARD_FIELDS, Contact
from esp.ports.segments import FieldName, Segment, SegmentName, Snapshot, Vocabulary

_TAKEN: Final = "There is a segment of this name already; choose another one."
_NEWEST_CAMPAIGNS: Final = 100
_SEEN_CONTACTS: Final = 200


def _segment_of(row: Row[Any]) -> Segment:
    return Segment(row.id, row.public_id, row.workspace_id, row.name, row.description, parse_rule(row.rule),
                   row.counted, row.counted_at, row.created_at, row.updated_at)


def _snapshot_of(row: Row[Any]) -> Snapshot:
    return Snapshot(row.id, row.segment_id, row.name, parse_rule(row.rule), row.size, row.created_at)


async def read_segment_rules(connection: AsyncConnection, workspace_id: int) -> dict[int, Group]:
    """Every segment's rule by its number, to put them into each other."""
    rows = await connection.execute(
        select(segments.c.id, segments.c.rule).where(segments.c.workspace_id == workspace_id))
    return {row.id: parse_rule(row.rule) for row in rows}


async def read_segment_rules_of(connection: AsyncConnection, campaign: Campaign) -> SegmentRules:
    """The rules of a draft's segments as they are now. Where one is broken nobody is in it: it is said elsewhere, and
    such a campaign is not sent."""
    rules = await read_segment_rules(connection, campaign.workspace_id)

    def of(segment_id: int) -> Group:
        try:
            rule = inlined(SegmentRule(segment_id), rules)
        except InputError:
            return NOBODY
        return rule if isinstance(rule, Group) else NOBODY

    return SegmentRules(tuple(map(of, campaign.include_segments)), tuple(map(of, campaign.exclude_segments)))


async def zone_of(connection: AsyncConnection, workspace_id: int) -> ZoneInfo:
    """Where the workspace's days begin."""
    found = await connection.execute(select(workspaces.c.time_zone).where(workspaces.c.id == workspace_id))
    return ZoneInfo(found.scalar() or "UTC")


async def _read(connection: AsyncConnection, workspace_id: int, segment_id: int) -> Segment:
    row = (await connection.execute(
        select(segments).where(segments.c.id == segment_id, segments.c.workspace_id == workspace_id)
    )).one_or_none()
    if row is None:
        raise NotFoundError("There is no such segment.")
    return _segment_of(row)


class SqlSegments:
    """The port ``Segments`` on SQLite and PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # ---- saved rules

    async def create(self, workspace_id: int, name: str, description: str, rule: Group, now: datetime) -> Segment:
        try:
            async with self._database.write() as connection:
                made = await connection.execute(insert(segments).returning(segments.c.id), {
                    "public_id": new_public_id(), "workspace_id": workspace_id, "name": name,
                    "description": description, "rule": rule_json(rule), "created_at": now, "updated_at": now,
                })
                return await _read(connection, workspace_id, made.scalar_one())
        except IntegrityError:
            raise ConflictError(_TAKEN) from None

    async def edit(
        self, workspace_id: int, segment_id: int, name: str, description: str, rule: Group, now: datetime,
    ) -> Segment:
        try:
            async with self._database.write() as connection:
                await connection.execute(
                    update(segments).where(segments.c.id == segment_id, segments.c.workspace_id == workspace_id)
                    .values(name=name, description=description, rule=rule_json(rule), updated_at=now, counted=None,
                            counted_at=None)
                )
                return await _read(connection, workspace_id, segment_id)
        except IntegrityError:
            raise ConflictError(_TAKEN) from None

    async def delete(self, workspace_id: int, segment_id: int) -> None:
        async with self._database.write() as connection:
            await _read(connection, workspace_id, segment_id)
            await connection.execute(
                update(segment_snapshots).where(segment_snapshots.c.segment_id == segment_id).values(segment_id=None))
            await connection.execute(delete(segments).where(segments.c.id == segment_id))

    async def get(self, workspace_id: int, segment_id: int) -> Segment:
        async with self._database.read() as connection:
            return await _read(connection, workspace_id, segment_id)

    async def list(self, workspace_id: int, after: str = "", limit: int = 100) -> tuple[Segment, ...]:
        query = select(segments).where(segments.c.workspace_id == workspace_id)
        if after:
            query = query.where(segments.c.name > after)
        async with self._database.read() as connection:
            rows = await connection.execute(query.order_by(segments.c.name).limit(limit))
            return tuple(_segment_of(row) for row in rows)

    # ---- what rules can speak of

    async def vocabulary(self, workspace_id: int, wanted_campaigns: Sequence[int] = ()) -> Vocabulary:
        async with self._database.read() as connection:
            async def named(table: Any, *conditions: Any, column: str = "name") -> dict[int, str]:
                rows = await connection.execute(
                    select(table.c.id, table.c[column]).where(table.c.workspace_id == workspace_id, *conditions)
                    .order_by(table.c[column], table.c.id))
                return {row[0]: row[1] for row in rows}

            newest = (
                select(campaigns.c.id, campaigns.c.name)
                .where(campaigns.c.workspace_id == workspace_id, campaigns.c.test_of.is_(None),
                       campaigns.c.started_at.is_not(None))
                .order_by(campaigns.c.id.desc()).limit(_NEWEST_CAMPAIGNS))
            known = {row[0]: row[1] for row in await connection.execute(newest)}
            if more := [one for one in dict.fromkeys(wanted_campaigns) if one not in known][:500]:
                known |= await named(campaigns, campaigns.c.id.in_(more))
            rows = await connection.execute(
                select(segments.c.id, segments.c.name, segments.c.rule)
                .where(segments.c.workspace_id == workspace_id).order_by(segments.c.name))
            return Vocabulary(
                fields=await _fields(connection, workspace_id), lists=await named(lists, lists.c.archived_at.is_(None)),
                tags=await named(tags), topics=await named(topics, topics.c.archived_at.is_(None)), campaigns=known,
                snapshots=await named(segment_snapshots),
                segments={row.id: SegmentName(row.name, parse_rule(row.rule)) for row in rows})

    async def links(self, workspace_id: int, wanted_campaigns: Sequence[int], limit: int = 100) -> tuple[str, ...]:
        of = links.c
        query = select(of.url).where(of.workspace_id == workspace_id)
        if wanted_campaigns:
            query = query.where(of.campaign_id.in_(list(wanted_campaigns)[:500]))
        async with self._database.read() as connection:
            rows = await connection.execute(query.order_by(of.id.desc()).limit(limit * 4))
            return tuple(dict.fromkeys(rows.scalars()))[:limit]

    async def values(self, workspace_id: int, field: str, limit: int = 50) -> tuple[str, ...]:
        custom = field.startswith(CUSTOM)
        if not custom and field not in STANDARD_FIELDS:
            return ()
        column = contacts.c.fields if custom else contacts.c[field]
        async with self._database.read() as connection:
            rows = await connection.execute(
                select(column).where(contacts.c.workspace_id == workspace_id)
                .order_by(contacts.c.id.desc()).limit(_SEEN_CONTACTS * 5))
            seen = (one.get(field[len(CUSTOM):]) if custom else one for one in rows.scalars())
            return tuple(sorted(dict.fromkeys(one for one in seen if isinstance(one, str) and one))[:limit])

    async def used_by(self, workspace_id: int, segment_id: int) -> tuple[str, ...]:
        it = campaigns.c
        waiting = (CampaignState.DRAFT.value, CampaignState.SCHEDULED.value)
        async with self._database.read() as connection:
            rows = await connection.execute(
                select(it.name, it.include_segments, it.exclude_segments)
                .where(it.workspace_id == workspace_id, it.state.in_(waiting), it.test_of.is_(None))
                .order_by(it.id.desc()).limit(500))
            return tuple(row.name for row in rows if segment_id in (*row.include_segments, *row.exclude_segments))

    # ---- who is in it

    async def count(self, workspace_id: int, rule: Rule, now: datetime, seconds: float = 5.0) -> int:
        query = select(func.count()).select_from(contacts).where(
            contacts.c.workspace_id == workspace_id, matching(rule, workspace_id, now))
        async with self._database.read() as connection:
            return int((await execute_within(connection, self._database.dialect, query, seconds)).scalar_one())

    async def people(
        self, workspace_id: int, rule: Rule, now: datetime, after_id: int = 0, limit: int = 50, seconds: float = 5.0,
    ) -> tuple[Contact, ...]:
        # One by one in the order of their ids: a page of a segment that holds many is there at once.
        query = (
            select(contacts)
            .where(contacts.c.workspace_id == workspace_id, contacts.c.id > after_id,
                   matching(rule, workspace_id, now, each=True))
            .order_by(contacts.c.id).limit(limit))
        async with self._database.read() as connection:
            rows = await execute_within(connection, self._database.dialect, query, seconds)
            return tuple(contact_of(row) for row in rows)

    async def remember_count(self, workspace_id: int, segment_id: int, count: int, now: datetime) -> None:
        async with self._database.write() as connection:
            await connection.execute(
                update(segments).where(segments.c.id == segment_id, segments.c.workspace_id == workspace_id)
                .values(counted=count, counted_at=now))

    async def index(self, workspace_id: int, rule: Rule) -> int:
        return await make_indexes(self._database, rule)

    async def snapshot(self, workspace_id: int, segment: Segment, rule: Rule, now: datetime) -> Snapshot:
        async with self._database.write() as connection:
            made = await connection.execute(insert(segment_snapshots).returning(segment_snapshots.c.id), {
                "workspace_id": workspace_id, "segment_id": segment.id, "name": segment.name,
                "rule": rule_json(segment.rule), "created_at": now,
            })
            snapshot_id = made.scalar_one()
            found = select(literal(workspace_id), literal(snapshot_id), contacts.c.id).where(
                contacts.c.workspace_id == workspace_id, matching(rule, workspace_id, now))
            written = await connection.execute(
                insert(segment_members).from_select(["workspace_id", "snapshot_id", "contact_id"], found))
            row = (await connection.execute(
                update(segment_snapshots).where(segment_snapshots.c.id == snapshot_id).values(size=written.rowcount)
                .returning(segment_snapshots))).one()
            return _snapshot_of(row)

    async def snapshots(
        self, workspace_id: int, segment_id: int | None = None, limit: int = 50,
    ) -> tuple[Snapshot, ...]:
        query = select(segment_snapshots).where(segment_snapshots.c.workspace_id == workspace_id)
        if segment_id is not None:
            query = query.where(segment_snapshots.c.segment_id == segment_id)
        async with self._database.read() as connection:
            rows = await connection.execute(query.order_by(segment_snapshots.c.id.desc()).limit(limit))
            return tuple(_snapshot_of(row) for row in rows)

    async def delete_snapshot(self, workspace_id: int, snapshot_id: int) -> None:
        of = segment_snapshots.c
        async with self._database.write() as connection:
            await connection.execute(delete(segment_members).where(
                segment_members.c.snapshot_id == snapshot_id, segment_members.c.workspace_id == workspace_id))
            gone = await connection.execute(
                delete(segment_snapshots).where(of.id == snapshot_id, of.workspace_id == workspace_id))
            if gone.rowcount != 1:
                raise NotFoundError("There is no such snapshot.")


async def _fields(connection: AsyncConnection, workspace_id: int) -> dict[str, FieldName]:
    """Declared fields in their order; then those that the newest contacts have, of the type that their values show."""
    of = contact_fields.c
    rows = (await connection.execute(
        select(contact_fields).where(of.workspace_id == workspace_id).order_by(of.position, of.id))).all()
    found = {row.key: FieldName(row.key, row.label or row.key, FieldType(row.type), tuple(row.choices))
             for row in rows if row.archived_at is None}
    put_away = {row.key for row in rows if row.archived_at is not None}
    newest = await connection.execute(
        select(contacts.c.fields).where(contacts.c.workspace_id == workspace_id)
        .order_by(contacts.c.id.desc()).limit(_SEEN_CONTACTS))
    for fields in newest.scalars():
        for key, value in fields.items():
            if key not in found and key not in put_away and value is not None:
                found[key] = FieldName(key, key, _type_of(value))
    return found


def _type_of(value: object) -> FieldType:
    if isinstance(value, bool):
        return FieldType.BOOLEAN
    if isinstance(value, int | float):
        return FieldType.NUMBER
    return FieldType.CHOICES if isinstance(value, list) else FieldType.TEXT
