"""The wall clock steps, forwards and backwards: nothing that is measured in seconds may notice."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from solominer.work.actions import SaveBlock, SendBlock
from solominer.work.events import Answer, NewTip, SubmitAnswered, TemplateReady, Tick
from solominer.work.instant import Instant
from tests.work.builders import T0, WALL, feed, mining, of_type, solution, template_on, tip

STEPS = [600.0, 3600.0, 86_400.0, 5 * 365 * 86_400.0, -600.0, -3600.0, -5 * 365 * 86_400.0]


def stepped(step_secs: float, after_secs: float) -> Instant:
    """`after_secs` after T0, with a wall clock that was set by `step_secs` in between."""
    return Instant(WALL + step_secs + after_secs, T0.mono + after_secs)


@pytest.mark.parametrize("step_secs", STEPS)
def test_a_winning_header_is_a_block_though_the_wall_clock_stepped(step_secs: float) -> None:
    machine, job = mining()
    feed(machine, *(Tick(stepped(step_secs, secs)) for secs in (0.25, 0.5)))
    actions = feed(machine, solution(job, at=stepped(step_secs, 1.0)))
    assert of_type(SaveBlock, actions)
    assert of_type(SendBlock, actions)


@pytest.mark.parametrize("step_secs", STEPS)
def test_a_replaced_job_is_remembered_for_as_long_as_ever(step_secs: float) -> None:
    machine, job = mining()
    at = stepped(step_secs, 1.0)
    feed(machine, NewTip(at, "a", tip(2), "zmq"), TemplateReady(at, "a", template_on(tip(2), 262)))
    feed(machine, *(Tick(stepped(step_secs, 1.0 + secs)) for secs in range(0, 590, 10)))
    assert of_type(SendBlock, feed(machine, solution(job, at=stepped(step_secs, 595.0))))


@given(st.lists(st.tuples(st.floats(-1e8, 1e8), st.floats(0.25, 20.0)), min_size=1, max_size=8))
def test_a_block_is_sent_again_when_it_is_due_whatever_the_wall_clock_does(steps: list[tuple[float, float]]) -> None:
    machine, job = mining()
    share = solution(job, at=T0 + 1)
    (send,) = of_type(SendBlock, feed(machine, share))
    at = replace(T0 + 1, wall=WALL)
    for step_secs, secs in steps:
        feed(machine, SubmitAnswered(at, "a", send.block.hash_le, Answer.UNKNOWN, "no answer", 1, 0.01))
        at = Instant(at.wall + step_secs, at.mono + max(secs, machine.policy.retry.most_secs))
        assert [again.block.hash_le for again in of_type(SendBlock, feed(machine, Tick(at)))] == [send.block.hash_le]
