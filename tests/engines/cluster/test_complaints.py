"""What is wrong with a node is in the log once a minute, with the number of times."""

from __future__ import annotations

import logging

import pytest

from solominer.engines.cluster.complaints import Complaints


def test_each_fault_of_each_node_has_one_line_a_minute(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    now = 100.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    complaints = Complaints()
    said = [complaints.say(logging.WARNING, node, "sent %d", 7) for node in ("n1", "n2", "n1", "n1")]
    assert said == [True, True, False, False]
    assert complaints.say(logging.WARNING, "n1", "is gone")
    now = 160.0
    assert complaints.say(logging.WARNING, "n1", "sent %d", 8)
    assert [record.getMessage() for record in caplog.records] == [
        "node n1 sent 7",
        "node n2 sent 7",
        "node n1 is gone",
        "node n1 sent 8 (2 more since this was said last)",
    ]
