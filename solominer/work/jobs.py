"""Makes jobs of templates: ids that count up, salts that never repeat, shares as hard as the hash rate allows."""

from __future__ import annotations

from solominer.chain.target import HASH_SPACE, difficulty
from solominer.work.actions import Record
from solominer.work.job import SALT_SIZE, Job, Payout, build_job
from solominer.work.job_check import check_job
from solominer.work.template import Template


class JobMaker:
    """`run_id` is two bytes that differ from run to run; they begin every salt (rule 25).

    `share_target` is what a share's hash may be at most, unless the network target is easier (0: that one).
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
        check_job(job, [(self._payout.script_pubkey, template.coinbase_value)])
        return job

    def aim(self, hps: float, shares_per_hour: float) -> None:
        """Shares as hard as `hps` hashes per second allow."""
        hashes_per_share = hps * 3600.0 / shares_per_hour
        self.share_target = min(int(HASH_SPACE / max(hashes_per_share, 1.0)), HASH_SPACE - 1)

    def is_off(self, job: Job) -> bool:
        """Whether a job's shares are more than twice too hard or too easy, as those of the very first are."""
        wanted = max(self.share_target, job.template.target)
        return not (wanted <= 2 * job.share_target and job.share_target <= 2 * wanted)

    def is_new_shape(self, job: Job) -> bool:
        """Whether no node was asked yet about a coinbase like this one (rule 40); from now on one was."""
        shape = (job.is_empty, tuple(out.script_pubkey for out in job.coinbase.outputs[:-1]), job.coinbase.weight)
        new = shape not in self._shapes
        self._shapes.add(shape)
        return new

    def doubt_shapes(self) -> None:
        """Nothing is taken for granted any more: the next job is asked about again."""
        self._shapes.clear()


def record_of(job: Job) -> Record:
    """A job goes out, for the ledger."""
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
