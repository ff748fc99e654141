"""The edge's journal: one JSON object a line, in files that one process writes and that the fold reads.

A file is named ``edge-<id>.jsonl`` and held under flock by its writer for as long as it may grow; the kernel lets go
when the process dies, however it dies. So a file that nobody holds is finished, and can go once it has been folded.
"""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import orjson

from esp.model.delivery import EventType
from esp.ports.engagement import Hit, Withdrawal

FOLDER: Final = "journal"
PATTERN: Final = "edge-*.jsonl"
_KINDS: Final = {EventType.OPENED: "o", EventType.CLICKED: "c"}
_TYPES: Final = {letter: kind for kind, letter in _KINDS.items()}
_LONGEST_LINE: Final = 8192


def encode(entry: Hit | Withdrawal) -> bytes:
    """One line, with its line break."""
    line: dict[str, Any] = {
        "t": round(entry.at.timestamp() * 1000), "w": entry.workspace_id, "c": entry.campaign_id,
        "d": entry.delivery_id, "ip": entry.ip, "ua": entry.user_agent[:400],
    }
    if isinstance(entry, Hit):
        line |= {"k": _KINDS[entry.type], "l": entry.link_index, "x": entry.trait}
    else:
        line |= {"k": "u", "ch": entry.channel, "r": entry.reason[:200], "wd": entry.wording[:400]}
    return orjson.dumps(line) + b"\n"


def decode(line: bytes) -> Hit | Withdrawal | None:
    """What a line says; None for one that a full disk or a crash left broken."""
    try:
        value = orjson.loads(line)
        at = datetime.fromtimestamp(value["t"] / 1000, UTC)
        ids = (int(value["w"]), int(value["c"]), int(value["d"]))
        if value["k"] == "u":
            return Withdrawal(*ids, at, value["ch"], value["r"], value["wd"], value["ip"], value["ua"])
        return Hit(_TYPES[value["k"]], at, *ids, value["l"], value["ip"], value["ua"], value["x"])
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError, OverflowError, OSError):
        return None


@dataclass(frozen=True, slots=True)
class Entry:
    """A line that was read; ``end`` is the offset behind it. ``what`` is None for a broken line."""

    end: int
    what: Hit | Withdrawal | None


@dataclass(frozen=True, slots=True)
class Chunk:
    """Lines of a journal from an offset on. ``complete``: there were no more whole lines."""

    journal: str
    start: int
    entries: tuple[Entry, ...]
    complete: bool


def journals(folder: Path) -> list[Path]:
    """The journals of this machine, oldest first (their names begin with a time)."""
    return sorted(folder.glob(PATTERN)) if folder.is_dir() else []


@contextlib.contextmanager
def folding(folder: Path) -> Iterator[bool]:
    """Whether the journals of ``folder`` are ours to fold for as long as the block lasts: one of us at a time.

    A file that one has folded and removed is forgotten with its offset; another that has read it already would count
    it again from the start.
    """
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder / ".fold", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            ours = True
        except BlockingIOError:
            ours = False
        yield ours
    finally:
        os.close(descriptor)


def read(path: Path, offset: int, lines: int) -> Chunk:
    """At most ``lines`` whole lines from ``offset`` on; a last line without its line break waits.

    A line longer than any that we write is broken; it is skipped like every broken line.
    """
    entries: list[Entry] = []
    at = offset
    with path.open("rb") as file:
        file.seek(offset)
        while len(entries) < lines:
            line = file.readline(_LONGEST_LINE * 64)
            if not line.endswith(b"\n") and len(line) < _LONGEST_LINE * 64:
                return Chunk(path.name, offset, tuple(entries), True)
            at += len(line)
            entries.append(Entry(at, decode(line) if len(line) <= _LONGEST_LINE else None))
    return Chunk(path.name, offset, tuple(entries), False)


def remove_finished(path: Path, folded: int) -> bool:
    """Remove a journal that nobody writes any more and whose whole lines were all folded; True where it went.

    What remains behind ``folded`` then is at most half a line of a process that was killed while writing it.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        rest = os.pread(descriptor, _LONGEST_LINE * 64, folded)
        if b"\n" in rest:
            return False
        path.unlink(missing_ok=True)
    except BlockingIOError:
        return False
    else:
        return True
    finally:
        os.close(descriptor)
