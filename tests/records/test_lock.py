"""One daemon per data folder: the second is told who the first is; a dead one's note locks nobody out."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from solominer.errors import AlreadyRunning, RecordsError
from solominer.records.lock import FolderLock


def test_the_second_is_refused_with_the_pid_of_the_first(tmp_path: Path) -> None:
    first, second = FolderLock(tmp_path / "new"), FolderLock(tmp_path / "new")
    first.acquire()
    with pytest.raises(AlreadyRunning, match=f"pid {os.getpid()}") as refused:
        second.acquire()
    assert str(os.getpid()) in refused.value.todo
    first.release()
    second.acquire()
    second.release()
    second.release()


def test_the_pid_of_a_dead_one_locks_nobody_out(tmp_path: Path) -> None:
    code = (
        "import os,pathlib,sys;from solominer.records.lock import FolderLock;"
        "FolderLock(pathlib.Path(sys.argv[1])).acquire();os.kill(os.getpid(),9)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False, timeout=60)
    stale = int((tmp_path / "lock").read_text().split()[0])
    assert stale != os.getpid()
    lock = FolderLock(tmp_path)
    lock.acquire()
    assert int((tmp_path / "lock").read_text().split()[0]) == os.getpid()
    lock.release()


def test_a_file_in_the_place_of_the_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(RecordsError, match="there is a file of this name") as refused:
            FolderLock(folder).acquire()
        assert "--data-dir" in refused.value.todo


def test_a_folder_that_cannot_be_written_is_named() -> None:
    with pytest.raises(RecordsError, match="cannot be written"):
        FolderLock(Path("/proc/solominer")).acquire()
