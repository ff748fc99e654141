"""What one row of a file may cost: a cell too long, a record of too many lines, an octet that no database takes."""

from esp.audience.csv_records import MAX_FIELD, MAX_RECORD_LINES, Record, RecordReader
from esp.audience.csv_text import Dialect

DIALECT = Dialect("utf-8", "\n", ",", 0)


def read(text: str) -> list[Record]:
    return list(RecordReader(DIALECT).feed(text.encode(), final=True))


def test_a_cell_may_be_as_long_as_is_said_and_no_longer() -> None:
    exact, longer, after = read(f"{'x' * MAX_FIELD},a\n{'x' * (MAX_FIELD + 1)},b\nnext,c\n")
    assert not exact.problem
    assert longer.problem.startswith("A cell is longer than")
    assert longer.cells == ()
    assert after.cells == ("next", "c"), "the people after it are read"


def test_a_record_has_a_bounded_number_of_lines() -> None:
    """A forgotten quotation mark that a later one closes would else swallow everybody in between into one cell."""
    inside = "\n".join(f"person{number}@x.example" for number in range(MAX_RECORD_LINES + 5))
    found = read(f'"open\n{inside}\nclose",x\nlast@x.example,y\n')
    assert "not closed" in found[0].problem
    assert sum(not one.problem for one in found) > MAX_RECORD_LINES, "only the first line is given up"
    assert found[-1].cells == ("last@x.example", "y")


def test_a_refused_row_is_kept_without_its_nul() -> None:
    """PostgreSQL takes no NUL in a text, and the refused row is shown to a person."""
    (record,) = read("a\0b,c\n")
    assert record.raw == "a\u2400b,c"
