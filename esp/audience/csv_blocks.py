"""A CSV file read in blocks: the ordinary ones at the speed of the standard library, the odd ones record by record."""

import csv
import io
from collections.abc import Iterator
from typing import BinaryIO, Final, NamedTuple

from esp.audience.csv_records import Record, RecordReader
from esp.audience.csv_text import Dialect

BLOCK_OCTETS: Final = 1 << 20
_LONGEST_BLOCK: Final = 4 * BLOCK_OCTETS


def blocks(file: BinaryIO, size: int = BLOCK_OCTETS) -> Iterator[bytes]:
    """The rest of the file in pieces that end with a line feed, but for the last and where a line is endless."""
    held = b""
    while data := file.read(size):
        held += data
        cut = held.rfind(b"\n") + 1
        if cut:
            yield held[:cut]
            held = held[cut:]
        elif len(held) > _LONGEST_BLOCK:
            yield held
            held = b""
    if held:
        yield held


class Block(NamedTuple):
    """Rows of which each stands on one line, from ``line`` on; the file goes on at ``octets`` and after ``lines``."""

    rows: list[list[str]]
    text: str
    line: int
    octets: int
    lines: int

    def raw(self, index: int) -> str:
        """The text of a row; slow, for the few that are refused."""
        return self.text.split("\n")[index]


def read_blocks(file: BinaryIO, dialect: Dialect, octets: int, lines: int) -> Iterator[Block | list[Record]]:
    """The file from ``octets`` on (after ``lines`` lines): blocks, and records where a block holds something odd.

    Odd are another encoding, NUL, cells of several lines, quotation marks that do not fit, cells without end.
    """
    slow: RecordReader | None = None
    for data in blocks(file):
        if slow is None:
            block = _quick(data, dialect, octets, lines)
            if block is not None:
                octets, lines = block.octets, block.lines
                yield block
                continue
            slow = RecordReader(dialect, octets, lines)
        records = list(slow.feed(data))
        if records:
            octets, lines = records[-1].octets, records[-1].lines
            yield records
        if slow.at_boundary:
            slow = None
    if slow is not None and (records := list(slow.feed(b"", final=True))):
        yield records


def _quick(data: bytes, dialect: Dialect, octets: int, lines: int) -> Block | None:
    if dialect.encoding.startswith("utf-16") or dialect.newline != "\n" or b"\0" in data or not data.endswith(b"\n"):
        return None
    try:
        text = data.decode("utf-8")  # what a file says it is and what a line of it is are two things: see LineSplitter
        reader = csv.reader(io.StringIO(text, newline="\n"), delimiter=dialect.delimiter, strict=True)
        rows = list(reader)
    except (UnicodeDecodeError, csv.Error):
        return None
    if reader.line_num != len(rows):
        return None
    return Block(rows, text, lines + 1, octets + len(data), lines + len(rows))
