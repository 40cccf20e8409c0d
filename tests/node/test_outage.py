"""Outages: waits grow up to a limit and start anew, and the log is told once, then once a minute, then of the end."""

from __future__ import annotations

import logging

import pytest

from solominer.node.backoff import FIRST_WAIT_SECS, LONGEST_WAIT_SECS, Outage


def test_waits_grow_up_to_a_limit_and_start_anew() -> None:
    outage = Outage("alpha")
    waits = [outage.next_wait_secs() for _ in range(8)]
    assert waits[:3] == [FIRST_WAIT_SECS, 2 * FIRST_WAIT_SECS, 4 * FIRST_WAIT_SECS]
    assert waits[-1] == LONGEST_WAIT_SECS
    outage.over()
    assert outage.next_wait_secs() == FIRST_WAIT_SECS


def test_only_the_first_failure_begins_it_and_the_log_is_spared(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    now = 0.0
    outage = Outage("alpha", steady=lambda: now)
    assert not outage.over()
    assert outage.begins("refused")
    assert outage.ongoing
    for now in range(1, 130):  # noqa: B007 - the clock above reads it
        assert not outage.begins("refused")
    assert outage.over()
    assert not outage.ongoing
    assert [record.getMessage() for record in caplog.records] == [
        "node alpha is unreachable: refused",
        "node alpha has been unreachable for 60 s: refused",
        "node alpha has been unreachable for 120 s: refused",
        "node alpha is reachable again after 129.0 s",
    ]
