"""Cores that can be used: affinity, and the quotas of control groups laid out in a folder as the kernel shows them."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from solominer.engines.cpu.machine import usable_cores

ALL = len(psutil.Process().cpu_affinity() or ())


@pytest.fixture
def group(tmp_path: Path) -> Path:
    """A process two groups deep; /proc/self/cgroup is `own`, the groups are below `fs`."""
    (tmp_path / "own").write_text("0::/outer/inner\n")
    (tmp_path / "fs/outer/inner").mkdir(parents=True)
    return tmp_path


def cores(group: Path) -> int:
    return usable_cores(group / "own", group / "fs")


def test_no_quota(group: Path) -> None:
    (group / "fs/outer/inner/cpu.max").write_text("max 100000\n")
    assert cores(group) == ALL


@pytest.mark.parametrize("level", ["outer", "outer/inner", "."])
def test_a_quota_at_any_level_counts(group: Path, level: str) -> None:
    (group / "fs" / level / "cpu.max").write_text("150000 100000\n")
    assert cores(group) == 1


def test_less_than_a_core_is_still_one_worker(group: Path) -> None:
    (group / "fs/outer/cpu.max").write_text("20000 100000\n")
    assert cores(group) == 1


def test_more_than_the_machine_has_is_what_it_has(group: Path) -> None:
    (group / "fs/outer/cpu.max").write_text("99900000 100000\n")
    assert cores(group) == ALL


@pytest.mark.parametrize("text", ["", "nonsense", "100000 0\n", "a b\n"])
def test_what_cannot_be_read_limits_nothing(group: Path, text: str) -> None:
    (group / "fs/outer/cpu.max").write_text(text)
    assert cores(group) == ALL


def test_no_control_groups_at_all(tmp_path: Path) -> None:
    assert usable_cores(tmp_path / "missing", tmp_path) == ALL
    (tmp_path / "own").write_text("4:cpu:/version1\n")
    assert usable_cores(tmp_path / "own", tmp_path) == ALL
