"""Long polls as judged by the polls beside them: pure, in made-up time."""

from __future__ import annotations

from solominer.node.longpoll import BESIDE_SECS, BLOCKED_ALLOWED, DOUBT_SECS, FIRST_SECS, LONGEST_SECS, LongPollTrial


def test_a_tip_that_is_told_twice_costs_less_than_a_stopping_node() -> None:
    trial = LongPollTrial()
    assert trial.pause_secs(idle=False) == 0
    once = trial.pause_secs(idle=True)
    assert once < 0.05
    pauses = [trial.pause_secs(idle=True) for _ in range(20)]
    assert pauses == sorted(pauses)
    assert 1 < pauses[-1] < 2
    assert trial.pause_secs(idle=False) == 0
    assert trial.pause_secs(idle=True) == once, "a poll that was worth it starts this anew"


def test_long_polls_grow_while_other_calls_pass_and_end_where_they_wait() -> None:
    trial = LongPollTrial()
    for _ in range(8):
        trial.began(100.0)
        trial.asked(100.0 + 2 * BESIDE_SECS)
        trial.answered(100.0 + 2 * BESIDE_SECS, 100.0 + 3 * BESIDE_SECS)
        assert not trial.ended(conclusive=True)
    assert trial.wait_secs == LONGEST_SECS > FIRST_SECS
    given_up = []
    for _ in range(BLOCKED_ALLOWED):
        trial.began(200.0)
        trial.asked(200.0 + 2 * BESIDE_SECS)
        trial.answered(200.0 + 2 * BESIDE_SECS, 200.0 + trial.wait_secs)  # as soon as the long poll was over
        given_up.append(trial.ended(conclusive=True))
        assert trial.wait_secs == DOUBT_SECS
    assert given_up == [False] * (BLOCKED_ALLOWED - 1) + [True]
