"""Generated people are plausible, different from each other, and the same for the same seed."""

import csv
import json

from esp.audience.csv_columns import guess_mapping
from esp.audience.csv_stage import Columns
from esp.audience.generate import contacts_csv
from esp.ports.imports import STAGED_COLUMNS, STAGED_FIELDS


def test_every_generated_row_can_be_imported_and_the_seed_decides() -> None:
    domains = {"big.example": 9.0, "small.example": 1.0}
    lines = list(contacts_csv(500, domains))
    assert lines == list(contacts_csv(500, domains))
    assert lines != list(contacts_csv(500, domains, seed=2))
    header, *rows = csv.reader(lines)
    columns = Columns.of(header, {**guess_mapping(header), "plan": "plan", "points": "points"})
    people = [dict(zip(STAGED_COLUMNS, columns.row(row), strict=True)) for row in rows]
    assert len({person["email_key"] for person in people}) == 500
    assert 400 < sum(person["domain"] == "big.example" for person in people) < 490
    assert any(person["first_name"] is None for person in people)
    assert all(isinstance(json.loads(str(person[STAGED_COLUMNS[STAGED_FIELDS]]))["points"], int) for person in people)
