"""Rows by their numbers, of which there are now seven and now four hundred: one statement for however many."""

from collections.abc import Sequence

import orjson
from sqlalchemy import ARRAY, BigInteger, ColumnElement, any_, func, literal, select
from sqlalchemy.ext.asyncio import AsyncConnection


def among(connection: AsyncConnection, column: ColumnElement[int], ids: Sequence[int]) -> ColumnElement[bool]:
    """``column IN (ids)`` with all of them as one parameter, for a statement run on ``connection``.

    A place for each would make another statement for each count, and a connection keeps the last hundred statements
    prepared: on SQLite 35 kB each, on PostgreSQL in the server's memory too.
    """
    if connection.dialect.name == "sqlite":
        given = func.json_each(orjson.dumps(list(ids)).decode()).table_valued("value")
        return column.in_(select(given.c.value))
    return column == any_(literal(list(ids), ARRAY(BigInteger)))
