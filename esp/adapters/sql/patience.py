"""Questions that may take long, with an end: a statement is given up after its time instead of holding everybody up."""

import asyncio
from typing import Any, Final

from sqlalchemy import CursorResult, Executable, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from esp.errors import TookTooLongError

_CANCELLED: Final = "57014"  # PostgreSQL's code for a statement that was given up
_WORDS: Final = ("Counting took too long and was given up; nothing was changed. Narrow the rule down, for example to "
                 "one campaign or to fewer days, or try again when less is being sent.")


async def execute_within(
    connection: AsyncConnection, dialect: str, statement: Executable, seconds: float,
) -> CursorResult[Any]:
    """Run a reading statement over sets of contacts; raises TookTooLongError after ``seconds``.

    On PostgreSQL its transaction also gets memory enough to hash a million ids, and no compiling of expressions, which
    takes longer than what it saves here.
    """
    if dialect == "postgresql":
        for setting in (f"statement_timeout = {max(1, int(seconds * 1000))}", "work_mem = '96MB'", "jit = off"):
            await connection.execute(text(f"SET LOCAL {setting}"))
        try:
            return await connection.execute(statement)
        except DBAPIError as error:
            if getattr(error.orig, "sqlstate", "") == _CANCELLED:
                raise TookTooLongError(_WORDS) from None
            raise
    raw = await connection.get_raw_connection()
    driver: Any = raw.driver_connection
    tasks: list[asyncio.Task[None]] = []
    timer = asyncio.get_running_loop().call_later(
        seconds, lambda: tasks.append(asyncio.ensure_future(driver.interrupt())))
    try:
        return await connection.execute(statement)
    except DBAPIError as error:
        if tasks and "interrupt" in str(error.orig):
            raise TookTooLongError(_WORDS) from None
        raise
    finally:
        timer.cancel()
        await asyncio.gather(*tasks)
