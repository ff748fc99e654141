"""schemathesis against the API: whatever the document allows is answered as the document says, and never with a 500."""

import asyncio
import re
import sys
from pathlib import Path

import pytest

from tests.api_house import api_house


@pytest.mark.timeout(600)
async def test_schemathesis_finds_nothing(tmp_path: Path) -> None:
    async with api_house(f"sqlite:///{tmp_path / 'api.db'}", tmp_path) as api:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "schemathesis.cli", "run", f"{api.mine.base}/openapi.json", "--url", api.mine.base,
            "-H", f"Authorization: Bearer {api.mine.key}", "--phases", "examples,coverage,fuzzing",
            "--max-examples", "4", "--seed", "1", "--generation-deterministic", "--no-color",
            "--suppress-health-check", "all", "--request-timeout", "60",
            "--generation-with-security-parameters", "false",
            "--checks", "not_a_server_error,status_code_conformance,content_type_conformance,"
            "response_schema_conformance,response_headers_conformance,negative_data_rejection",
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, cwd=tmp_path)
        out, _ = await process.communicate()
        text = out.decode()
        (tmp_path / "report.txt").write_text(text)
        assert process.returncode == 0, text[-6000:]
        found = re.search(r"(\d+) generated", text)
        assert found, text[-3000:]
        assert int(found[1]) > 500, "it tested next to nothing"
