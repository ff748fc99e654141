"""Other people's databases: one reading query as CSV, in a transaction that cannot write, with an end to its time."""

import asyncio
import csv
import io
import re
from collections.abc import AsyncIterator, Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncpg
from sqlalchemy import text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from esp.errors import InputError

_ROWS = 1000
_READS = re.compile(r"\s*(?:--[^\n]*\n\s*)*(?:select|with|values)\b", re.IGNORECASE)


def csv_text(rows: Iterable[Iterable[Any]]) -> bytes:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(["" if cell is None else cell for cell in row] for row in rows)
    return out.getvalue().encode()


def database_server(url: str) -> tuple[str, int] | None:
    """Host (empty for a socket) and port of the server that ``url`` names; None for a file. Raises InputError.

    Told by the very reader that ``query_rows`` connects by: two readers of one address may see two hosts in it.
    """
    parsed = _parsed(url)
    if parsed.get_backend_name() == "sqlite":
        return None
    return parsed.host or "", parsed.port or 5432


def _parsed(url: str) -> URL:
    try:
        return make_url(url)
    except (ArgumentError, ValueError):
        raise InputError(
            "The connection is no database address, such as postgresql://user:password@host/name.") from None


def _engine(url: str, timeout: timedelta, address: str, root: Path | None) -> Any:
    parsed = _parsed(url)
    kind = parsed.get_backend_name()
    if kind in ("postgresql", "postgres"):
        settings = {"default_transaction_read_only": "on",
                    "statement_timeout": str(int(timeout.total_seconds() * 1000))}
        query = {name: value for name, value in parsed.query.items() if name in ("ssl", "sslmode", "host")}
        if address:
            query.pop("host", None)
        made = URL.create("postgresql+asyncpg", parsed.username, parsed.password, address or parsed.host, parsed.port,
                          parsed.database, query)
        return create_async_engine(made, poolclass=NullPool,
                                   connect_args={"server_settings": settings, "timeout": 20})
    if kind == "sqlite":
        if root is None or not parsed.database:
            raise InputError("A SQLite file must lie in the server's transfer folder.")
        path = (root / parsed.database).resolve()
        if not path.is_relative_to(root) or not path.is_file():
            raise InputError("There is no such SQLite file in the transfer folder.")
        return create_async_engine(f"sqlite+aiosqlite:///file:{path}?mode=ro&uri=true", poolclass=NullPool)
    raise InputError("The connection must be to PostgreSQL or to a SQLite file.")


async def query_rows(
    url: str, query: str, timeout: timedelta, max_octets: int, address: str, root: Path | None,
) -> AsyncIterator[bytes]:
    """The query's rows as CSV with their columns' names first. ``address`` is the host's, checked by the caller.

    Raises InputError; the connection's secret is in none of its words.
    """
    if not _READS.match(query):
        # A file that may only be read could still be told to open, or make, another one (ATTACH).
        raise InputError("The query must begin with SELECT or WITH.")
    engine = _engine(url, timeout, address, root)
    taken = 0
    try:
        async with asyncio.timeout(timeout.total_seconds()), engine.connect() as connection:
            if connection.dialect.name == "sqlite":
                await connection.execute(text("PRAGMA query_only = on"))
            found = await connection.stream(text(query.strip().rstrip(";").replace(":", r"\:")))
            yield csv_text([tuple(found.keys())])
            async for rows in found.partitions(_ROWS):
                data = csv_text(rows)
                taken += len(data)
                if taken > max_octets:
                    raise InputError(f"The query gives more than {max_octets:,} octets.")
                yield data
    except TimeoutError:
        raise InputError("The query took too long and was stopped.") from None
    except (SQLAlchemyError, asyncpg.PostgresError, asyncpg.InterfaceError, OSError, ValueError) as error:
        known = isinstance(error, asyncpg.PostgresError)
        reason = str(error if known else getattr(error, "orig", None) or "no connection").split("\n", 1)[0][:300]
        raise InputError(f"The query failed: {reason.rpartition('>: ')[2]}") from None
    finally:
        await engine.dispose()
