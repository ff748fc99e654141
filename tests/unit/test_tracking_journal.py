"""The journal: durable when it says so, bounded, readable after any kill, and gone when it has been folded."""

import asyncio
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from esp.model.delivery import EventType
from esp.ports.engagement import Hit, Withdrawal
from tracking.edge.writer import JournalWriter
from tracking.journal import decode, encode, journals, read, remove_finished

AT = datetime(2026, 11, 2, 9, 0, tzinfo=UTC)


def line(number: int) -> bytes:
    return encode(Hit(EventType.CLICKED, AT, 1, 2, 3, number, "192.0.2.1", "agent"))


def indices(path: Path) -> list[int | None]:
    return [entry.what.link_index for entry in read(path, 0, 10**6).entries if isinstance(entry.what, Hit)]


async def test_lines_are_read_as_they_were_added(tmp_path: Path) -> None:
    writer = JournalWriter(tmp_path / "journal")
    await writer.start()
    for number in range(1000):
        assert writer.add(line(number))
    await writer.stop()
    [path] = journals(tmp_path / "journal")
    assert indices(path) == list(range(1000))


async def test_a_durable_line_is_on_the_disk_before_it_is_answered(tmp_path: Path) -> None:
    writer = JournalWriter(tmp_path)
    await writer.start()
    word = Withdrawal(1, 2, 3, AT, "one-click", "", "List-Unsubscribe=One-Click", "192.0.2.1", "agent")
    await writer.add_durably(encode(word))
    [path] = journals(tmp_path)
    assert [entry.what for entry in read(path, 0, 10).entries] == [word]
    await writer.stop()


async def test_a_writer_goes_on_in_a_new_file(tmp_path: Path) -> None:
    writer = JournalWriter(tmp_path, file_limit=500)
    await writer.start()
    for number in range(30):
        await writer.add_durably(line(number))
    paths = journals(tmp_path)
    assert len(paths) > 3
    assert [index for path in paths for index in indices(path)] == list(range(30))
    removed = [remove_finished(path, path.stat().st_size) for path in paths]
    assert removed == [True] * (len(paths) - 1) + [False], "the last one is still being written"
    await writer.stop()
    assert remove_finished(paths[-1], paths[-1].stat().st_size)


async def test_a_flood_sheds_opens_before_clicks_and_never_a_persons_word(tmp_path: Path) -> None:
    writer = JournalWriter(tmp_path, buffer_limit=10)  # not started: nothing is written, as on a disk that hangs
    assert [writer.add(line(n), precious=False) for n in range(7)] == [True] * 5 + [False] * 2
    assert [writer.add(line(n)) for n in range(7)] == [True] * 5 + [False] * 2
    word = asyncio.create_task(writer.add_durably(line(99)))
    await asyncio.sleep(0)
    assert writer.shed == 4
    await writer.start()
    await word
    await writer.stop()
    [path] = journals(tmp_path)
    assert indices(path)[-1] == 99


async def test_a_full_folder_sheds_until_it_is_emptied(tmp_path: Path) -> None:
    (tmp_path / "edge-0.jsonl").write_bytes(b"x" * 1000)
    writer = JournalWriter(tmp_path, folder_limit=1000)
    await writer.start()
    await writer.add_durably(line(0))
    assert not writer.add(line(1))
    await writer.stop()


async def test_what_a_full_disk_refused_is_written_when_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = JournalWriter(tmp_path)
    await writer.start()
    await writer.add_durably(line(0))
    real, calls = os.write, 0

    def full(descriptor: int, data: Any) -> int:
        nonlocal calls
        calls += 1
        if calls == 1:
            return real(descriptor, bytes(data)[:7])
        if calls == 2:
            raise OSError(28, "No space left on device")
        return real(descriptor, data)

    monkeypatch.setattr(os, "write", full)
    await writer.add_durably(line(1))
    monkeypatch.undo()
    await writer.stop()
    [path] = journals(tmp_path)
    assert indices(path) == [0, 1]


def test_half_a_line_waits_and_a_broken_one_is_skipped(tmp_path: Path) -> None:
    path = tmp_path / "edge-1.jsonl"
    path.write_bytes(line(1) + b'{"t":\n' + b"\xff" * 20_000 + b"\n" + line(2) + line(3)[:-9])
    chunk = read(path, 0, 100)
    found = [entry.what.link_index if isinstance(entry.what, Hit) else None for entry in chunk.entries]
    assert found == [1, None, None, 2]
    assert chunk.complete
    assert chunk.entries[-1].end == path.stat().st_size - len(line(3)) + 9
    with path.open("ab") as file:
        file.write(line(3)[-9:])
    [entry] = read(path, chunk.entries[-1].end, 9).entries
    assert isinstance(entry.what, Hit)
    assert entry.what.link_index == 3


def test_a_finished_journal_goes_only_when_all_its_lines_were_folded(tmp_path: Path) -> None:
    path = tmp_path / "edge-1.jsonl"
    path.write_bytes(line(1) + line(2) + b'{"half')
    assert not remove_finished(path, len(line(1)))
    assert path.exists()
    assert remove_finished(path, len(line(1) + line(2))), "half a line of a killed process was never promised"
    assert not path.exists()


CHILD = """
import asyncio, sys
from pathlib import Path
from tracking.edge.writer import JournalWriter
from tests.unit.test_tracking_journal import line

async def main():
    writer = JournalWriter(Path(sys.argv[1]))
    await writer.start()
    number = 0
    while True:
        await writer.add_durably(line(number))
        print(number, flush=True)
        number += 1

asyncio.run(main())
"""


def test_a_killed_process_leaves_every_line_that_it_promised_and_lets_the_file_go(tmp_path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", CHILD, str(tmp_path)], stdout=subprocess.PIPE)
    assert child.stdout is not None
    promised = -1
    while promised < 50:
        promised = int(child.stdout.readline())
    [path] = journals(tmp_path)
    assert not remove_finished(path, path.stat().st_size), "its writer lives"
    child.send_signal(signal.SIGKILL)
    rest = child.stdout.read().split()
    child.wait()
    child.stdout.close()
    promised = int(rest[-1]) if rest else promised
    assert indices(path)[: promised + 1] == list(range(promised + 1))
    assert remove_finished(path, path.stat().st_size)


@pytest.mark.parametrize("broken", [
    b"", b"\n", b"null", b"[]", b'"x"', b"{}", b'{"t":1e300,"w":1,"c":1,"d":1,"k":"o","l":null,"ip":"","ua":"","x":""}',
    b'{"t":"x"}', b'{"t":1,"w":null}', b'{"t":1,"w":1,"c":1,"d":1,"k":"z","l":null,"ip":"","ua":"","x":""}',
])
def test_a_broken_line_says_nothing(broken: bytes) -> None:
    assert decode(broken) is None
