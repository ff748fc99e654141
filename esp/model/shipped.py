"""The configuration that is shipped as data: rules and shapes, found in the wheel and in the source tree alike."""

from importlib.resources import files
from pathlib import Path


def shipped(name: str) -> str:
    """The text of ``config/<name>``: inside the package where installed, beside it in the source tree."""
    packaged = files("esp") / "config" / name
    return packaged.read_text() if packaged.is_file() else (Path(__file__).parents[2] / "config" / name).read_text()
