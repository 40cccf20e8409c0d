"""Jobs, shares and blocks for the tests of the records: real ones, with targets that a few tries meet."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from solominer.chain.hashes import hash_to_int, sha256d
from solominer.chain.networks import REGTEST
from solominer.records.recorder import Recorder
from solominer.records.settings import RecorderSettings
from solominer.work.actions import ShareSeen
from solominer.work.events import Answer, ShareFound, SubmitAnswered
from solominer.work.found import FoundBlock, solve
from solominer.work.instant import Instant
from solominer.work.job import Job, build_job
from solominer.work.payout import Payout
from solominer.work.template import empty_template
from solominer.work.workers import EngineSnapshot, WorkerId, WorkerSnapshot

HOUR = 1_795_244_400
"""2026-11-21T07:00:00Z."""

PAYOUT = Payout(bytes.fromhex("0014751e76e8199196d454941c45d1b3a323f1433bd6"))


def make_job(job_id: int = 1, height: int = 200, prevhash_le: bytes | None = None) -> Job:
    """An empty-block job on regtest."""
    template = empty_template(
        REGTEST,
        height=height,
        prevhash_le=sha256d(b"parent %d" % height) if prevhash_le is None else prevhash_le,
        version=0x20000000,
        version_mask=0x1FFFE000,
        nbits=0x207FFFFF,
        curtime=HOUR,
        mintime=HOUR - 600,
    )
    return build_job(template, PAYOUT, job_id=job_id, salt=job_id.to_bytes(4, "big"), tag=b"/solominer/")


def make_share(job: Job, number: int = 0, at: float = HOUR + 1.0, worker: int = 0) -> tuple[ShareFound, bytes]:
    """The job's share no. `number`, with its hash; every other header on regtest meets the target."""
    extranonce = job.extranonce(searched=number)
    nonce = 0
    while True:
        header = job.header(extranonce, job.template.version, job.template.curtime, nonce)
        hash_le = header.hash_le()
        if hash_to_int(hash_le) <= job.share_target:
            fields = (extranonce, job.template.version, job.template.curtime, nonce)
            return ShareFound(
                Instant(at, at), WorkerId("cpu", str(worker)), job.job_id, *fields, kernel="numba"
            ), hash_le
        nonce += 1


def make_block(job: Job, at: float = HOUR + 1.0, number: int = 0) -> FoundBlock:
    """A solved block of the job."""
    share, _ = make_share(job, number, at)
    header = job.header(share.extranonce, share.version, share.ntime, share.nonce)
    return solve(job, header, share.extranonce, found_at=at, worker=WorkerId("cpu", "0"), kernel="numba")


def answered(block: FoundBlock, at: float = HOUR + 2.0, raw: str = "null") -> SubmitAnswered:
    """A node's answer to the block."""
    return SubmitAnswered(Instant(at, at), "node0", block.hash_le, Answer.ACCEPTED, raw, 1, 0.002)


def counted(hashes: dict[int, int]) -> EngineSnapshot:
    """A CPU pool whose workers have counted so many hashes."""
    workers = tuple(WorkerSnapshot(WorkerId("cpu", str(index)), "hashing", count) for index, count in hashes.items())
    return EngineSnapshot("cpu", workers, len(workers))


@dataclass
class Bench:
    """A recorder with a clock that the test turns, and the alarms it gave."""

    data_dir: Path
    settings: RecorderSettings = field(default_factory=RecorderSettings)
    up: float = 0.0
    alarms: list[tuple[str, str, str, str]] = field(default_factory=list)

    def recorder(self) -> Recorder:
        """A fresh recorder on the same folder, as after a restart."""

        def on_alarm(severity: str, code: str, message: str, todo: str) -> None:
            self.alarms.append((severity, code, message, todo))

        return Recorder(self.data_dir, "regtest", on_alarm=on_alarm, settings=self.settings, clock=lambda: self.up)

    @property
    def root(self) -> Path:
        """The network's folder."""
        return self.data_dir / "regtest"


def mine(bench: Bench, recorder: Recorder, at: float, *, blocks: int = 1, shares: int = 20) -> list[FoundBlock]:
    """A little of everything that happens in an hour, from `at` on; a few seconds of it."""
    found = []
    for number in range(blocks):
        job = make_job(job_id=number + 1, height=200 + number)
        recorder.job(at, job)
        recorder.record(at, "tip", {"hash": job.template.prevhash_hex, "source": "zmq", "node": "node0"})
        recorder.latency(at, "tip_to_stop", 0.0012)
        for index in range(shares):
            share, hash_le = make_share(job, index, at + index * 0.01, worker=index % 2)
            recorder.share(ShareSeen(share, job, hash_le, stale=False))
        block = make_block(job, at)
        found.append(block)
        recorder.block(block, job)
        fields = {"height": block.height, "hash": block.hash_hex}
        recorder.record(at, "block_found", {**fields, "worker": 0, "reward_sats": block.reward_sats})
        recorder.journal.save(block)
        recorder.journal.note_submission(block.height, answered(block, at))
        recorder.record(at, "block_answer", {"hash": block.hash_hex, "node": "node0", "answer": "accepted"})
        recorder.record(at, "block_state", {**fields, "state": "accepted", "detail": "accepted by node0"})
        bench.up += 2.0
        at += 2.0
    recorder.counters(at, counted({0: shares * blocks, 1: shares * blocks}))
    recorder.error(at, "low", "node-slow", "node0 took 3 s", done="nothing")
    recorder.error(at, "low", "node-slow", "node0 took 4 s")
    recorder.system(at, {"cpu_percent": 50.0, "memory_bytes": 100 << 20})
    recorder.log("a line of the log")
    return found


@contextmanager
def files_up_to(most_bytes: int) -> Iterator[None]:
    """The kernel cuts a write short that makes a file larger, and refuses the next, as a full disk does."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
