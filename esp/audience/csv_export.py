"""Lines of a CSV file that a spreadsheet may open: no cell can become a formula, and each reads back as it was."""

import csv
import io
import re
from collections.abc import Iterable
from typing import Final

# What makes a spreadsheet calculate (OWASP, CSV injection); also after blanks, which some of them skip, and after
# apostrophes, or the one that we put there could not be told from one that was.
_FORMULA: Final = re.compile(r"('*)[ \n]*[=+\-@\t\r]")


def defuse(cell: str) -> str:
    """The cell with an apostrophe before it where a spreadsheet would run it; numbers and text stay as they are."""
    found = _FORMULA.match(cell)
    if found is None:
        return cell
    if not found[1]:
        try:
            float(cell)
        except ValueError:
            return f"'{cell}"
        return cell
    return f"'{cell}"


def rearm(cell: str) -> str:
    """What ``defuse`` made this of: the cell as it was written."""
    found = _FORMULA.match(cell)
    return cell[1:] if found is not None and found[1] else cell


def csv_line(cells: Iterable[object], *, raw: bool = False) -> str:
    """One record with CRLF at its end (RFC 4180); ``raw`` leaves formulas in it."""
    out = io.StringIO()
    csv.writer(out).writerow([str(cell) if raw else defuse(str(cell)) for cell in cells])
    return out.getvalue()
