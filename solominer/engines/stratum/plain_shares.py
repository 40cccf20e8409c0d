"""The plain shares at the beginning of a packet, by the batch; whatever else stands there goes line by line."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from solominer.engines.stratum.batch import Aim, Batch, Taken
from solominer.engines.stratum.difficulty import Difficulty
from solominer.engines.stratum.events import Worker
from solominer.engines.stratum.jobs import JobBoard
from solominer.engines.stratum.messages import Errors
from solominer.engines.stratum.reference import MAX_BATCH
from solominer.engines.stratum.shares import share_hashes, share_target
from solominer.engines.stratum.work import Job

if TYPE_CHECKING:
    from solominer.engines.stratum.session import Session


class Aimed(NamedTuple):
    """What the last plain shares of a session were, and what they had to meet."""

    worker: Worker
    job: Job
    difficulty: float
    aim: Aim

    def holds(self, board: JobBoard, difficulty: Difficulty) -> bool:
        """Whether such shares are plain still: of the present tip, and of the difficulty in force."""
        return self.job.work.prevhash_le == board.tip_le and difficulty.counts_all_at(self.difficulty)


def take(session: Session, batch: Batch, data: bytes, now: float) -> tuple[int, int]:
    """Take the plain shares at the beginning of a packet; how many bytes and how many lines they were."""
    at = lines = 0
    while True:
        found, at = _take_aimed(session, batch, data, at, now)
        if not found:
            at = batch.scan(data, at)
            found = batch.count
            for start, end, username, job_id in batch.groups() if found else ():
                _group(session, batch, start, end, (username, job_id), now)
            session.check_claims(now)
        lines += found
        if found < MAX_BATCH:
            return at, lines


def _take_aimed(session: Session, batch: Batch, data: bytes, at: int, now: float) -> tuple[int, int]:
    """The same where all shares are of the worker and the job that the last ones were of; 0 if they are not."""
    aimed = aimed_of(session)
    if aimed is None:
        return 0, at
    taken = batch.take(aimed.aim, session.shared.checker.duplicates.on(aimed.job.work.prevhash_le), data, at)
    count(session, aimed, taken, now)
    return taken.lines, at + taken.next_at


def aimed_of(session: Session) -> Aimed | None:
    """What the last plain shares were, if the next bytes may be more of them."""
    aimed = session.aimed
    if aimed is None or session.lines.part or not aimed.holds(session.shared.board, session.difficulty):
        return None
    return aimed


def count(session: Session, aimed: Aimed, taken: Taken, now: float) -> None:
    """Answer and count shares that were taken."""
    if taken.lines and _answer(session, aimed.worker, aimed.difficulty, taken, now):
        session.retarget(now)


def _group(session: Session, batch: Batch, start: int, end: int, names: tuple[bytes, bytes], now: float) -> None:
    """Shares of one worker and job. What is not plain about them goes the way of any other line."""
    worker, held, board = session.workers.get(names[0].decode()), session.held, session.shared.board
    job, difficulty = None, None
    if worker is not None and held is not None:
        job, difficulty = session.announced(names[1].decode(), held)
    if (
        worker is None
        or held is None
        or job is None
        or difficulty is None
        or job.work.prevhash_le != board.tip_le
        or not session.difficulty.counts_all_at(difficulty)
    ):
        for row in range(start, end):
            session.take_line(batch.line(row), now)
        return
    work, checker = job.work, session.shared.checker
    aim = Aim(
        batch,
        checker.prepared(job),
        names,
        held.extranonce1,
        version=work.base_version,
        version_mask=work.rollable(session.version_mask),
        ntime_min=work.ntime_min,
        ntime_max=work.ntime_max,
        target=share_target(difficulty),
        notable_target=work.notable_target,
    )
    session.aimed = Aimed(worker, job, difficulty, aim)
    seen = checker.duplicates.on(work.prevhash_le)
    moved = False
    for row in [*batch.check(aim, start, end), end]:
        if start < row:
            batch.mark(seen, start, row)
            session.check_claims(now)
            moved |= _answer(session, worker, difficulty, batch.answer(start, row), now)
        if row < end:
            session.take_line(batch.line(row), now)
            session.check_claims(now)
        start = row + 1
    if moved:
        session.retarget(now)


def _answer(session: Session, worker: Worker, difficulty: float, taken: Taken, now: float) -> bool:
    """Send the replies and count; whether the difficulty is to change."""
    session.answer(taken.replies)
    return credit(worker, session.difficulty, difficulty, taken, now)


def credit(worker: Worker, vardiff: Difficulty, difficulty: float, taken: Taken, now: float) -> bool:
    """Count shares of this difficulty; whether that is to change."""
    lines, accepted = taken.lines, taken.accepted
    if accepted < lines:
        worker.tally.reject(Errors.ABOVE_TARGET.text, taken.above)
        worker.tally.reject(Errors.DUPLICATE.text, lines - accepted - taken.above)
    if not accepted:
        return False
    worker.tally.accept(accepted, share_hashes(difficulty), taken.best_hash)
    if worker.credit is not None:
        worker.credit(accepted, difficulty)
    return vardiff.many(accepted, difficulty, now)
