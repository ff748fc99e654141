"""The list of addresses and domains that nothing is sent to: added by hand or by file, removed, and written out."""

import csv
import io
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from typing import Final

from esp.app import App
from esp.audience.csv_export import csv_line
from esp.audience.csv_text import detect
from esp.errors import InputError
from esp.model.contact import SuppressionReason
from esp.ports.people_suppressions import Bar, NewBar
from esp.wire.addresses import AddressError, parse_address, parse_domain

MAX_OCTETS: Final = 50_000_000
_CHUNK: Final = 500
_MOST_PROBLEMS: Final = 100
_LONGEST_NOTE: Final = 500
_HEADER: Final = ("email", "reason", "list", "note", "created_at", "expires_at")
# What other senders' exports call the same column.
_ADDRESS_COLUMNS: Final = ("email", "e-mail", "email address", "e-mail address", "address", "recipient", "domain")


def suppression_key(text: str) -> str:
    """The key of an address, or of ``@domain``, ``*@domain`` or a bare domain for everybody there; AddressError."""
    text = text.strip().strip("<>").lstrip("'").strip()  # an apostrophe is how we keep + from being a formula
    local, at, domain = text.rpartition("@")
    if not at or local in ("", "*"):
        return "@" + parse_domain(domain)
    return parse_address(text).key


async def add(
    app: App, workspace_id: int, text: str, *, reason: SuppressionReason = SuppressionReason.MANUAL,
    list_id: int | None = None, note: str = "", until: date | None = None, actor: str = "",
) -> tuple[int, int]:
    """Suppress the addresses and domains of ``text`` (by lines, commas or blanks): how many were new, how many there.

    ``until`` is the last day (UTC) on which it holds. Raises InputError, and then nothing was added.
    """
    words = text.replace(",", " ").replace(";", " ").split()
    if not words:
        raise InputError("Nothing was added.", {"text": "Write an address, or a domain such as @example.com."})
    if until is not None and _end_of(until) <= app.clock.now():
        raise InputError("Nothing was added.", {"until": "Choose a day that is still to come."})
    rows, problems = [], []
    for word in words:
        try:
            rows.append(NewBar(suppression_key(word), reason, list_id, note.strip()[:_LONGEST_NOTE],
                               _end_of(until) if until else None))
        except AddressError as error:
            problems.append(f"{word[:80]}: {error}")
    if problems:
        more = f" And {len(problems) - 3} more." if len(problems) > 3 else ""
        raise InputError("Nothing was added.", {"text": " ".join(problems[:3]) + more})
    new = 0
    for start in range(0, len(rows), _CHUNK):
        new += await app.store.suppressions.add(workspace_id, rows[start:start + _CHUNK], actor, app.clock.now())
    return new, len(rows) - new


def _end_of(day: date) -> datetime:
    return datetime.combine(day, time.max, UTC)


@dataclass(slots=True)
class SuppressionImport:
    """What a file brought: ``problems`` are (line, sentence), the first hundred of ``refused``."""

    added: int = 0
    there: int = 0
    refused: int = 0
    problems: list[tuple[int, str]] = field(default_factory=list)


async def import_csv(app: App, workspace_id: int, data: bytes, actor: str) -> SuppressionImport:
    """Add every address of a CSV file (a column email or domain, optional reason, list handle, note and expires_at), or
    of a plain list with one a line. Rows that cannot be used are named and left out. Raises InputError for no text."""
    if len(data) > MAX_OCTETS:
        raise InputError("The file is larger than 50 MB; split it.")
    dialect = detect(data[:1 << 20])
    text = data[dialect.start:].decode(dialect.encoding, "replace")
    handles = {one.handle: one.id for one in await app.store.contacts.lists(workspace_id, archived=True)}
    done = SuppressionImport()
    chunk: list[NewBar] = []
    for line, row in _rows(text, dialect.delimiter):
        try:
            chunk.append(_bar(row, handles))
        except (AddressError, ValueError) as error:
            done.refused += 1
            if len(done.problems) < _MOST_PROBLEMS:
                done.problems.append((line, str(error)))
        if len(chunk) >= _CHUNK:
            await _keep(app, workspace_id, chunk, actor, done)
            chunk = []
    await _keep(app, workspace_id, chunk, actor, done)
    return done


async def _keep(app: App, workspace_id: int, chunk: list[NewBar], actor: str, done: SuppressionImport) -> None:
    if chunk:
        new = await app.store.suppressions.add(workspace_id, chunk, actor, app.clock.now(), "imported")
        done.added += new
        done.there += len(chunk) - new


def _rows(text: str, delimiter: str) -> Iterator[tuple[int, dict[str, str]]]:
    """Line and cells by column name; a file without a header is a list of addresses."""
    reader = csv.reader(io.StringIO(text.replace("\0", ""), newline=""), delimiter=delimiter)
    names: list[str] = []
    while True:
        try:
            cells = next(reader, None)
        except csv.Error as error:
            yield reader.line_num, {"problem": f"The line cannot be read: {error}."}
            continue
        if cells is None:
            return
        if not any(cell.strip() for cell in cells):
            continue
        if not names:
            lowered = [cell.strip().casefold() for cell in cells]
            if any(name in _ADDRESS_COLUMNS for name in lowered):
                names = lowered
                continue
            names = ["email"]
        yield reader.line_num, dict(zip(names, (cell.strip() for cell in cells), strict=False))


def _bar(row: dict[str, str], handles: dict[str, int]) -> NewBar:
    if "problem" in row:
        raise ValueError(row["problem"])
    address = next((row[name] for name in _ADDRESS_COLUMNS if row.get(name)), "")
    if not address:
        raise ValueError("The address is empty.")
    try:
        reason = SuppressionReason(row.get("reason") or "manual")
    except ValueError:
        raise ValueError(f"“{row['reason'][:40]}” is no reason; use {', '.join(SuppressionReason)}.") from None
    handle = row.get("list", "")
    if handle and handle not in handles:
        raise ValueError(f"There is no list with the handle “{handle[:40]}”.")
    expires_at = None
    if row.get("expires_at"):
        try:
            expires_at = datetime.fromisoformat(row["expires_at"])
        except ValueError:
            raise ValueError(f"“{row['expires_at'][:40]}” is no date; write it as 2026-12-31.") from None
        expires_at = expires_at if expires_at.tzinfo else expires_at.replace(tzinfo=UTC)
    note = row.get("note", "")[:_LONGEST_NOTE]
    return NewBar(suppression_key(address), reason, handles.get(handle), note, expires_at)


async def export_csv(app: App, workspace_id: int) -> AsyncIterator[str]:
    """All of them as CSV text, line by line, as ``import_csv`` reads it."""
    handles = {one.id: one.handle for one in await app.store.contacts.lists(workspace_id, archived=True)}
    yield "\ufeff" + csv_line(_HEADER)
    last = 0
    while bars := await app.store.suppressions.after(workspace_id, last):
        for bar in bars:
            yield csv_line(_cells(bar, handles))
        last = bars[-1].id


def _cells(bar: Bar, handles: dict[int, str]) -> tuple[str, ...]:
    # A whole domain is written *@domain: a cell that begins with @ would be a formula.
    key = f"*{bar.key}" if bar.key.startswith("@") else bar.key
    return (key, bar.reason.value, handles.get(bar.list_id or 0, ""), bar.note, bar.created_at.isoformat(),
            bar.expires_at.isoformat() if bar.expires_at else "")
