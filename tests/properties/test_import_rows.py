"""A block read column by column is, row for row, what the reader of single rows makes of it: also where it is odd."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from esp.audience.csv_columns import TARGETS
from esp.audience.csv_ordinary import OrdinaryRows
from esp.audience.csv_stage import Columns
from esp.audience.csv_status import Standing
from esp.model.fields import FieldType
from esp.ports.imports import STAGED_FIELDS
from esp.ports.people import ContactField

TYPED = (
    ContactField(0, "", "size", "Size", FieldType.NUMBER, ()),
    ContactField(0, "", "colour", "Colour", FieldType.CHOICE, ("red", "blue")),
)
# Cells that are nearly ordinary: what differs is one blank, one quotation mark, one octet.
ADDRESSES = st.sampled_from(
    (
        "ani@x.example",
        "Ani@X.example",
        "budi.s@mail1.example",
        "a@b@x.example",
        "x.example",
        "@x.example",
        "ani@",
        "",
        " ani@x.example",
        "ani@x.example ",
        "a..b@x.example",
        ".a@x.example",
        "a.@x.example",
        "=?a@x.example",
        "a%b@x.example",
        "ani@x",
        "ani@-x.example",
        "Siti <siti@x.example>",
        "siti@x.example>",
        "ani\r@x.example",
        "ání@x.example",
        "ani@ünï.example",
        "a" * 64 + "@x.example",
        "a" * 65 + "@x.example",
        "a@" + "b." * 126 + "example",
        "o'neil@x.example",
        "a@1.2.3.4",
        "ani@x.example\u200b",
        "\ufeffani@x.example",
        "İ@x.example",
        "'ani@x.example",
        "a+b@x.example",
    )
)
WORDS = st.sampled_from(
    (
        "",
        "Ani",
        "Łukasz",
        " Ani",
        "Ani ",
        "van  Dyck",
        "van Dyck",
        "'=1+1",
        "=1+1",
        "'Ani",
        "\tAni",
        "A\rB",
        "A\u2028B",
        "\u00a0Ani",
        "x" * 200,
        "x" * 201,
        "İpek",
        "STRASSE",
        "straße",
        "'",
        " ",
        "''=1",
        "12",
        "007",
        "-5",
        "1.50",
        "1e5",
        "999999999999999",
        "9999999999999999",
        "red",
        "Blue",
        "green",
        "yes",
        "null",
        '"',
        "\\",
        "A\nB",
    )
)
DATES = st.sampled_from(("", "1990-05-31", "31/5/1990", "5/31/1990", "1990-02-30", "soon", " 1990-05-31"))
STATUSES = st.sampled_from(("", "subscribed", "Unsubscribed", "cleaned", "perhaps", " active ", "'active"))
TAGS = st.sampled_from(("", "a", "a,b", '"A","b"', ";", "a;A", "x" * 100, ",".join(map(str, range(60))), '"', "İ"))
OBJECTS = st.sampled_from(
    (
        "",
        "{}",
        '{"plan":"pro"}',
        '{ "plan" : "pro" }',
        '{"plan":"pro","points":3}',
        '{"plan":""}',
        '{"plan":null}',
        '{"plan":" pro"}',
        '{"plan":"pro "}',
        '{"plan":"a  b"}',
        '{"plan":"a b"}',
        '{"plan":"annulling"}',
        '{"plan":[1,"a"]}',
        '{"plan":{"a":1}}',
        '{"plan":"a\\"b"}',
        '{"plan":"a\\nb"}',
        '{"plan":"a\\u2028b"}',
        '{"Shoe Size":3}',
        '{"size":"12"}',
        '{"size":"large"}',
        '{"colour":"red"}',
        '{"plan":1.50}',
        '{"plan":true}',
        '{"plan":1,"plan":2}',
        '{"":1}',
        "[]",
        "{",
        '{"a":1},{"b":2}',
        '{"a":[1',
        "2]},{}",
        '"x"',
        "3",
        "{}{}",
        '{"plan":"é"}',
        '{"plan":"{"}',
        '{"plan":"%s"}' % ("x" * 2001),
        '{"email":"x"}',
        '{"plan":"' + "y" * 1990 + '"}',
        '{"plan":99999999999999999999}',
        '{"plan":"\u3000"}',
    )
)
CELLS: dict[str, Any] = {
    "email": ADDRESSES,
    "birth_date": DATES,
    "status": STATUSES,
    "tags": TAGS,
    "attributes": OBJECTS,
    "optin_time": st.sampled_from(("", "2020-01-01 10:00:00", "once")),
    "optin_ip": st.sampled_from(("", "192.0.2.1", "x")),
}
CUSTOM = ("plan", "shoe_size", "size", "colour")


@st.composite
def blocks(draw: st.DrawFn) -> tuple[Columns, list[list[list[str]]]]:
    others = draw(
        st.lists(st.sampled_from([*(t for t in TARGETS if t != "email"), *CUSTOM, ""]), max_size=5, unique=True)
    )
    targets = draw(st.permutations(["email", *others]))
    columns = Columns(
        len(targets),
        [(n, target) for n, target in enumerate(targets) if target],
        TYPED,
        draw(st.sampled_from((Standing.JOINS, Standing.LEFT))),
    )
    row = st.tuples(*(CELLS.get(target, WORDS) for target in targets)).map(list)
    odd = st.one_of(
        row,
        row,
        row,
        row.map(lambda cells: cells[:-1]),
        row.map(lambda cells: [*cells, ""]),
        row.map(lambda cells: [*cells, "more"]),
        st.just([]),
    )
    return columns, draw(st.lists(st.lists(odd, max_size=6), min_size=1, max_size=3))


def single(columns: Columns, cells: list[str]) -> object:
    try:
        return columns.row(cells)
    except ValueError as error:
        return str(error)


@settings(max_examples=600, deadline=None)
@given(blocks())
def test_a_block_is_read_as_its_rows_are(made: tuple[Columns, list[list[list[str]]]]) -> None:
    columns, parts = made
    ordinary = OrdinaryRows(columns)
    fresh = Columns(columns.width, columns.targets, TYPED, columns.standing)
    for rows in parts:  # what one block teaches, the next one uses
        staged, odd = ordinary.read(rows)
        assert len(staged) == len(rows)
        for n, (row, cells) in enumerate(zip(staged, rows, strict=True)):
            if n not in odd:
                assert row == single(fresh, cells)


def test_an_ordinary_block_leaves_nothing_to_the_reader_of_rows() -> None:
    columns = Columns(
        6, list(enumerate(("email", "first_name", "full_name", "birth_date", "status", "attributes"))), TYPED
    )
    rows = [
        [f"ani{n}@X.example", "Ani", "Ani van Dyck", "31/5/1990", "active", '{"plan":"pro","points":' + f"{n}}}"]
        for n in range(100)
    ]
    staged, odd = OrdinaryRows(columns).read(rows)
    assert not odd
    assert staged == [columns.row(row) for row in rows]
    assert staged[7][STAGED_FIELDS] == '{"plan":"pro","points":7}'


def test_an_odd_row_makes_only_itself_odd() -> None:
    columns = Columns(3, list(enumerate(("email", "city", "plan"))), TYPED)
    rows = [[f"ani{n}@x.example", "Solo", "pro"] for n in range(100)]
    rows[5][0], rows[9] = "nobody", ["short"]
    _, odd = OrdinaryRows(columns).read(rows)
    assert odd == {5, 9}
