"""The trials of submitting: one at the start and at each call, repeated while they fail, whatever they fail with."""

from __future__ import annotations

import asyncio

import pytest

from solominer.errors import NodeUnreachable
from solominer.node import submit_trial
from solominer.node.submit_trial import SubmissionTrial


async def test_a_trial_that_fails_is_repeated_with_growing_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(submit_trial, "FIRST_WAIT_SECS", 0.01)
    monkeypatch.setattr(submit_trial, "LONGEST_WAIT_SECS", 0.02)
    problems = [NodeUnreachable("down", "start it"), ValueError("\x1bunexpected"), MemoryError(), None, None]
    reported: list[str] = []
    all_made = asyncio.Event()

    async def attempt() -> None:
        problem = problems.pop(0)
        if problem is not None:
            raise problem

    def report(problem: str) -> None:
        reported.append(problem)
        if len(reported) == 4:
            trial.now()
        if not problems:
            all_made.set()

    trial = SubmissionTrial("alpha", attempt, report)
    running = asyncio.create_task(trial.run())
    async with asyncio.timeout(10):
        await all_made.wait()
    assert reported == ["down; start it", "ValueError: \x1bunexpected", "MemoryError: ", "", ""]
    assert not running.done()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
