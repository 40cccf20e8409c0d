"""The versions that are promised are those that are tried: of Python, and the lowest of every dependency."""

from __future__ import annotations

import configparser
import re
import runpy
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
SETUP = configparser.ConfigParser()
SETUP.read(ROOT / "setup.cfg")
BOUND = re.compile(r"([\w.-]+) >= ([\w.]+)(?: ; .*)?")  # with the platforms that it is for


def promised() -> set[str]:
    """The lower bounds of everything that a user or the tests install, as `name == version`."""
    extras = SETUP["options.extras_require"]
    lines = "\n".join([SETUP["options"]["install_requires"], *(extras[name] for name in ("signing", "plot", "test"))])
    found = [(line, BOUND.fullmatch(line.strip())) for line in lines.splitlines() if line.strip()]
    assert not [line for line, bound in found if bound is None], "a dependency without a lower bound"
    return {f"{bound[1]} == {bound[2]}" for _, bound in found if bound}


def test_the_lowest_versions_that_are_tried_are_those_that_are_promised() -> None:
    lines = (ROOT / "tests" / "constraints-lowest.txt").read_text().splitlines()
    assert {line for line in lines if " == " in line} == promised()


@pytest.fixture
def matrix() -> dict[str, Any]:
    """The names in scripts/test-pythons."""
    return runpy.run_path(str(ROOT / "scripts" / "test-pythons"))


def test_the_oldest_python_that_is_tried_is_the_one_that_is_promised(matrix: dict[str, Any]) -> None:
    oldest = ".".join(map(str, matrix["OLDEST_SUPPORTED"]))
    assert SETUP["options"]["python_requires"] == f">={oldest}"
    assert f"Python {oldest} to 3.13" in (ROOT / "README.md").read_text()


def fake_python(folder: Path, name: str, answer: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\necho '{answer}'\n")
    path.chmod(0o755)
    return path


def test_pythons_are_found_on_path_and_in_pyenvs_folder(
    matrix: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder, version in (
        ("a", "3, 99, 1"),
        ("pyenv/versions/3.99.2/bin", "3, 99, 2"),
        ("pyenv/versions/2/bin", "2, 7, 9"),
    ):
        fake_python(tmp_path / folder, "python3", f'[[{version}], "final", "{folder}"]')
    fake_python(tmp_path / "a", "python3.20", "a shim that runs nothing")
    fake_python(tmp_path / "a", "python3.21", '[[3, 99, 3], "beta", "a"]')
    fake_python(tmp_path / "a", "python3.22", '[[3, 99, 1], "final", "the same again"]')
    monkeypatch.setenv("PATH", str(tmp_path / "a"))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "pyenv"))
    found = [python for python in matrix["find_pythons"]() if python.version[1] == 99]
    assert [(python.name, python.path) for python in found] == [
        ("3.99.1", "a"),
        ("3.99.2", "pyenv/versions/3.99.2/bin"),
    ]


def test_oldest_and_newest_are_tried_in_full_and_those_between_in_their_core(matrix: dict[str, Any]) -> None:
    pythons = [matrix["Python"]((3, minor, 0), "") for minor in (11, 12, 13)]
    plan = [(run.python.name, run.what) for run in matrix["plan"](pythons, quick=False)]
    assert plan == [("3.11.0", "full"), ("3.12.0", "core"), ("3.13.0", "full"), ("3.11.0", "lowest")]
    quick = [(run.python.name, run.what) for run in matrix["plan"](pythons, quick=True)]
    assert quick == [("3.11.0", "brief"), ("3.13.0", "brief"), ("3.11.0", "lowest brief")]
    assert [run.what for run in matrix["plan"](pythons[:1], quick=True)] == ["brief", "lowest brief"]


def test_a_python_without_venv_is_said_and_skipped(
    matrix: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = matrix["execute"].__globals__
    monkeypatch.setitem(script, "FOLDER", tmp_path)
    monkeypatch.setitem(script, "ROOT", ROOT)
    broken = matrix["Python"]((3, 99, 0), "/bin/false")
    monkeypatch.setitem(script, "ROOT", tmp_path)
    monkeypatch.setitem(script, "LOWEST", tmp_path / "setup.cfg")
    (tmp_path / "setup.cfg").write_text("")
    result = matrix["execute"](matrix["Run"](broken, "core"), tmp_path)
    assert result.failed is None
    text = matrix["table"]([broken, matrix["Python"](sys.version_info[:3], "here")], [result])
    assert re.search(r"3\.99\.0 +core +skipped .*python3-venv", text)
    assert re.search(r"- +not chosen", text)
