"""One way to the database: short read connections, and write transactions of which SQLite gets one at a time."""

import asyncio
import ctypes
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, nullcontext, suppress
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

import orjson
from sqlalchemy import event, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from esp.adapters.sql.inline import BEGIN_WRITING, InlineConnection
from esp.errors import DependencyError, SettingsError

# Pages that SQLite keeps for itself, KiB a connection. Small on purpose: the system's cache holds the file's pages once
# for all processes, and asking it for one costs a microsecond, while a private cache fills up as far as it may, so that
# memory grows with the campaign. The writer keeps what one transaction dirties (an import's index pages lie far apart),
# or they would be written to the WAL more than once.
_READER_CACHE: Final = 1_000
_WRITER_CACHE: Final = 8_000
_SENDING_WRITER_CACHE: Final = 2_000  # a few hundred outcomes dirty less than half of it
_SENDING_READERS: Final = 4
# An import's chunk dirties pages all over the indexes, and what does not fit is written to the WAL more than once. The
# connection lives as long as the chunk, and its cache with it.
_BULK_CACHE: Final = 24_000


_SPELLING: Final = "use sqlite:///path/to/file.db or postgresql://user@host/name"
_Result = TypeVar("_Result")


def _dumps(value: Any) -> str:
    return orjson.dumps(value).decode()


def _normalise(url: str) -> str:
    """``sqlite:///path`` and ``postgresql://...`` as the async drivers want them."""
    for plain, driver in (
        ("sqlite://", "sqlite+aiosqlite://"),
        ("postgres://", "postgresql+asyncpg://"),
        ("postgresql://", "postgresql+asyncpg://"),
    ):
        if url.startswith(plain):
            return driver + url[len(plain) :]
    return url


async def _inline(path: str) -> InlineConnection:
    return InlineConnection(path)


class Database:
    """Connections to SQLite or PostgreSQL.

    On SQLite every write transaction begins IMMEDIATE and waits its turn (``busy_timeout`` between processes, a lock
    within one), so that nobody ever meets SQLITE_BUSY half way; readers never wait (WAL).

    ``sending``: this is for a sending process, of which a machine has several. On SQLite it gets few connections, for
    each has a page cache, a parsed schema and prepared statements of its own, and they run in the loop's own thread.
    """

    def __init__(self, url: str, pool_size: int = 10, *, sending: bool = False) -> None:
        self.url = _normalise(url)
        try:
            parsed = make_url(self.url)
        except ArgumentError:  # not quoted: a misspelt address holds its password all the same
            raise SettingsError(f"database.url is no address of a database; {_SPELLING}.") from None
        self.dialect = parsed.get_backend_name()
        if self.dialect not in ("sqlite", "postgresql"):
            raise SettingsError(f"database.url names a {self.dialect} database; {_SPELLING}.")
        # An error's text goes into logs, and what is bound to a statement are people: the erased must not stay there.
        options: dict[str, Any] = {
            "json_serializer": _dumps, "json_deserializer": orjson.loads, "hide_parameters": True,
        }
        if self.dialect == "sqlite":
            if parsed.database:
                Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
            readers = min(pool_size, _SENDING_READERS) if sending else pool_size
            if sending and parsed.database:
                options["async_creator"] = partial(_inline, parsed.database)
            self._reader = self._sqlite_engine(options, readers, _READER_CACHE, writes=False)
            writer_cache = _SENDING_WRITER_CACHE if sending else _WRITER_CACHE
            self._writer = self._sqlite_engine(options, 1, writer_cache, writes=True)
            self._bulk_writer = self._sqlite_engine(options, 0, _BULK_CACHE, writes=True, checks=False)
            self._bulk_reader = self._sqlite_engine(options, 0, _READER_CACHE, writes=False)
            self._turn: asyncio.Lock | None = asyncio.Lock()
        else:
            self._reader = self._writer = self._bulk_reader = self._bulk_writer = create_async_engine(
                self.url, pool_size=pool_size, max_overflow=5, pool_pre_ping=True, **options
            )
            self._turn = None

    def _sqlite_engine(
        self, options: dict[str, Any], pool_size: int, cache: int, writes: bool, checks: bool = True,
    ) -> AsyncEngine:
        """With ``pool_size`` 0 each connection is closed after use; without ``checks`` no foreign key is looked up."""
        # The connection used last comes first: its cache is warm, and those that one busy moment opened stay small.
        pool: dict[str, Any] = {"pool_size": pool_size, "max_overflow": 0, "pool_use_lifo": True}
        engine = create_async_engine(self.url, **(pool if pool_size else {"poolclass": NullPool}), **options)

        @event.listens_for(engine.sync_engine, "connect")
        def _prepare(connection: Any, _record: Any) -> None:
            connection.isolation_level = None  # we say BEGIN ourselves
            cursor = connection.cursor()
            cursor.execute("PRAGMA busy_timeout=30000")
            if writes:
                # FULL, not NORMAL: in WAL mode NORMAL acknowledges a commit before it is on the disk.
                cursor.execute("PRAGMA journal_mode=WAL")
                cursor.execute("PRAGMA synchronous=FULL")
                cursor.execute(f"PRAGMA foreign_keys={'ON' if checks else 'OFF'}")
            cursor.execute("PRAGMA temp_store=MEMORY")
            cursor.execute(f"PRAGMA cache_size=-{cache}")
            cursor.close()

        @event.listens_for(engine.sync_engine, "begin")
        def _begin(connection: Any) -> None:
            connection.exec_driver_sql(BEGIN_WRITING if writes else "BEGIN")

        return engine

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """A connection for reading: one snapshot for as long as it is held, so hold it shortly."""
        async with self._reader.connect() as connection:
            yield connection

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncConnection]:
        """A transaction for writing: committed and synced when the block ends, rolled back when it raises."""
        if self._turn is None:
            async with self._writer.begin() as connection:
                yield connection
            return
        async with self._turn, self._writer.begin() as connection:
            yield connection

    @asynccontextmanager
    async def bulk(self, image: bytes = b"", *, writes: bool = True) -> AsyncIterator[AsyncConnection]:
        """A transaction of some ten thousand rows at once, as ``write`` or, without ``writes``, as ``read``.

        On SQLite it has a larger cache, sees the database whose image is given as the schema ``staged``, and looks up
        no foreign keys: whoever asks for it writes such references only as it has just made or found.
        """
        engine = self._bulk_writer if writes else self._bulk_reader
        async with self._turn if self._turn is not None and writes else nullcontext(), engine.connect() as connection:
            if image and self.dialect == "sqlite":
                await _attach(connection, image)
            async with connection.begin():
                yield connection
        if self.dialect == "sqlite":
            await asyncio.to_thread(_give_back)

    async def write_at_once(self, work: Callable[[sqlite3.Connection], _Result]) -> _Result:
        """A write transaction of SQLite's that ``work`` makes as one piece, off the loop: begun before it, committed
        and synced after it, rolled back where it raises. Each statement awaited by itself costs a change of threads,
        which is more than what most statements do."""

        def within(connection: sqlite3.Connection) -> _Result:
            connection.execute("BEGIN IMMEDIATE")
            try:
                result = work(connection)
                connection.execute("COMMIT")
                return result
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

        assert self._turn is not None, "for SQLite alone"
        async with self._turn, self._writer.connect() as connection:
            raw = await connection.get_raw_connection()
            driver: Any = raw.driver_connection
            result: _Result = await driver._execute(within, driver._conn)
            return result

    async def check(self) -> None:
        """Raises DependencyError in words for the operator where the database does not answer."""
        try:
            async with self.read() as connection:
                await connection.execute(text("SELECT 1"))
        except Exception as error:
            raise DependencyError(
                f"The database at {make_url(self.url).render_as_string()} does not answer: {error}"
            ) from error

    async def close(self) -> None:
        await self._reader.dispose()
        if self._writer is not self._reader:
            await self._writer.dispose()


def _give_back() -> None:
    """Free memory goes back to the system. Each connection has a thread and glibc an arena for it, which would keep
    what the last one needed while the next one needs as much again."""
    with suppress(AttributeError):  # a C library that keeps nothing back
        ctypes.CDLL(None).malloc_trim(0)


async def _attach(connection: AsyncConnection, image: bytes) -> None:
    """Make a database's image readable as the schema ``staged``; before the transaction, which would lock it."""
    raw: Any = (await connection.get_raw_connection()).driver_connection
    await raw.execute("ATTACH ':memory:' AS staged")
    # aiosqlite has no word for it; like all else it must be said in the connection's own thread.
    await raw._execute(raw._conn.deserialize, image, name="staged")
