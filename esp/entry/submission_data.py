"""A message's octets as they come in: blocks, not lines; CRLF.CRLF and no other end; bounded whatever a client sends.

The stock reader of aiosmtpd looks at each line and lets one without an end grow for ever. Here a block is searched for
the one end that counts, and only its place in the current line is remembered.
"""

import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import IO, Final, Protocol

END: Final = b"\r\n.\r\n"
_IN_MEMORY: Final = 256 * 1024  # octets of one message before the rest goes to a file
#: RFC 5321 says 998; programs that put a page of HTML on one line are common, and relaying servers take it.
LONGEST_LINE: Final = 128 * 1024
_DISCARDED: Final = 10  # how many times the limit is read on, so as to answer, before hanging up


class Source(Protocol):
    """Where octets come from: what was read already, and more of it."""

    buffer: bytearray

    async def more(self) -> None:
        """Add at least one octet to ``buffer``; raises ConnectionError at the end."""
        ...


class DataError(Exception):
    """The message is refused with this reply. ``over``: the connection's place is lost, so it must end."""

    def __init__(self, reply: str, *, over: bool = True) -> None:
        super().__init__(reply)
        self.reply, self.over = reply, over


class _Kept:
    """Octets in memory, and in a nameless file of ``folder`` once they are many."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._memory = bytearray()
        self._file: IO[bytes] | None = None
        self.size = 0

    def add(self, octets: bytes) -> None:
        self.size += len(octets)
        if self._file is None and self.size <= _IN_MEMORY:
            self._memory += octets
            return
        if self._file is None:
            self._file = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115 - closed by ``close``
            self._file.write(self._memory)
            self._memory = bytearray()
        self._file.write(octets)

    def whole(self) -> bytes:
        if self._file is None:
            return bytes(self._memory)
        self._file.seek(0)
        return self._file.read()

    def close(self) -> None:
        self._memory = bytearray()
        if self._file is not None:
            self._file.close()
            self._file = None


async def read_message(
    source: Source, limit: int, folder: Path, turn: Callable[[int], Awaitable[None]]
) -> bytes:
    """The message up to its dot, without the dot-stuffing; what follows stays in ``source.buffer``.

    ``turn`` is awaited with the size before a message that lay in a file is taken into memory whole. Raises DataError
    with the reply, OSError where the disk of ``folder`` is full, and what ``source.more`` raises.
    """
    kept = _Kept(folder)
    held = b"\r\n"  # the line end of the DATA command: a message that is empty ends at once
    line = total = 0
    try:
        while True:
            if not source.buffer:
                await source.more()
            window = held + bytes(source.buffer)
            source.buffer.clear()
            at = window.find(END)
            piece = window[:at + 2] if at >= 0 else window[:-4]
            total += len(piece)
            if total <= limit + 2:
                kept.add(piece)
            elif kept.size:
                kept.close()
                kept = _Kept(folder)
            end = piece.rfind(b"\r\n")
            line = line + len(piece) if end < 0 else len(piece) - end - 2
            if at >= 0:
                source.buffer += window[at + len(END):]
                break
            held = window[-4:]
            if line > LONGEST_LINE:
                raise DataError("554 5.6.0 A line of the message is far too long")
            if total > limit * _DISCARDED:
                raise DataError("552 5.3.4 That message is far too large")
        if total > limit + 2:
            raise DataError("552 5.3.4 That message is too large", over=False)
        await turn(kept.size)
        return _checked(kept.whole())
    finally:
        kept.close()


def _checked(whole: bytes) -> bytes:
    """``whole`` begins with the CRLF of the command. CR and LF only together: else one server sees a message's end
    where another sees its text, and what follows becomes a message of its own (SMTP smuggling)."""
    if whole.replace(b"\r", b"").replace(b"\n", b"\r\n") != whole:
        raise DataError("550 5.6.11 Bare CR and bare LF are refused (RFC 5321 section 2.3.8)")
    if b"\x00" in whole:
        raise DataError("550 5.6.0 NUL is refused (RFC 5321 section 4.5.2)", over=False)
    if b"\r\n." in whole:
        whole = whole.replace(b"\r\n.", b"\r\n")  # dot-stuffing (section 4.5.2)
    return whole[2:]
