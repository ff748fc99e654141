"""Fixtures that every suite shares: really started databases, a Redis server, and free ports."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from esp.adapters.sql.database import Database
from esp.adapters.sql.migrate import migrate
from tests.services import PostgresServer, RedisServer


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    """One PostgreSQL a session, started by us; each test gets a database of its own."""
    server = PostgresServer.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer.start()
    yield server
    server.stop()


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A fresh, empty database of each kind."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'test.db'}"
    else:
        server: PostgresServer = request.getfixturevalue("postgres_server")
        name = server.create_database()
        yield server.url(name)
        server.drop_database(name)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """A migrated database of each kind."""
    database = Database(database_url)
    await migrate(database)
    yield database
    await database.close()


@pytest.fixture
async def sqlite_database(tmp_path: Path) -> AsyncIterator[Database]:
    """A migrated SQLite database, for tests to which the kind of database is nothing."""
    database = Database(f"sqlite:///{tmp_path / 'test.db'}")
    await migrate(database)
    yield database
    await database.close()
