"""The commands of the audience, as a script uses them: a database in a folder and nothing running."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from esp.cli import app

Merpati = Callable[..., Any]


@pytest.fixture
def merpati(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Merpati:
    """Runs a command; returns its JSON where ``--json`` is among the words, else what it printed."""
    monkeypatch.setenv("MERPATI_SERVER__DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("MERPATI_DELIVERY__SMART_HOST", "127.0.0.1:1")
    monkeypatch.chdir(tmp_path)

    def run(*words: str, ends: int = 0) -> Any:
        result = CliRunner().invoke(app, list(words))
        assert result.exit_code == ends, (words, result.output, result.exception)
        return json.loads(result.stdout.splitlines()[-1]) if "--json" in words else result.output
    return run


def test_from_the_first_user_to_a_cancelled_campaign(merpati: Merpati, tmp_path: Path) -> None:
    assert "merpati user add" in merpati("list", "list", ends=1)
    owner = merpati("user", "add", "owner@toko.example", "--workspace", "Toko", "--json")
    assert owner["role"] == "owner"
    assert len(owner["password"]) > 12
    merpati("user", "add", "second@toko.example", "--json")
    users = merpati("user", "list", "--json")
    assert [user["email"] for user in users] == ["owner@toko.example", "second@toko.example"]

    domain = merpati("domain", "add", "toko.example", "--json")
    assert {record["type"] for record in domain["records"]} == {"TXT", "MX", "A", "CNAME"}
    assert merpati("domain", "records", "--json")["records"] == domain["records"]
    assert merpati("list", "create", "Kabar Toko", "--json")["handle"] == "kabar-toko"

    (tmp_path / "people.csv").write_text("surel;nama;kota asal;poin\na@x.example;Ani S;Solo;7\nnobody;;;\n")
    done = merpati("import", "people.csv", "--list", "kabar-toko", "--map", "kota asal=city", "--all-columns", "--json")
    assert (done["state"], done["created"], done["rejected"]) == ("done", 1, 1)
    assert done["mapping"] == {"surel": "email", "nama": "full_name", "kota asal": "city", "poin": "poin"}
    merpati("contacts", "export-rejects", str(done["import"]), "refused.csv")
    assert "no @" in (tmp_path / "refused.csv").read_text(encoding="utf-8")
    (found,) = merpati("contacts", "search", "ani", "--list", "Kabar Toko", "--json")
    assert (found["email"], found["city"], found["poin"]) == ("a@x.example", "Solo", 7)
    assert merpati("contacts", "show", "A@x.example", "--json")["lists"] == {"Kabar Toko": "subscribed"}

    (tmp_path / "mail.md").write_text("# Halo {{ contact.first_name | default('teman') }}\n\n[Baca](https://toko.example/)\n")
    made = merpati("campaign", "create", "--from", "mail.md", "--subject", "One", "--subject", "Two",
                   "--list", "kabar-toko", "--throttle", "60/min", "--json")
    number = str(made["id"])
    check = merpati("campaign", "precheck", number, "--json")
    assert (check["ready"], check["targeted"], check["will_get"]) == (True, 1, 1)
    assert "cannot pause" in merpati("campaign", "pause", number, ends=1)
    assert merpati("campaign", "send", number, "--json")["state"] == "sending"
    assert "cannot start" in merpati("send", number, "--yes", ends=1)
    assert merpati("campaign", "pause", number, "--reason", "a typo", "--json")["reason"] == "a typo"
    assert merpati("campaign", "resume", number, "--json")["state"] == "sending"
    assert merpati("campaign", "cancel", number, "--json")["state"] == "cancelled"
    assert merpati("campaign", "status", number, "--json")["state"] == "cancelled"
    assert [it["id"] for it in merpati("campaign", "list", "--json")] == [made["id"]]
    assert [it["label"] for it in merpati("campaign", "show", number, "--json")["variants"]] == ["A", "B"]


def test_what_is_wrong_is_said_in_a_sentence(merpati: Merpati, tmp_path: Path) -> None:
    merpati("user", "add", "owner@toko.example")
    merpati("domain", "add", "toko.example")
    merpati("list", "create", "News")
    (tmp_path / "bad.csv").write_text("name\nBudi\n")
    assert "no column with e-mail addresses" in merpati("import", "bad.csv", "--list", "news", ends=1)
    assert "There is no list 'nws'" in merpati("import", "bad.csv", "--list", "nws", ends=1)
    (tmp_path / "mail.md").write_text("Hello {{ contact.first_name")
    words = ("campaign", "create", "--from", "mail.md", "--list", "news", "--subject")
    number = str(merpati(*words, "Hi", "--json")["id"])
    assert merpati("campaign", "precheck", number, "--json", ends=1)["ready"] is False
    assert "variants.0.source" in merpati("campaign", "send", number, "--yes", ends=1)
    assert "single line" in merpati(*words, "Hi\nBcc: x@y.example", ends=1)
    assert "There is no such campaign" in merpati("campaign", "show", "99", ends=1)


def test_made_up_people_can_be_imported(merpati: Merpati) -> None:
    merpati("user", "add", "owner@toko.example")
    merpati("contacts", "generate", "people.csv", "--count", "300", "--domain", "a.example=2", "--domain", "b.example")
    done = merpati("contacts", "import", "people.csv", "--json")
    assert (done["created"], done["rejected"]) == (300, 0)
