"""The commands status, pause, resume and reload, as typed, against a daemon that mines on a real node."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from solominer.errors import NotRunning
from solominer.node.private.node import PrivateNode
from solominer.records.control_client import ask
from tests.e2e.harness import config_for

pytestmark = pytest.mark.e2e

PATIENCE_SECS = 60.0


class Running:
    """A daemon started from the command line, its config file and its log."""

    def __init__(self, node: PrivateNode, folder: Path) -> None:
        self.path = folder / "config.json"
        config = config_for(node, folder / "data", **{"schedule.block_interval_secs": 1})
        self.values: dict[str, Any] = json.loads(config.model_dump_json(exclude={"bitcoin_rpc": {"password"}}))
        self.write()
        self.folder = config.tree_dir
        self.log = folder / "log"
        with self.log.open("w") as log:
            command = [*COMMAND, "run", "--config", str(self.path)]
            # without a terminal, as a service: only then is SIGHUP a reload
            self.process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)

    def write(self, **changes: Any) -> None:
        self.values.update(changes)
        self.path.write_text(json.dumps(self.values))

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """One of the commands on this daemon's config."""
        full = [*COMMAND, *arguments, "--config", str(self.path)]
        return subprocess.run(full, capture_output=True, text=True, timeout=60)

    def status(self) -> dict[str, Any]:
        told: dict[str, Any] = ask(self.folder, {"do": "status"})["status"]
        return told

    def until(self, holds: Callable[[], object]) -> None:
        """Wait for it, with the log in the failure."""
        deadline = time.monotonic() + PATIENCE_SECS
        while True:
            try:
                if holds():
                    return
            except NotRunning:
                assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.02)


COMMAND = [sys.executable, "-m", "solominer"]


@pytest.fixture
def daemon(node: PrivateNode, tmp_path: Path) -> Iterator[Running]:
    """A daemon that has found its first block."""
    running = Running(node, tmp_path)
    try:
        running.until(lambda: running.status()["accepted_blocks"] >= 1)
        yield running
    finally:
        if running.process.poll() is None:
            running.process.terminate()
        running.process.wait(PATIENCE_SECS)


def test_the_whole_conversation(daemon: Running, node: PrivateNode) -> None:
    shown = daemon.command("status")
    assert shown.returncode == 0, shown.stderr
    assert "regtest on regtest" in shown.stdout
    assert re.search(r"[0-9]+ blocks? accepted", shown.stdout)
    found = [*COMMAND, "status", "--data-dir", str(daemon.folder.parent)]
    assert subprocess.run(found, capture_output=True, timeout=60).returncode == 0  # whatever its mode
    told = json.loads(daemon.command("status", "--json").stdout)
    assert told["status"]["mode"] == "regtest"

    assert "by hand" in daemon.command("pause").stdout
    daemon.until(lambda: daemon.status()["status"].startswith("paused: by hand"))
    height = node.call("getblockcount")
    daemon.until(lambda: daemon.status()["status"] == "paused: by hand")  # the next block is due long since
    assert node.call("getblockcount") == height
    assert daemon.command("status").returncode == 0
    assert "resumed" in daemon.command("resume").stdout
    daemon.until(lambda: node.call("getblockcount") > height)

    daemon.write(refresh_secs=17.0, nice=5, poll_secs=2.0, log_level="debug")
    changes = daemon.command("reload").stdout
    assert "refresh_secs: 30.0 -> 17.0\n" in changes
    assert "poll_secs: 1.0 -> 2.0 (needs a restart)" in changes
    nice = [os.getpriority(os.PRIO_PROCESS, worker["pid"]) for worker in daemon.status()["workers"]]
    assert nice == [5] * len(nice)
    assert "no changes" in daemon.command("reload").stdout

    daemon.path.write_text('{"mode": "regtest", "refr')
    broken = daemon.command("reload")
    assert broken.returncode == 2  # the command itself cannot read it either
    daemon.process.send_signal(signal.SIGHUP)
    daemon.until(lambda: "reload failed" in daemon.log.read_text())
    assert "not valid JSON" in daemon.log.read_text()
    daemon.write(shares_per_hour=500.0)
    daemon.process.send_signal(signal.SIGHUP)
    daemon.until(lambda: "reloaded: shares_per_hour: 1000.0 -> 500.0" in daemon.log.read_text())

    daemon.process.terminate()
    assert daemon.process.wait(PATIENCE_SECS) == 0, daemon.log.read_text()
    gone = daemon.command("status")
    assert gone.returncode == 8
    assert "no daemon is running" in gone.stderr
    assert "Traceback" not in daemon.log.read_text()
    assert "Warning" not in daemon.log.read_text()


def test_watch_goes_on(daemon: Running) -> None:
    command = [*COMMAND, "status", "--watch", "--every", "0.2", "--json", "--config", str(daemon.path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as watching:
        assert watching.stdout is not None
        looks = [json.loads(watching.stdout.readline())["status"]["at"] for _ in range(3)]
        watching.send_signal(signal.SIGINT)
    assert looks == sorted(looks)
    assert watching.returncode in (130, -signal.SIGINT)
