"""What the database says of an error goes into logs, and must not carry the people it was about."""

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from esp.adapters.sql.database import Database


async def test_an_error_does_not_quote_what_was_bound(database: Database) -> None:
    with pytest.raises(DBAPIError) as raised:
        async with database.read() as connection:
            await connection.execute(
                text("SELECT nowhere FROM contacts WHERE email_key = :key"), {"key": "ani@x.example"})
    assert "ani@x.example" not in str(raised.value)
