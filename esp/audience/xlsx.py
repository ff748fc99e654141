"""The first sheet of an Excel workbook written as CSV: row by row, and bounded wherever a file could be a bomb."""

import csv
import zipfile
from collections.abc import Iterable
from datetime import date, datetime, time
from pathlib import Path
from typing import Any, Final

from openpyxl import load_workbook

from esp.errors import InputError

MAX_UNPACKED: Final = 1 << 30  # octets of all parts together
MAX_RATIO: Final = 200  # unpacked to packed; sheets of text come to 10 or 20
MAX_PARTS: Final = 2000
MAX_ROWS: Final = 1_048_576  # what Excel itself allows
MAX_COLUMNS: Final = 500
_NO_WORKBOOK: Final = "This is no Excel workbook (.xlsx). Save it as .xlsx or as CSV (UTF-8) and choose that file."


def check_archive(path: Path) -> None:
    """Raises InputError where the workbook's archive is none, is encrypted, or would unpack to too much."""
    try:
        with zipfile.ZipFile(path) as archive:
            parts = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError):
        raise InputError(_NO_WORKBOOK) from None
    names = {part.filename for part in parts}
    if "[Content_Types].xml" not in names or not any(name.startswith("xl/workbook") for name in names):
        raise InputError(_NO_WORKBOOK)
    if len(parts) > MAX_PARTS:
        raise InputError("The workbook has too many parts. Save the one sheet as CSV (UTF-8) and choose that file.")
    if any(part.flag_bits & 1 for part in parts):
        raise InputError("The workbook has a password. Save it without one and choose it again.")
    unpacked = sum(part.file_size for part in parts)
    packed = max(1, sum(part.compress_size for part in parts))
    # What the archive says of itself may be a lie, but zipfile reads no more of a part than it says there is.
    if unpacked > MAX_UNPACKED or (unpacked > 50_000_000 and unpacked / packed > MAX_RATIO):
        raise InputError("The workbook would unpack to too much. Save the sheet as CSV (UTF-8) and choose that file.")


def convert(source: Path, target: Path) -> None:
    """Write the first visible sheet's rows to ``target``. Raises InputError; a half-written target is left behind."""
    check_archive(source)
    with source.open("rb") as file:  # by its octets: openpyxl would judge a path by its name
        try:
            book = load_workbook(file, read_only=True, data_only=True, keep_links=False)
        except MemoryError:
            raise
        except Exception:  # what openpyxl raises for a broken file is not bounded
            raise InputError(_NO_WORKBOOK) from None
        try:
            sheet = next((it for it in book.worksheets if getattr(it, "sheet_state", "visible") == "visible"), None)
            if sheet is None:
                raise InputError("The workbook has no sheet with rows.")
            rows = sheet.iter_rows(values_only=True, max_col=MAX_COLUMNS + 1)
            with target.open("w", encoding="utf-8", newline="") as out:
                _write(rows, csv.writer(out, lineterminator="\n"))
        except (InputError, MemoryError, OSError):
            raise
        except Exception:
            raise InputError("The workbook is damaged. Save it again, or save it as CSV (UTF-8).") from None
        finally:
            book.close()


def _write(rows: Iterable[tuple[Any, ...]], out: Any) -> None:
    width = 0
    for number, row in enumerate(rows):
        if number >= MAX_ROWS:
            raise InputError("The sheet has more than a million rows. Split it.")
        cells = [_text(value) for value in row]
        while cells and not cells[-1]:
            cells.pop()
        if not width:
            if not cells:
                continue  # blank rows above the titles
            width = len(cells)
            if width > MAX_COLUMNS:
                raise InputError(f"The sheet has more than {MAX_COLUMNS} columns.")
        out.writerow(cells + [""] * (width - len(cells)))


def _text(value: Any) -> str:
    """A cell as the file would be written by hand: dates as YYYY-MM-DD, whole numbers without a point."""
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case datetime():
            return value.date().isoformat() if value.time() == time() else value.isoformat(" ", "seconds")
        case date():
            return value.isoformat()
        case float() if value.is_integer() and abs(value) < 1e15:
            return str(int(value))
        case _:
            return str(value)
