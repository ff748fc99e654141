"""Listening over SQLite or PostgreSQL: the fold, levels, and what is read of both, behind one port."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any

from sqlalchemy import delete, func, insert, select

from esp.adapters.sql import listening, listening_levels, listening_reads
from esp.adapters.sql.database import Database
from esp.adapters.sql.schema import (
    contact_engagement,
    contacts,
    engagement_days,
    engagement_fits,
    engagement_reports,
)
from esp.adapters.sql.upsert import insert_for
from esp.model.listening import Level
from esp.ports.campaigns import Campaign
from esp.ports.listening import (
    Band,
    Counts,
    Flow,
    Folded,
    LevelMove,
    Listener,
    MailHeard,
    NewFit,
    Odds,
    Sampled,
)

_g = contact_engagement.c


class SqlListening:
    """See ``esp.ports.listening``. Whoever changes rows of ``contact_engagement`` takes the fold's place first."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # ---- the fold

    async def fold(self, limit: int, now: datetime) -> Folded:
        return await listening.fold(self._database, limit, now)

    async def rebuild(self, workspace_id: int, after_id: int, limit: int) -> tuple[int, int]:
        return await listening.rebuild(self._database, workspace_id, after_id, limit)

    # ---- the model and the levels

    async def histories(self, workspace_id: int) -> dict[Counts, int]:
        key = (_g.opportunities, _g.responses, _g.recency)
        async with self._database.read() as connection:
            rows = await connection.execute(
                select(*key, func.count()).where(_g.workspace_id == workspace_id, _g.opportunities > 0).group_by(*key))
            return {Counts(*row[:3]): row[3] for row in rows}

    async def times(self, workspace_id: int) -> list[bytes]:
        async with self._database.read() as connection:
            return await listening_reads.times(connection, workspace_id)

    async def unscored(self, contact_ids: Sequence[int]) -> dict[int, list[Counts]]:
        async with self._database.read() as connection:
            return await listening_levels.unscored(connection, contact_ids)

    async def score(self, workspace_id: int, odds: Sequence[Odds], *, replace: bool = False) -> None:
        async with self._database.write() as connection:
            await listening_levels.score(connection, self._database.dialect, workspace_id, odds, replace)

    async def relevel(self, contact_ids: Sequence[int], now: datetime) -> int:
        async with self._database.write() as connection:
            await listening.take_place(connection, self._database.dialect)
            return await listening_levels.relevel(connection, contact_ids, now)

    async def relevel_some(self, workspace_id: int, after_id: int, limit: int, now: datetime) -> tuple[int, int]:
        async with self._database.write() as connection:
            await listening.take_place(connection, self._database.dialect)
            return await listening_levels.relevel_some(connection, workspace_id, after_id, limit, now)

    async def keep_fit(self, workspace_id: int, fit: NewFit) -> None:
        alpha, beta, gamma, delta = fit.rates
        async with self._database.write() as connection:
            await connection.execute(insert(engagement_fits), {
                "workspace_id": workspace_id, "at": fit.at, "alpha": alpha, "beta": beta, "gamma": gamma,
                "delta": delta, "covariance": [list(row) for row in fit.covariance] if fit.covariance else None,
                "log_likelihood": fit.log_likelihood, "people": fit.people, "converged": fit.converged,
                "crowds": dict(fit.crowds)})

    async def fit(self, workspace_id: int) -> NewFit | None:
        f = engagement_fits.c
        async with self._database.read() as connection:
            row = (await connection.execute(
                select(engagement_fits).where(f.workspace_id == workspace_id).order_by(f.id.desc()).limit(1))
            ).one_or_none()
        if row is None:
            return None
        return NewFit(row.at, (row.alpha, row.beta, row.gamma, row.delta), row.covariance, row.log_likelihood,
                      row.people, row.converged, row.crowds)

    # ---- levels over time

    async def count_levels(self, workspace_id: int, day: date) -> dict[Level, int]:
        async with self._database.write() as connection:
            rows = await connection.execute(
                select(_g.level, func.count()).where(_g.workspace_id == workspace_id).group_by(_g.level))
            found = {Level(row[0]): int(row[1]) for row in rows}
            d = engagement_days.c
            await connection.execute(
                delete(engagement_days).where(d.workspace_id == workspace_id, d.day == day.isoformat()))
            if found:
                await connection.execute(insert(engagement_days), [
                    {"workspace_id": workspace_id, "day": day.isoformat(), "level": level.value, "n": n}
                    for level, n in found.items()])
        return found

    async def days(self, workspace_id: int, since: date) -> dict[date, dict[Level, int]]:
        d = engagement_days.c
        found: dict[date, dict[Level, int]] = {}
        async with self._database.read() as connection:
            rows = await connection.execute(
                select(d.day, d.level, d.n).where(d.workspace_id == workspace_id, d.day >= since.isoformat())
                .order_by(d.day))
            for row in rows:
                found.setdefault(date.fromisoformat(row.day), {})[Level(row.level)] = row.n
        return found

    # ---- one contact

    async def listener(self, workspace_id: int, contact_id: int) -> Listener | None:
        async with self._database.read() as connection:
            return await listening_reads.listener(connection, workspace_id, contact_id)

    async def moves(self, workspace_id: int, contact_id: int, limit: int = 20) -> list[LevelMove]:
        async with self._database.read() as connection:
            return await listening_reads.moves(connection, workspace_id, contact_id, limit)

    async def mails(self, workspace_id: int, contact_id: int, limit: int = 30) -> list[MailHeard]:
        async with self._database.read() as connection:
            return await listening_reads.mails(connection, workspace_id, contact_id, limit)

    # ---- everybody

    async def sample(self, workspace_id: int, people: int) -> list[Sampled]:
        async with self._database.read() as connection:
            return await listening_reads.sample(connection, workspace_id, people)

    async def bands(self, workspace_id: int, bounds: Sequence[float]) -> list[Band]:
        async with self._database.read() as connection:
            return await listening_reads.bands(connection, self._database.dialect, workspace_id, bounds)

    async def flows(self, workspace_id: int, since: datetime) -> list[Flow]:
        async with self._database.read() as connection:
            return await listening_reads.flows(connection, self._database.dialect, workspace_id, since)

    async def population(self, workspace_id: int, before: datetime) -> int:
        c = contacts.c
        async with self._database.read() as connection:
            return int((await connection.execute(
                select(func.count()).select_from(contacts)
                .where(c.workspace_id == workspace_id, c.created_at < before))).scalar_one())

    async def keep_report(self, workspace_id: int, at: datetime, data: Mapping[str, Any]) -> None:
        r = engagement_reports.c
        values = {"workspace_id": workspace_id, "made_at": at, "data": dict(data)}
        into = insert_for(self._database.dialect, engagement_reports).values(values)
        async with self._database.write() as connection:
            await connection.execute(into.on_conflict_do_update(
                index_elements=[r.workspace_id], set_={"made_at": at, "data": into.excluded.data}))

    async def report(self, workspace_id: int) -> tuple[datetime, Mapping[str, Any]] | None:
        r = engagement_reports.c
        async with self._database.read() as connection:
            row = (await connection.execute(
                select(r.made_at, r.data).where(r.workspace_id == workspace_id))).one_or_none()
        return (row.made_at, row.data) if row else None

    async def audience(self, campaign: Campaign, now: datetime) -> dict[Counts, tuple[int, Odds]]:
        async with self._database.read() as connection:
            return await listening_reads.campaign_audience(connection, campaign, now)

    async def complaints(self, workspace_id: int) -> dict[Level, tuple[int, int]]:
        async with self._database.read() as connection:
            return await listening_reads.complaints(connection, workspace_id)
