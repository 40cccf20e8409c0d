"""The daemon as a program: from nothing to blocks, to an end with 0, and nothing left running however it ends."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from solominer.node.private.bitcoind import BitcoindBinary

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parents[2]


class Program:
    """`solominer run` as a process, its log lines in a file."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.log = folder / "log"
        command = [sys.executable, "-m", "solominer", "run", "--plain", "--data-dir", str(folder / "data"), *arguments]
        environ = {**os.environ, "SOLOMINER_CACHE": str(ROOT / ".cache")}
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(command, stderr=log, stdout=log, cwd=ROOT, env=environ)

    def lines(self) -> str:
        return self.log.read_text()

    def until(self, holds: Callable[[], object], secs: float = 60.0) -> None:
        deadline = time.monotonic() + secs
        while not holds():
            assert time.monotonic() < deadline, f"it did not come about:\n{self.lines()}"
            time.sleep(0.02)

    def until_said(self, text: str) -> None:
        self.until(lambda: text in self.lines() or self.process.poll() is not None)
        assert text in self.lines(), self.lines()

    def family(self) -> list[psutil.Process]:
        us = psutil.Process(self.process.pid)
        return [us, *us.children(recursive=True)]


@pytest.fixture
def programs() -> Iterator[list[Program]]:
    started: list[Program] = []
    yield started
    for program in started:
        if program.process.poll() is None:
            program.process.kill()
        program.process.wait(30)


def gone(family: list[psutil.Process]) -> bool:
    return not any(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in family)


@pytest.mark.usefixtures("bitcoind_binary")
def test_blocks_on_a_private_node_then_the_end(tmp_path: Path, programs: list[Program]) -> None:
    for run in (1, 2):
        program = Program(tmp_path, "--mode", "regtest", "--blocks", "3")
        programs.append(program)
        program.until_said("mining job")
        family = program.family()
        assert program.process.wait(60) == 0
        assert program.lines().count("is accepted") == 3
        assert f"height {3 * run}" in program.lines(), "the second run goes on where the first one stopped"
        program.until(lambda family=family: gone(family), 20)  # type: ignore[misc]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_with_0(tmp_path: Path, programs: list[Program], number: signal.Signals) -> None:
    program = Program(tmp_path, "--mode", "demo")
    programs.append(program)
    program.until_said("hashing started")
    family = program.family()
    program.process.send_signal(number)
    assert program.process.wait(30) == 0
    assert "stopped after" in program.lines()
    assert gone(family)


def test_a_kill_leaves_nothing_running(
    tmp_path: Path, programs: list[Program], bitcoind_binary: BitcoindBinary
) -> None:
    """Workers and the private node end with the daemon even when it cannot say goodbye; nothing stays in /dev/shm."""
    shared = Path("/dev/shm")
    before = set(shared.iterdir()) if shared.exists() else set()
    program = Program(tmp_path, "--mode", "regtest")
    programs.append(program)
    program.until_said("is accepted")
    family = program.family()
    assert len(family) >= 3, "the daemon, a worker, the node"
    program.process.kill()
    program.process.wait(30)
    program.until(lambda: gone(family), 30)
    ours = {path for path in (set(shared.iterdir()) if shared.exists() else set()) - before if "solominer" in path.name}
    assert ours == set()


def test_a_worker_that_is_killed_comes_back(tmp_path: Path, programs: list[Program]) -> None:
    program = Program(tmp_path, "--mode", "demo")
    programs.append(program)
    program.until_said("hashing started")
    worker = program.family()[1]
    worker.kill()
    program.until_said("restarting in 1 s")
    program.until(lambda: any(process.pid != worker.pid for process in program.family()[1:]))
    program.process.terminate()
    assert program.process.wait(30) == 0


def test_demo_says_that_it_is_one_and_keeps_its_records_apart(tmp_path: Path, programs: list[Program]) -> None:
    program = Program(tmp_path, "--mode", "demo", "--seconds", "3")
    programs.append(program)
    assert program.process.wait(60) == 0
    assert "nothing is submitted" in program.lines()
    assert (tmp_path / "data" / "demo").is_dir()
    assert not (tmp_path / "data" / "mainnet").exists()


WATCHED_RUN = """
import atexit, pathlib, sys
from solominer.daemon import every_run
from solominer.cli import main

class Watch:
    def find_spec(self, name, path=None, target=None):
        if name in ("scipy", "numpy", "numba"):
            print("imported", name, flush=True)

sys.meta_path.insert(0, Watch())
every_run.STATUS_LINE_SECS = 0.2
status = pathlib.Path("/proc/self/status")  # getrusage would begin with what started this process
atexit.register(lambda: print("KiB", status.read_text().split("VmHWM:")[1].split()[0]))
main()
"""


def test_the_main_process_imports_no_numpy_and_stays_below_100_mib(tmp_path: Path) -> None:
    """It leaves kernels to the workers and computes statistics in plain floats."""
    arguments = [
        "run",
        "--mode",
        "demo",
        "--seconds",
        "100",
        "--hashes",
        "300000000",
        "--plain",
        "--data-dir",
        str(tmp_path),
    ]
    done = subprocess.run(
        [sys.executable, "-c", WATCHED_RUN, *arguments], capture_output=True, text=True, check=True, timeout=120
    )
    assert re.search(r"mining at height \d+: [1-9]", done.stderr), "a status line with a rate"
    assert "imported" not in done.stdout
    assert int(done.stdout.split("KiB")[1]) < 100 * 1024
