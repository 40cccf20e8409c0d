"""The shared memory: epochs, the guarded job slot, counters that do not touch each other; nothing has a name."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from solominer.engines.pool import job_slot
from solominer.engines.pool.job_slot import SLOT_SIZE, WORD_OF, SharedBlock, anonymous_file
from solominer.errors import EngineError


@pytest.fixture
def block() -> Iterator[SharedBlock]:
    block = SharedBlock.create(3)
    yield block
    block.close()


def test_each_turn_is_a_new_epoch_and_odd_means_work(block: SharedBlock) -> None:
    assert block.epoch == 0
    epochs = [
        block.publish(b"a", 1),
        block.publish(b"b", 2),
        block.withdraw(3),
        block.withdraw(4),
        block.publish(b"c", 5),
    ]
    assert [epoch % 2 for epoch in epochs] == [1, 1, 0, 0, 1]
    assert epochs == sorted(set(epochs))
    assert block.epoch == epochs[-1]
    assert block.published_ns == 5


@given(st.lists(st.binary(max_size=2000), min_size=1, max_size=5))
def test_a_worker_reads_the_latest_job_only(jobs: list[bytes]) -> None:
    block = SharedBlock.create(1)
    worker = SharedBlock(os.dup(block.fd), 1)
    epochs = [block.publish(job, 1) for job in jobs]
    assert worker.read_job(epochs[-1]) == jobs[-1]
    assert all(worker.read_job(epoch) is None for epoch in epochs[:-1])
    worker.close()
    block.close()


def test_a_job_that_is_being_written_or_damaged_is_not_read(block: SharedBlock) -> None:
    epoch = block.publish(b"a job", 1)
    block.control[job_slot._SEQUENCE] += 1
    assert block.read_job(epoch) is None
    block.control[job_slot._SEQUENCE] += 1
    assert block.read_job(epoch) == b"a job"
    block._bytes[block._slot_at] ^= 1
    assert block.read_job(epoch) is None


def test_a_job_larger_than_the_slot_is_refused_and_changes_nothing(block: SharedBlock) -> None:
    epoch = block.publish(bytes(SLOT_SIZE), 1)
    with pytest.raises(EngineError, match="larger than its slot"):
        block.publish(bytes(SLOT_SIZE + 1), 2)
    assert block.epoch == epoch
    assert block.read_job(epoch) == bytes(SLOT_SIZE)


def test_counters_lie_apart_and_do_not_touch_the_job(block: SharedBlock) -> None:
    epoch = block.publish(bytes(SLOT_SIZE), 1)
    for worker in range(3):
        with block.counters(worker) as words:
            for index in range(len(words)):
                words[index] = (1 << 64) - 1 - worker
    for worker in range(3):
        assert block.read_counters(worker).place_offset == (1 << 64) - 1 - worker
        with block.counters(worker) as words:
            assert len(words) >= len(WORD_OF)
    assert block.read_job(epoch) == bytes(SLOT_SIZE)
    assert block.active == 3
    assert not block.quitting


def test_the_kernels_name_is_whole_or_empty(block: SharedBlock) -> None:
    assert block.kernel == ""
    block.kernel = "vector-32x8"
    assert block.kernel == "vector-32x8"
    block._bytes[job_slot._NAME_AT] ^= 1  # a name half written
    assert block.kernel == ""
    block.kernel = ""
    assert block.kernel == ""
    with pytest.raises(EngineError, match="longer"):
        block.kernel = "x" * 65


def test_the_memory_has_no_name(block: SharedBlock) -> None:
    assert os.fstat(block.fd).st_nlink == 0
    assert not list(Path("/dev/shm").glob("*solominer*"))


def test_without_memfd_an_unlinked_file_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "memfd_create", raising=False)
    block = SharedBlock.create(1)
    assert os.fstat(block.fd).st_nlink == 0
    assert block.read_job(block.publish(b"job", 1)) == b"job"
    block.close()


def test_no_folder_is_needed_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A container may be read-only and have no /tmp."""

    def none(*args: object, **options: object) -> None:
        raise FileNotFoundError("No usable temporary directory found")

    monkeypatch.setattr(tempfile, "gettempdir", none)
    handle = anonymous_file("test")
    assert os.write(handle, b"x") == 1
    os.close(handle)
