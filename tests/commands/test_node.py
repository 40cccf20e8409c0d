"""`solominer node` without a server: what it refuses, and how it ends."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from solominer.records.lock import FolderLock
from solominer.setup.cluster.folder import ClusterFolder
from tests.engines.cluster.server import made


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> ClusterFolder:
    return made(tmp_path_factory.mktemp("cluster"), ["n1"])


def start(folder: ClusterFolder, data: Path, *more: str) -> subprocess.Popen[str]:
    join = str(folder.join_path("n1"))
    command = [sys.executable, "-m", "solominer", "node", "--join", join, "--data-dir", str(data), *more]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


def refused(folder: ClusterFolder, data: Path, *more: str) -> tuple[int, str]:
    """Its exit code and what it said."""
    process = start(folder, data, *more)
    _, said = process.communicate(timeout=60)
    return process.returncode, said


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--join", "/nowhere/n1.join"], "n1.join cannot be read"),
        (["--cpu-workers", "0"], "nothing would hash"),
        (["--gpu", "some"], "write none, all, or numbers"),
        (["--log-level", "loud"], "unknown log level 'loud'"),
        (["--kernel", "avx9000"], "there is no such kernel"),
        (["--stratum", "stratum2+tcp://0.0.0.0:3333"], "write ADDRESS:PORT"),
        (["--stratum", "3333", "--stratum", "0.0.0.0:3333"], "two listeners have the same address"),
    ],
)
def test_what_cannot_be_used_is_refused(folder: ClusterFolder, tmp_path: Path, options: list[str], said: str) -> None:
    code, text = refused(folder, tmp_path, *options)
    assert (code, said in text) == (2, True), text


def test_a_second_process_on_one_folder_is_refused(folder: ClusterFolder, tmp_path: Path) -> None:
    lock = FolderLock(tmp_path / "nodes" / "regtest-n1")
    lock.acquire()
    code, text = refused(folder, tmp_path)
    lock.release()
    assert (code, "another solominer" in text) == (3, True), text


def test_without_a_server_it_waits_and_says_so_until_it_is_stopped(folder: ClusterFolder, tmp_path: Path) -> None:
    process = start(folder, tmp_path, "--cpu-workers", "1")
    assert process.stderr is not None
    line = next(line for line in process.stderr if "cluster server: " in line)
    assert "trying again" in line
    process.send_signal(signal.SIGTERM)
    _, rest = process.communicate(timeout=60)
    assert process.returncode == 0, rest
    assert "stopped after" in rest
