"""What a person meets at the start who got a setting wrong: one sentence that says what to do, and no traceback."""

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import orjson
import pytest
from rich.console import Console

from esp.adapters.sql.database import Database
from esp.cli.demo_display import Display
from esp.errors import SettingsError
from esp.ports.reports import Figures, Progress, ProviderProgress
from esp.rehearsal.providers import PROVIDERS


def merpati(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    keep = {name: value for name, value in os.environ.items() if not name.startswith("MERPATI_")}
    return subprocess.run(
        [sys.executable, "-c", "from esp.cli import main; main()", *arguments],
        cwd=folder, capture_output=True, text=True, timeout=60,
        env=keep | {"PYTHONPATH": str(Path(__file__).parents[2]), "COLUMNS": "80"} | environment)


@pytest.mark.parametrize(("variable", "value", "sentence"), [
    ("SERVER__DATA_DIR", "a-file", r"data folder .* cannot be used: File exists.*server\.data_dir"),
    ("SERVER__DATA_DIR", "a-file/below", r"data folder .* cannot be used: Not a directory"),
    ("REDIS__URL", "nonsense", r"redis\.url is no address .*redis://host:6379/0"),
    ("SERVER__HOST", "192.0.2.1", r"Cannot listen on 192\.0\.2\.1:\d+: .*must be addresses of this machine"),
    ("SERVER__PORT", "many", r"MERPATI_SERVER__PORT: server\.port: "),
    ("DELIVERY__SERVER_RATE", "quick", r"delivery\.server_rate: 'quick' is not a rate"),
])
def test_a_wrong_setting_is_one_sentence(tmp_path: Path, variable: str, value: str, sentence: str) -> None:
    (tmp_path / "a-file").touch()
    settings = {"MERPATI_SERVER__PORT": "0", "MERPATI_MX__ENABLED": "false", f"MERPATI_{variable}": value}
    ended = merpati(tmp_path, "serve", **settings)
    assert ended.returncode == 1
    assert re.fullmatch(f".*{sentence}.*\n", ended.stderr), ended.stderr  # one line, whole


def test_a_port_in_use_is_named_with_the_key_that_moves_it(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        ended = merpati(tmp_path, "serve", MERPATI_SERVER__PORT=str(port), MERPATI_MX__ENABLED="false")
    assert ended.returncode == 1
    sentence = rf"Port {port} on 127\.0\.0\.1 is in use\. .*MERPATI_SERVER__PORT.*\n"
    assert re.fullmatch(sentence, ended.stderr), ended.stderr


def test_a_sentence_with_brackets_is_printed_as_it_is(tmp_path: Path) -> None:
    ended = merpati(tmp_path, "serve", "--config", "[/red].toml")
    assert ended.stderr == "There is no configuration file [/red].toml.\n"


@pytest.mark.parametrize("width", [80, 120])
def test_no_figure_of_the_demo_is_cut(width: int) -> None:
    providers = tuple(
        ProviderProgress(provider.domain, 21_657, 0, 11_234, 3_456, 7_890, "550 5.1.1 No such user here", None)
        for provider in PROVIDERS)
    progress = Progress("sending", 2500, 5000, 9000.0, 63.0, Figures(), providers)
    screen = Console(width=width, record=True, file=open(os.devnull, "w"))  # noqa: SIM115 - closed below
    screen.print(Display(screen, "150/s")._view(progress, {}))
    text = screen.export_text()
    screen.file.close()
    for title in ("people", "delivered", "again", "bounced"):
        assert title in text
    for provider in PROVIDERS:
        row = next(line for line in text.splitlines() if line.lstrip().startswith(provider.title))
        assert all(figure in row for figure in ("21,657", "11,234", "3,456", "7,890")), row
    assert len(text.splitlines()) < 22  # fits a small terminal without scrolling


def test_the_doctor_makes_nothing(tmp_path: Path) -> None:
    """Who asks what is wrong, perhaps in a wrong folder or as a wrong user, must not find things there afterwards."""
    ended = merpati(tmp_path, "doctor", "--json", MERPATI_SERVER__DATA_DIR="new/data", TMPDIR=str(tmp_path))
    assert list(tmp_path.iterdir()) == []
    findings = orjson.loads(ended.stdout)
    assert findings[0]["name"] == "data folder"
    assert "is not there yet" in findings[0]["message"]
    assert str(tmp_path / "new/data") in findings[0]["message"]
    assert {one["name"] for one in findings} >= {"database", "coordination", "public address"}


@pytest.mark.parametrize("url", ["postgresql:/somebody:geheim@host/name", "nonsense geheim", "mysql://a:geheim@b/c"])
def test_a_misspelt_database_is_said_in_a_sentence_without_its_password(url: str) -> None:
    with pytest.raises(SettingsError) as refused:
        Database(url)
    assert "postgresql://user@host/name" in str(refused.value)
    assert "geheim" not in str(refused.value)
