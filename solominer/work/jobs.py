"""Builds jobs from templates, with increasing ids, unique salts, and a share target that suits the hash rate."""

from __future__ import annotations

from solominer.chain.target import HASH_SPACE, difficulty
from solominer.errors import SolominerError
from solominer.work.actions import Action, Record
from solominer.work.events import JobRestored
from solominer.work.job import SALT_SIZE, Job, build_job
from solominer.work.job_check import check_job
from solominer.work.judge import Judge
from solominer.work.payout import Payout
from solominer.work.template import Template

UNKNOWN_IDS = 1000
"""More ids than an earlier run can have used after those of its jobs that are known."""


class JobMaker:
    """`run_id` is two bytes unique to the run, which begin every salt (rule 25).

    `share_target` applies unless the network target is easier; 0 means the network target.
    """

    def __init__(self, payout: Payout, tag: bytes, run_id: bytes) -> None:
        self.share_target = 0
        self._payout, self._tag, self._run_id = payout, tag, run_id
        self._last_id = 0
        self._shapes: set[tuple[bool, tuple[bytes, ...], int]] = set()

    def make(self, template: Template, roll_secs: int) -> Job:
        """The next job, built and checked. Raises SolominerError if it may not be mined."""
        self._last_id += 1
        job = build_job(
            template,
            self._payout,
            job_id=self._last_id,
            salt=self._run_id + (self._last_id & 0xFFFF).to_bytes(SALT_SIZE - 2, "big"),
            tag=self._tag,
            share_target=self.share_target,
            roll_secs=roll_secs,
        )
        check_job(job, self._payout)
        return job

    def restore(self, event: JobRestored, judge: Judge) -> list[Action]:
        """Let the judge know a job of an earlier run. Its shares bring their coinbase; its id is not used again."""
        self._last_id = max(self._last_id, event.job_id + UNKNOWN_IDS)
        if judge.kept(event.job_id) is not None:  # two engines handed it out
            return []
        fields: dict[str, object] = {"job": event.job_id, "height": event.template.height}
        try:
            job = build_job(event.template, self._payout, job_id=event.job_id, salt=bytes(SALT_SIZE), tag=self._tag)
        except SolominerError as error:
            return [Record("job_not_restored", {**fields, "reason": error.what})]
        judge.keep(job, event.at + -event.age_secs)
        return [Record("job_restored", fields)]

    def aim(self, hps: float, shares_per_hour: float) -> None:
        """Set the share target for a hash rate of `hps`."""
        hashes_per_share = hps * 3600.0 / shares_per_hour
        self.share_target = min(int(HASH_SPACE / max(hashes_per_share, 1.0)), HASH_SPACE - 1)

    def is_off(self, job: Job) -> bool:
        """Whether a job's share target is off by more than a factor of two, as the very first job's is."""
        wanted = max(self.share_target, job.template.target)
        return not (wanted <= 2 * job.share_target and job.share_target <= 2 * wanted)

    def is_new_shape(self, job: Job) -> bool:
        """Whether no similar coinbase has been proposed to a node yet (rule 40); marks it as proposed."""
        shape = (job.is_empty, tuple(out.script_pubkey for out in job.coinbase.outputs[:-1]), job.coinbase.weight)
        new = shape not in self._shapes
        self._shapes.add(shape)
        return new

    def forget_shapes(self) -> None:
        """Forget all proposed shapes, so that the next job is proposed again."""
        self._shapes.clear()


def record_of(job: Job) -> Record:
    """The ledger's record of a published job."""
    template = job.template
    fields = {
        "job": job.job_id,
        "height": template.height,
        "prevhash": template.prevhash_hex,
        "template": template.template_id,
        "transactions": len(template.transactions),
        "value_sats": template.coinbase_value,
        "share_difficulty": difficulty(job.share_target),
    }
    return Record("job", fields)
