"""One daemon per data folder: the second is told who the first is; a dead one's note locks nobody out."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from solominer.errors import AlreadyRunning, NotRunning, RecordsError
from solominer.records.control_client import ask
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


def test_a_daemon_that_does_not_answer_yet_is_not_said_to_be_none(tmp_path: Path) -> None:
    code = (
        "import pathlib,sys;from solominer.records.lock import FolderLock;"
        "FolderLock(pathlib.Path(sys.argv[1])).acquire();print(flush=True);sys.stdin.read()"
    )
    with pytest.raises(NotRunning, match="no daemon is running"):
        ask(tmp_path / "mainnet", {"do": "status"})
    command = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as starting:
        assert starting.stdout is not None
        starting.stdout.readline()
        with pytest.raises(NotRunning, match=f"pid {starting.pid} .* still starting"):
            ask(tmp_path / "mainnet", {"do": "status"})
        starting.communicate(timeout=30)
    with pytest.raises(NotRunning, match="no daemon is running"):
        ask(tmp_path / "mainnet", {"do": "status"})


def test_a_file_in_the_place_of_the_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(RecordsError, match="there is a file of this name") as refused:
            FolderLock(folder).acquire()
        assert "--data-dir" in refused.value.todo


def test_a_folder_that_cannot_be_written_is_named() -> None:
    with pytest.raises(RecordsError, match="cannot be written"):
        FolderLock(Path("/proc/solominer")).acquire()
