"""Records of the last hours: sealed hours with a restart among them, and an hour that is still open."""

from __future__ import annotations

import time
from pathlib import Path

from solominer.records.recorder import Recorder
from solominer.records.tree import HOUR_SECS, Part, Tree
from solominer.work.actions import ShareSeen
from solominer.work.found import BlockState, FoundBlock
from tests.records.builders import Bench, answered, counted, make_block, make_job, make_share


class RecentHours:
    """Hours that end now. `blocks` are those found, oldest first; `restarted_at` is when the newest run began."""

    def __init__(self, folder: Path, *, hours: int = 3) -> None:
        self.bench = Bench(folder)
        self.now_hour = Part.at(time.time()).start
        self.blocks: list[FoundBlock] = []
        self._hashes = self._height = 0
        first = self.now_hour - hours * HOUR_SECS
        self.recorder = self._opened(first + 10)
        self.hour(first + 20, shares=7)
        for number in range(1, hours):
            begin = first + number * HOUR_SECS
            self.recorder.tick(begin + 1)
            self.hour(begin + 2, shares=5 + number)
            if number == 1:
                self.recorder.close(begin + 1000)
                self.restarted_at = begin + 1800.0
                self.recorder = self._opened(self.restarted_at)
                self.hour(self.restarted_at + 1, shares=4)
        self.recorder.tick(self.now_hour + 0.5)
        self.hour(self.now_hour + 1, shares=9)

    @property
    def tree(self) -> Tree:
        """The records."""
        return Tree(self.bench.root)

    def hour(self, at: float, *, shares: int) -> FoundBlock:
        """A block, shares, errors, and five minutes with a reading of the counters each."""
        self._height += 1
        recorder, job = self.recorder, make_job(job_id=self._height, height=self._height)
        recorder.job(at, job)
        recorder.latency(at, "tip_to_stop", 0.001 * self._height)
        recorder.latency(at, "tip_to_full", 0.1)
        for index in range(shares):
            share, hash_le = make_share(job, index + 1, at + index * 0.01, worker=index % 2)
            recorder.share(ShareSeen(share, job, hash_le, stale=False))
        block = make_block(job, at)
        recorder.block(block, job)
        fields = {"height": block.height, "hash": block.hash_hex}
        recorder.record(at, "block_found", {**fields, "worker": "cpu/0", "reward_sats": block.reward_sats})
        recorder.journal.save(block)
        recorder.journal.note_submission(block.height, answered(block, at))
        recorder.journal.note_state(block.height, block.hash_le, at, BlockState.ACCEPTED, reason="by node0")
        recorder.record(at, "block_answer", {"hash": block.hash_hex, "node": "node0", "answer": "accepted"})
        recorder.record(at, "block_state", {**fields, "state": "accepted", "detail": "by node0", "confirmations": 0})
        recorder.error(at, "low", "node-slow", f"node0 took {self._height} s", done="use a faster disk")
        recorder.error(at + 1, "low", "node-slow", "node0 took 99 s", done="use a faster disk")
        for minute in range(1, 6):
            self._hashes += 6_000_000 + 1_000_000 * (minute % 2)
            self.bench.up += 60
            recorder.counters(at + 60 * minute, counted({0: self._hashes, 1: self._hashes}))
        assert recorder.flush(30)
        self.blocks.append(block)
        return block

    def close(self) -> None:
        """End the run."""
        self.recorder.close(self.now_hour + 400)

    def _opened(self, at: float) -> Recorder:
        self.bench.up = self._hashes = 0
        recorder = self.bench.recorder()
        recorder.open(at)
        return recorder
