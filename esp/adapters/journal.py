"""The outcome journal as a file: one line a fact, written through a mapping, locked for as long as its worker lives.

Not synced: a killed process loses nothing that it wrote into the mapping, for its pages are the system's. A machine
that goes down may; the boot id in the first line tells, and then everything the worker held counts as doubtful. A note
through the mapping is a copy where a write is a system call, and the file's room is taken beforehand, so that a full
disk is met when the file is made and not in the middle of a note.
"""

import fcntl
import mmap
import os
from collections.abc import Iterable
from dataclasses import fields
from datetime import datetime
from operator import attrgetter
from pathlib import Path
from typing import Any, Final, Self

import orjson

from esp.model.ids import new_public_id
from esp.ports.journal import DeadJournal, Noted
from esp.ports.outbox import ClaimedBatch, Outcome

_ROOM: Final = 1 << 20  # octets that are free in a new file
_OUTCOME_FIELDS: Final = tuple(field.name for field in fields(Outcome) if field.name != "row")
_values_of: Final = attrgetter(*_OUTCOME_FIELDS)


def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""  # not Linux: nothing is known, so no journal is ever taken for complete


class FileJournal:
    """The journal of one worker; see ``esp.ports.journal.OutcomeJournal``."""

    def __init__(self, folder: Path, name: str, owner: str, lock: int) -> None:
        self.owner = owner
        self._folder, self._name, self._lock = folder, name, lock
        self._pending: dict[int, list[bytes]] = {}
        self._buried: dict[str, int] = {}
        self._turn: int | None = None  # held while we clear up
        self._header = orjson.dumps({"owner": owner, "boot": _boot_id()}) + b"\n"
        self._map, self._at = self._fresh()

    @classmethod
    def open(cls, folder: Path, node: str) -> Self:
        """The journal of a new worker: the first place in ``folder`` that no living process holds and that is empty."""
        folder.mkdir(parents=True, exist_ok=True)
        number = 0
        while True:
            name = f"worker-{number}"
            lock = _try_lock(folder / f"{name}.lock")
            if lock is not None:
                path = folder / f"{name}.journal"
                if not path.exists() or path.stat().st_size == 0:
                    return cls(folder, name, f"{node}/{name}/{new_public_id()}", lock)
                os.close(lock)
            number += 1

    def _fresh(self) -> tuple[mmap.mmap, int]:
        """Write what is pending to a new file and put it in the old one's place: a kill leaves one of the two."""
        path, new = self._folder / f"{self._name}.journal", self._folder / f"{self._name}.new"
        content = self._header + b"".join(line for lines in self._pending.values() for line in lines)
        size = len(content) + _ROOM
        file = os.open(new, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            # Room on the disk, and not a file with holes: to fill a hole where there is no room kills the process.
            os.posix_fallocate(file, 0, size)
            mapped = mmap.mmap(file, size)
        finally:
            os.close(file)
        mapped[: len(content)] = content
        new.replace(path)
        return mapped, len(content)

    def _note(self, delivery_id: int, line: bytes) -> None:
        end = self._at + len(line)
        if end > len(self._map):
            self._renew()
            end = self._at + len(line)
        self._map[self._at : end] = line
        self._at = end
        self._pending.setdefault(delivery_id, []).append(line)

    def _renew(self) -> None:
        # The new one first: were it refused (a full disk), the old one with our notes would be closed.
        old, (self._map, self._at) = self._map, self._fresh()
        old.close()

    def dot(self, batch: ClaimedBatch, delivery_id: int) -> None:
        """Note ``D batch fence delivery``."""
        self._note(delivery_id, b"D %d %d %d\n" % (batch.id, batch.fence, delivery_id))

    def answered(self, batch: ClaimedBatch, outcome: Outcome) -> None:
        """Note ``R batch fence delivery outcome``."""
        content = orjson.dumps(dict(zip(_OUTCOME_FIELDS, _values_of(outcome), strict=True)))
        delivery_id = outcome.row.delivery_id
        self._note(delivery_id, b"R %d %d %d %b\n" % (batch.id, batch.fence, delivery_id, content))

    def settled(self, delivery_ids: Iterable[int]) -> None:
        """Forget these; and keep the file small."""
        for delivery_id in delivery_ids:
            self._pending.pop(delivery_id, None)
        if self._at > len(self._map) - _ROOM // 2:
            self._renew()

    def dead(self) -> tuple[DeadJournal, ...] | None:
        """Read every journal here whose lock nobody holds; hold it until ``bury``, so that one of us does it."""
        for left in self._buried.values():  # what an earlier attempt did not come to
            os.close(left)
        self._buried.clear()
        if self._turn is None:
            self._turn = _try_lock(self._folder / "recovery.lock")
            if self._turn is None:
                return None
        found = []
        for path in sorted(self._folder.glob("worker-*.journal")):
            if path.stem == self._name:
                continue
            lock = _try_lock(path.with_suffix(".lock"))
            if lock is None:
                continue
            self._buried[path.stem] = lock
            found.append(_read(path))
        self._give_turn()
        return tuple(found)

    def bury(self, journal: DeadJournal) -> None:
        """Remove the file, then give the place free."""
        (self._folder / f"{journal.name}.journal").unlink(missing_ok=True)
        os.close(self._buried.pop(journal.name))
        self._give_turn()

    def _give_turn(self) -> None:
        if self._turn is not None and not self._buried:
            os.close(self._turn)
            self._turn = None

    def close(self) -> None:
        """A worker that ends well leaves nothing behind; one that could not record something leaves its notes."""
        self._map.close()
        if not self._pending:
            (self._folder / f"{self._name}.journal").unlink(missing_ok=True)
        for lock in (self._lock, *self._buried.values()):
            os.close(lock)
        self._buried.clear()
        self._give_turn()


def _try_lock(path: Path) -> int | None:
    """The open, locked file, or None where another process (or another journal of ours) holds it."""
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(file)
        return None
    return file


def _read(path: Path) -> DeadJournal:
    """What can be read of a journal, up to the room that was not used; its last line may be cut."""
    lines = path.read_bytes().partition(b"\0")[0].split(b"\n")
    if lines[-1]:
        lines.pop()  # cut in the middle of a write
    try:
        header = orjson.loads(lines[0])
    except (orjson.JSONDecodeError, IndexError):
        return DeadJournal(path.stem, "", complete=False)
    noted: dict[tuple[int, int, int], Noted] = {}
    for line in lines[1:]:
        match line.split(b" ", 4):
            case [b"D", batch, fence, delivery]:
                key = (int(batch), int(fence), int(delivery))
                noted[key] = Noted(*key, outcome=None)
            case [b"R", batch, fence, delivery, content]:
                key = (int(batch), int(fence), int(delivery))
                noted[key] = Noted(*key, outcome=_outcome(orjson.loads(content)))
    complete = bool(header["boot"]) and header["boot"] == _boot_id()
    return DeadJournal(path.stem, header["owner"], complete, tuple(noted.values()))


def _outcome(content: dict[str, Any]) -> dict[str, object]:
    for name in ("at", "due_at"):
        if content[name] is not None:
            content[name] = datetime.fromisoformat(content[name])
    return content
