"""Scripts start from a bare shell: in .venv by themselves, or with a sentence that says what to do first."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[1]
SCRIPTS = sorted(
    path
    for path in (REPO / "scripts").iterdir()
    if path.is_file() and path.read_text().startswith("#!/usr/bin/env python3")
)


def first_imports(script: Path) -> list[str]:
    """The packages that a script imports, as its lines have them, less Python's own."""
    names: list[str] = []
    for node in ast.parse(script.read_text()).body:
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names.append(node.module or "")
    return [name for name in names if name.partition(".")[0] not in {*sys.stdlib_module_names, "__future__"}]


@pytest.mark.parametrize("script", SCRIPTS, ids=[path.name for path in SCRIPTS])
def test_what_needs_packages_looks_for_them_first(script: Path) -> None:
    if script.name == "gpu-check":  # for machines without a .venv; it says itself what it needs
        return
    imports = first_imports(script)
    assert imports[:1] in ([], ["in_venv"])


@pytest.fixture
def script(tmp_path: Path) -> Path:
    """A script in a checkout of its own that has no .venv."""
    folder = tmp_path / "scripts"
    folder.mkdir()
    shutil.copy(REPO / "scripts/in_venv.py", folder)
    path = folder / "chaos"
    path.write_text("import in_venv\nimport numba\n")
    return path


def start(script: Path) -> subprocess.CompletedProcess[str]:
    """Run it by a Python that has no packages (-S: none is looked for), from a bare shell."""
    command = [sys.executable, "-S", str(script), "--help"]
    return subprocess.run(command, env={"PATH": "/usr/bin:/bin"}, capture_output=True, text=True, check=False)


def test_without_an_environment_it_says_how_to_make_one(script: Path) -> None:
    done = start(script)
    assert done.returncode == 1
    assert done.stderr == f"{script} requires the test packages: run `make test` first, which creates .venv\n"


def test_it_goes_on_in_the_checkouts_own_environment(script: Path) -> None:
    python = script.parents[1] / ".venv/bin/python"
    python.parent.mkdir(parents=True)
    python.write_text('#!/bin/sh\necho "in .venv: $*"\n')
    python.chmod(0o755)
    assert start(script).stdout == f"in .venv: {script} --help\n"
