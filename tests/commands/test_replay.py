"""`solominer replay`: what it says and its exit codes."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from solominer.cli import app
from solominer.records.events.event_log import event_files
from tests.records.test_events import Recorded, a_run, lines_of, rewrite

HOUR = "2026-11-20-23"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A network's folder with one recorded run."""
    root = tmp_path / "data" / "regtest"
    (root / "ledger").mkdir(parents=True)
    recorded = Recorded(root)
    a_run(recorded)
    recorded.log.close()
    return root


def test_an_hour_and_a_folder_give_the_same_decisions(root: Path) -> None:
    by_hour = CliRunner().invoke(app, ["replay", HOUR, "--data-dir", str(root.parent)])
    assert by_hour.exit_code == 0, by_hour.output
    assert "4 TemplateReady" in by_hour.output
    assert "  same " in by_hour.output
    assert CliRunner().invoke(app, ["replay", str(root / "events")]).output == by_hour.output


def test_another_decision_is_shown(root: Path) -> None:
    (file,) = event_files(root)
    lines = lines_of(file.path)
    next(line for line in lines[1:] if line[0] == "TemplateFailed")[1][2] = "idle\x1b"
    rewrite(file.path, lines)
    result = CliRunner().invoke(app, ["replay", str(file.path)])
    assert result.exit_code == 1
    assert "DIFFERENT at event" in result.output
    assert "idle" in result.output
    assert "\x1b" not in result.output


@pytest.mark.parametrize("which", ["2026-11-19-23", "2026-13-99-99", "nowhere"])
def test_what_is_not_there_is_bad_input(root: Path, which: str) -> None:
    assert CliRunner().invoke(app, ["replay", which, "--data-dir", str(root.parent)]).exit_code == 2


def test_a_damaged_file_is_bad_input(root: Path) -> None:
    (file,) = event_files(root)
    file.path.write_bytes(b"garbage")
    assert CliRunner().invoke(app, ["replay", str(file.path)]).exit_code == 2
