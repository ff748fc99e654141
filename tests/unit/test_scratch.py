"""Folders that a killed process left behind go with the next start; those of the living, and of others, stay."""

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from esp.entry.scratch import scratch, sweep

LIVES = """
import sys
from esp.entry.scratch import scratch
with scratch("bench") as folder:
    (folder / "data").write_text("x")
    print(folder, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for temporary files of this test's own."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def living(folder: Path) -> tuple["subprocess.Popen[str]", Path]:
    process = subprocess.Popen(
        [sys.executable, "-c", LIVES], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env={**os.environ, "TMPDIR": str(folder)})
    assert process.stdout is not None
    return process, Path(process.stdout.readline().strip())


def test_an_ordinary_end_leaves_nothing(temporary: Path) -> None:
    with scratch("demo") as folder:
        assert folder.parent == temporary
        assert folder.stat().st_mode & 0o077 == 0
    assert list(temporary.iterdir()) == []


def test_what_a_killed_process_left_goes_with_the_next_start(temporary: Path) -> None:
    process, folder = living(temporary)
    with process:
        assert sweep() == []
        assert folder.exists(), "its owner lives"
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert (folder / "data").exists()
        with scratch():
            assert not folder.exists()


def test_ones_own_folders_and_those_of_others_stay(temporary: Path) -> None:
    elsewhere = temporary / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / ".owner").touch()
    (temporary / "merpati-link").symlink_to(elsewhere)  # would lead a removal anywhere
    (temporary / "merpati-notes").mkdir()  # a person's, with a name like ours
    (temporary / "merpati-file").write_text("mine")
    linked = temporary / "merpati-linked"
    linked.mkdir()
    (linked / ".owner").symlink_to(elsewhere / ".owner")
    with scratch("bench") as outer, scratch() as inner:
        assert sweep() == []
        assert outer.exists()
        assert inner.exists()
    assert {path.name for path in temporary.iterdir()} == {
        "elsewhere", "merpati-link", "merpati-notes", "merpati-file", "merpati-linked"}
    assert (elsewhere / ".owner").exists()
