"""The examples of the guide's page about the API are run as they stand, in every language that is installed."""

import asyncio
import re
import shutil
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.api_house import ApiHouse, api_house

PAGE = (Path(__file__).parents[2] / "admin_ui" / "docs" / "api.md").read_text("utf-8")
EXAMPLES = dict(re.findall(r"```(sh|python|js|php)\n(.*?)```", PAGE, re.DOTALL))


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[ApiHouse]:
    async with api_house(f"sqlite:///{tmp_path / 'api.db'}", tmp_path) as found:
        yield found


def command(language: str, folder: Path) -> list[str]:
    """How the example is run here; empty where the language is not installed."""
    path = folder / f"example.{'mjs' if language == 'js' else language}"
    path.write_text(EXAMPLES[language].replace("halo@toko.example", "app@toko.example"))
    program = {"sh": "sh", "js": "node", "php": "php"}.get(language)
    found = sys.executable if program is None else shutil.which(program)
    return [found, str(path)] if found else []


async def test_the_guides_examples_work(api: ApiHouse, tmp_path: Path) -> None:
    assert set(EXAMPLES) == {"sh", "python", "js", "php"}
    commands = [found for language in EXAMPLES if (found := command(language, tmp_path))]
    assert len(commands) >= 2
    for one in commands:
        process = await asyncio.create_subprocess_exec(
            *one, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            env={"MERPATI_URL": api.origin, "MERPATI_KEY": api.mine.key, "PATH": "/usr/bin:/bin"})
        out, err = await process.communicate()
        assert process.returncode == 0, (one, out.decode(), err.decode())
        assert re.search(r"[0-9a-f]{32}", out.decode()), out
    listed = (await api.mine.get("/messages")).body["data"]
    assert len(listed) == len(commands)
    assert {one["subject"] for one in listed} >= {"Your order is on its way", "Order 42"}
