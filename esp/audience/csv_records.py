"""Records of a CSV file as its octets come in: what cannot be read is named and passed over, and the rest goes on."""

import csv
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from esp.audience.csv_text import Dialect, Line, LineSplitter

MAX_FIELD: Final = 100_000  # characters
MAX_RECORD_LINES: Final = 200
RAW_KEPT: Final = 2000


class Record(NamedTuple):
    """A record, or where ``problem`` is not empty what stands in its place. ``line`` is its first, counted from 1.

    A plain tuple, for there are a million of them.

    ``octets`` and ``lines`` are where the file goes on after it.
    """

    line: int
    cells: Sequence[str]
    raw: str
    octets: int
    lines: int
    problem: str = ""

    @property
    def blank(self) -> bool:
        return not self.problem and not any(cell.strip() for cell in self.cells)


class _NeedMoreError(Exception):
    """The record is not complete yet."""


class _BrokenError(Exception):
    """The record cannot be read; the message says why."""


class RecordReader:
    """Reads records from octets; begins ``octets`` into the file, after ``lines`` lines."""

    def __init__(self, dialect: Dialect, octets: int = 0, lines: int = 0) -> None:
        self._dialect = dialect
        self._splitter = LineSplitter(dialect)
        self._pending: list[Line] = []
        self._octets = octets
        self._lines = lines

    @property
    def at_boundary(self) -> bool:
        """Whether nothing is held back: another reader could go on from here."""
        return not self._pending and self._splitter.empty

    def feed(self, data: bytes, final: bool = False) -> Iterator[Record]:
        """The records that are complete with ``data``; with ``final`` the last one, too."""
        self._pending.extend(self._splitter.feed(data, final))
        at = 0
        while at < len(self._pending):
            try:
                taken, cells, problem = self._read(at, final)
            except _NeedMoreError:
                break
            lines = self._pending[at:at + taken]
            first = self._lines + 1
            self._octets += sum(line.octets for line in lines)
            self._lines += taken
            at += taken
            raw = "".join(line.text for line in lines)[:RAW_KEPT].rstrip("\r\n").replace("\0", "\u2400")
            yield Record(first, cells, raw, self._octets, self._lines, problem)
        del self._pending[:at]

    def _read(self, at: int, final: bool) -> tuple[int, tuple[str, ...], str]:
        """How many lines the record at ``at`` takes, its cells, and what is wrong with it."""
        if self._pending[at].overlong:
            return 1, (), "The line is longer than a million characters."
        taken = 0

        def supply() -> Iterator[str]:
            nonlocal taken
            while at + taken < len(self._pending):
                line = self._pending[at + taken]
                if line.overlong or taken >= MAX_RECORD_LINES:
                    raise _BrokenError
                taken += 1
                yield line.text
            if not final:
                raise _NeedMoreError

        try:
            # Strict, or a quotation mark that is never closed would swallow the rest of the file without a word.
            cells = next(csv.reader(supply(), delimiter=self._dialect.delimiter, strict=True))
        except StopIteration:
            return 1, (), ""
        except (csv.Error, _BrokenError) as error:
            # Only the first line is given up: a forgotten quotation mark must not cost the people after it.
            return 1, (), _reason(str(error), taken)
        if any(len(cell) > MAX_FIELD for cell in cells):
            return taken, (), f"A cell is longer than {MAX_FIELD:,} characters."
        return taken, tuple(cells), ""


def _reason(error: str, taken: int) -> str:
    if taken > 1 or "unexpected end" in error:
        return "A quotation mark is opened in this line and not closed."
    if "new-line" in error:
        return "There is a line break in the middle of this line."
    if "expected after" in error:
        return "A quotation mark stands in the middle of a cell; inside quotation marks write it twice."
    return f"A cell is longer than {MAX_FIELD:,} characters, or a quotation mark is not closed."
