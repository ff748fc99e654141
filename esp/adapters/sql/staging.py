"""A chunk of an import merged set by set: its rows come packed by the reading child, and go home a statement a table.

Nothing is done row by row: PostgreSQL takes the rows by COPY, SQLite reads them as a database beside its own.
"""

# ruff: noqa: S608 - statements are put together from words of ours alone; every value is bound

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from io import BytesIO
from typing import Any, Final

from sqlalchemy import CursorResult, Integer, Text, bindparam, text
from sqlalchemy.ext.asyncio import AsyncConnection

from esp.adapters.sql.schema import Id, Instant
from esp.adapters.sql.upsert import add_to_counters
from esp.ports.contacts import STANDARD_FIELDS, Subscribing, Upserted
from esp.ports.imports import STAGED_COLUMNS, StagedRows

_BOUND: Final[Mapping[str, Any]] = {"workspace": Id, "list": Id, "now": Instant, "standing": Integer}
_STAGED: Final = ("n", "public_id", *STAGED_COLUMNS)
_TYPES: Final = {"n": "bigint PRIMARY KEY", "standing": "smallint", "fields": "jsonb"}

# Where the name's keys come from once both halves are known: what the row says, else what is there.
_FIRST_THERE: Final = "rtrim(substr(c.name_key, 1, length(c.name_key) - length(c.last_name_key)))"
_NAME_KEY: Final = f"trim(coalesce(s.first_key, {_FIRST_THERE}) || ' ' || coalesce(s.last_key, c.last_name_key))"
_SET: Final = ", ".join((
    *(f"{name} = coalesce(s.{name}, c.{name})" for name in STANDARD_FIELDS),
    f"name_key = {_NAME_KEY}", "last_name_key = coalesce(s.last_key, c.last_name_key)",
))
_STANDARD_DIFFERS: Final = " OR ".join(f"coalesce(s.{name}, c.{name}) <> c.{name}" for name in STANDARD_FIELDS)
_DIFFERS: Final = {
    # The same text is the same value; only where the texts differ are they read.
    "sqlite": f"({_STANDARD_DIFFERS} OR (s.fields <> '{{}}' AND s.fields <> c.fields"
              " AND json_patch(c.fields, s.fields) <> c.fields))",
    "postgresql": f"({_STANDARD_DIFFERS} OR c.fields || s.fields <> c.fields)",
}
_MERGED: Final = {"sqlite": "json_patch(c.fields, s.fields)", "postgresql": "c.fields || s.fields"}
_NEW: Final = ", ".join((
    "id", "public_id", "workspace_id", "email", "email_key", "name_key", "last_name_key", "domain", *STANDARD_FIELDS,
    "fields", "source", "created_at", "updated_at",
))
_FRESH: Final = ", ".join((
    "p.contact_id", "public_id", ":workspace", "email", "email_key",
    "trim(coalesce(first_key, '') || ' ' || coalesce(last_key, ''))", "coalesce(last_key, '')", "domain",
    *(f"coalesce({name}, '')" for name in STANDARD_FIELDS), "fields", ":source", ":now", ":now",
))


_SAME_ADDRESS: Final = "c.workspace_id = :workspace AND c.email_key = s.email_key"
_HIS: Final = "sub.list_id = :list AND sub.contact_id = p.contact_id"


@dataclass(frozen=True, slots=True)
class Merging:
    """Into which workspace and list a chunk goes, from where, and when."""

    workspace_id: int
    source: str
    now: datetime
    subscribing: Subscribing | None = None


class Staging:
    """The temporary table of one connection, within one transaction."""

    def __init__(self, connection: AsyncConnection, dialect: str) -> None:
        self._connection = connection
        self._dialect = dialect
        self._found = 0

    async def _do(self, statement: str, values: Mapping[str, Any] | None = None) -> int:
        return (await self._execute(statement, values)).rowcount

    async def _execute(self, statement: str, values: Mapping[str, Any] | None = None) -> CursorResult[Any]:
        """Run it with those of ``values`` that it names, each with its type, for PostgreSQL cannot guess them here."""
        named = {name: value for name, value in (values or {}).items() if re.search(rf":{name}\b", statement)}
        typed = (bindparam(name, value, _BOUND.get(name, Text)) for name, value in named.items())
        return await self._connection.execute(text(statement).bindparams(*typed))

    async def fill(self, workspace_id: int, rows: StagedRows) -> None:
        """Take the rows in, and note in ``people`` for each that is about somebody here which contact it is.

        On SQLite they are there already, as the schema ``staged`` (``Database.bulk``).
        """
        if self._dialect == "sqlite":
            await self._do("CREATE TEMPORARY TABLE people (n INTEGER PRIMARY KEY, contact_id, fresh)")
        else:
            # Both tables have their number as a key: whichever the planner puts first, the other is looked up.
            columns = ", ".join(f"{name} {_TYPES.get(name, 'text')}" for name in _STAGED)
            await self._do(f"CREATE TEMPORARY TABLE staging ({columns}) ON COMMIT DROP")
            await self._do("CREATE TEMPORARY TABLE people (n bigint PRIMARY KEY, contact_id bigint, fresh smallint)"
                           " ON COMMIT DROP")
            raw = (await self._connection.get_raw_connection()).driver_connection
            assert raw is not None
            await raw.copy_to_table("staging", source=BytesIO(rows.packed), columns=_STAGED)
            # By index, whatever is guessed of a table made a moment ago: a chunk is a small part of the contacts.
            await self._do("SET LOCAL enable_hashjoin = off")
            await self._do("SET LOCAL enable_mergejoin = off")
        self._found = await self._do(
            "INSERT INTO people (n, contact_id, fresh)"
            f" SELECT s.n, c.id, 0 FROM staging s {self._looked_up('contacts c', _SAME_ADDRESS)}",
            {"workspace": workspace_id})

    async def merge(self, rows: StagedRows, it: Merging) -> Upserted:
        """Contacts, subscriptions, consents, suppressions and tags of the rows, which ``fill`` has taken in."""
        created = await self._insert(it) if self._found < rows.count else 0
        updated = await self._update(it) if created < rows.count else 0
        kept_out = 0
        if it.subscribing is not None:
            kept_out = await self._subscribe(rows, it, it.subscribing, created)
        if rows.standings:
            await self._withdraw(it)
        if rows.tags:
            await self._tag(it)
        return Upserted(created, updated, rows.count - created - updated, kept_out)

    def _looked_up(self, table: str, on: str, kind: str = "") -> str:
        """A join that looks the rows of a large table up by index, for each of those before it: in neither database
        may the planner begin with the million, whatever it guesses of tables that were made a moment ago."""
        if self._dialect == "sqlite":
            return f"{kind or 'CROSS'} JOIN {table} ON {on}"
        # What is behind OFFSET is evaluated as it stands.
        return f"{kind} JOIN LATERAL (SELECT * FROM {table} WHERE {on} OFFSET 0) {table.split()[1]} ON true"

    @property
    def _pairs(self) -> str:
        """Each staged row ``s`` with the person ``p`` it is about."""
        return "people p CROSS JOIN staging s ON s.n = p.n" if self._dialect == "sqlite" else (
            "staging s JOIN people p ON p.n = s.n")

    # ---- contacts

    async def _insert(self, it: Merging) -> int:
        values = {"workspace": it.workspace_id, "source": it.source, "now": it.now}
        # On SQLite nobody else writes meanwhile, so the next free numbers are ours. On PostgreSQL the sequence's name
        # is looked up once and not for every row, for it stands in a query of its own.
        number = ("s.n + (SELECT coalesce(max(id), 0) FROM contacts)" if self._dialect == "sqlite" else
                  "nextval((SELECT pg_get_serial_sequence('contacts', 'id')::regclass))")
        there = "WHERE NOT EXISTS (SELECT 1 FROM people p WHERE p.n = s.n)" if self._found else ""
        fresh = await self._do(
            f"INSERT INTO people (n, contact_id, fresh) SELECT s.n, {number}, 1 FROM staging s {there}")
        made = await self._do(
            f"INSERT INTO contacts ({_NEW}) SELECT {_FRESH} FROM {self._pairs} WHERE p.fresh = 1"
            + (" ORDER BY p.n" if self._dialect == "sqlite" else
               " ON CONFLICT (workspace_id, email_key) DO NOTHING"), values)
        if made < fresh:
            # Somebody else made some of them between our look and now: they are changed like those that were there.
            await self._do(
                "UPDATE people p SET fresh = 0, contact_id = c.id FROM staging s, contacts c WHERE p.fresh = 1"
                " AND s.n = p.n AND c.workspace_id = :workspace AND c.email_key = s.email_key AND c.id <> p.contact_id",
                {"workspace": it.workspace_id})
        return made

    async def _update(self, it: Merging) -> int:
        end = " ON COMMIT DROP" if self._dialect == "postgresql" else ""
        await self._do(f"CREATE TEMPORARY TABLE changed (n bigint PRIMARY KEY, contact_id bigint){end}")
        changed = await self._do(
            "INSERT INTO changed (n, contact_id) SELECT p.n, p.contact_id"
            f" FROM {self._pairs} {self._looked_up('contacts c', 'c.id = p.contact_id')}"
            f" WHERE p.fresh = 0 AND {_DIFFERS[self._dialect]}")
        if not changed:
            return 0
        return await self._do(
            f"UPDATE contacts AS c SET {_SET}, fields = {_MERGED[self._dialect]}, updated_at = :now"
            f" FROM changed p {'CROSS' if self._dialect == 'sqlite' else ''} JOIN staging s ON s.n = p.n"
            " WHERE c.id = p.contact_id AND c.workspace_id = :workspace",
            {"workspace": it.workspace_id, "now": it.now})

    # ---- who is on the list

    async def _subscribe(self, rows: StagedRows, it: Merging, to: Subscribing, created: int) -> int:
        """Everybody whose row does not say otherwise; returns how many had left and were left alone."""
        values: dict[str, Any] = {
            "workspace": it.workspace_id, "list": to.list_id, "now": it.now, "source": to.source,
            "actor": to.actor, "wording": to.wording}
        # Where nobody stands otherwise, the rows themselves need not be looked at again.
        joins = f"{self._pairs} AND s.standing = 0" if rows.standings else "people p"
        await self._begin_joining()
        counted: dict[str, int] = {}
        if created < rows.count:
            there = f"FROM {joins} {self._looked_up('subscriptions sub', _HIS, 'LEFT')} WHERE p.fresh = 0"
            found = await self._execute(
                f"SELECT coalesce(sub.state, '') AS was, count(*) AS n {there} GROUP BY 1", values)
            counted = {row.was: row.n for row in found}
            if counted.keys() - {"subscribed"}:
                await self._do(f"INSERT INTO joining (n, contact_id, was) SELECT p.n, p.contact_id, sub.state {there}"
                               " AND (sub.state IS NULL OR sub.state <> 'subscribed')", values)
        new = 0
        if created:
            new = await self._do(f"INSERT INTO joining (n, contact_id) SELECT p.n, p.contact_id FROM {joins}"
                                 " WHERE p.fresh = 1")
        left = counted.get("unsubscribed", 0)
        if not to.resubscribe and left:
            await self._do("DELETE FROM joining WHERE was = 'unsubscribed'")
        if new or counted.keys() - {"subscribed"}:
            await self._join(rows, values)
        joined = new + counted.get("", 0) + counted.get("pending", 0) + (left if to.resubscribe else 0)
        await add_to_counters(self._connection, to.list_id, joined, -left if to.resubscribe else 0)
        return 0 if to.resubscribe else left

    async def _begin_joining(self) -> None:
        end = " ON COMMIT DROP" if self._dialect == "postgresql" else ""
        await self._do(f"CREATE TEMPORARY TABLE joining (n bigint, contact_id bigint, was text){end}")

    async def _join(self, rows: StagedRows, values: Mapping[str, Any]) -> None:
        """Everybody in ``joining``, with a consent record for each."""
        await self._do(
            "INSERT INTO subscriptions (workspace_id, list_id, contact_id, state, changed_at)"
            " SELECT :workspace, :list, contact_id, 'subscribed', :now FROM joining WHERE was IS NULL", values)
        await self._do(
            "UPDATE subscriptions SET state = 'subscribed', changed_at = :now WHERE list_id = :list AND contact_id"
            " IN (SELECT contact_id FROM joining WHERE was IS NOT NULL)", values)
        if rows.proofs:
            await self._prove(values)
        await self._do(
            "INSERT INTO consents (workspace_id, contact_id, list_id, action, at, source, actor, wording)"
            " SELECT :workspace, contact_id, :list,"
            " CASE WHEN was = 'unsubscribed' THEN 'resubscribed' ELSE 'subscribed' END, :now, :source, :actor, :wording"
            " FROM joining", values)

    async def _prove(self, values: Mapping[str, Any]) -> None:
        """What another system noted of their consent, as records of their own, at the time it says."""
        for action, name in (("subscribed", "optin"), ("confirmed", "confirm")):
            at, ip = (f"json_extract(s.proof, '$.{name}_{what}')" if self._dialect == "sqlite" else
                      f"(s.proof::jsonb ->> '{name}_{what}')" for what in ("time", "ip"))
            moment = at if self._dialect == "sqlite" else f"({at} || '+00')::timestamptz"
            await self._do(
                "INSERT INTO consents (workspace_id, contact_id, list_id, action, at, source, actor, ip)"
                f" SELECT :workspace, j.contact_id, :list, '{action}', {moment}, :source, :actor, coalesce({ip}, '')"
                f" FROM joining j JOIN staging s ON s.n = j.n WHERE s.proof <> '' AND {at} IS NOT NULL", values)

    # ---- who is not, by what the file says

    async def _withdraw(self, it: Merging) -> None:
        values: dict[str, Any] = {"workspace": it.workspace_id, "now": it.now, "source": it.source}
        for standing, reason in ((2, "hard_bounce"), (3, "complaint"), (4, "manual")):
            await self._suppress(standing, reason, values)
        if it.subscribing is None:
            await self._suppress(1, "unsubscribed", values)
            return
        values |= {"list": it.subscribing.list_id, "actor": it.subscribing.actor}
        gone = (f"FROM {self._pairs} {self._looked_up('subscriptions sub', _HIS, 'LEFT')}"
                " WHERE s.standing = 1 AND (sub.state IS NULL OR sub.state <> 'unsubscribed')")
        going = (await self._execute(
            "SELECT count(*) AS left_now,"
            f" coalesce(sum(CASE WHEN sub.state = 'subscribed' THEN 1 ELSE 0 END), 0) AS were {gone}",
            values)).one()
        if not going.left_now:
            return
        await self._do(
            "INSERT INTO consents (workspace_id, contact_id, list_id, action, at, source, actor)"
            f" SELECT :workspace, p.contact_id, :list, 'unsubscribed', :now, :source, :actor {gone}", values)
        await self._do(
            "INSERT INTO subscriptions (workspace_id, list_id, contact_id, state, changed_at)"
            f" SELECT :workspace, :list, p.contact_id, 'unsubscribed', :now {gone}"
            " ON CONFLICT (list_id, contact_id) DO UPDATE SET state = 'unsubscribed', changed_at = :now", values)
        await add_to_counters(self._connection, it.subscribing.list_id, -int(going.were), int(going.left_now))

    async def _suppress(self, standing: int, reason: str, values: Mapping[str, Any]) -> None:
        await self._do(
            "INSERT INTO suppressions (workspace_id, email_key, reason, note, created_at)"
            " SELECT :workspace, s.email_key, :reason, :source, :now FROM staging s WHERE s.standing = :standing"
            " AND NOT EXISTS (SELECT 1 FROM suppressions x WHERE x.workspace_id = :workspace"
            " AND x.email_key = s.email_key AND x.reason = :reason AND x.list_id IS NULL"
            " AND (x.expires_at IS NULL OR x.expires_at > :now))",
            {**values, "standing": standing, "reason": reason})

    # ---- tags

    async def _tag(self, it: Merging) -> None:
        each = ("json_each(s.tags) t" if self._dialect == "sqlite" else "jsonb_each_text(s.tags::jsonb) t")
        some = "s.tags <> ''"
        values = {"workspace": it.workspace_id}
        await self._do(
            "INSERT INTO tags (workspace_id, name, name_key)"
            f" SELECT :workspace, min(t.value), t.key FROM staging s, {each} WHERE {some}"
            " GROUP BY t.key ORDER BY t.key ON CONFLICT (workspace_id, name_key) DO NOTHING", values)
        await self._do(
            "INSERT INTO contact_tags (workspace_id, tag_id, contact_id)"
            f" SELECT :workspace, tags.id, p.contact_id FROM staging s, people p, {each}, tags"
            f" WHERE p.n = s.n AND {some} AND tags.workspace_id = :workspace AND tags.name_key = t.key"
            " ON CONFLICT (tag_id, contact_id) DO NOTHING", values)

    # ---- a dry run

    async def compare(self, list_id: int | None, resubscribe: bool) -> tuple[int, int, int, list[str], list[str]]:
        """How many would be new, changed and kept out, and some addresses of the first two."""
        new = "FROM staging s WHERE NOT EXISTS (SELECT 1 FROM people p WHERE p.n = s.n)"
        changed = (f"FROM {self._pairs} {self._looked_up('contacts c', 'c.id = p.contact_id')}"
                   f" WHERE {_DIFFERS[self._dialect]}")

        async def number(of: str) -> int:
            return int((await self._execute(f"SELECT count(*) {of}", {"list": list_id})).scalar_one())

        async def some(of: str) -> list[str]:
            return list((await self._execute(f"SELECT s.email {of} LIMIT 5")).scalars())

        kept_out = 0
        if list_id is not None and not resubscribe:
            kept_out = await number(
                f"FROM {self._pairs} {self._looked_up('subscriptions sub', _HIS)}"
                " WHERE s.standing = 0 AND sub.state = 'unsubscribed'")
        return await number(new), await number(changed), kept_out, await some(new), await some(changed)
