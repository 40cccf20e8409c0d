"""The timeline's pool and client take the places of the daemon's own, which may move."""

from __future__ import annotations

from pathlib import Path
from unittest.mock import patch

from solominer.daemon import every_run, nodes
from tests.faults.timeline import Timeline, install


def test_the_daemon_makes_those_that_tell(tmp_path: Path) -> None:
    timeline = Timeline(tmp_path / "timeline")
    try:
        install(timeline)
        assert every_run.WorkerPool.__name__ == "TellingPool"  # type: ignore[attr-defined]
        assert nodes.NodeClient.__name__ == "TellingClient"  # type: ignore[attr-defined]
    finally:
        patch.stopall()
        timeline._file.close()
