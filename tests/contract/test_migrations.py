"""The migrations and the schema in code say the same, on both databases."""

from collections.abc import Callable
from typing import Any

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, inspect

from esp.adapters.sql.database import Database
from esp.adapters.sql.migrate import migrate
from esp.adapters.sql.schema import metadata


def is_for(dialect: str) -> Callable[..., bool]:
    """Alembic looks at every foreign key of the schema, also at those that only the other database has."""

    def included(thing: Any, _name: str, _kind: str, reflected: bool, _other: Any) -> bool:
        return reflected or getattr(thing, "info", {}).get("only", dialect) == dialect

    return included


async def test_migrated_database_has_exactly_the_schema(database: Database) -> None:
    async with database.read() as connection:
        differences = await connection.run_sync(
            lambda sync: compare_metadata(MigrationContext.configure(
                sync, opts={"compare_type": False, "include_object": is_for(sync.dialect.name)}), metadata)
        )
    assert differences == []


def described(connection: Connection) -> dict[str, Any]:
    """Columns with type, default and nullability, keys, and indexes with their conditions, as the database has them."""
    look = inspect(connection)

    def index(found: Any) -> str:
        return str({**found, "dialect_options": {key: str(value) for key, value in found["dialect_options"].items()}})

    return {
        table: {
            "columns": [{**column, "type": str(column["type"])} for column in look.get_columns(table)],
            "key": look.get_pk_constraint(table),
            "foreign": sorted(look.get_foreign_keys(table), key=str),
            "unique": sorted(look.get_unique_constraints(table), key=str),
            "indexes": sorted(map(index, look.get_indexes(table))),
        }
        for table in look.get_table_names()
        if table != "alembic_version"
    }


async def test_migrated_tables_are_those_that_the_schema_would_create(database: Database) -> None:
    async with database.write() as connection:
        migrated = await connection.run_sync(described)
        await connection.run_sync(metadata.drop_all)
        await connection.run_sync(metadata.create_all)
        created = await connection.run_sync(described)
    assert migrated == created


async def test_migrating_twice_changes_nothing(database: Database) -> None:
    await migrate(database)
