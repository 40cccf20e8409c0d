"""A terminal that is closed stops the miner, as Ctrl-C does; nohup keeps it."""

from __future__ import annotations

import os
import pty
import select
import signal
import sys
import time
from pathlib import Path

import pytest

REPO = Path(__file__).parents[2]
PATIENCE_SECS = 90.0


def start(folder: Path, *arguments: str, nohup: bool = False) -> tuple[int, int]:
    """The process id of a daemon on a terminal of its own, and our end of that terminal."""
    command = [sys.executable, "-m", "solominer", "run", "--mode", "demo", "--data-dir", str(folder), *arguments]
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(REPO)
        signal.signal(signal.SIGHUP, signal.SIG_IGN if nohup else signal.SIG_DFL)  # whatever the tests run under
        os.execve(command[0], command, {**os.environ, "SOLOMINER_CACHE": str(REPO / ".cache")})
    return pid, terminal


def until(terminal: int, text: bytes) -> bytes:
    """What the terminal shows until `text` is there."""
    seen, end = b"", time.monotonic() + PATIENCE_SECS
    while text not in seen and time.monotonic() < end:
        if select.select([terminal], [], [], 0.5)[0]:
            seen += os.read(terminal, 1 << 16)
    assert text in seen, seen[-2000:]
    return seen


@pytest.mark.parametrize("arguments", [["--plain"], []], ids=["lines", "live view"])
def test_a_closed_terminal_stops_the_miner(tmp_path: Path, arguments: list[str]) -> None:
    pid, terminal = start(tmp_path, *arguments)
    until(terminal, b"mining job")
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert list(tmp_path.glob("demo/reports/*/*/*/*/report.json")), "the hour was closed"


def test_nohup_keeps_the_miner(tmp_path: Path) -> None:
    pid, terminal = start(tmp_path, "--plain", nohup=True)
    until(terminal, b"mining job")
    os.kill(pid, signal.SIGHUP)
    os.kill(pid, signal.SIGTERM)
    assert b"SIGHUP" not in until(terminal, b"SIGTERM: shutting down")
    until(terminal, b"stopped after")
    os.waitpid(pid, 0)
    os.close(terminal)
