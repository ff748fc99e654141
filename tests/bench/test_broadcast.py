"""``merpati bench broadcast`` prints the figures that the project is judged by, and they add up; its mail verifies."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import select

from esp.adapters.sql.database import Database
from esp.adapters.sql.schema import dkim_keys
from esp.model.content import SigningKey
from esp.wire.dkim import dns_record
from tests.dkim_verifiers import all_faults

KEYS = {
    "messages", "seconds", "messages_per_second", "cpu_us_per_message", "stages", "rsa2048_signs_per_second_per_core",
    "rsa_share", "wall_share", "rss_mb", "rss_parent_mb", "rss_worker_mb", "database",
}


def bench(*options: str) -> dict[str, object]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MERPATI_")}
    ended = subprocess.run(
        [sys.executable, "-m", "esp", "bench", "broadcast", "--json", *options], check=True, capture_output=True,
        text=True, env=environment, cwd=Path(__file__).parents[2],
    )
    figures: dict[str, object] = json.loads(ended.stdout.splitlines()[-1])
    return figures


async def published(database_url: str) -> dict[str, str]:
    """The records of the domain that the measurement made, from its private keys."""
    database = Database(database_url)
    async with database.read() as connection:
        rows = (await connection.execute(select(dkim_keys))).all()
    await database.close()
    return dict(dns_record(SigningKey("toko.example", row.selector, row.algorithm, row.private_pem.encode()))
                for row in rows)


@pytest.mark.timeout(300)
def test_a_broadcast_is_measured_and_its_mail_verifies(database_url: str, tmp_path: Path) -> None:
    mail = tmp_path / "mail"
    mail.mkdir()
    figures = bench("--recipients", "300", "--database", database_url, "--workers", "2", "--keep-mail", str(mail))
    assert set(figures) == KEYS
    assert figures["messages"] == 300
    assert figures["database"] == database_url.split(":", 1)[0]
    stages = figures["stages"]
    assert isinstance(stages, dict)
    assert {"claim_load", "merge", "hash_sign", "send", "record"} <= set(stages)
    assert abs(sum(stages.values()) - float(str(figures["cpu_us_per_message"]))) < 1
    assert float(str(figures["rsa_share"])) > 0
    parent, worker, together = (float(str(figures[key])) for key in ("rss_parent_mb", "rss_worker_mb", "rss_mb"))
    assert max(parent, worker) < together <= parent + 2 * worker + 0.2  # two workers; each figure is rounded
    taken = [file.read_bytes().replace(b"\n", b"\r\n") for file in mail.iterdir()]  # smtp-sink writes LF
    assert len(taken) == 300
    assert all_faults(taken, asyncio.run(published(database_url))) == []


@pytest.mark.timeout(300)
def test_unsigned_mail_is_measured_and_is_unsigned(tmp_path: Path) -> None:
    mail = tmp_path / "mail"
    mail.mkdir()
    figures = bench("--recipients", "50", "--unsigned", "--keep-mail", str(mail))
    assert (figures["database"], figures["messages"], figures["rsa_share"]) == ("sqlite", 50, 0.0)
    assert set(figures) == KEYS | {"unsigned_per_cpu_second"}
    taken = [file.read_bytes().replace(b"\n", b"\r\n") for file in mail.iterdir()]
    assert len(taken) == 50
    assert all_faults(taken, {}, algorithms=()) == []
