"""One worker's search in this process, on the fake kernel: every share of small spaces is reported once and every hash
counted, also where the hit buffer overflows; blocks are never lost; shares are limited; wrong hits are told."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest

from solominer.engines.cpu import search as search_module
from solominer.engines.cpu.search import Pace, Search
from solominer.engines.pool import messages as outbox_module
from solominer.engines.pool.job_slot import CHANGES, WORD_OF, SharedBlock, WorkerCounters
from solominer.engines.pool.messages import Hit, Message, Outbox, Share, Wrong, take
from solominer.engines.pool.walk import Walk
from solominer.engines.pool.worker_job import WorkerJob
from solominer.errors import EngineError
from solominer.plan.plan import SearchPlan
from tests.hashing.fake_engine import FakeKernel, midstate
from tests.hashing.jobs import SMALL_PLAN, all_points, all_shares, make_job

EVERYTHING = (1 << 256) - 1


@dataclass
class Bench:
    """What a search needs around it: shared memory and a pipe whose far end is read here."""

    block: SharedBlock
    read_fd: int
    write_fd: int

    def search(self, job: WorkerJob, kernel: str = "fake", plan: SearchPlan = SMALL_PLAN, worker: int = 0) -> Search:
        """A search of the whole space (one worker), or of one of two workers' part."""
        walk = Walk(plan, job.space, worker=worker, workers=1, midstates=3)
        return Search(
            job, walk, FakeKernel(kernel), midstate, Pace(4), self.block.counters(0), Outbox(self.write_fd), 3
        )

    def run(self, search: Search) -> list[Message]:
        """Search until nothing is left or a block parks it; what was sent."""
        sent: list[Message] = []
        while not search.over:
            search.run(self.block.control, self.block.control[CHANGES])
            sent += self.sent()
        search._counters.release()
        return sent

    def step(self, search: Search) -> None:
        """One slice: a run in which a control word has just changed."""
        search.run(self.block.control, self.block.control[CHANGES] - 1)

    def sent(self) -> list[Message]:
        """What lies in the pipe."""
        buffer = bytearray()
        os.set_blocking(self.read_fd, False)
        try:
            while data := os.read(self.read_fd, 1 << 16):
                buffer += data
        except BlockingIOError:
            pass
        return list(take(buffer))

    @property
    def counters(self) -> WorkerCounters:
        return self.block.read_counters(0)


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    monkeypatch.setattr(outbox_module, "OFFERS_PER_SEC", 10_000)
    bench = Bench(SharedBlock.create(1), *os.pipe())
    yield bench
    os.close(bench.read_fd)
    os.close(bench.write_fd)
    bench.block.close()


def points(messages: list[Message]) -> list[tuple[bytes, int, int, int]]:
    """(extranonce2, version, ntime, nonce) of the shares."""
    hits = [message.hit for message in messages if isinstance(message, Share)]
    return [(hit.extranonce[-4:], hit.version, hit.ntime, hit.nonce) for hit in hits]


@pytest.mark.parametrize("kernel", ["fake", "fake-narrow"])
def test_every_share_is_reported_once_and_every_hash_counted(bench: Bench, kernel: str) -> None:
    job = make_job()
    sent = bench.run(bench.search(WorkerJob.of(job, bytes(4)), kernel))
    assert sorted(points(sent)) == sorted(all_shares(job, SMALL_PLAN))
    counters = bench.counters
    assert counters.hashes == len(all_points(job, SMALL_PLAN))
    assert counters.shares == len(sent)
    assert counters.shares_suppressed == counters.wrong_hits == 0


def test_a_full_hit_buffer_loses_nothing(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search_module, "_HITS_ROOM", 5)
    monkeypatch.setattr(search_module, "_HITS_MEANT", 1000)
    job = replace(make_job(), share_target=EVERYTHING)
    sent = bench.run(bench.search(WorkerJob.of(job, bytes(4))))
    assert sorted(points(sent)) == sorted(all_points(job, SMALL_PLAN))
    assert bench.counters.hashes == len(sent)


def test_the_count_is_what_the_plan_owes_wherever_the_search_stops(bench: Bench) -> None:
    search = bench.search(WorkerJob.of(make_job(), bytes(4)))
    while not search.over:
        bench.step(search)
        bench.sent()
        assert search.miscount == 0
    search._counters.release()
    again = bench.search(WorkerJob.of(make_job(2), bytes(4)))
    bench.step(again)
    assert again.miscount == 0, "an earlier job's hashes do not matter"
    again._counters[WORD_OF["hashes"]] += 7
    assert again.miscount == 7
    again._counters.release()


def test_a_block_parks_the_search(bench: Bench) -> None:
    job = replace(WorkerJob.of(make_job(), bytes(4)), network_target=EVERYTHING, share_target=EVERYTHING)
    search = bench.search(job)
    assert len(bench.run(search)) == 1
    assert search.parked


def test_blocks_are_sent_beyond_the_limit_where_the_job_says_go_on(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox_module, "OFFERS_PER_SEC", 0)
    job = replace(
        WorkerJob.of(make_job(), bytes(4)), network_target=EVERYTHING, share_target=EVERYTHING, park_on_block=False
    )
    sent = bench.run(bench.search(job))
    assert sorted(points(sent)) == sorted(all_points(make_job(), SMALL_PLAN))


def test_shares_beyond_the_limit_are_counted_not_sent(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox_module, "OFFERS_PER_SEC", 2)
    job = make_job()
    sent = bench.run(bench.search(WorkerJob.of(job, bytes(4))))
    counters = bench.counters
    assert 2 <= len(sent) == counters.shares < 100
    assert counters.shares + counters.shares_suppressed == len(all_shares(job, SMALL_PLAN))


def test_hits_that_are_none_are_told_and_counted(bench: Bench) -> None:
    job = replace(make_job(), share_target=1 << 200)
    search = bench.search(WorkerJob.of(job, bytes(4)), "fake-wrong")
    bench.step(search)
    (wrong,) = bench.sent()
    assert isinstance(wrong, Wrong)
    assert wrong.hit.nonce == 0
    assert bench.counters.wrong_hits == 1
    search._counters.release()


def test_a_change_of_the_control_words_ends_a_run_after_its_slice(bench: Bench) -> None:
    search = bench.search(WorkerJob.of(make_job(), bytes(4)), "fake-narrow")
    bench.step(search)
    assert bench.counters.hashes == 3 * 3  # three nonces of three versions
    search._counters.release()


def test_others_get_their_turn_after_each_slice(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    yields: list[int] = []
    monkeypatch.setattr(search_module, "sched_yield", lambda: yields.append(bench.counters.hashes))
    search = bench.search(WorkerJob.of(make_job(), bytes(4)), "fake-narrow")
    search.run(bench.block.control, bench.block.control[CHANGES])
    assert yields == sorted(set(yields))
    assert len(yields) >= 2
    search._counters.release()


def test_a_near_miss_is_neither_a_share_nor_wrong(bench: Bench) -> None:
    """The kernel compares 32 bits of the target: what passes them and misses the rest is nobody's fault."""
    job = replace(make_job(), share_target=1 << 252)  # top word 0x10000000: nearly all hits of it are above 2**252
    sent = bench.run(bench.search(WorkerJob.of(job, bytes(4))))
    assert sorted(points(sent)) == sorted(all_shares(job, SMALL_PLAN))
    assert bench.counters.wrong_hits == 0


def test_a_kernel_that_makes_no_headway_is_an_error(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    search = bench.search(WorkerJob.of(make_job(), bytes(4)))
    monkeypatch.setattr(FakeKernel, "scan", lambda *_: (0, 0))
    with pytest.raises(EngineError, match="made no progress"):
        bench.step(search)
    search._counters.release()


def test_slices_follow_the_measured_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search_module, "SLICE_NS", 1_200_000)
    pace = Pace(32)
    assert pace.nonces(1, 1 << 40) == 1184  # the first guess, a microsecond a hash, in whole vectors
    pace.saw(1_000_000, 25_000_000)  # 25 ns a hash
    assert pace.nonces(4, 1 << 40) == 48_000 // 4 // 32 * 32
    pace.saw(1000, 25_000_000)  # interrupted for long: counts for a quarter of twice the usual
    assert pace.nonces(4, 1 << 40) > 9_000
    for _ in range(300):
        pace.saw(1_000_000, 25_000_000)
    assert pace.nonces(4, 1 << 40) == pytest.approx(12_000, abs=32)
    assert pace.nonces(4, 640) == 160
    assert pace.nonces(4, 1) == 32


def test_the_outbox_waits_for_room_with_what_must_arrive(bench: Bench) -> None:
    outbox = Outbox(bench.write_fd)
    message = Share(Hit(1, bytes(12), 2, 3, 4, 5))
    while outbox.offer(message):
        pass
    assert not outbox.offer(message)  # full: dropped
    assert bench.sent()
    outbox.send(message)
    assert bench.sent() == [message]
