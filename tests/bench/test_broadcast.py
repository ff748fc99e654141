"""``merpati bench broadcast`` prints the figures that the project is judged by, and they add up."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.services import PostgresServer

KEYS = {
    "messages", "seconds", "messages_per_second", "cpu_us_per_message", "stages", "rsa2048_signs_per_second_per_core",
    "rsa_share", "rss_mb", "database",
}


def bench(*options: str, folder: Path) -> dict[str, object]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MERPATI_")}
    ended = subprocess.run(
        [sys.executable, "-m", "esp", "bench", "broadcast", "--json", *options], check=True, capture_output=True,
        text=True, env=environment, cwd=Path(__file__).parents[2],
    )
    figures: dict[str, object] = json.loads(ended.stdout.splitlines()[-1])
    return figures


@pytest.mark.timeout(300)
@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_a_broadcast_is_measured(database: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    url, name = database, ""
    if database == "postgresql":
        server: PostgresServer = request.getfixturevalue("postgres_server")
        name = server.create_database()
        url = server.url(name)
    figures = bench("--recipients", "300", "--database", url, "--workers", "2", folder=tmp_path)
    if name:
        server.drop_database(name)
    assert set(figures) == KEYS
    assert figures["messages"] == 300
    assert figures["database"] == database
    stages = figures["stages"]
    assert isinstance(stages, dict)
    assert {"claim_load", "merge", "hash_sign", "send", "record"} <= set(stages)
    assert abs(sum(stages.values()) - float(str(figures["cpu_us_per_message"]))) < 1
    assert float(str(figures["rsa_share"])) > 0
