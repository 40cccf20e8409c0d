"""The batches of a job and their hits, in this process: every header once, across the borders of chunks, however a
launch is split; and the sizes of launches."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from typing import Any, cast

import numpy as np
import pytest

from solominer.engines.gpu import search as search_module
from solominer.engines.gpu.kernel import Batch, GpuKernel, TooManyHits
from solominer.engines.gpu.search import GpuSearch, LaunchPace, Piece, hits_in_parts, most_hashes, rest_ns
from solominer.engines.pool import messages as outbox_module
from solominer.engines.pool.hits import HitReporter
from solominer.engines.pool.job_slot import WORD_OF, SharedBlock
from solominer.engines.pool.messages import Outbox, Share, take
from solominer.engines.pool.walk import Walk
from solominer.engines.pool.worker_job import WorkerJob
from solominer.errors import EngineError
from solominer.plan.plan import Families, Lanes, Palette, SearchPlan
from tests.engines.gpu.fake_kernel import FakeKernel
from tests.hashing.jobs import all_points, all_shares, make_job

PLAN = SearchPlan(Families(extranonce_bits=1), Lanes(chunk_nonces=128), palette=Palette((13, 15)), nonce_space=576)


@pytest.fixture(scope="module")
def cards() -> GpuKernel:
    kernel: GpuKernel = cast(Any, FakeKernel("fake", hps=1e12))
    return kernel


@pytest.fixture
def reporting(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[HitReporter, int]]:
    """A reporter for the usual job, and the end of its pipe."""
    monkeypatch.setattr(outbox_module, "OFFERS_PER_SEC", 100_000)
    block, (read_fd, write_fd) = SharedBlock.create(1), os.pipe()
    os.set_blocking(read_fd, False)
    counters = block.counters(0)
    yield HitReporter(WorkerJob.of(make_job(), bytes(4)), counters, Outbox(write_fd)), read_fd
    counters.release()
    block.close()
    os.close(read_fd)
    os.close(write_fd)


def sent(read_fd: int) -> list[Share]:
    buffer = bytearray()
    try:
        while data := os.read(read_fd, 1 << 16):
            buffer += data
    except BlockingIOError:
        pass
    messages = list(take(buffer))
    assert all(isinstance(message, Share) for message in messages)
    return messages  # type: ignore[return-value]


@pytest.mark.parametrize(("hashes", "chunks"), [(1, 1), (4 * 64, 1), (4 * 200, 1), (4 * 300, 2), (1 << 30, 4)])
def test_launches_of_every_size_find_every_share_and_count_every_hash(
    cards: GpuKernel, reporting: tuple[HitReporter, int], monkeypatch: pytest.MonkeyPatch, hashes: int, chunks: int
) -> None:
    monkeypatch.setattr(search_module, "_HITS_MEANT", 1 << 20)
    reporter, read_fd = reporting
    walk = Walk(PLAN, reporter.job.space, worker=0, workers=1, midstates=4)
    search = GpuSearch(walk, cards, reporter)
    again = Walk(PLAN, reporter.job.space, worker=0, workers=1, midstates=4)
    counted, shares, pieces = 0, [], []
    while not search.over:
        piece = search.next_piece(hashes)
        search.take(piece, cards.launch(piece.batch).hits())
        counted += piece.hashes
        assert counted == again.hashes_until(piece.after), "a worker that is restarted there misses and repeats nothing"
        shares += sent(read_fd)
        pieces.append(piece)
    job = make_job()
    found = [(s.hit.extranonce[-4:], s.hit.version, s.hit.ntime, s.hit.nonce) for s in shares]
    assert sorted(found) == sorted(all_shares(job, PLAN))
    assert counted == len(all_points(job, PLAN))
    assert all(share.hit.position % 5 == share.hit.nonce // 128 for share in shares), "the fifth chunk is a short one"
    assert max(len(piece.batch.chunks) for piece in pieces) == chunks


def test_a_launch_of_an_easy_job_has_about_64_hits() -> None:
    assert most_hashes(0x7FFFFFFF) == 128
    assert most_hashes(0) == 64 << 32


class Narrow:
    """A kernel with room for few hits."""

    name, midstates, group_nonces = "narrow", 32, 64

    def __init__(self, inner: GpuKernel, room: int) -> None:
        self._inner, self._room, self.launches = inner, room, 0

    def launch(self, batch: Batch) -> Narrow:
        self.launches += 1
        self._found = self._inner.launch(batch).hits()
        return self

    def hits(self) -> object:
        if len(self._found) > self._room:
            raise TooManyHits(f"{len(self._found)} hits")
        return self._found


def piece_of(cards: GpuKernel, reporter: HitReporter) -> Piece:
    walk = Walk(PLAN, reporter.job.space, worker=0, workers=1, midstates=4)
    return GpuSearch(walk, cards, reporter).next_piece(1 << 30)


@pytest.mark.parametrize("room", [40, 20, 8, 3])
def test_a_launch_with_too_many_hits_is_split_without_loss(
    cards: GpuKernel, reporting: tuple[HitReporter, int], monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    monkeypatch.setattr(search_module, "_HITS_MEANT", 1 << 20)
    batch = replace(piece_of(cards, reporting[0]).batch, chunk_nonces=128)
    everything = cards.launch(batch).hits().tolist()
    assert len(everything) > 40
    narrow = Narrow(cards, room)
    parts: GpuKernel = narrow  # type: ignore[assignment]
    if room == 3:  # a group of one midstate and 64 nonces has about two, some more
        with pytest.raises(EngineError, match="too many hits"):
            hits_in_parts(parts, batch)
        return
    found = hits_in_parts(parts, batch)
    assert sorted(found.tolist()) == sorted(everything)
    assert found.dtype == np.uint32


def test_launches_grow_from_small_ones_to_the_wanted_time() -> None:
    pace = LaunchPace(8.0)
    sizes = []
    for _ in range(40):
        sizes.append(pace.hashes)
        pace.saw(pace.hashes, round(pace.hashes * 0.1) + 20_000)  # 10 GH/s, and 20 us for each launch
    assert sizes[0] <= 4096
    assert all(later <= 4 * earlier for earlier, later in pairwise(sizes))
    assert sizes[-1] == pytest.approx(80e6, rel=0.05)
    assert pace.expected_ns(sizes[-1]) == pytest.approx(8e6, rel=0.05)
    pace.saw(sizes[-1], 3_000_000_000)  # the host was suspended: counts for a quarter of twice the usual
    assert pace.hashes > 60e6


@pytest.mark.parametrize(("duty", "rest"), [(1.0, 0.0), (0.5, 8.0), (0.2, 32.0)])
def test_a_rest_makes_the_share_of_the_time_exact(duty: float, rest: float) -> None:
    assert rest_ns(8.0, duty) == pytest.approx(rest)
    assert 8.0 / (8.0 + rest_ns(8.0, duty)) == pytest.approx(duty)


def test_hits_outside_of_the_batch_are_wrong_and_nothing_worse(
    cards: GpuKernel, reporting: tuple[HitReporter, int]
) -> None:
    reporter, _ = reporting
    piece = piece_of(cards, reporter)
    search = GpuSearch(Walk(PLAN, reporter.job.space, worker=0, workers=1, midstates=4), cards, reporter)
    search.take(piece, np.array([[4, 0], [0, 1 << 31], [0xFFFFFFFF, 0xFFFFFFFF]], np.uint32))
    assert reporter._counters[WORD_OF["wrong_hits"]] == 3
