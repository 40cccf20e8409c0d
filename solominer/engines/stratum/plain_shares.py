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


MOST_AIMS = 256
"""Of one connection, which may have as many workers, since its last job."""

FEW = 4
"""Shares behind a special one that are hashed together: if the next one is special too, the others were in vain."""


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
    duplicates, size = session.shared.checker.duplicates, len(data)
    at, lines, most = 0, 0, MAX_BATCH
    while True:
        aimed = aimed_of(session)
        if aimed is not None:
            taken = batch.take(aimed.aim, duplicates.on(aimed.job.work.prevhash_le), data, at, most)
            if taken.lines:
                count(session, aimed, taken, now)
                at, lines, most = at + taken.next_at, lines + taken.lines, MAX_BATCH
                if at == size:
                    return at, lines
                continue
        names = batch.names(data, at)
        if names is None:
            break
        is_special = aimed is not None and aimed.aim.names == names
        if is_special or not _aim(session, names):
            end = data.index(b"\n", at)
            session.take_line(data[at:end], now)
            at, lines, most = end + 1, lines + 1, FEW if is_special else MAX_BATCH
        if session.aimed is not None:  # shares may be taken next: those before them are to be counted first
            session.check_claims(now)
    session.check_claims(now)
    return at, lines


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


def _aim(session: Session, names: tuple[bytes, bytes]) -> bool:
    """Have shares of this worker and job taken from now on; False if they are not plain."""
    aimed = session.aims.get(names) or _aimed(session, names)
    if aimed is None or not aimed.holds(session.shared.board, session.difficulty):
        return False
    if len(session.aims) == MOST_AIMS:
        session.aims.clear()
    session.aimed = session.aims[names] = aimed
    return True


def _aimed(session: Session, names: tuple[bytes, bytes]) -> Aimed | None:
    worker, held = session.workers.get(names[0].decode()), session.held
    if worker is None or held is None:
        return None
    job, difficulty = session.announced(names[1].decode(), held)
    if job is None or difficulty is None:
        return None
    prepared, mask = session.shared.checker.prepared(job), job.work.rollable(session.version_mask)
    aim = Aim(prepared, names, held.extranonce1, job.work, share_target(difficulty), version_mask=mask)
    return Aimed(worker, job, difficulty, aim)


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
