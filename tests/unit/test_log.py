"""Logs tell what failed and where, and never a value of a variable."""

import json
import subprocess
import sys

import pytest

PROGRAM = """
import structlog
from esp import log
from esp.settings import LogSettings

log.configure(LogSettings(format={format!r}))

def give(password):
    raise RuntimeError("no entry")

try:
    give("hunter2")
except RuntimeError as problem:
    structlog.get_logger().error("login failed", exc_info=problem)
"""


def said(format: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(format=format)], check=True, capture_output=True, text=True
    )
    assert done.stdout == ""
    return done.stderr


@pytest.mark.parametrize("format", ["text", "json"])
def test_an_exception_is_told_with_its_place_and_without_values(format: str) -> None:
    text = said(format)
    assert "login failed" in text
    assert "RuntimeError: no entry" in text
    assert "in give" in text
    assert "hunter2" not in text.replace('give("hunter2")', "").replace('give(\\"hunter2\\")', "")


def test_json_is_one_object_a_line() -> None:
    (line,) = said("json").splitlines()
    assert json.loads(line)["level"] == "error"
