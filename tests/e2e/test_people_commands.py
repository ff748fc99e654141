"""The commands of people, suppressions and hygiene, as a script uses them."""

from pathlib import Path

from tests.e2e.test_audience_commands import Merpati, merpati

__all__ = ["merpati"]


def test_fields_tags_suppressions_and_the_report(merpati: Merpati, tmp_path: Path) -> None:
    merpati("user", "add", "owner@toko.example", "--workspace", "Toko", "--json")
    merpati("list", "create", "News", "--json")
    (tmp_path / "people.csv").write_text("email,first name\nani@gmial.com,Ani\nbudi@x.example,Budi\ninfo@x.example,\n")
    merpati("import", "people.csv", "--list", "news", "--json")
    assert merpati("contacts", "add-field", "Shoe size", "--type", "number", "--json")["key"] == "shoe_size"
    assert "City" not in merpati("contacts", "fields")
    merpati("contacts", "add-field", "", ends=1)
    done = merpati("contacts", "tag", "VIP", "--matching", "bud", "--json")
    assert (done["state"], done["changed"]) == ("done", 1)
    assert merpati("contacts", "tags", "--json")[0]["name"] == "VIP"
    assert merpati("contacts", "undo", str(done["action"]), "--json")["changed"] == 1
    merpati("contacts", "undo", str(done["action"]), ends=1)
    assert merpati("contacts", "untag", "vip", "--list", "news", "--json")["changed"] == 0
    assert merpati("suppression", "add", "@bad.example", "a@x.example", "--note", "law", "--json")["added"] == 2
    merpati("suppression", "add", "nonsense", ends=1)
    merpati("suppression", "export", "out.csv")
    merpati("suppression", "remove", "@bad.example", "--json")
    assert [bar["key"] for bar in merpati("suppression", "list", "--json")] == ["a@x.example"]
    assert merpati("suppression", "import", "out.csv", "--json") == {
        "added": 1, "there": 1, "refused": 0, "problems": []}
    report = merpati("hygiene", "--json")
    assert report["counts"] == {"mistyped": 1, "role": 1}
    (found,) = merpati("hygiene", "--show", "mistyped", "--json")["people"]
    assert found["suggestion"] == "gmail.com"
