"""What the daemon hands to the web server's process."""

from __future__ import annotations

import io
import json
import logging
import sys
from pathlib import Path
from typing import Any

import pytest

from solominer.config.web import WebConfig
from solominer.errors import SolominerError
from solominer.web import process
from solominer.web.setup import WebSetup


def test_settings_reach_the_process_paths_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    web = WebConfig(listen="3380", tls_certificate=tmp_path / "c.pem", status_files_dir=tmp_path / "ckpool")
    setup = WebSetup(folder=tmp_path, network="regtest", simulated=False, web=web, config_file=tmp_path / "x.json")
    came: list[WebSetup] = []

    async def serve(setup: WebSetup) -> None:
        came.append(setup)

    line: Any = io.TextIOWrapper(io.BytesIO(setup.model_dump_json().encode() + b"\n"))
    monkeypatch.setattr(sys, "stdin", line)
    monkeypatch.setattr(process, "serve", serve)
    monkeypatch.setattr(process, "die_with", lambda pid: None)
    assert process.main() == 0
    assert came == [setup]


def test_a_log_line_with_advice_keeps_its_lines(capsys: pytest.CaptureFixture[str]) -> None:
    error = SolominerError("it cannot be reached\x1b[2J", "check the URL")
    record = logging.LogRecord("solominer.web", logging.WARNING, "", 0, "ntfy: %s", (error,), None)
    process._Lines().emit(record)
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line)["log"] == "ntfy: it cannot be reached\\x1b[2J\n  -> check the URL"
