"""The job that waits for its signature (signet, BIP 325): one at a time, the newest."""

from __future__ import annotations

from solominer.work.actions import Alarm, Severity, SignJob
from solominer.work.events import JobSigned
from solominer.work.instant import Instant
from solominer.work.job import Job
from solominer.work.signed import signed, to_be_signed


class Signing:
    """Asks for signatures and knows which answer is still wanted."""

    def __init__(self) -> None:
        self._waiting: Job | None = None
        self._silent_since: Instant | None = None
        self._node = ""

    def ask(self, job: Job, sign_for: tuple[bytes, int], node: str, at: Instant) -> SignJob:
        """Have it signed for this extranonce1 and these searched bits. Raises TemplateError if it gets too heavy."""
        self._waiting = to_be_signed(job, job.extranonce(*sign_for))
        self._silent_since, self._node = self._silent_since or at, node
        return SignJob(node, self._waiting)

    def overdue(self, at: Instant, patience_secs: float) -> Alarm | None:
        """Nothing was answered for so long, neither for the job that waits nor for those before it.

        An answer that comes later still is taken, unless a newer job was asked for.
        """
        if self._silent_since is None or at - self._silent_since < patience_secs:
            return None
        self._silent_since = None
        text = f"{self._node} did not sign a job within {patience_secs:g} s"
        todo = "it is retried; check whether the wallet that holds the signet's key hangs"
        return Alarm(Severity.HIGH, "job-not-signed", text, todo)

    def is_wanted(self, event: JobSigned, tip_le: bytes) -> bool:
        """Whether it answers for the job that waits; the tip or a newer job may have overtaken it."""
        self._silent_since = None
        job = self._waiting
        return job is not None and job.job_id == event.job_id and job.template.prevhash_le == tip_le

    def finish(self, event: JobSigned) -> Job | None:
        """The signed job, or None if the answer is a problem. Raises SolominerError if the signature is no good."""
        job, self._waiting = self._waiting, None
        return None if job is None or event.problem else signed(job, event.solution)
