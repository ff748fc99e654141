"""Generated people are plausible, different from each other, and the same for the same seed."""

import csv

from esp.audience.csv_columns import Columns, guess_mapping
from esp.audience.generate import contacts_csv


def test_every_generated_row_can_be_imported_and_the_seed_decides() -> None:
    domains = {"big.example": 9.0, "small.example": 1.0}
    lines = list(contacts_csv(500, domains))
    assert lines == list(contacts_csv(500, domains))
    assert lines != list(contacts_csv(500, domains, seed=2))
    header, *rows = csv.reader(lines)
    columns = Columns.of(header, {**guess_mapping(header), "plan": "plan", "points": "points"})
    people = [columns.contact(row) for row in rows]
    assert len({person.email_key for person in people}) == 500
    assert 400 < sum(person.domain == "big.example" for person in people) < 490
    assert any("first_name" not in person.standard for person in people)
    assert all(isinstance(person.fields["points"], int) for person in people)
