"""`solominer status` and its exit code, without a daemon."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from solominer.cli import app, control


@pytest.mark.parametrize(
    ("looks", "code"),
    [
        (["mining"], 0),
        (["paused: by hand"], 0),
        (["waiting for a template", "mining"], 0),  # between a found block and the next tip
        (["waiting for a node", "waiting for a node"], 1),
    ],
)
def test_having_no_work_counts_when_it_lasts(looks: list[str], code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    replies: Iterator[dict[str, Any]] = iter([{"ok": True, "status": {"status": look}} for look in looks])
    monkeypatch.setattr(control, "_ask", lambda *_: next(replies))
    monkeypatch.setattr("solominer.cli.control.time.sleep", lambda secs: None)
    assert CliRunner().invoke(app, ["status", "--json"]).exit_code == code
    assert next(replies, None) is None


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["status", "data"], "write status --data-dir data"),
        (["pause", "data"], "write pause --data-dir data"),
        (["run", "config.json"], "write run --config config.json"),
        (["doctor", "config.json"], "write doctor --config config.json"),
    ],
)
def test_a_folder_or_file_without_its_option_is_answered_by_it(
    arguments: list[str], hint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2
    assert hint in " ".join(result.output.split())
