"""The newest job that waits for its signature (signet, BIP 325)."""

from __future__ import annotations

from solominer.work.actions import Alarm, Severity, SignJob
from solominer.work.events import JobSigned
from solominer.work.instant import Instant
from solominer.work.job import Job
from solominer.work.signed import signed, to_be_signed


class Signing:
    """Requests signatures and matches the answers."""

    def __init__(self) -> None:
        self._waiting: Job | None = None
        self._silent_since: Instant | None = None
        self._node = ""

    def ask(self, job: Job, sign_for: tuple[bytes, int], node: str, at: Instant) -> SignJob:
        """Request a signature for this extranonce1 and these searched bits. Raises TemplateError if too heavy."""
        self._waiting = to_be_signed(job, job.extranonce(*sign_for))
        self._silent_since, self._node = self._silent_since or at, node
        return SignJob(node, self._waiting)

    def overdue(self, at: Instant, patience_secs: float) -> Alarm | None:
        """An alarm if no request was answered for `patience_secs`.

        A later answer is still used, unless a newer job was requested.
        """
        if self._silent_since is None or at - self._silent_since < patience_secs:
            return None
        self._silent_since = None
        text = f"{self._node} did not sign a job within {patience_secs:g} s"
        todo = "it is retried; check the wallet with the signet's key"
        return Alarm(Severity.HIGH, "job-not-signed", text, todo)

    def is_wanted(self, event: JobSigned, tip_le: bytes) -> bool:
        """Whether the answer is for the waiting job and the current tip."""
        self._silent_since = None
        job = self._waiting
        return job is not None and job.job_id == event.job_id and job.template.prevhash_le == tip_le

    def finish(self, event: JobSigned) -> Job | None:
        """The signed job, or None if signing failed. Raises SolominerError for an invalid signature."""
        job, self._waiting = self._waiting, None
        return None if job is None or event.problem else signed(job, event.solution)
