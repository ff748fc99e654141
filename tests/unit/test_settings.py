"""The configuration: one documented schema, unknown keys refused with the nearest name, secrets never shown."""

import tomllib
from pathlib import Path

import pytest

from esp.errors import SettingsError
from esp.settings import Settings, document, dump, load

SHIPPED = Path(__file__).parents[2] / "config" / "merpati.toml"


def test_shipped_file_shows_every_key_with_its_default() -> None:
    assert SHIPPED.read_text() == document()
    assert load(SHIPPED) == Settings()


def test_every_key_says_why() -> None:
    for section in Settings.model_fields.values():
        for key, field in section.annotation.model_fields.items():  # type: ignore[union-attr]
            assert field.description, key
            assert field.description.endswith("."), key


def test_example_for_production_is_valid() -> None:
    example = SHIPPED.with_name("production.example.toml")
    tomllib.loads(example.read_text())
    load(example)


def test_dump_and_load_are_inverse() -> None:
    settings = load(delivery={"provider_rate": "10/s", "retry_delays": ["2s", "36h"]}, database={"url": "postgresql://u:p@h/d"})
    assert load(**dump(settings)) == settings


def test_unknown_key_names_the_nearest() -> None:
    with pytest.raises(SettingsError, match=r"Did you mean 'delivery\.smart_host'"):
        load(delivery={"smarthost": "x"})


def test_unknown_variable_names_the_nearest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MERPATI_SERVER__PROT", "9000")
    with pytest.raises(SettingsError, match=r"MERPATI_SERVER__PROT.*Did you mean 'server.port'"):
        load()


def test_environment_wins_over_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "m.toml"
    file.write_text("[server]\nport = 1111\nhost = '127.0.0.2'\n")
    monkeypatch.setenv("MERPATI_SERVER__PORT", "2222")
    settings = load(file)
    assert (settings.server.port, settings.server.host) == (2222, "127.0.0.2")


def test_bad_value_names_the_key_and_hides_it() -> None:
    with pytest.raises(SettingsError, match=r"server.port") as caught:
        load(server={"port": "hunter2"})
    assert "hunter2" not in str(caught.value)


def test_secrets_hide_in_representations() -> None:
    settings = load(database={"url": "postgresql://u:hunter2@h/d"}, redis={"url": "redis://:hunter2@h/0"})
    assert "hunter2" not in repr(settings) + str(settings)


@pytest.mark.parametrize("text", ["100", "ten/min", "100/fortnight", "0/s", "-1/s", "100/0s"])
def test_rate_spelt_wrongly(text: str) -> None:
    with pytest.raises(SettingsError, match=r"delivery\.provider_rate"):
        load(delivery={"provider_rate": text})
