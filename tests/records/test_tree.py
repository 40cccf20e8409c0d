"""The dated tree: folders by UTC hour whatever the machine's zone, files whole or not there."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from solominer.errors import RecordsError
from solominer.records import files
from solominer.records.tree import Part, Tree, atomic_write, make_folder, remove_temporaries, utc_text


@given(st.integers(0, 253_402_300_799), st.integers(1, 50))
def test_a_part_and_its_path_are_the_same(at: int, repeat: int) -> None:
    part = Part(Part.at(at).start, repeat)
    assert Part.parse(part.path) == part
    assert part.start <= at < part.start + 3600


@pytest.mark.parametrize("path", ["2026/11/21", "2026/11/21/24", "2026/13/01/00", "2026/11/21/07.1", "x", "2026/1/2/3"])
def test_other_folders_are_refused(path: str) -> None:
    with pytest.raises(RecordsError, match="not the folder of an hour"):
        Part.parse(path)


@pytest.mark.parametrize("zone", ["America/St_Johns", "Asia/Kolkata", "Pacific/Apia", "right/UTC"])
def test_time_zones_make_no_difference(zone: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        # The leap second 2016-12-31T23:59:60Z has no Unix time of its own: the second before and the one after.
        assert Part.at(1_483_228_799).path == "2016/12/31/23"
        assert Part.at(1_483_228_800).path == "2017/01/01/00"
        assert utc_text(1_483_228_799.9) == "2016-12-31T23:59:59Z"
    finally:
        monkeypatch.undo()
        time.tzset()


def test_an_hour_that_is_entered_again_gets_a_folder_of_its_own(tmp_path: Path) -> None:
    tree = Tree(tmp_path)
    for expected in ("2026/11/21/07", "2026/11/21/07.2", "2026/11/21/07.3"):
        part = tree.fresh_part(1_795_244_400.5)
        assert part.path == expected
        make_folder(tree.folder("logs", part))
    assert [part.path for part in tree.parts("logs")] == ["2026/11/21/07", "2026/11/21/07.2", "2026/11/21/07.3"]


def test_a_write_that_fails_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    target = tmp_path / "file"
    atomic_write(target, b"old", durable=True)
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match="folder"):
        atomic_write(tmp_path / "folder", b"cannot replace a folder")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]
    assert target.read_bytes() == b"old"


def test_leftovers_of_a_crash_are_removed(tmp_path: Path) -> None:
    below = "reports/2026/11/21/07"
    (tmp_path / below).mkdir(parents=True)
    (tmp_path / below / ".report.json.12-3.tmp").write_bytes(b"half")
    (tmp_path / below / ".notes.12-3.tmp").write_bytes(b"not ours")
    (tmp_path / below / "report.json").write_bytes(b"whole")
    assert remove_temporaries(tmp_path, below) == 1
    assert {path.name for path in (tmp_path / below).iterdir()} == {"report.json", ".notes.12-3.tmp"}


def test_latest_points_where_it_should_and_moves(tmp_path: Path) -> None:
    tree = Tree(tmp_path)
    (tmp_path / "reports").mkdir()
    for at in (0, 3600):
        tree.point_latest(Part(at))
        assert (tmp_path / "reports" / "latest").readlink() == Path(Part(at).path)


def test_a_folder_that_another_thread_makes_meanwhile_is_not_moved_aside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The saver puts a block on disk while an answer to it is noted: its folder may appear between two questions."""
    folder = tmp_path / "7-block"
    is_folder = files.is_folder

    def is_folder_and_then_made(path: Path) -> bool:
        answer = is_folder(path)
        folder.mkdir(exist_ok=True)
        return answer

    monkeypatch.setattr(files, "is_folder", is_folder_and_then_made)
    files.clear_the_way(tmp_path, folder / "block.hex")
    folder.mkdir(exist_ok=True)
    assert [each.name for each in tmp_path.iterdir()] == ["7-block"]
