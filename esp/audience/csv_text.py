"""What kind of text a CSV file is: encoding, line ends, separator; and its lines, in bounded memory."""

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from esp.errors import InputError

SAMPLE_OCTETS: Final = 65536
MAX_LINE_OCTETS: Final = 1_000_000
_SEPARATORS: Final = ",;\t|"
_EXCEL_SEPARATOR: Final = re.compile(r"sep=(.)\r?\n?", re.IGNORECASE)
_OTHER_KINDS: Final = (
    (b"PK\x03\x04", "This is an Excel or ZIP file. Save it as CSV (UTF-8) and choose that file."),
    (b"\xd0\xcf\x11\xe0", "This is an old Excel file. Save it as CSV (UTF-8) and choose that file."),
    (b"%PDF", "This is a PDF file. Export the people as CSV and choose that file."),
    (b"\x1f\x8b", "This file is compressed. Unpack it and choose the CSV file in it."),
    (codecs.BOM_UTF32_LE + b"", "This file is UTF-32 text. Save it as UTF-8."),
    (codecs.BOM_UTF32_BE, "This file is UTF-32 text. Save it as UTF-8."),
)


@dataclass(frozen=True, slots=True)
class Dialect:
    """How to read the file. ``encoding`` is utf-8, windows-1252, utf-16-le or utf-16-be; ``start`` octets come before
    the header (a byte order mark, Excel's ``sep=`` line) on ``start_lines`` lines."""

    encoding: str
    newline: str
    delimiter: str
    start: int
    start_lines: int = 0


def detect(sample: bytes) -> Dialect:
    """The dialect, from the file's first SAMPLE_OCTETS; raises InputError where it is no CSV text at all."""
    for magic, message in _OTHER_KINDS:
        if sample.startswith(magic):
            raise InputError(message)
    encoding, start = _encoding(sample)
    text = sample[start:].decode("utf-8" if encoding == "utf-8" else encoding, "replace")
    if not text.strip("\ufeff\r\n\t ,;|\0"):
        raise InputError("The file is empty." if len(sample) < SAMPLE_OCTETS else "The file begins with blanks only.")
    newline = "\n" if "\n" in text else "\r" if "\r" in text else "\n"
    first, _, rest = text.partition(newline)
    excel = _EXCEL_SEPARATOR.fullmatch(first)
    if excel and rest:
        octets = len((first + newline).encode(encoding))
        return Dialect(encoding, newline, excel[1], start + octets, 1)
    return Dialect(encoding, newline, _separator(first), start)


def _encoding(sample: bytes) -> tuple[str, int]:
    if sample.startswith(codecs.BOM_UTF8):
        return "utf-8", 3
    if sample.startswith(codecs.BOM_UTF16_LE):
        return "utf-16-le", 2
    if sample.startswith(codecs.BOM_UTF16_BE):
        return "utf-16-be", 2
    # Western text in UTF-16 without its mark has a NUL in every second octet; NULs elsewhere are rubbish in a row.
    pairs = len(sample) // 2
    if pairs > 4:
        if sample[1::2].count(0) > pairs * 0.7:
            return "utf-16-le", 0
        if sample[0::2].count(0) > pairs * 0.7:
            return "utf-16-be", 0
    try:
        codecs.getincrementaldecoder("utf-8")().decode(sample)  # a character cut by the sample's end is no fault
    except UnicodeDecodeError:
        return "windows-1252", 0
    return "utf-8", 0


def _separator(header: str) -> str:
    outside = re.sub(r'"[^"]*"', "", header)
    return max(_SEPARATORS, key=lambda mark: (outside.count(mark), mark == ","))


@dataclass(frozen=True, slots=True)
class Line:
    """A line with its end. ``octets`` it takes in the file; ``overlong``: only its beginning is in ``text``."""

    text: str
    octets: int
    overlong: bool = False


class LineSplitter:
    """Cuts octets into lines as they come, and never keeps more than MAX_LINE_OCTETS of one."""

    def __init__(self, dialect: Dialect) -> None:
        self._encoding = dialect.encoding
        self._wide = dialect.encoding.startswith("utf-16")
        self._end = dialect.newline.encode(dialect.encoding if self._wide else "ascii")
        self._held = b""
        self._dropped = 0  # octets of an overlong line that are gone already

    @property
    def empty(self) -> bool:
        """Whether it holds nothing of a line that is not complete."""
        return not self._held and not self._dropped

    def feed(self, data: bytes, final: bool = False) -> Iterator[Line]:
        """The lines that are complete now; with ``final`` what is left, too."""
        pieces, self._held = self._split(self._held + data)
        for piece in pieces:
            yield self._line(piece)
        if len(self._held) > MAX_LINE_OCTETS:
            # Cut on an even octet, and keep one character for the case that the line's end stands on the cut.
            keep = 2 + len(self._held) % 2
            self._dropped += len(self._held) - keep
            self._held = self._held[-keep:]
        if final and (self._held or self._dropped):
            rest, self._held = self._held, b""
            yield self._line(rest)

    def _split(self, data: bytes) -> tuple[list[bytes], bytes]:
        if not self._wide:
            pieces = data.split(self._end)
            last = pieces.pop()
            return [piece + self._end for piece in pieces], last
        pieces = []
        start = at = 0
        while (at := data.find(self._end, at)) != -1:
            if (at - start) % 2 == 0:
                pieces.append(data[start:at + 2])
                start = at = at + 2
            else:
                at += 1  # the octets of two neighbouring characters, not a line's end
        return pieces, data[start:]

    def _line(self, piece: bytes) -> Line:
        octets = self._dropped + len(piece)
        if octets > MAX_LINE_OCTETS:
            self._dropped = 0
            return Line("", octets, True)
        if self._wide:
            return Line(piece.decode(self._encoding, "replace"), octets)
        try:
            # Each line on its own: files glued from several programs change their encoding half way.
            return Line(piece.decode("utf-8"), octets)
        except UnicodeDecodeError:
            return Line(piece.decode("cp1252", "replace"), octets)
