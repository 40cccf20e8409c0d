"""Events that are only recorded or reported, and the alarms of others."""

from __future__ import annotations

from solominer.work.actions import Action, Alarm, Record, Severity
from solominer.work.events import ProposalAnswered, SubmittingTried, WorkerDied, WorkerStarted, WrongHit


def submitting_tried(event: SubmittingTried) -> list[Action]:
    """Record whether a node would accept a block; raise an alarm if not."""
    actions: list[Action] = [Record("submission_trial", {"node": event.node, "problem": event.problem})]
    if event.problem:
        text = f"{event.node} would not accept a block now: submitblock: {event.problem}"
        todo = "mining continues; a found block is kept and submitted again until a node has it in its chain"
        actions.append(Alarm(Severity.CRITICAL, "cannot-submit", text, todo))
    return actions


def wrong_hit(event: WrongHit) -> list[Action]:
    """Record a wrong hit of a kernel and raise an alarm."""
    fields = {"worker": str(event.worker), "kernel": event.kernel, "count": event.count}
    alarm = Alarm(
        Severity.HIGH,
        "wrong-hit",
        f"worker {event.worker} reported an invalid hash (kernel {event.kernel}, {event.count} so far)",
        "the kernel is replaced after three; if this persists, test the memory and the CPU",
    )
    return [Record("wrong_hit", fields), alarm]


def worker_started(event: WorkerStarted) -> list[Action]:
    """Record that a worker started."""
    return [Record("worker_started", {"worker": str(event.worker), "pid": event.pid, "kernel": event.kernel})]


def worker_died(event: WorkerDied) -> list[Action]:
    """Raise an alarm for a worker process that exited."""
    text = f"worker {event.worker} (process {event.pid}): {event.reason}"
    if event.restart_secs is None:
        return [Alarm(Severity.HIGH, "worker-off", text, "it stays off until the next start; the others mine on")]
    return [Alarm(Severity.MEDIUM, "worker-died", text, f"restarting in {event.restart_secs:g} s")]


def proposal_failed(event: ProposalAnswered) -> Alarm:
    """The alarm if a node would reject our block."""
    todo = "mining continues with empty blocks; report this with the log"
    return Alarm(Severity.CRITICAL, "proposal-failed", f"{event.node} would reject our block: {event.raw}", todo)
