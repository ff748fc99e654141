"""Texts that are not about a person but may name one: the address is struck out of them wherever it stands alone.

Rows about the person (by id or address) are deleted whole in ``erasure``; here are the others: a segment that asks for
the address, a note about somebody else, what a bulk action was chosen by, an error that quotes a row.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson
from sqlalchemy import (
    ColumnElement,
    LargeBinary,
    Table,
    and_,
    bindparam,
    cast,
    delete,
    func,
    or_,
    select,
    text,
    update,
)
from sqlalchemy import Text as TextType
from sqlalchemy.ext.asyncio import AsyncConnection

from esp.adapters.sql.database import Database
from esp.adapters.sql.schema import (
    api_answers,
    bulk_actions,
    bulk_changes,
    campaigns,
    contact_changes,
    contact_notes,
    exports,
    hygiene_findings,
    hygiene_reports,
    import_rejects,
    imports,
    inbound_messages,
    segment_snapshots,
    segments,
    signup_pages,
    signups,
    suppression_changes,
    suppressions,
    topics,
    transfer_runs,
    transfers,
    webhook_tries,
)
from esp.wire.addresses import alone

#: What stands instead of the address: no address, and nobody's name.
STRUCK: Final = "[erased]"
_WINDOW: Final = 500  # rows looked through at a time; a mail has a megabyte at most
#: Columns in which the address is struck out. A sealed secret cannot be read, and what the team is called is theirs.
TEXTS: Final[Mapping[Table, tuple[str, ...]]] = {
    bulk_actions: ("selection", "arguments", "error"),
    bulk_changes: ("before",),
    campaigns: ("name", "segment_rules", "state_reason"),
    contact_changes: ("detail",),
    contact_notes: ("text",),
    exports: ("options", "error"),
    hygiene_reports: ("options", "error"),
    imports: ("file_name", "options", "error"),
    segment_snapshots: ("name", "rule"),
    segments: ("name", "description", "rule"),
    signup_pages: ("title", "intro"),
    signups: ("fields", "source", "reason"),
    suppression_changes: ("note",),
    suppressions: ("note",),
    topics: ("description",),
    transfer_runs: ("error",),
    transfers: ("name", "place", "options"),
    webhook_tries: ("answer",),
}
#: Columns that say nothing else than who it is: emptied whole where the address stands in them.
WHOLE: Final[Mapping[Table, tuple[str, ...]]] = {campaigns: ("sample",)}
#: Rows that are deleted where one of these columns holds the address: they are nothing but what the person wrote, or
#: what somebody wrote of them.
ROWS: Final[Mapping[Table, tuple[str, ...]]] = {
    import_rejects: ("row", "reason"),
    hygiene_findings: ("group_key", "suggestion"),
    inbound_messages: ("mail_from", "rcpt_to", "raw"),
}


@dataclass(frozen=True, slots=True)
class Looked:
    """What of a table's column may quote the address, up to and with row ``until``."""

    ids: tuple[int, ...]
    until: int


Ahead = Mapping[tuple[str, str], Looked]


async def look_ahead(database: Database, workspace_id: int, spellings: Collection[str]) -> Ahead:
    """Go through ROWS, the mail of months among them, before anybody has to wait for it, some rows at a time."""
    found: dict[tuple[str, str], Looked] = {}
    for table, names in ROWS.items():
        for name in names:
            where = _quotes(database.dialect, table, name, spellings)
            ids: list[int] = []
            after, end = 0, 0
            while True:
                window = (select(table.c.id).where(_ours(table, workspace_id), table.c.id > after)
                          .order_by(table.c.id).limit(_WINDOW).subquery())
                async with database.read() as connection:
                    end = await connection.scalar(select(func.max(window.c.id))) or 0
                    if not end:
                        break
                    ids += (await connection.execute(select(table.c.id).where(
                        _ours(table, workspace_id), table.c.id > after, table.c.id <= end, where))).scalars()
                after = end
            found[table.name, name] = Looked(tuple(ids), after)
    return found


async def sweep_texts(
    connection: AsyncConnection, dialect: str, workspace_id: int, spellings: Collection[str], mails: Sequence[int],
    ahead: Ahead,
) -> int:
    """Strike the address, in each of its spellings, out of all that may quote it; how many rows were deleted.

    Of ROWS only those are looked at that ``ahead`` found, and those that came since.
    """
    pattern = alone(spellings)
    for table, names in TEXTS.items():
        for name in names:
            await _strike(connection, table, name, workspace_id, spellings, pattern)
    for table, names in WHOLE.items():
        for name in names:
            await connection.execute(update(table).values({name: {}}).where(
                _ours(table, workspace_id), _holds(table.c[name], spellings)))
    deleted = 0
    for table, names in ROWS.items():
        for name in names:
            there = ahead[table.name, name]
            where = and_(or_(table.c.id.in_(there.ids), table.c.id > there.until), _ours(table, workspace_id),
                         _quotes(dialect, table, name, spellings))
            deleted += await _remove(connection, table, name, where, pattern)
    # What the API answered is kept for a day at most; who asks again within it is answered anew.
    answers = (_holds(api_answers.c.key, spellings), _octets(dialect, "body", spellings))
    for where in answers:
        gone = await connection.execute(
            delete(api_answers).where(api_answers.c.workspace_id == workspace_id, where))
        deleted += gone.rowcount
    for start in range(0, len(mails), 500):
        gone = await connection.execute(delete(inbound_messages).where(
            _ours(inbound_messages, workspace_id), inbound_messages.c.delivery_id.in_(mails[start:start + 500])))
        deleted += gone.rowcount
    return deleted


def _ours(table: Table, workspace_id: int) -> ColumnElement[bool]:
    """Of mail that came in, also what could be tied to no workspace."""
    of = table.c.workspace_id
    return or_(of == workspace_id, of.is_(None)) if of.nullable else of == workspace_id


async def _strike(
    connection: AsyncConnection, table: Table, name: str, workspace_id: int, spellings: Collection[str],
    pattern: re.Pattern[str],
) -> None:
    column, keys = table.c[name], list(table.primary_key.columns)
    rows = (await connection.execute(
        select(*keys, column.label("value_found")).where(_ours(table, workspace_id), _holds(column, spellings))
    )).all()
    for row in rows:
        struck = strike(row.value_found, pattern)
        if struck != row.value_found:
            await connection.execute(
                update(table).where(*(key == row._mapping[key.name] for key in keys)).values({name: struck}))


def strike(value: Any, pattern: re.Pattern[str]) -> Any:
    """The value with the address struck out of each text in it, keys of mappings included."""
    if isinstance(value, str):
        return pattern.sub(STRUCK, value)
    if isinstance(value, Mapping):
        return {strike(key, pattern): strike(one, pattern) for key, one in value.items()}
    return [strike(one, pattern) for one in value] if isinstance(value, list) else value


async def _remove(
    connection: AsyncConnection, table: Table, name: str, where: ColumnElement[bool], pattern: re.Pattern[str],
) -> int:
    column = table.c[name]
    found = (await connection.execute(select(table.c.id).where(where))).scalars().all()
    deleted = 0
    for number in found:  # one at a time, for a mail may be large
        value = (await connection.execute(select(column).where(table.c.id == number))).scalar_one()
        if pattern.search(value.decode("utf-8", "replace") if isinstance(value, bytes) else value):
            deleted += (await connection.execute(delete(table).where(table.c.id == number))).rowcount
    return deleted


def _quotes(dialect: str, table: Table, name: str, spellings: Collection[str]) -> ColumnElement[bool]:
    column = table.c[name]
    return _octets(dialect, name, spellings) if isinstance(column.type, LargeBinary) else _holds(column, spellings)


def _holds(column: ColumnElement[Any], spellings: Collection[str]) -> ColumnElement[bool]:
    """A wide net: SQLite folds A-Z alone, so a spelling is looked for as it is and folded."""
    as_text = column if isinstance(column.type, TextType) else cast(column, TextType)
    needles = {form for one in spellings for form in (one, one.lower(), orjson.dumps(one.lower()).decode()[1:-1])}
    return or_(*(func.lower(as_text).contains(needle, autoescape=True) for needle in sorted(needles)),
               *(as_text.contains(needle, autoescape=True) for needle in sorted(needles)))


def _octets(dialect: str, name: str, spellings: Collection[str]) -> ColumnElement[bool]:
    as_written, folded = (
        (f"position(:octets in {name}) > 0", f"position(:key in lower(encode({name}, 'escape'))) > 0")
        if dialect == "postgresql" else
        (f"instr({name}, :octets) > 0", f"instr(lower(CAST({name} AS TEXT)), :key) > 0")
    )
    asked = [text(as_written).bindparams(bindparam("octets", one.encode(), unique=True)) for one in spellings]
    asked += [text(folded).bindparams(bindparam("key", one.lower(), unique=True)) for one in spellings]
    return or_(*asked)
