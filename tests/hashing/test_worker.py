"""The worker process by itself: it works for the parent that briefed it and for nobody else."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from solominer.engines.pool.job_slot import SharedBlock
from solominer.engines.pool.messages import Ready, Wrong, take
from solominer.engines.pool.startup import _SIZE, EXIT_WRONG_HITS, WorkerSetup
from solominer.engines.pool.worker_job import WorkerJob
from tests.hashing.jobs import SMALL_PLAN, make_job

REPOSITORY = Path(__file__).parents[2]


def start(setup: bytes, *fds: int) -> subprocess.CompletedProcess[bytes]:
    """Run a worker on these bytes of standard input until it ends."""
    return subprocess.run(
        [sys.executable, "-m", "solominer.engines.cpu"],
        input=setup,
        capture_output=True,
        pass_fds=fds,
        cwd=REPOSITORY,
        timeout=60,
        check=False,
    )


def briefed(tmp_path: Path, shared: SharedBlock, messages_fd: int, parent_pid: int, kernel: str) -> bytes:
    """A setup as it stands on standard input."""
    data = pickle.dumps(
        WorkerSetup(
            index=0,
            workers=1,
            parent_pid=parent_pid,
            shared_fd=shared.fd,
            messages_fd=messages_fd,
            engine="tests.hashing.fake_engine",
            kernel=kernel,
            leads=True,
            cache_dir=tmp_path,
            nice=0,
            plan=SMALL_PLAN,
        )
    )
    return _SIZE.pack(len(data)) + data


@pytest.mark.parametrize("setup", [b"", b"\x05", _SIZE.pack(100) + b"short"])
def test_started_by_hand_it_says_who_starts_it(setup: bytes) -> None:
    done = start(setup)
    assert done.returncode == 1
    assert done.stderr.decode().strip().endswith("workers are started by the daemon")


def test_something_else_in_place_of_its_setup_is_refused() -> None:
    data = pickle.dumps("hello")
    done = start(_SIZE.pack(len(data)) + data)
    assert done.returncode == 1
    assert b"not by hand" in done.stderr


def test_a_worker_whose_parent_is_gone_ends_before_it_begins(tmp_path: Path) -> None:
    shared = SharedBlock.create(1)
    read_fd, write_fd = os.pipe()
    done = start(briefed(tmp_path, shared, write_fd, os.getpid() + 1, "fake"), shared.fd, write_fd)
    assert done.returncode == 0
    assert shared.read_counters(0).pid == 0
    os.close(read_fd)
    os.close(write_fd)
    shared.close()


def test_a_worker_without_a_job_ends_when_standard_input_does(tmp_path: Path) -> None:
    shared = SharedBlock.create(1)
    read_fd, write_fd = os.pipe()
    done = start(briefed(tmp_path, shared, write_fd, os.getpid(), "fake"), shared.fd, write_fd)
    os.close(write_fd)
    assert done.returncode == 0
    assert shared.kernel == "fake"
    assert Ready("fake") in list(take(bytearray(os.read(read_fd, 1 << 16))))
    os.close(read_fd)
    shared.close()


def test_three_wrong_hits_end_it_and_bench_the_kernel(tmp_path: Path) -> None:
    shared = SharedBlock.create(1)
    shared.publish(WorkerJob.of(make_job(share_target=1 << 200), bytes(4)).pack(), 1)
    read_fd, write_fd = os.pipe()
    done = start(briefed(tmp_path, shared, write_fd, os.getpid(), "fake-wrong"), shared.fd, write_fd)
    os.close(write_fd)
    assert done.returncode == EXIT_WRONG_HITS
    messages = list(take(bytearray(os.read(read_fd, 1 << 16))))
    assert [type(message) for message in messages[-3:]] == [Wrong] * 3
    assert shared.read_counters(0).wrong_hits == 3
    assert (tmp_path / "benched-fake-wrong").exists()
    os.close(read_fd)
    shared.close()
