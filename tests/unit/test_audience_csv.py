"""The CSV reader, wherever its octets are cut; titles, dates and cells of every kind."""

import csv
import io
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from esp.audience.csv_columns import check_header, field_name, guess_mapping, read_date
from esp.audience.csv_export import csv_line, defuse
from esp.audience.csv_records import Record, RecordReader
from esp.audience.csv_stage import Columns
from esp.audience.csv_text import MAX_LINE_OCTETS, Dialect, LineSplitter, detect
from esp.errors import InputError
from esp.ports.imports import STAGED_COLUMNS, StagedRow


def staged(row: StagedRow) -> dict[str, Any]:
    return dict(zip(STAGED_COLUMNS, row, strict=True))


def read(data: bytes, dialect: Dialect, cuts: list[int] | None = None) -> list[Record]:
    reader = RecordReader(dialect, dialect.start, dialect.start_lines)
    rest = data[dialect.start:]
    marks = sorted({min(cut, len(rest)) for cut in cuts or []})
    records: list[Record] = []
    for start, end in zip([0, *marks], [*marks, len(rest)], strict=True):
        records += reader.feed(rest[start:end])
    return records + list(reader.feed(b"", final=True))


TEXTS = st.text(alphabet=st.sampled_from('ab,;"\n\r\té☂\0'), max_size=60)


@settings(max_examples=300, deadline=None)
@given(TEXTS, st.sampled_from(["utf-8", "utf-16-le", "utf-16-be"]), st.lists(st.integers(0, 120), max_size=6))
def test_where_the_octets_are_cut_changes_nothing(text: str, encoding: str, cuts: list[int]) -> None:
    dialect = Dialect(encoding, "\n", ",", 0)
    data = text.encode(encoding)
    whole = read(data, dialect)
    assert read(data, dialect, cuts) == whole
    assert not whole or whole[-1].octets == len(data)


@settings(max_examples=200, deadline=None)
@given(TEXTS, st.integers(0, 20))
def test_reading_goes_on_from_any_record_as_if_it_had_never_stopped(text: str, stop: int) -> None:
    dialect = Dialect("utf-8", "\n", ",", 0)
    data = text.encode()
    whole = read(data, dialect)
    if stop < len(whole):
        last = whole[stop]
        later = list(RecordReader(dialect, last.octets, last.lines).feed(data[last.octets:], final=True))
        assert later == whole[stop + 1:]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r"), max_size=8),
                         min_size=2, max_size=4), max_size=8))
def test_what_the_standard_library_writes_is_read_back(rows: list[list[str]]) -> None:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(rows)
    records = read(out.getvalue().encode(), Dialect("utf-8", "\n", ",", 0))
    assert [list(record.cells) for record in records] == rows


def test_an_endless_line_is_never_kept_whole() -> None:
    splitter = LineSplitter(Dialect("utf-8", "\n", ",", 0))
    for _ in range(100):
        assert list(splitter.feed(b"x" * 100_000)) == []
        assert len(splitter._held) <= MAX_LINE_OCTETS + 100_000
    (line,) = splitter.feed(b"\n")
    assert (line.overlong, line.octets, line.text) == (True, 10_000_001, "")


@pytest.mark.parametrize(("header", "delimiter"), [
    ("a,b,c", ","), ("a;b;c", ";"), ("a\tb", "\t"), ("a|b", "|"), ("email", ","), ('"x,y,z";b', ";"),
])
def test_the_separator_is_the_one_that_separates(header: str, delimiter: str) -> None:
    assert detect(header.encode() + b"\n1\n").delimiter == delimiter


def test_titles_in_several_languages_are_known() -> None:
    header = ["E-Mail Address", "Nama Depan", "Last_Name", "KOTA", "Prénom", "Shoe size"]
    assert guess_mapping(header) == {
        "E-Mail Address": "email", "Nama Depan": "first_name", "Last_Name": "last_name", "KOTA": "city"}
    assert [field_name(title) for title in ("Shoe size", "Kode Pos!", "1st", "É", "☂", "email")] == [
        "shoe_size", "kode_pos", "field_1st", "e", "", "email_1"]


def test_header_faults_are_said() -> None:
    for header in (["email", "Email"], ["", ""], ["x"] * 501, ["a@x.example", "Budi"]):
        with pytest.raises(InputError):
            check_header(header)
    assert check_header([" email\n", "first\r\nname"]) == ("email", "first name")


@pytest.mark.parametrize(("text", "date"), [
    ("1990-05-31", "1990-05-31"), ("31/5/1990", "1990-05-31"), ("31.05.1990", "1990-05-31"),
    ("5/31/1990", "1990-05-31"), ("3/4/1990", "1990-04-03"), ("1990/5/3 00:00:00", "1990-05-03"),
])
def test_dates(text: str, date: str) -> None:
    assert read_date(text) == date


@pytest.mark.parametrize("text", ["", "soon", "31/31/1990", "1990-02-30", "31-12-90", "0000-01-01"])
def test_no_dates(text: str) -> None:
    with pytest.raises(ValueError):
        read_date(text)


def test_cells_become_fields() -> None:
    mapping = {"e": "email", "n": "full_name", "points": "points", "phone": "phone"}
    columns = Columns.of(("e", "n", "points", "phone"), mapping)
    made = staged(columns.row(("Budi@X.example", "Budi van  Dyck", "12", "0812")))
    assert (made["email"], made["email_key"], made["domain"]) == ("Budi@x.example", "budi@x.example", "x.example")
    assert (made["first_name"], made["last_name"], made["last_key"]) == ("Budi", "van Dyck", "van dyck")
    assert made["city"] is None
    assert made["fields"] == '{"points":12,"phone":"0812"}'
    assert staged(columns.row(("b@x.example",)))["fields"] == "{}"
    for cells in (("b@x.example", "x" * 201), ("b@x.example", "", "\0"), ("b@x.example", "", "x" * 2001), ("", "x")):
        with pytest.raises(ValueError):
            columns.row(cells)


@pytest.mark.parametrize("cell", ["=1+1", "+1+cmd", "-cmd", "@SUM(A1)", "\t=1", "\r=1", "  =1", "\n=1"])
def test_formulas_are_defused(cell: str) -> None:
    assert defuse(cell) == f"'{cell}"


@pytest.mark.parametrize("cell", ["", "Budi", "-5", "+3.2", "a=b", "31-12-1990"])
def test_what_is_no_formula_stays(cell: str) -> None:
    assert defuse(cell) == cell
    assert next(csv.reader(io.StringIO(csv_line(["x", cell, "y,z"]), newline=""))) == ["x", cell, "y,z"]
