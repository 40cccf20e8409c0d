"""The job that waits for its signature (signet, BIP 325): one at a time, the newest."""

from __future__ import annotations

from solominer.work.actions import SignJob
from solominer.work.events import JobSigned
from solominer.work.job import Job
from solominer.work.signed import signed, to_be_signed


class Signing:
    """Asks for signatures and knows which answer is still wanted."""

    def __init__(self) -> None:
        self._waiting: Job | None = None

    def ask(self, job: Job, sign_for: tuple[bytes, int], node: str) -> SignJob:
        """Have it signed for this extranonce1 and these searched bits. Raises TemplateError if it gets too heavy."""
        self._waiting = to_be_signed(job, job.extranonce(*sign_for))
        return SignJob(node, self._waiting)

    def is_wanted(self, event: JobSigned, tip_le: bytes) -> bool:
        """Whether it answers for the job that waits; the tip or a newer job may have overtaken it."""
        job = self._waiting
        return job is not None and job.job_id == event.job_id and job.template.prevhash_le == tip_le

    def finish(self, event: JobSigned) -> Job | None:
        """The signed job, or None if the answer is a problem. Raises SolominerError if the signature is no good."""
        job, self._waiting = self._waiting, None
        return None if job is None or event.problem else signed(job, event.solution)
