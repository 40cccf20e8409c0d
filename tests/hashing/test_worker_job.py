"""The job in shared memory: what is packed comes back, and damage is noticed. Hypothesis drives the codec."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from solominer.engines.pool.worker_job import WorkerJob
from solominer.errors import EngineError
from solominer.work.job import HeaderSpace
from tests.hashing.jobs import make_job

WORDS = st.integers(0, (1 << 32) - 1)
TARGETS = st.integers(0, (1 << 256) - 1)
HASHES = st.binary(min_size=32, max_size=32)

worker_jobs = st.builds(
    WorkerJob,
    job_id=st.integers(0, (1 << 64) - 1),
    extranonce_prefix=st.binary(min_size=8, max_size=8),
    coinbase_prefix=st.binary(max_size=150),
    coinbase_suffix=st.binary(max_size=400),
    merkle_branch=st.lists(HASHES, max_size=14).map(tuple),
    prevhash_le=HASHES,
    nbits=WORDS,
    space=st.builds(HeaderSpace, WORDS, WORDS, WORDS, WORDS),
    share_target=TARGETS,
    network_target=TARGETS,
    park_on_block=st.booleans(),
)


@given(worker_jobs)
def test_a_job_comes_back_as_it_was(job: WorkerJob) -> None:
    assert WorkerJob.unpack(job.pack()) == job


@given(worker_jobs, st.integers(1, 40))
def test_a_job_of_a_wrong_length_is_refused(job: WorkerJob, cut: int) -> None:
    with pytest.raises(EngineError, match="shared memory"):
        WorkerJob.unpack(job.pack()[:-cut])
    with pytest.raises(EngineError, match="shared memory"):
        WorkerJob.unpack(job.pack() + bytes(cut))


def test_a_job_that_does_not_fit_is_refused() -> None:
    job = make_job()
    huge = WorkerJob.of(job, bytes(4))
    with pytest.raises(EngineError, match="job 1 does not fit"):
        WorkerJob(
            **{name: getattr(huge, name) for name in WorkerJob.__slots__ if name != "coinbase_suffix"},
            coinbase_suffix=bytes(70_000),
        ).pack()


def test_its_merkle_root_is_the_jobs() -> None:
    job = make_job(7)
    ours = WorkerJob.of(job, bytes(4))
    assert ours.merkle_root_le(0x01020304) == job.merkle_root_le(job.extranonce(searched=0x01020304))
