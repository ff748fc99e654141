"""``merpati demo`` as a newcomer's script runs it: from nothing to figures that both sides agree on."""

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

import pytest

from esp.rehearsal.keep import TXT_RECORDS
from tests.dkim_verifiers import all_faults

ROOT = Path(__file__).parents[2]
KEYS = ["targeted", "delivered", "deferred", "bounced", "suppressed", "opened", "clicked", "unsubscribed", "dkim_valid",
        "duplicates", "missed", "seconds"]


async def _start(folder: Path, *options: str, **environment: str) -> asyncio.subprocess.Process:
    code = "from esp.cli import main; main()"
    return await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, "demo", *options, cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )


def verified(mail: Path) -> int:
    """How many mails the demo kept in the folder ``mail``, all of which are signed as they should be."""
    kept = [file.read_bytes() for file in mail.glob("*.eml")]
    assert all_faults(kept, json.loads((mail / TXT_RECORDS).read_text())) == []
    return len(kept)


@pytest.mark.timeout(400)
async def test_a_demo_ends_by_itself_with_figures_that_agree(tmp_path: Path) -> None:
    # A shell that is set up for a real server must not matter: a demo that used this database would fail at once.
    mail = tmp_path / "mail"
    demo = await _start(tmp_path, "--exit", "--json", "--recipients", "250", "--keep-mail", str(mail),
                        MERPATI_DATABASE__URL="postgresql://nobody@127.0.0.1:1/nothing")
    out, err = await demo.communicate()
    assert demo.returncode == 0, err.decode()[-3000:]
    figures = json.loads(out.splitlines()[-1])
    assert list(figures) == KEYS
    assert figures["targeted"] == 250
    assert figures["delivered"] + figures["bounced"] + figures["suppressed"] == 250
    assert (figures["duplicates"], figures["missed"]) == (0, 0)
    assert figures["dkim_valid"] >= figures["delivered"]
    assert figures["dkim_valid"] == verified(mail)  # both signatures of every copy that a provider took
    assert min(figures[key] for key in ("delivered", "deferred", "bounced", "opened", "clicked")) > 0
    assert b"disagreement" not in err
    assert os.listdir(tmp_path) == ["mail"]  # --exit leaves nothing behind


@pytest.mark.timeout(400)
async def test_a_demo_stays_up_until_it_is_told_to_stop(tmp_path: Path) -> None:
    mail = tmp_path / "mail"
    demo = await _start(tmp_path, "--recipients", "20", "--keep-mail", str(mail))
    assert demo.stdout is not None
    said = b""
    while b"Ctrl+C" not in said:
        line = await demo.stdout.readline()
        assert line, said.decode()
        said += line
    assert b"owner@pantry.example" in said
    demo.send_signal(signal.SIGINT)
    _, err = await demo.communicate()
    assert demo.returncode == 0, err.decode()
    assert (tmp_path / "demo-data" / ".merpati-demo").exists()
    assert verified(mail) > 0


async def test_a_folder_that_no_demo_made_is_not_emptied(tmp_path: Path) -> None:
    precious = tmp_path / "demo-data" / "precious"
    precious.parent.mkdir()
    precious.write_text("mine")
    demo = await _start(tmp_path)
    _, err = await demo.communicate()
    assert demo.returncode == 1
    assert b"not made by a demo" in err
    assert precious.read_text() == "mine"
