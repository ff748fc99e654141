"""The outcome journal: what a dead worker knew is read by the next one, once, and a cut line hides nothing else."""

import os
from datetime import UTC, datetime
from pathlib import Path

import orjson
import pytest

from esp.adapters.journal import FileJournal
from esp.model.delivery import EventType
from esp.ports.outbox import ClaimedBatch, OutboxRow, Outcome

AT = datetime(2026, 11, 2, 9, 0, tzinfo=UTC)


def batch(number: int = 1, fence: int = 3) -> ClaimedBatch:
    return ClaimedBatch(number, 1, 1, "a.example", 10, "owner", fence, AT)


def row(delivery_id: int) -> OutboxRow:
    return OutboxRow(delivery_id, 1, 1, "p@a.example", "p@a.example", "a.example", "a.example", 0, AT)


def delivered(delivery_id: int) -> Outcome:
    return Outcome(row(delivery_id), EventType.DELIVERED, AT, code=250, reply="2.0.0 taken\nreally")


def abandon(journal: FileJournal) -> None:
    """What a kill does: the files are closed and nothing is cleared up."""
    journal._map.close()
    os.close(journal._lock)


def test_the_next_worker_reads_what_the_dead_one_knew(tmp_path: Path) -> None:
    dead = FileJournal.open(tmp_path, "node")
    for delivery_id in (5, 6, 7):
        dead.dot(batch(), delivery_id)
    dead.answered(batch(), delivered(5))
    dead.answered(batch(), delivered(7))
    dead.settled([7])  # settled notes may still be there, and do no harm: their outcomes are in the database
    abandon(dead)

    journal = FileJournal.open(tmp_path, "node")
    assert journal.owner != dead.owner
    (found,) = journal.dead()
    assert (found.owner, found.complete) == (dead.owner, True)
    noted = {note.delivery_id: note for note in found.noted}
    assert noted[6].outcome is None
    assert (noted[6].batch_id, noted[6].fence) == (1, 3)
    outcome = noted[5].outcome
    assert outcome is not None
    assert (outcome["type"], outcome["at"], outcome["code"], outcome["due_at"]) == ("delivered", AT, 250, None)
    journal.bury(found)
    assert journal.dead() == ()
    journal.close()
    assert not list(tmp_path.glob("*.journal"))


def test_a_living_workers_journal_is_left_alone(tmp_path: Path) -> None:
    one, two = FileJournal.open(tmp_path, "node"), FileJournal.open(tmp_path, "node")
    one.dot(batch(), 5)
    assert two.dead() == ()
    abandon(one)
    three = FileJournal.open(tmp_path, "node")
    (found,) = two.dead()
    assert three.dead() is None  # one of them clears up, not both, and the other knows it
    two.bury(found)
    assert three.dead() == ()
    two.close()
    three.close()


def test_whoever_fails_while_clearing_up_begins_again(tmp_path: Path) -> None:
    for number in range(2):
        dead = FileJournal.open(tmp_path, "node")
        dead.dot(batch(), number)
        abandon(dead)
    heir, other = FileJournal.open(tmp_path, "node"), FileJournal.open(tmp_path, "node")
    found = heir.dead()
    assert found is not None
    heir.bury(found[0])  # and then the database is away
    again = heir.dead()
    assert again is not None
    assert [one.owner for one in again] == [one.owner for one in found[1:]]
    assert other.dead() is None
    heir.close()  # its successor's turn
    (left,) = other.dead() or ()
    other.bury(left)
    other.close()


def test_a_line_cut_by_the_kill_is_no_fact(tmp_path: Path) -> None:
    dead = FileJournal.open(tmp_path, "node")
    dead.dot(batch(), 5)
    dead._note(5, b'R 1 3 5 {"type":"deliv')
    abandon(dead)
    journal = FileJournal.open(tmp_path, "node")
    (found,) = journal.dead()
    assert [note.outcome for note in found.noted] == [None]
    journal.bury(found)
    journal.close()


def test_a_machine_that_went_down_may_have_lost_the_last_lines(tmp_path: Path) -> None:
    dead = FileJournal.open(tmp_path, "node")
    abandon(dead)
    path = next(tmp_path.glob("*.journal"))
    path.write_bytes(orjson.dumps({"owner": dead.owner, "boot": "another"}) + b"\n")
    journal = FileJournal.open(tmp_path, "node")
    (found,) = journal.dead()
    assert not found.complete
    journal.bury(found)
    journal.close()


def test_the_file_stays_small_and_keeps_what_is_open(tmp_path: Path) -> None:
    journal = FileJournal.open(tmp_path, "node")
    journal.dot(batch(), 1)
    path = next(tmp_path.glob("*.journal"))
    for delivery_id in range(2, 20_000):
        journal.dot(batch(), delivery_id)
        journal.answered(batch(), delivered(delivery_id))
        journal.settled([delivery_id])
    assert path.stat().st_size < 2 << 20
    abandon(journal)
    heir = FileJournal.open(tmp_path, "node")
    (found,) = heir.dead()
    assert 1 in {note.delivery_id for note in found.noted}
    heir.bury(found)
    heir.close()


def test_a_full_disk_while_tidying_leaves_the_journal_where_it_was(tmp_path: Path) -> None:
    folder = tmp_path / "journal"
    journal = FileJournal.open(folder, "node")
    for delivery_id in range(4_000):
        journal.answered(batch(), delivered(delivery_id))
    (folder / "worker-0.new").mkdir()  # nothing can be written there
    with pytest.raises(OSError):
        journal.settled(range(4_000))
    other = os.open(tmp_path / "a session with a server", os.O_RDWR | os.O_CREAT)
    journal.dot(batch(), 5)
    assert os.fstat(other).st_size == 0, "our notes are not mail"
    os.close(other)
    (folder / "worker-0.new").rmdir()
    journal.settled(())
    abandon(journal)
    heir = FileJournal.open(folder, "node")
    (found,) = heir.dead()
    assert [note.delivery_id for note in found.noted] == [5]
    heir.bury(found)
    heir.close()


def test_notes_that_could_not_be_recorded_are_left_for_the_next_start(tmp_path: Path) -> None:
    journal = FileJournal.open(tmp_path, "node")
    journal.dot(batch(), 5)
    journal.close()
    heir = FileJournal.open(tmp_path, "node")
    (found,) = heir.dead()
    assert [note.delivery_id for note in found.noted] == [5]
    heir.bury(found)
    heir.close()
