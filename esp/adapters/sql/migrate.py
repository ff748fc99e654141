"""Bring a database to the newest schema with Alembic, from any earlier one."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection

from esp.adapters.sql.database import Database


def alembic_config(connection: Connection | None = None) -> Config:
    """Alembic's configuration for our migrations folder, over an open connection."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    return config


async def migrate(database: Database) -> None:
    """Apply every migration that is missing, in one transaction."""
    async with database.write() as connection:
        await connection.run_sync(lambda sync: command.upgrade(alembic_config(sync), "head"))
