"""What is only passed on, to the ledger or to a person, and decides nothing about the work."""

from __future__ import annotations

from solominer.work.actions import Action, Alarm, Record, Severity
from solominer.work.events import SubmittingTried, WorkerDied, WorkerStarted, WrongHit


def submitting_tried(event: SubmittingTried) -> list[Action]:
    """Whether a node would take a block of ours."""
    actions: list[Action] = [Record("submission_trial", {"node": event.node, "problem": event.problem})]
    if event.problem:
        text = f"{event.node} would not take a block of ours now: submitblock: {event.problem}"
        todo = "mining goes on; a found block is kept and sent again until a node has it on its chain"
        actions.append(Alarm(Severity.CRITICAL, "cannot-submit", text, todo))
    return actions


def wrong_hit(event: WrongHit) -> list[Action]:
    """A kernel erred."""
    fields = {"worker": str(event.worker), "kernel": event.kernel, "count": event.count}
    alarm = Alarm(
        Severity.HIGH,
        "wrong-hit",
        f"worker {event.worker} reported a hash that is not one (kernel {event.kernel}, {event.count} so far)",
        "the kernel is changed after three; if it goes on, test the memory and the processor",
    )
    return [Record("wrong_hit", fields), alarm]


def worker_started(event: WorkerStarted) -> list[Action]:
    """A worker is there."""
    return [Record("worker_started", {"worker": str(event.worker), "pid": event.pid, "kernel": event.kernel})]


def worker_died(event: WorkerDied) -> list[Action]:
    """A worker is gone."""
    text = f"worker {event.worker} (process {event.pid}): {event.reason}"
    again = f"restarting in {event.restart_secs:g} s"
    return [Alarm(Severity.MEDIUM, "worker-died", text, again)]
