"""Doctor's findings come from a process of its own, at most once a minute."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from solominer.web.api import doctor as module
from tests.web.serving import Served, serving, setup_of


@pytest.fixture
def configured(tmp_path: Path, always_fresh: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    """A server that knows a config.json of demo mode."""
    monkeypatch.setattr(module, "_runs", {})
    file = tmp_path / "config.json"
    file.write_text(json.dumps({"mode": "demo", "data_dir": str(tmp_path / "data")}))
    with serving(setup_of(tmp_path / "data/demo", config_file=file)) as served:
        yield served


def test_it_runs_with_the_daemons_configuration_and_is_kept(configured: Served) -> None:
    first = configured.get("doctor")
    by_name = {finding["check"]: finding for finding in first["findings"]}
    assert by_name["node"]["evidence"] == "demo mode uses no node"
    assert first["ok"] is all(finding["status"] != "failed" for finding in first["findings"])
    assert configured.get("doctor") == first


def test_without_a_configuration_it_is_said_what_to_do(tmp_path: Path, always_fresh: None) -> None:
    with serving(setup_of(tmp_path / "demo")) as served:
        assert "configuration is not known" in served.refused("/api/v1/doctor", 503)


@pytest.mark.parametrize(
    ("program", "error"),
    [
        ("import sys; sys.exit('config.json: mode: unknown')", "config.json: mode: unknown"),
        ("print('no JSON')", "the checks could not be made"),
        ("import time; time.sleep(60)", "given up"),
    ],
)
def test_a_run_that_fails_is_said(
    configured: Served, monkeypatch: pytest.MonkeyPatch, program: str, error: str
) -> None:
    monkeypatch.setattr(module, "_command", lambda site: (sys.executable, "-c", program))
    if error == "given up":
        monkeypatch.setattr(module, "MOST_SECS", 1.0)
    assert error in configured.refused("/api/v1/doctor", 503)
