"""Hygiene reports in SQL: what is looked at, chunk by chunk, and whom each finding names."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Row, Select, and_, case, delete, func, insert, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from esp.adapters.sql.database import Database
from esp.adapters.sql.jobs import stumbled, take
from esp.adapters.sql.schema import contacts, deliveries, destinations, hygiene_findings, hygiene_reports
from esp.adapters.sql.upsert import insert_for
from esp.errors import LeaseLostError, NotFoundError
from esp.model.delivery import DeliveryState
from esp.ports.people_hygiene import (
    Address,
    DomainChecked,
    Finding,
    Found,
    HygieneReport,
    HygieneState,
    NewFinding,
)

_NEVER = datetime(1970, 1, 1, tzinfo=UTC)
_GMAIL = ("gmail.com", "googlemail.com")
DUPLICATES = "duplicates"  # the phase that cannot go on in the middle


def _report_of(row: Row[Any]) -> HygieneReport:
    named = dict(row._mapping)
    named.pop("heartbeat_at")
    named.pop("tries")
    return HygieneReport(**{**named, "state": HygieneState(row.state)})


async def _read(connection: AsyncConnection, workspace_id: int, report_id: int) -> HygieneReport:
    of = hygiene_reports.c
    row = (await connection.execute(
        select(hygiene_reports).where(of.id == report_id, of.workspace_id == workspace_id))).one_or_none()
    if row is None:
        raise NotFoundError("There is no such report.")
    return _report_of(row)


class SqlHygiene:
    """The port ``Hygiene`` on SQLite and PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, workspace_id: int, options: Mapping[str, Any], now: datetime) -> HygieneReport:
        """See ``Hygiene.create``."""
        of = hygiene_reports.c
        async with self._database.write() as connection:
            there = (await connection.execute(select(of.id).where(
                of.workspace_id == workspace_id,
                of.state.in_((HygieneState.QUEUED.value, HygieneState.RUNNING.value))).limit(1))).scalar()
            if there is None:
                until = await connection.scalar(
                    select(func.max(contacts.c.id)).where(contacts.c.workspace_id == workspace_id))
                there = (await connection.execute(insert(hygiene_reports).returning(of.id), {
                    "workspace_id": workspace_id, "options": dict(options), "until": until or 0, "created_at": now,
                })).scalar_one()
            return await _read(connection, workspace_id, there)

    async def latest(self, workspace_id: int) -> HygieneReport | None:
        """See ``Hygiene.latest``."""
        of = hygiene_reports.c
        async with self._database.read() as connection:
            row = (await connection.execute(
                select(hygiene_reports).where(of.workspace_id == workspace_id).order_by(of.id.desc()).limit(1))).first()
            return None if row is None else _report_of(row)

    async def get(self, workspace_id: int, report_id: int) -> HygieneReport:
        """See ``Hygiene.get``."""
        async with self._database.read() as connection:
            return await _read(connection, workspace_id, report_id)

    async def found(
        self, workspace_id: int, report_id: int, kind: Finding, after_id: int = 0, limit: int = 50,
    ) -> tuple[Found, ...]:
        """See ``Hygiene.found``."""
        of, person = hygiene_findings.c, contacts.c
        async with self._database.read() as connection:
            rows = await connection.execute(
                select(of.id, of.contact_id, of.group_key, of.suggestion, person.email, person.first_name,
                       person.last_name, person.birth_date)
                .join(contacts, and_(person.id == of.contact_id, person.workspace_id == of.workspace_id))
                .where(of.report_id == report_id, of.kind == kind.value, of.workspace_id == workspace_id,
                       of.id > after_id)
                .order_by(of.id).limit(limit))
            return tuple(Found(row.id, row.contact_id, row.email, f"{row.first_name} {row.last_name}".strip(),
                               row.birth_date, row.group_key, row.suggestion) for row in rows)

    async def claim(self, now: datetime, stale_before: datetime) -> HygieneReport | None:
        """See ``Hygiene.claim``."""
        of = hygiene_reports.c
        async with take(self._database, hygiene_reports, now, stale_before) as taken:
            if taken is None:
                return None
            connection = taken.connection
            row = (await connection.execute(select(of.phase, of.counts).where(of.id == taken.id))).one()
            counts = dict(row.counts)
            if row.phase == DUPLICATES:  # its place is not a number: it begins again
                again = (Finding.SAME_ADDRESS.value, Finding.SAME_PERSON.value)
                counts = {kind: n for kind, n in counts.items() if kind not in again}
                await connection.execute(delete(hygiene_findings).where(
                    hygiene_findings.c.report_id == taken.id, hygiene_findings.c.kind.in_(again)))
                await connection.execute(update(hygiene_reports).where(of.id == taken.id).values(counts=counts))
            return await _read(connection, taken.workspace_id, taken.id)

    async def domains(self, workspace_id: int) -> dict[str, int]:
        """See ``Hygiene.domains``."""
        of = contacts.c
        async with self._database.read() as connection:
            rows = await connection.execute(
                select(of.domain, func.count().label("n")).where(of.workspace_id == workspace_id).group_by(of.domain))
            return {row.domain: row.n for row in rows}

    async def checked(self, domains: Sequence[str]) -> dict[str, DomainChecked]:
        """See ``Hygiene.checked``."""
        of = destinations.c
        found: dict[str, DomainChecked] = {}
        async with self._database.read() as connection:
            for start in range(0, len(domains), 500):
                rows = await connection.execute(
                    select(of.domain, of.checked_at, of.dead_since)
                    .where(of.domain.in_(domains[start:start + 500]), of.checked_at.is_not(None)))
                found |= {row.domain: DomainChecked(row.checked_at, row.dead_since) for row in rows}
        return found

    async def remember_checked(self, found: Mapping[str, bool], now: datetime) -> None:
        """See ``Hygiene.remember_checked``."""
        of = destinations.c
        statement = insert_for(self._database.dialect, destinations)
        # The provider is not known by this: an unknown one is asked for again when something is sent there.
        statement = statement.on_conflict_do_update(index_elements=[of.domain], set_={
            "checked_at": statement.excluded.checked_at,
            # Once dead, dead since then.
            "dead_since": case((statement.excluded.dead_since.is_(None), None),
                               else_=func.coalesce(of.dead_since, statement.excluded.dead_since))})
        rows = [{"domain": domain, "provider": "", "resolved_at": _NEVER, "checked_at": now,
                 "dead_since": now if dead else None} for domain, dead in sorted(found.items())]
        if rows:
            async with self._database.write() as connection:
                await connection.execute(statement, rows)

    async def addresses(self, workspace_id: int, after_id: int, until: int, limit: int) -> tuple[Address, ...]:
        """See ``Hygiene.addresses``."""
        of = contacts.c
        async with self._database.read() as connection:
            rows = await connection.execute(
                select(of.id, of.email_key, of.domain)
                .where(of.workspace_id == workspace_id, of.id > after_id, of.id <= until)
                .order_by(of.id).limit(limit))
            return tuple(Address(row.id, row.email_key, row.domain) for row in rows)

    async def silent(
        self, workspace_id: int, first_id: int, last_id: int, since: datetime, mails: int,
    ) -> tuple[int, ...]:
        """See ``Hygiene.silent``."""
        of = deliveries.c
        async with self._database.read() as connection:
            rows = await connection.execute(
                select(of.contact_id)
                .where(of.contact_id >= first_id, of.contact_id <= last_id, of.workspace_id == workspace_id,
                       of.state == DeliveryState.DELIVERED.value, of.created_at >= since)
                .group_by(of.contact_id)
                .having(func.count() >= mails, func.max(of.opened_at).is_(None), func.max(of.clicked_at).is_(None)))
            return tuple(rows.scalars())

    async def duplicates(
        self, workspace_id: int, kind: Finding, after: tuple[str, int], limit: int,
    ) -> tuple[tuple[str, int], ...]:
        """See ``Hygiene.duplicates``."""
        alike = self._alike(workspace_id, kind).subquery()
        several = select(alike.c.shared).group_by(alike.c.shared).having(func.count() > 1)
        async with self._database.read() as connection:
            rows = await connection.execute(
                select(alike.c.shared, alike.c.id)
                .where(alike.c.shared.in_(several), tuple_(alike.c.shared, alike.c.id) > after)
                .order_by(alike.c.shared, alike.c.id).limit(limit))
            return tuple((row.shared, row.id) for row in rows)

    def _alike(self, workspace_id: int, kind: Finding) -> Select[Any]:
        of = contacts.c
        mine = of.workspace_id == workspace_id
        if kind is Finding.SAME_PERSON:
            shared = of.name_key + "|" + of.birth_date
            return select(of.id, shared.label("shared")).where(mine, of.birth_date != "", of.name_key != "")
        # The mailbox behind the spellings, as ``esp.audience.hygiene.folded`` says it.
        find = func.strpos if self._database.dialect == "postgresql" else func.instr
        local = func.substr(of.email_key, 1, find(of.email_key, "@") - 1)
        plain = func.replace(func.substr(local, 1, find(local + "+", "+") - 1), ".", "")
        return select(of.id, plain.label("shared")).where(mine, of.domain.in_(_GMAIL))

    async def keep(
        self, claimed: HygieneReport, findings: Sequence[NewFinding], cursor: int, seen: int, now: datetime, *,
        phase: str = "", finished: bool = False,
    ) -> HygieneReport:
        """See ``Hygiene.keep``."""
        of = hygiene_reports.c
        async with self._database.write() as connection:
            row = (await connection.execute(select(of.counts).where(
                of.id == claimed.id, of.state == HygieneState.RUNNING.value, of.phase == claimed.phase,
                of.cursor == claimed.cursor, of.seen == claimed.seen).with_for_update())).first()
            if row is None:
                raise LeaseLostError("Another process goes on with the report.")
            if findings:
                await connection.execute(insert(hygiene_findings), [
                    {"workspace_id": claimed.workspace_id, "report_id": claimed.id, "kind": one.kind.value,
                     "contact_id": one.contact_id, "group_key": one.group_key, "suggestion": one.suggestion}
                    for one in findings])
            counts = Counter(row.counts)
            counts.update(one.kind.value for one in findings)
            ended: dict[str, Any] = {"tries": 0} if (cursor, seen) != (claimed.cursor, claimed.seen) else {}
            if finished:
                ended |= {"state": HygieneState.DONE.value, "finished_at": now}
                older = select(of.id).where(of.workspace_id == claimed.workspace_id, of.id < claimed.id)
                await connection.execute(
                    delete(hygiene_findings).where(hygiene_findings.c.report_id.in_(older)))
                await connection.execute(delete(hygiene_reports).where(of.id.in_(older)))
            await connection.execute(update(hygiene_reports).where(of.id == claimed.id).values(
                counts=dict(counts), cursor=cursor, seen=seen, phase=phase or claimed.phase, heartbeat_at=now, **ended))
            return await _read(connection, claimed.workspace_id, claimed.id)

    async def release(self, claimed: HygieneReport) -> None:
        """See ``Hygiene.release``."""
        of = hygiene_reports.c
        async with self._database.write() as connection:
            await connection.execute(
                update(hygiene_reports).where(of.id == claimed.id, of.state == HygieneState.RUNNING.value)
                .values(state=HygieneState.QUEUED.value))

    async def fail(self, claimed: HygieneReport, error: str, now: datetime) -> None:
        """See ``Hygiene.fail``."""
        of = hygiene_reports.c
        async with self._database.write() as connection:
            await connection.execute(
                update(hygiene_reports).where(of.id == claimed.id)
                .values(state=HygieneState.FAILED.value, error=error, finished_at=now))

    async def stumble(self, claimed: HygieneReport, error: str, now: datetime) -> None:
        """See ``Hygiene.stumble``."""
        of = hygiene_reports.c
        async with self._database.write() as connection:
            await connection.execute(
                update(hygiene_reports).where(of.id == claimed.id, of.state == HygieneState.RUNNING.value)
                .values(**stumbled(hygiene_reports, error, now)))
