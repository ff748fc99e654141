"""A chunk of an import merged set by set: rows go into a temporary table and from there, a statement a table, home.

Nothing is done row by row but writing the temporary table, which is COPY on PostgreSQL and executemany on SQLite.
"""

# ruff: noqa: S608 - statements are put together from words of ours alone; every value is bound

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import CursorResult, Integer, Text, bindparam, text
from sqlalchemy.ext.asyncio import AsyncConnection

from esp.adapters.sql.schema import Id, Instant
from esp.adapters.sql.upsert import add_to_counters
from esp.ports.contacts import STANDARD_FIELDS, Subscribing, Upserted
from esp.ports.imports import STAGED_COLUMNS, STAGED_STANDING, STAGED_TAGS, StagedRow

_JSONB: Final = {"postgresql": "jsonb", "sqlite": "text"}
_BOUND: Final[Mapping[str, Any]] = {"workspace": Id, "list": Id, "now": Instant, "standing": Integer}
_TYPES: Final = {"standing": "smallint"}

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
    "contact_id", "public_id", ":workspace", "email", "email_key",
    "trim(coalesce(first_key, '') || ' ' || coalesce(last_key, ''))", "coalesce(last_key, '')", "domain",
    *(f"coalesce({name}, '')" for name in STANDARD_FIELDS), "fields", ":source", ":now", ":now",
))


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

    async def _do(self, statement: str, values: Mapping[str, Any] | None = None) -> int:
        return (await self._execute(statement, values)).rowcount

    async def _execute(self, statement: str, values: Mapping[str, Any] | None = None) -> CursorResult[Any]:
        """Run it with those of ``values`` that it names, each with its type, for PostgreSQL cannot guess them here."""
        named = {name: value for name, value in (values or {}).items() if re.search(rf":{name}\b", statement)}
        typed = (bindparam(name, value, _BOUND.get(name, Text)) for name, value in named.items())
        return await self._connection.execute(text(statement).bindparams(*typed))

    async def fill(self, workspace_id: int, rows: Sequence[StagedRow]) -> None:
        """Put the rows into the table, each with the id of the contact it is about; null where it is a new one."""
        json_type = _JSONB[self._dialect]
        columns = ", ".join(
            f"{name} {json_type if name == 'fields' else _TYPES.get(name, 'text')}" for name in STAGED_COLUMNS)
        end = " ON COMMIT DROP" if self._dialect == "postgresql" else ""
        if self._dialect == "sqlite":
            await self._do("DROP TABLE IF EXISTS temp.staging")
        await self._do(f"CREATE TEMPORARY TABLE staging ({columns}, contact_id bigint, fresh smallint){end}")
        raw = (await self._connection.get_raw_connection()).driver_connection
        assert raw is not None
        if self._dialect == "sqlite":
            marks = ", ".join("?" * len(STAGED_COLUMNS))
            await raw.executemany(
                f"INSERT INTO temp.staging ({', '.join(STAGED_COLUMNS)}) VALUES ({marks})", rows)
        else:
            await raw.copy_records_to_table("staging", records=rows, columns=STAGED_COLUMNS)
            # By index, whatever is guessed of a table made a moment ago: a chunk is a small part of the contacts.
            await self._do("SET LOCAL enable_hashjoin = off")
            await self._do("SET LOCAL enable_mergejoin = off")
        await self._match(workspace_id)

    async def _match(self, workspace_id: int) -> None:
        if self._dialect == "sqlite":
            await self._do(
                "UPDATE temp.staging SET contact_id = (SELECT c.id FROM contacts c"
                " WHERE c.workspace_id = :workspace AND c.email_key = staging.email_key)", {"workspace": workspace_id})
        else:
            await self._do(
                "UPDATE staging s SET contact_id = c.id FROM contacts c"
                " WHERE c.workspace_id = :workspace AND c.email_key = s.email_key", {"workspace": workspace_id})

    async def merge(self, rows: Sequence[StagedRow], it: Merging) -> Upserted:
        """Contacts, subscriptions, consents, suppressions and tags of the rows, which ``fill`` has put in."""
        created = await self._insert(it)
        updated = await self._update(it)
        kept_out = 0
        if it.subscribing is not None:
            kept_out = await self._subscribe(it, it.subscribing)
        if any(row[STAGED_STANDING] for row in rows):
            await self._withdraw(it)
        if any(row[STAGED_TAGS] for row in rows):
            await self._tag(rows, it)
        return Upserted(created, updated, len(rows) - created - updated, kept_out)

    async def drop(self) -> None:
        """Free the table's memory; on PostgreSQL it goes with the transaction."""
        if self._dialect == "sqlite":
            await self._do("DROP TABLE IF EXISTS temp.staging")
            await self._do("DROP TABLE IF EXISTS temp.joining")

    # ---- contacts

    async def _insert(self, it: Merging) -> int:
        values = {"workspace": it.workspace_id, "source": it.source, "now": it.now}
        if self._dialect == "sqlite":
            # Nobody else writes meanwhile, so the next free numbers are ours.
            fresh = await self._do(
                "UPDATE temp.staging SET fresh = 1, contact_id = rowid + (SELECT coalesce(max(id), 0) FROM contacts)"
                " WHERE contact_id IS NULL")
            if fresh:
                await self._do(f"INSERT INTO contacts ({_NEW}) SELECT {_FRESH} FROM temp.staging"
                               " WHERE fresh = 1 ORDER BY contact_id", values)
            return fresh
        fresh = await self._do(
            # In a query of its own the sequence's name is looked up once, and not for every row.
            "UPDATE staging SET fresh = 1,"
            " contact_id = nextval((SELECT pg_get_serial_sequence('contacts', 'id')::regclass))"
            " WHERE contact_id IS NULL")
        if not fresh:
            return 0
        made = await self._do(f"INSERT INTO contacts ({_NEW}) SELECT {_FRESH} FROM staging WHERE fresh = 1"
                              " ORDER BY contact_id ON CONFLICT (workspace_id, email_key) DO NOTHING", values)
        if made < fresh:
            # Somebody else made some of them between our look and now: they are changed like those that were there.
            await self._do(
                "UPDATE staging s SET fresh = NULL, contact_id = c.id FROM contacts c WHERE s.fresh = 1"
                " AND c.workspace_id = :workspace AND c.email_key = s.email_key AND c.id <> s.contact_id",
                {"workspace": it.workspace_id})
        return made

    async def _update(self, it: Merging) -> int:
        target = "contacts AS c"
        return await self._do(
            f"UPDATE {target} SET {_SET}, fields = {_MERGED[self._dialect]}, updated_at = :now FROM staging s"
            f" WHERE s.fresh IS NULL AND c.id = s.contact_id AND c.workspace_id = :workspace"
            f" AND {_DIFFERS[self._dialect]}",
            {"workspace": it.workspace_id, "now": it.now})

    # ---- who is on the list

    async def _subscribe(self, it: Merging, to: Subscribing) -> int:
        """Everybody whose row does not say otherwise; returns how many had left and were left alone."""
        end = " ON COMMIT DROP" if self._dialect == "postgresql" else ""
        if self._dialect == "sqlite":
            await self._do("DROP TABLE IF EXISTS temp.joining")
        await self._do(f"CREATE TEMPORARY TABLE joining (contact_id bigint, was text, first smallint){end}")
        values: dict[str, Any] = {
            "workspace": it.workspace_id, "list": to.list_id, "now": it.now, "source": to.source,
            "actor": to.actor, "wording": to.wording}
        there = ("SELECT s.contact_id, sub.state, {first} FROM staging s {join} JOIN subscriptions sub"
                 " ON sub.list_id = :list AND sub.contact_id = s.contact_id WHERE s.fresh IS NULL AND s.standing = 0")
        await self._do("INSERT INTO joining SELECT s.contact_id, NULL, 1 FROM staging s"
                       " WHERE s.fresh = 1 AND s.standing = 0")
        await self._do("INSERT INTO joining " + there.format(first="0", join="LEFT"), {"list": to.list_id})
        found = await self._execute("SELECT coalesce(was, '') AS was_now, count(*) AS n FROM joining GROUP BY 1")
        counted: dict[str, int] = {row.was_now: row.n for row in found}
        left = counted.get("unsubscribed", 0)
        join = "was IS NULL OR was = 'pending'" + (" OR was = 'unsubscribed'" if to.resubscribe else "")
        await self._do(
            "INSERT INTO subscriptions (workspace_id, list_id, contact_id, state, changed_at)"
            " SELECT :workspace, :list, contact_id, 'subscribed', :now FROM joining WHERE was IS NULL", values)
        if counted.keys() - {"", "subscribed"}:
            await self._do(
                "UPDATE subscriptions SET state = 'subscribed', changed_at = :now WHERE list_id = :list AND contact_id"
                f" IN (SELECT contact_id FROM joining WHERE was IS NOT NULL AND ({join}))", values)
        await self._do(
            "INSERT INTO consents (workspace_id, contact_id, list_id, action, at, source, actor, wording)"
            " SELECT :workspace, contact_id, :list,"
            " CASE WHEN was = 'unsubscribed' THEN 'resubscribed' ELSE 'subscribed' END, :now, :source, :actor, :wording"
            f" FROM joining WHERE {join}", values)
        joined = counted.get("", 0) + counted.get("pending", 0) + (left if to.resubscribe else 0)
        await add_to_counters(self._connection, to.list_id, joined, -left if to.resubscribe else 0)
        return 0 if to.resubscribe else left

    # ---- who is not, by what the file says

    async def _withdraw(self, it: Merging) -> None:
        values: dict[str, Any] = {"workspace": it.workspace_id, "now": it.now, "source": it.source}
        for standing, reason in ((2, "hard_bounce"), (3, "complaint"), (4, "manual")):
            await self._suppress(standing, reason, values)
        if it.subscribing is None:
            await self._suppress(1, "unsubscribed", values)
            return
        values |= {"list": it.subscribing.list_id, "actor": it.subscribing.actor}
        gone = ("FROM staging s LEFT JOIN subscriptions sub ON sub.list_id = :list AND sub.contact_id = s.contact_id"
                " WHERE s.standing = 1 AND (sub.state IS NULL OR sub.state <> 'unsubscribed')")
        going = (await self._execute(
            "SELECT count(*) AS left_now,"
            f" coalesce(sum(CASE WHEN sub.state = 'subscribed' THEN 1 ELSE 0 END), 0) AS were {gone}",
            values)).one()
        if not going.left_now:
            return
        await self._do(
            "INSERT INTO consents (workspace_id, contact_id, list_id, action, at, source, actor)"
            f" SELECT :workspace, s.contact_id, :list, 'unsubscribed', :now, :source, :actor {gone}", values)
        await self._do(
            "INSERT INTO subscriptions (workspace_id, list_id, contact_id, state, changed_at)"
            f" SELECT :workspace, :list, s.contact_id, 'unsubscribed', :now {gone}"
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

    async def _tag(self, rows: Sequence[StagedRow], it: Merging) -> None:
        each = ("json_each(s.tags) t" if self._dialect == "sqlite" else "jsonb_each_text(s.tags::jsonb) t")
        some = "s.tags <> ''"
        values = {"workspace": it.workspace_id}
        await self._do(
            "INSERT INTO tags (workspace_id, name, name_key)"
            f" SELECT :workspace, min(t.value), t.key FROM staging s, {each} WHERE {some}"
            " GROUP BY t.key ORDER BY t.key ON CONFLICT (workspace_id, name_key) DO NOTHING", values)
        await self._do(
            "INSERT INTO contact_tags (workspace_id, tag_id, contact_id)"
            f" SELECT :workspace, tags.id, s.contact_id FROM staging s, {each}, tags"
            f" WHERE {some} AND tags.workspace_id = :workspace AND tags.name_key = t.key"
            " ON CONFLICT (tag_id, contact_id) DO NOTHING", values)

    # ---- a dry run

    async def compare(self, list_id: int | None, resubscribe: bool) -> tuple[int, int, int, list[str], list[str]]:
        """How many would be new, changed and kept out, and some addresses of the first two."""
        new = "FROM staging s WHERE s.contact_id IS NULL"
        changed = f"FROM staging s JOIN contacts c ON c.id = s.contact_id WHERE {_DIFFERS[self._dialect]}"

        async def number(of: str) -> int:
            return int((await self._execute(f"SELECT count(*) {of}", {"list": list_id})).scalar_one())

        async def some(of: str) -> list[str]:
            return list((await self._execute(f"SELECT s.email {of} LIMIT 5")).scalars())

        kept_out = 0
        if list_id is not None and not resubscribe:
            kept_out = await number(
                "FROM staging s JOIN subscriptions sub ON sub.list_id = :list AND sub.contact_id = s.contact_id"
                " WHERE s.standing = 0 AND sub.state = 'unsubscribed'")
        return await number(new), await number(changed), kept_out, await some(new), await some(changed)
