"""The cache of compiled kernels: whole ones are loaded, damaged and foreign ones are noticed and rebuilt, and no state
of the disk keeps a kernel from being loaded. The scalar variant stands for all, as the quickest to compile.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from solominer.engines.cpu import cache
from solominer.engines.cpu.kernel import load_kernel
from solominer.engines.cpu.machine import this_machine
from tests.hashing.kernels import CACHE, kernel

COMPILING = "compiling kernel scalar ..."


@pytest.fixture
def filled(tmp_path: Path) -> Path:
    """A cache that holds the scalar kernel, copied from the tests' own."""
    kernel("scalar")
    folder = tmp_path / "cache"
    target = cache.machine_folder(folder)
    target.mkdir(parents=True, mode=0o700)
    target.parent.chmod(0o700)
    shutil.copytree(cache.machine_folder(CACHE) / "scalar", target / "scalar")
    return folder


@pytest.fixture
def quick_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests of where things are kept: what was compiled before stands for what is compiled now."""
    kernel("scalar")

    def build(what: object, folder: Path) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(cache.machine_folder(CACHE) / folder.name, folder)

    monkeypatch.setattr(cache, "_build", build)


def load(folder: Path | None) -> list[str]:
    """Load the scalar kernel, which checks itself against the genesis block; gives the lines reported."""
    lines: list[str] = []
    assert load_kernel("scalar", cache_dir=folder, report=lines.append).name == "scalar"
    return lines


def code_file(folder: Path) -> Path:
    return max(cache.machine_folder(folder).rglob("*.nbc"), key=lambda path: path.stat().st_size)


def test_a_whole_cache_is_loaded_without_compiling(filled: Path) -> None:
    assert load(filled) == []


@contextmanager
def lock_held(folder: Path) -> Iterator[None]:
    """As by a process that was stopped in its compilation."""
    handle = os.open(folder, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    try:
        yield
    finally:
        os.close(handle)


def test_a_lock_that_is_not_given_back_delays_no_load(filled: Path) -> None:
    with lock_held(cache.machine_folder(filled)):
        assert load(filled) == []


def test_a_lock_that_is_not_given_back_is_not_waited_for_to_compile(
    filled: Path, quick_compiler: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "LOCK_SECS", 0.1)
    shutil.rmtree(cache.machine_folder(filled) / "scalar")
    with lock_held(cache.machine_folder(filled)):
        unused, compiling = load(filled)
    assert unused.endswith("not used: another process has been compiling in it, or is stopped, for 0.1 s")
    assert compiling == COMPILING


def test_an_empty_cache_is_filled_once(tmp_path: Path) -> None:
    assert load(tmp_path) == [COMPILING]
    assert load(tmp_path) == []


def test_a_package_in_the_working_folder_is_not_compiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "solominer").mkdir()
    (tmp_path / "solominer/__init__.py").write_text("raise ImportError('not this one')")
    monkeypatch.chdir(tmp_path)
    assert load(tmp_path / "cache") == [COMPILING]


def damage_bit(folder: Path) -> None:
    data = bytearray(code_file(folder).read_bytes())
    data[len(data) // 2] ^= 1
    code_file(folder).write_bytes(data)


def damage_length(folder: Path) -> None:
    os.truncate(code_file(folder), code_file(folder).stat().st_size // 2)


def damage_manifest(folder: Path) -> None:
    (cache.machine_folder(folder) / "scalar" / cache.MANIFEST).write_text("{")


def damage_by_addition(folder: Path) -> None:
    code_file(folder).with_name("other.nbc").write_bytes(b"x")


def damage_by_removal(folder: Path) -> None:
    code_file(folder).unlink()


DAMAGES = [damage_bit, damage_length, damage_manifest, damage_by_addition, damage_by_removal]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_a_damaged_cache_is_noticed(filled: Path, damage: Callable[[Path], None]) -> None:
    damage(filled)
    assert cache._problem(cache.machine_folder(filled) / "scalar")


@pytest.mark.usefixtures("quick_compiler")
def test_a_damaged_cache_is_rebuilt(filled: Path) -> None:
    damage_bit(filled)
    lines = load(filled)
    assert "discarded" in lines[0]
    assert lines[1:] == [COMPILING]
    assert load(filled) == []


def test_files_that_others_can_write_are_not_loaded(filled: Path) -> None:
    code_file(filled).chmod(0o666)
    assert "writable by others" in str(cache._problem(cache.machine_folder(filled) / "scalar"))


@pytest.mark.usefixtures("quick_compiler")
def test_a_folder_that_others_can_write_is_not_used(filled: Path) -> None:
    cache.machine_folder(filled).chmod(0o777)
    lines = load(filled)
    assert "writable by others" in lines[0]
    assert lines[1:] == [COMPILING]


@pytest.mark.usefixtures("quick_compiler")
def test_a_link_to_elsewhere_is_not_followed(filled: Path, tmp_path: Path) -> None:
    folder = cache.machine_folder(filled)
    folder.rename(tmp_path / "elsewhere")
    folder.symlink_to(tmp_path / "elsewhere")
    assert "symbolic link" in load(filled)[0]


@pytest.mark.usefixtures("quick_compiler")
def test_a_cache_that_cannot_be_written_does_not_stop_anything(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("no folder")
    lines = load(blocked)
    assert "not used" in lines[0]
    assert lines[1:] == [COMPILING]


def test_without_any_folder_kernels_are_compiled_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **options: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("tempfile.TemporaryDirectory", refuse)
    assert load(None) == ["no temporary folder to compile in: disk full", "compiling kernel scalar in memory"]


def test_a_compiler_that_fails_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", "/bin/false")
    lines = load(tmp_path)
    assert any("compiler exited with code 1" in line for line in lines)
    assert lines[-1] == "compiling kernel scalar in memory"


def test_importing_the_package_loads_no_compiler() -> None:
    code = "import sys, solominer.engines.cpu; sys.exit(any(m in sys.modules for m in ('numba', 'llvmlite', 'numpy')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_each_python_has_kernels_of_its_own() -> None:
    """Numba's files of one Python are nothing to another: two that shared a folder would compile at every start."""
    here = this_machine()
    assert f"Python {sys.version_info.major}.{sys.version_info.minor}" in here.tools
    assert here.key != replace(here, tools=here.tools.replace("Python 3", "Python 4")).key
