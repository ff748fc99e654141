"""SQLite in the event loop's own thread, for sending processes: as aiosqlite's connection, without its thread.

SQLAlchemy makes four journeys to that thread and back for a statement, and each time the two threads fight for the
interpreter. A sending process has nobody who waits for a page: its statements are short, and run where they are asked.
Only what may wait for somebody goes to a thread: BEGIN IMMEDIATE (for other processes' turn) and COMMIT (for the disk).
"""

import asyncio
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, Self

BEGIN_WRITING = "BEGIN IMMEDIATE"


async def _elsewhere(work: Callable[[], Any]) -> Any:
    """``work`` in a thread; whoever is cancelled meanwhile waits for its end, for the connection is busy until then."""
    running = asyncio.get_running_loop().run_in_executor(None, work)
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.wait([running])
        raise


class InlineCursor:
    """A cursor as SQLAlchemy's adapter for aiosqlite wants it."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._cursor = connection.cursor()

    async def __aenter__(self) -> Self:
        return self

    @property
    def description(self) -> Any:
        return self._cursor.description

    @property
    def rowcount(self) -> int:
        return self._cursor.rowcount

    @property
    def lastrowid(self) -> int | None:
        return self._cursor.lastrowid

    @property
    def arraysize(self) -> int:
        return self._cursor.arraysize

    async def execute(self, statement: str, parameters: Sequence[Any] = ()) -> Self:
        if statement == BEGIN_WRITING:
            await _elsewhere(lambda: self._cursor.execute(statement))
        else:
            self._cursor.execute(statement, parameters)
        return self

    async def executemany(self, statement: str, parameters: Iterable[Sequence[Any]]) -> Self:
        self._cursor.executemany(statement, parameters)
        return self

    async def fetchone(self) -> Any:
        return self._cursor.fetchone()

    async def fetchmany(self, size: int | None = None) -> list[Any]:
        return self._cursor.fetchmany(self._cursor.arraysize if size is None else size)

    async def fetchall(self) -> list[Any]:
        return self._cursor.fetchall()

    async def close(self) -> None:
        self._cursor.close()


class _Queue:
    """Where SQLAlchemy's adapter puts what is to be done in aiosqlite's thread: done at once."""

    def put_nowait(self, item: tuple[asyncio.Future[Any], Callable[[], Any]]) -> None:
        done, work = item
        done.set_result(work())


class InlineConnection:
    """A connection as SQLAlchemy's adapter for aiosqlite wants it."""

    def __init__(self, path: str) -> None:
        self._conn = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._connection: sqlite3.Connection | None = self._conn
        self._tx = _Queue()

    @property
    def isolation_level(self) -> str | None:
        return self._conn.isolation_level

    def cursor(self) -> InlineCursor:
        return InlineCursor(self._conn)

    async def create_function(self, name: str, arguments: int, function: Any, deterministic: bool = False) -> None:
        self._conn.create_function(name, arguments, function, deterministic=deterministic)

    async def commit(self) -> None:
        if self._conn.in_transaction:
            await _elsewhere(self._conn.commit)

    async def rollback(self) -> None:
        self._conn.rollback()

    async def _execute(self, work: Callable[..., Any], *given: Any, **named: Any) -> Any:
        """As aiosqlite's, for work that is made as one piece (``Database.write_at_once``)."""
        return await _elsewhere(partial(work, *given, **named))

    async def close(self) -> None:
        self.stop()

    def stop(self) -> None:
        """Close at once."""
        self._connection = None
        self._conn.close()
