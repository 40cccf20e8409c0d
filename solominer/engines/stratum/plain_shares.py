"""The plain shares at the beginning of a packet, by the batch; whatever else stands there goes line by line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from solominer.engines.stratum.messages import Errors
from solominer.engines.stratum.reference import MAX_BATCH
from solominer.engines.stratum.shares import share_hashes, share_target

if TYPE_CHECKING:
    from solominer.engines.stratum.batch import Batch
    from solominer.engines.stratum.events import Worker
    from solominer.engines.stratum.session import Session


def take(session: Session, batch: Batch, data: bytes, now: float) -> tuple[int, int]:
    """Take the plain shares at the beginning of a packet; how many bytes and how many lines they were."""
    at = lines = 0
    while True:
        at = batch.scan(data, at)
        lines += batch.count
        for start, end, username, job_id in batch.groups() if batch.count else ():
            _group(session, batch, start, end, username.decode(), job_id.decode(), now)
        session.check_claims(now)
        if batch.count < MAX_BATCH:
            return at, lines


def _group(session: Session, batch: Batch, start: int, end: int, username: str, job_id: str, now: float) -> None:
    """Shares of one worker and job. What is not plain about them goes the way of any other line."""
    worker, held, board = session.workers.get(username), session.held, session.shared.board
    job, difficulty = None, None
    if worker is not None and held is not None:
        job, difficulty = session.announced(job_id, held)
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
    mask = work.rollable(session.version_mask)
    key = (job, difficulty, mask)
    if session.aim is None or session.aim[0] != key:
        aim = batch.aim(
            checker.prepared(job),
            held.extranonce1,
            version=work.base_version,
            version_mask=mask,
            ntime_min=work.ntime_min,
            ntime_max=work.ntime_max,
            target=share_target(difficulty),
            notable_target=work.notable_target,
        )
        session.aim = (key, aim)
    aim = session.aim[1]
    if (answered := batch.whole(aim, checker.duplicates, work.prevhash_le, start, end)) is not None:
        session.check_claims(now)
        if _answer(session, worker, difficulty, answered, now):
            session.retarget(now)
        return
    found_special = batch.check(aim, start, end)
    moved = False
    for row in [*(batch.special(start, end) if found_special else ()), end]:
        if start < row:
            batch.mark(checker.duplicates, work.prevhash_le, start, row)
            session.check_claims(now)
            moved |= _answer(session, worker, difficulty, batch.answer(start, row), now)
        if row < end:
            session.take_line(batch.line(row), now)
            session.check_claims(now)
        start = row + 1
    if moved:
        session.retarget(now)


def _answer(
    session: Session, worker: Worker, difficulty: float, answered: tuple[bytes, int, int, int, int], now: float
) -> bool:
    """Send the replies and count; whether the difficulty is to change."""
    replies, accepted, above, duplicates, best = answered
    session.answer(replies)
    tally = worker.tally
    tally.accept(accepted, share_hashes(difficulty), best)
    tally.reject(Errors.ABOVE_TARGET.text, above)
    tally.reject(Errors.DUPLICATE.text, duplicates)
    if accepted and worker.credit is not None:
        worker.credit(accepted, difficulty)
    return bool(accepted) and session.difficulty.counts_all_at(difficulty) and session.difficulty.many(accepted, now)
