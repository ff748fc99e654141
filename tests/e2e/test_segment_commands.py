"""The commands of segments, as a script uses them."""

import json
from pathlib import Path

from tests.e2e.test_audience_commands import Merpati, merpati

__all__ = ["merpati"]


def test_a_segment_from_its_rule_to_its_snapshot(merpati: Merpati, tmp_path: Path) -> None:
    merpati("user", "add", "owner@toko.example", "--workspace", "Toko", "--json")
    merpati("list", "create", "News", "--json")
    (tmp_path / "people.csv").write_text(
        "email,first name,city\nani@x.example,Ani,Bandung\nbudi@x.example,Budi,Medan\ncitra@x.example,Citra,Bandung\n")
    merpati("import", "people.csv", "--list", "news", "--json")
    rule = {"version": 1, "match": "all", "rules": [{"field": "city", "op": "is", "value": "bandung"}]}
    (tmp_path / "rule.json").write_text(json.dumps(rule))
    assert merpati("segment", "count", "--rule", "rule.json", "--json") == {"count": 2}

    made = merpati("segment", "create", "Bandung", "--rule", "rule.json", "--json")
    assert made["rule"]["rules"][0]["field"] == "city"
    merpati("segment", "create", "Bandung", "--rule", "rule.json", ends=1)  # the name is taken
    unknown = '{"version": 1, "match": "all", "rules": [{"field": "no"}]}'
    merpati("segment", "create", "Other", "--rule", unknown, ends=1)
    shown = merpati("segment", "show", "Bandung", "--json")
    assert "Bandung" in shown["text"] or "bandung" in shown["text"]
    assert shown["problems"] == {}
    assert merpati("segment", "count", "Bandung", "--json") == {"count": 2}
    assert [one["email"] for one in merpati("segment", "people", "Bandung", "--json")] == [
        "ani@x.example", "citra@x.example"]
    assert merpati("segment", "snapshot", "Bandung", "--json")["size"] == 2
    assert [one["name"] for one in merpati("segment", "list", "--json")] == ["Bandung"]
    assert merpati("segment", "delete", "Bandung", "--json")["deleted"] is True
    merpati("segment", "show", "Bandung", ends=1)
