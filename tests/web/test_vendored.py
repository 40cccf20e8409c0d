"""The libraries of the page are those of the lock file, whole, with their licences."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from solominer.web.app import STATIC

VENDOR = STATIC / "vendor"
REPO = Path(__file__).parents[2]


def test_every_file_has_its_sum() -> None:
    lines = (VENDOR / "SHA256SUMS").read_text().splitlines()
    sums = {name: digest for digest, name in (line.split("  ") for line in lines)}
    present = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in VENDOR.iterdir()}
    del present["SHA256SUMS"]
    assert present == sums


def test_every_library_is_pinned_and_has_its_licence() -> None:
    wanted = json.loads((REPO / "webdeps/package.json").read_text())
    locked = json.loads((REPO / "webdeps/package-lock.json").read_text())["packages"]
    for name, version in (wanted["dependencies"] | wanted["devDependencies"]).items():
        assert locked[f"node_modules/{name}"]["version"] == version
        assert locked[f"node_modules/{name}"]["integrity"].startswith("sha512-")
    for name in wanted["dependencies"]:
        assert "without warranty" in (VENDOR / f"{name}.LICENSE").read_text().lower().replace("\n", " ") or (
            "without warranties" in (VENDOR / f"{name}.LICENSE").read_text().lower()
        )


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("npm"), reason="needs npm")
def test_the_files_are_those_of_their_packages() -> None:
    done = subprocess.run([sys.executable, "scripts/vendor-web", "--check"], cwd=REPO, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
