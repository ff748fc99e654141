"""A folder outside data_dir for as long as a process lives; whoever comes next removes those of processes that died.

An ordinary end removes its own folder; kill -9 cannot. What tells a living owner from a dead one is a lock on a file in
the folder, which the system lets go of with the process: no process id that another one may have by now.
"""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

_PREFIX: Final = "merpati-"
_LOCK: Final = ".owner"


@contextmanager
def scratch(kind: str = "") -> Iterator[Path]:
    """A fresh folder that only this user may enter, gone at the end; ``kind`` is a part of its name."""
    sweep()
    with tempfile.TemporaryDirectory(prefix=_PREFIX + (f"{kind}-" if kind else "")) as name:
        folder = Path(name)
        # Locked before it has its name: a sweep that came in between would take the folder for one that was left.
        new = folder / f"{_LOCK}.new"
        descriptor = os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            new.rename(folder / _LOCK)
            yield folder
        finally:
            os.close(descriptor)


def sweep() -> list[Path]:
    """Remove the folders whose process has died; returns them.

    Only what is ours beyond doubt: a folder, no link, of this user, that holds a lock of ours which nobody holds.
    """
    return [folder for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*") if _abandoned(folder)]


def _abandoned(folder: Path) -> bool:
    try:
        if folder.is_symlink() or folder.stat().st_uid != os.getuid():
            return False
        descriptor = os.open(folder / _LOCK, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:  # somebody else's, one that is just being made, or gone already
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder, ignore_errors=True)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True
