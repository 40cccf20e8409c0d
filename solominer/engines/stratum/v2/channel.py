"""A mining channel of a Stratum V2 connection: its extranonce, difficulty and jobs. Sans I/O.

What a V1 connection has once, a V2 connection has for each channel. A standard channel hashes headers alone, so its
extranonce is fixed; an extended one makes up the last `extranonce_size` bytes of it.
"""

from __future__ import annotations

from typing import NamedTuple

from solominer.chain.target import DIFFICULTY_1_TARGET
from solominer.engines.stratum.agents import Agent
from solominer.engines.stratum.batch import Aim, Batch
from solominer.engines.stratum.difficulty import Difficulty
from solominer.engines.stratum.events import Worker
from solominer.engines.stratum.extranonces import Held
from solominer.engines.stratum.messages import Errors
from solominer.engines.stratum.native import RECORD_EXTRANONCE, RECORD_SIZE
from solominer.engines.stratum.plain_shares import Aimed
from solominer.engines.stratum.shared import Shared
from solominer.engines.stratum.shares import Claim, claim_of, share_target
from solominer.engines.stratum.v2 import announce
from solominer.engines.stratum.v2.frames import Packed
from solominer.engines.stratum.v2.messages import (
    FORMS,
    SetTarget,
    SubmitSharesExtended,
    SubmitSharesStandard,
    packed,
)
from solominer.engines.stratum.vardiff import HASHES_PER_DIFFICULTY
from solominer.engines.stratum.work import EXTRANONCE_SIZE, Audience, Job, job_id_of

_STANDARD_SHARE = FORMS[SubmitSharesStandard].kind, RECORD_SIZE


class Wish(NamedTuple):
    """What a client says of itself: its hash rate in H/s, 0 if unknown, and the largest target that it can take."""

    rate_hps: float
    max_target: int

    @classmethod
    def of(cls, nominal_hash_rate: float, max_target_le: bytes) -> Wish:
        """As it stands in a message; a rate that is no number above zero is unknown."""
        rate = nominal_hash_rate if 0 < nominal_hash_rate < float("inf") else 0.0
        return cls(rate, int.from_bytes(max_target_le, "little"))


class MiningChannel:
    """One channel. `audience` and `worker` are those of the user who opened it; `held` is its extranonce1."""

    __slots__ = (
        "_agent", "_aimed", "_known", "_last_notify", "_shared", "_tip_le", "_wish", "audience", "channel_id",
        "difficulty", "extranonce_size", "held", "prefix", "share_form", "worker",
    )  # fmt: skip

    def __init__(
        self,
        channel_id: int,
        worker: Worker,
        held: Held,
        shared: Shared,
        audience: Audience,
        agent: Agent,
        extranonce_size: int | None,
    ) -> None:
        self.channel_id, self.worker, self.held = channel_id, worker, held
        self.audience, self.extranonce_size = audience, extranonce_size
        self._shared, self._agent = shared, agent
        fixed = EXTRANONCE_SIZE - (extranonce_size or 0)
        self.prefix = held.extranonce1.ljust(fixed, b"\0")
        extended = FORMS[SubmitSharesExtended].kind, RECORD_EXTRANONCE + (extranonce_size or 0)
        self.share_form = _STANDARD_SHARE if extranonce_size is None else extended
        """The kind and size of its shares' messages."""
        self.difficulty = Difficulty(shared.settings.limits, powers=True)
        self._aimed: Aimed | None = None
        self._wish = Wish(0.0, (1 << 256) - 1)
        self._known: dict[int, tuple[Job, float | None]] = {}  # since the last job, by id
        self._tip_le = b""
        self._last_notify = 0.0

    @property
    def target_le(self) -> bytes:
        """What its next shares must not be above."""
        return share_target(self.difficulty.announced).to_bytes(32, "little")

    def wants(self, wish: Wish, now: float) -> bool:
        """The client says this of itself. Whether it is to get another difficulty now.

        A rate is where vardiff starts over from, so one that is not twice another changes nothing.
        """
        floor = DIFFICULTY_1_TARGET / max(wish.max_target, 1)
        known, self._wish = self._wish, wish
        moved = self.difficulty.at_least(floor if floor >= 1 or self._shared.settings.limits.fractional else 0.0, now)
        if wish.rate_hps and not known.rate_hps / 2 < wish.rate_hps < known.rate_hps * 2:
            per_share_secs = 60 / self._agent.shares_per_minute
            moved |= self.difficulty.suggest(wish.rate_hps * per_share_secs / HASHES_PER_DIFFICULTY, now)
        elif wish.rate_hps:
            self._wish = wish._replace(rate_hps=known.rate_hps)
        return moved

    @property
    def target_is_too_large(self) -> bool:
        """Whether the client cannot take the target that is in force."""
        return share_target(self.difficulty.announced) > self._wish.max_target

    # Jobs

    def next_job(self, now: float) -> Job:
        """The newest job that it does not have, with the difficulty of now. There must be work.

        Raises PayoutError, BadValue or TemplateError if there is none for its audience.
        """
        board, held = self._shared.board, self.held
        work = board.current
        assert work is not None
        job = board.job_after(held.last_seq, self.audience)
        self.difficulty.for_job(held, job.seq, self._agent, work.most_difficulty, board.oldest_seq, now)
        held.last_seq, self._last_notify = job.seq, now
        self._known.clear()
        self._aimed = None
        return job

    def announcement(self, job: Job, *, with_target: bool) -> list[Packed]:
        """What sends it the job: the target if wanted, the job itself, and the parent where that is another.

        A job on another parent is a future job, which SetNewPrevHash makes the one to work on.
        """
        channel_id, work = self.channel_id, job.work
        is_new_tip = work.prevhash_le != self._tip_le
        said = [packed(SetTarget(channel_id, self.target_le))] if with_target else []
        if self.extranonce_size is None:
            said.append(announce.standard(channel_id, job, self._shared.checker.root(job, self.prefix), is_new_tip))
        else:
            said.append(announce.extended(channel_id, job, is_new_tip))
        if is_new_tip:
            said.append(announce.parent(channel_id, job))
        self._tip_le = work.prevhash_le
        return said

    def is_due(self, now: float, notify_secs: float) -> bool:
        """Time passed. Whether a job is to be announced: for another difficulty, or for a sign of life."""
        return self.difficulty.tick(now) or now - self._last_notify >= notify_secs

    # Shares

    def aim(self, batch: Batch, job_id: int) -> Aimed | None:
        """What plain shares of this job must meet; None where there are none."""
        job, difficulty = self._announced(job_id)
        if job is None or difficulty is None:
            return None
        aimed = self._aimed
        if aimed is None or aimed.job is not job:
            aimed = self._aimed = Aimed(self.worker, job, difficulty, self._aim(batch, job, job_id, difficulty))
        return aimed if aimed.holds(self._shared.board, self.difficulty) else None

    def _aim(self, batch: Batch, job: Job, job_id: int, difficulty: float) -> Aim:
        checker = self._shared.checker
        prepared = checker.prepared(job)
        if self.extranonce_size is None:
            prepared = batch.validator.with_root(prepared, checker.root(job, self.prefix))
        return Aim(
            prepared,
            (self.channel_id.to_bytes(4, "little"), job_id.to_bytes(4, "little")),
            self.held.extranonce1,
            job.work,
            share_target(difficulty),
            version_mask=job.work.version_mask,
            record_bytes=self.share_form[1],
        )

    def claim(self, share: SubmitSharesStandard | SubmitSharesExtended) -> Claim:
        """What a share claims to have hashed; its job, coinbase and root are those that were sent."""
        job, difficulty = self._announced(share.job_id)
        if job is None:
            return Claim(b"", self.worker, None, (), 0.0, Errors.INVALID_JOB_ID)
        work = job.work
        refusal = Errors.VERSION_MASK if share.version & ~work.version_mask != work.base_version else None
        extranonce = self.prefix
        if isinstance(share, SubmitSharesExtended):
            extranonce += share.extranonce
        if len(extranonce) != EXTRANONCE_SIZE:
            refusal = Errors.INVALID_NONCE2
            extranonce = extranonce[:EXTRANONCE_SIZE].ljust(EXTRANONCE_SIZE, b"\0")
        return claim_of(
            b"",
            worker=self.worker,
            job=job,
            extranonces=(extranonce,),
            versions=(share.version,),
            ntime=share.ntime,
            nonce=share.nonce,
            job_difficulty=difficulty,
            tip_le=self._shared.board.tip_le,
            refusal=refusal,
        )

    def _announced(self, job_id: int) -> tuple[Job | None, float | None]:
        """The job that was sent under these lower 32 bits of its number, and the difficulty it was sent with."""
        known = self._known.get(job_id)
        if known is not None:
            return known
        last = self.held.last_seq
        seq = last - (last - job_id) % announce.JOB_IDS
        job = self._shared.board.find(job_id_of(seq), self.audience) if seq >= 0 else None
        if job is None or job.audience != self.audience:
            return job, None
        known = self._known[job_id] = job, self.difficulty.of_job(self.held, seq)
        return known
