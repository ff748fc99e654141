"""Lines of a CSV file that a spreadsheet may open: no cell of it can become a formula."""

import csv
import io
from collections.abc import Iterable
from typing import Final

# What makes a spreadsheet calculate (OWASP, CSV injection); also after blanks, which some of them skip.
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


def defuse(cell: str) -> str:
    """The cell with an apostrophe before it where a spreadsheet would run it; numbers and text stay as they are."""
    if not cell.lstrip(" \n").startswith(_FORMULA):
        return cell
    try:
        float(cell)
    except ValueError:
        return f"'{cell}"
    return cell


def csv_line(cells: Iterable[object]) -> str:
    """One record with CRLF at its end (RFC 4180)."""
    out = io.StringIO()
    csv.writer(out).writerow([defuse(str(cell)) for cell in cells])
    return out.getvalue()
