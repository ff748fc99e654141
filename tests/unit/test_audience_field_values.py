"""Typed values: what people type and files hold becomes the type of the field, or a sentence about why not."""

from typing import Any

import pytest

from esp.audience.field_values import check_definition, read_value, read_values, value_text
from esp.errors import InputError
from esp.model.fields import FieldType
from esp.ports.people import ContactField


def field(kind: FieldType, *choices: str, key: str = "it") -> ContactField:
    return ContactField(1, "p", key, "It", kind, choices)


@pytest.mark.parametrize(("kind", "raw", "value"), [
    (FieldType.TEXT, "  a\r\nBcc: b\t", "a Bcc: b"), (FieldType.TEXT, "", None), (FieldType.TEXT, None, None),
    (FieldType.TEXT, "\u202eabc", "\u202eabc"), (FieldType.TEXT, "a\u2028b\x1b[31m", "a b [31m"),
    (FieldType.NUMBER, "12", 12), (FieldType.NUMBER, "-1.5", -1.5), (FieldType.NUMBER, "1.234,50", 1234.5),
    (FieldType.NUMBER, "1,234.50", 1234.5), (FieldType.NUMBER, "12,5", 12.5), (FieldType.NUMBER, 7, 7),
    (FieldType.DATE, "31/5/1990", "1990-05-31"), (FieldType.DATE, "2026-11-21", "2026-11-21"),
    (FieldType.BOOLEAN, "ya", True), (FieldType.BOOLEAN, "No", False), (FieldType.BOOLEAN, True, True),
    (FieldType.BOOLEAN, " ", None),
])
def test_values_are_read(kind: FieldType, raw: Any, value: Any) -> None:
    found = read_value(field(kind), raw)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(("kind", "raw"), [
    (FieldType.TEXT, "x" * 2001), (FieldType.TEXT, ["a"]), (FieldType.NUMBER, "twelve"), (FieldType.NUMBER, "1,234"),
    (FieldType.NUMBER, "1e400"), (FieldType.NUMBER, float("nan")), (FieldType.NUMBER, "9" * 4000),
    (FieldType.NUMBER, "٣"), (FieldType.NUMBER, True), (FieldType.DATE, "31/31/1990"), (FieldType.DATE, "yesterday"),
    (FieldType.BOOLEAN, "perhaps"),
])
def test_what_cannot_be_read_is_said(kind: FieldType, raw: Any) -> None:
    with pytest.raises(ValueError, match=r"\.$"):
        read_value(field(kind), raw)


def test_choices_are_told_by_name_in_any_case_and_kept_in_order() -> None:
    sizes = field(FieldType.CHOICES, "S", "M", "L")
    assert read_value(sizes, ["l", "S", "s"]) == ["S", "L"]
    assert read_value(sizes, "l; s") == ["S", "L"]
    assert read_value(sizes, "m, l") == ["M", "L"]
    assert read_value(sizes, []) is None
    assert read_value(field(FieldType.CHOICES, "a, b", "c"), "A, b") == ["a, b"]
    assert read_value(field(FieldType.CHOICE, "Merah", "Biru"), "biru") == "Biru"
    with pytest.raises(ValueError, match="none of the choices"):
        read_value(sizes, ["S", "XXL"])


def test_problems_stand_beside_their_fields() -> None:
    fields = [field(FieldType.NUMBER, key="age"), field(FieldType.DATE, key="since"), field(FieldType.TEXT, key="x")]
    with pytest.raises(InputError) as caught:
        read_values(fields, {"age": "old", "since": "then"})
    assert set(caught.value.problems) == {"age", "since"}
    assert read_values(fields, {"age": "3", "since": ""}) == {"age": 3, "since": None}


def test_values_are_shown_as_text() -> None:
    assert value_text(["a", "b"]) == "a; b"
    assert (value_text(True), value_text(None), value_text(12.5)) == ("yes", "", "12.5")


def test_a_definition_makes_its_key_and_refuses_what_templates_could_not_name() -> None:
    assert check_definition(" Shoe  size ", FieldType.NUMBER, ["ignored"]) == ("shoe_size", "Shoe size", [])
    assert check_definition("Warna", FieldType.CHOICE, ["Merah", "", "Merah", "Biru"])[2] == ["Merah", "Biru"]
    for label, kind, choices, key in [
        ("", FieldType.TEXT, [], ""), ("x" * 81, FieldType.TEXT, [], ""), ("日本", FieldType.TEXT, [], ""),
        ("Colour", FieldType.CHOICE, [], ""), ("Colour", FieldType.CHOICE, ["a;b"], ""),
        ("Colour", FieldType.CHOICE, ["a", "A"], ""), ("Shoe", FieldType.TEXT, [], "Shoe size"),
    ]:
        with pytest.raises(InputError):
            check_definition(label, kind, choices, key)
