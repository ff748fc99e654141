"""The migrations and the schema in code say the same, on both databases."""

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from esp.adapters.sql.database import Database
from esp.adapters.sql.migrate import migrate
from esp.adapters.sql.schema import metadata


async def test_migrated_database_has_exactly_the_schema(database: Database) -> None:
    async with database.read() as connection:
        differences = await connection.run_sync(
            lambda sync: compare_metadata(MigrationContext.configure(sync, opts={"compare_type": False}), metadata)
        )
    assert differences == []


async def test_migrating_twice_changes_nothing(database: Database) -> None:
    await migrate(database)
