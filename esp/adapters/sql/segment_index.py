"""Indexes on the fields that segments ask about, made when a segment first does, while everybody goes on working."""

import hashlib
from typing import Any

from sqlalchemy import ColumnElement, text
from sqlalchemy.ext.asyncio import AsyncConnection

from esp.adapters.sql.database import Database
from esp.adapters.sql.segment_sql import text_of
from esp.adapters.sql.segment_values import json_number
from esp.model.fields import FieldType
from esp.model.segment import CUSTOM, ENGAGEMENT, FieldRule, Rule, leaves

_TEXTS = (FieldType.TEXT, FieldType.CHOICE, FieldType.DATE)


def indexable(rule: Rule) -> dict[str, ColumnElement[Any]]:
    """The expressions of the fields in ``rule`` that an index helps, by the index's name: one a field and type."""
    found: dict[str, ColumnElement[Any]] = {}
    for _, leaf in leaves(rule):
        if not isinstance(leaf, FieldRule) or leaf.field == "created_at" or leaf.field.startswith(ENGAGEMENT):
            continue
        if leaf.type in _TEXTS:
            found[_name(leaf.field, "text")] = text_of(leaf.field)
        elif leaf.type is FieldType.NUMBER:
            found[_name(leaf.field, "number")] = json_number(leaf.field[len(CUSTOM):])
    return found


def _name(field: str, kind: str) -> str:
    # A digest, because databases cut long names, and two cut alike would be taken for one.
    return f"ix_contacts_of_{kind}_{hashlib.sha256(field.encode()).hexdigest()[:16]}"


async def make_indexes(database: Database, rule: Rule) -> int:
    """Make those indexes for ``rule`` that are not there yet; how many were made."""
    wanted = indexable(rule)
    if not wanted:
        return 0
    if database.dialect == "sqlite":
        async with database.read() as connection:
            missing = wanted.keys() - await _there(connection, "SELECT name FROM sqlite_master WHERE type = 'index'")
        for name in sorted(missing):
            async with database.write() as connection:
                await connection.exec_driver_sql(_statement(connection, name, wanted[name], ""))
                # A sample of it, or the planner guesses what the index holds.
                await connection.exec_driver_sql("PRAGMA analysis_limit = 1000")
                await connection.exec_driver_sql(f"ANALYZE {name}")
        return len(missing)
    async with database.read() as connection:
        # Half-made ones, after a crash, are invalid: they go first, or they would count as being there.
        broken = await _there(connection, """SELECT c.relname FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
            WHERE NOT i.indisvalid AND c.relname LIKE 'ix_contacts_of_%'
            AND NOT EXISTS (SELECT 1 FROM pg_stat_progress_create_index p WHERE p.index_relid = i.indexrelid)""")
        there = await _there(connection, "SELECT indexname FROM pg_indexes WHERE tablename = 'contacts'")
    missing = wanted.keys() - (there - broken)
    if not missing:
        return 0
    async with database.read() as connection:
        # Beside writers, which a transaction cannot do.
        alone = await connection.execution_options(isolation_level="AUTOCOMMIT")
        for name in sorted(missing):
            if name in broken:
                await alone.exec_driver_sql(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
            await alone.exec_driver_sql(_statement(alone, name, wanted[name], "CONCURRENTLY"))
        await alone.exec_driver_sql("ANALYZE contacts")  # or the planner guesses what the new indexes hold
    return len(missing)


async def _there(connection: AsyncConnection, query: str) -> set[str]:
    return set((await connection.execute(text(query))).scalars())


def _statement(connection: AsyncConnection, name: str, expression: ColumnElement[Any], how: str) -> str:
    compiler = connection.dialect.statement_compiler(connection.dialect, None)
    what = compiler.process(expression, include_table=False, literal_binds=True)
    return f"CREATE INDEX {how} IF NOT EXISTS {name} ON contacts (workspace_id, ({what}))"
