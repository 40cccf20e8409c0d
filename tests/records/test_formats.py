"""A file of a newer version of solominer is told as that, whatever else it holds."""

from __future__ import annotations

from pathlib import Path

import pytest

from solominer.engines.stratum.sessions_file import KeptSessions
from solominer.records.formats import other_version
from solominer.web.alerts.state import StateFile


@pytest.mark.parametrize(
    ("data", "is_other"),
    [
        (b'{"format": "solominer-x/2", "new": {}}', True),
        (b'{"format": "solominer-x/1"}', False),
        (b'{"format": "solominer-y/2"}', False),
        (b'{"format": 2}', False),
        (b"{}", False),
        (b"[]", False),
        (b"{", False),
    ],
)
def test_another_version_is_told_from_damage(data: bytes, is_other: bool) -> None:
    said = other_version(data, "solominer-x/1")
    assert bool(said) == is_other
    assert not is_other or "solominer-x/2', and this one reads solominer-x/1" in said


def test_what_may_begin_anew_says_why(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    alerts, sessions = tmp_path / "web-alerts.json", tmp_path / "sessions.json"
    alerts.write_text('{"format": "solominer-web-alerts/2", "seq": {}}')
    sessions.write_text('{"format": "solominer-stratum-sessions/2", "sessions": {}}')
    assert StateFile(tmp_path).load() is None
    KeptSessions(sessions).load()
    for kind in ("web-alerts", "stratum-sessions"):
        assert (
            f"another version of solominer: 'solominer-{kind}/2', and this one reads solominer-{kind}/1" in caplog.text
        )
