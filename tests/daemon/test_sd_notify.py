"""The notification protocol: every message on a real socket, path and abstract; a manager that is slow or gone.

Then the real daemon's process under a small service manager (`tests.deploy.manager`): what it says from start to stop,
and that the watchdog bites when the coordinator stands still while everything else goes on.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from solominer.daemon.sd_notify import STATUS_SECS, Notifier
from tests.deploy.manager import SOLOMINER, ServiceManager


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[socket.socket, str]]:
    """A listening socket, and what $NOTIFY_SOCKET says of it."""
    if request.param == "path":
        address = str(tmp_path / "notify")
        if len(address) > 100:
            pytest.skip("this folder's path is too long for an AF_UNIX socket")
        bound = address
    else:
        address = f"@solominer-notify-{os.getpid()}"
        bound = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(bound)
        listening.settimeout(5)
        yield listening, address


def received(listening: socket.socket) -> dict[str, str]:
    return dict(line.split("=", 1) for line in listening.recv(65536).decode().splitlines())


def test_every_message(manager: tuple[socket.socket, str]) -> None:
    listening, address = manager
    notifier = Notifier(address, watchdog_secs=9.0)
    notifier.starting("waiting\nfor a node", 2.5)
    assert received(listening) == {
        "WATCHDOG": "1",
        "STATUS": "waiting for a node",
        "EXTEND_TIMEOUT_USEC": "2500000",
    }
    notifier.ready("started")
    assert received(listening) == {"READY": "1", "STATUS": "started"}
    notifier.alive("mining")
    assert received(listening) == {"WATCHDOG": "1", "STATUS": "mining"}
    before = time.monotonic_ns() // 1000
    notifier.reloading()
    message = received(listening)
    assert message.pop("RELOADING") == "1"
    assert before <= int(message.pop("MONOTONIC_USEC")) <= time.monotonic_ns() // 1000
    assert message == {}
    notifier.stopping("bye")
    assert received(listening) == {"STOPPING": "1", "STATUS": "bye"}
    notifier.close()
    assert not notifier.enabled


def test_no_watchdog_no_beat(manager: tuple[socket.socket, str]) -> None:
    listening, address = manager
    notifier = Notifier(address)
    notifier.alive("mining")
    assert received(listening) == {"STATUS": "mining"}
    assert notifier.beat_secs == STATUS_SECS
    notifier.close()


@pytest.mark.parametrize(
    ("usec", "pid", "secs"),
    [
        ("30000000", "", 30.0),
        ("30000000", str(os.getpid()), 30.0),
        ("30000000", "1", None),
        ("", "", None),
        ("0", "", None),
        ("soon", "", None),
    ],
)
def test_the_environment_is_read_and_taken_away(usec: str, pid: str, secs: float | None) -> None:
    environ = {"NOTIFY_SOCKET": "@nobody", "WATCHDOG_USEC": usec, "WATCHDOG_PID": pid, "HOME": "/"}
    notifier = Notifier.from_environment(environ)
    assert (notifier.enabled, notifier.watchdog_secs) == (True, secs)
    assert environ == {"HOME": "/"}
    notifier.close()


def test_without_a_manager_nothing_is_sent() -> None:
    notifier = Notifier.from_environment({})
    assert not notifier.enabled
    notifier.ready("started")


def test_an_address_of_another_kind_is_told_and_left(caplog: pytest.LogCaptureFixture) -> None:
    notifier = Notifier.from_environment({"NOTIFY_SOCKET": "vsock:2:1234"})
    assert not notifier.enabled
    assert "not a path or abstract socket" in caplog.text


def test_a_manager_that_is_gone_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    notifier = Notifier("@nobody-listens-here")
    notifier.ready("started")
    notifier.alive("mining")
    assert caplog.text.count("cannot notify") == 1
    notifier.close()


def test_a_slow_manager_never_blocks_and_gets_what_matters_later(manager: tuple[socket.socket, str]) -> None:
    listening, address = manager
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
    notifier = Notifier(address, watchdog_secs=1.0)
    sent = 0
    while not notifier._unsent:
        notifier.alive(f"{sent}")
        sent += 1
        assert sent < 100_000
    notifier.stopping("bye")
    for _ in range(sent - 1):
        received(listening)
    notifier.alive("last")
    assert received(listening) == {"WATCHDOG": "1", "STOPPING": "1", "STATUS": "last"}
    notifier.close()


async def test_beats_come_from_progress_alone(manager: tuple[socket.socket, str]) -> None:
    listening, address = manager
    listening.setblocking(False)
    loop = asyncio.get_running_loop()
    notifier, progress = Notifier(address, watchdog_secs=0.03), asyncio.Event()

    async def work() -> None:
        while True:
            progress.set()
            await asyncio.sleep(0.001)

    beating = asyncio.create_task(notifier.keep_alive(progress, lambda: "mining"))
    working = asyncio.create_task(work())
    for _ in range(3):
        assert b"WATCHDOG=1" in await asyncio.wait_for(loop.sock_recv(listening, 4096), 5)
    working.cancel()
    beats = 0
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(0.3):  # ten times the patience; with progress there would be thirty beats
            while await loop.sock_recv(listening, 4096):
                beats += 1
    assert beats <= 1  # it may have been under way
    beating.cancel()
    notifier.close()


def test_the_daemon_from_start_to_stop(tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    config.write_text('{"mode": "demo", "refresh_secs": 30}')
    argv = [*SOLOMINER, "run", "--config", str(config), "--data-dir", str(tmp_path / "data")]
    with ServiceManager(argv, tmp_path, watchdog_secs=4.0) as manager:
        manager.until(lambda: sum("WATCHDOG" in message for message in manager.messages) >= 3)
        config.write_text('{"mode": "demo", "refresh_secs": 20}')
        manager.process.send_signal(signal.SIGHUP)
        manager.until(lambda: [message for message in manager.messages if message.get("STATUS") == "reloaded"])
        assert "reloaded: refresh_secs: 30.0 -> 20.0" in manager.tail()
        assert manager.terminate() == 0
        keys = [key for message in manager.messages for key in message if key not in ("STATUS", "WATCHDOG")]
        assert keys == ["EXTEND_TIMEOUT_USEC", "READY", "RELOADING", "MONOTONIC_USEC", "READY", "STOPPING"]
        told = [message.get("STATUS", "") for message in manager.messages]
        assert any("at height" in text and "accepted" in text for text in told)
        assert manager.starts == 1


def test_under_the_journal_each_line_has_its_priority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOURNAL_STREAM", "8:1")
    argv = [*SOLOMINER, "run", "--mode", "demo", "--data-dir", str(tmp_path / "data")]
    with ServiceManager(argv, tmp_path) as manager:
        manager.until(lambda: manager.said("READY"))
        assert manager.terminate() == 0
        lines = manager.log.read_text().splitlines()
        assert lines
        assert [line for line in lines if not re.match(r"<[2-7]>[A-Z]+ ", line)] == []
        assert any(line.startswith("<4>WARNING  DEMO") for line in lines)


HANGS_ONCE = """
import asyncio, pathlib, sys
from solominer.cli import main
from solominer.daemon.executor import Executor

marker = pathlib.Path(sys.argv.pop(1))
run = Executor.run

async def hangs(self):
    while not marker.exists():
        event = await self.queue.get()
        self.do(self.coordinator.handle(event))
        self.changed.set()
        if self.coordinator.working:
            marker.touch()
            await asyncio.Event().wait()
    await run(self)

Executor.run = hangs
main()
"""


def test_the_watchdog_bites_when_the_coordinator_stands_still(tmp_path: Path) -> None:
    """Its queue is not served any more, while the event loop, the workers and every other task go on."""
    marker = tmp_path / "hung"
    argv = [
        sys.executable,
        "-c",
        HANGS_ONCE,
        str(marker),
        "run",
        "--mode",
        "demo",
        "--data-dir",
        str(tmp_path / "data"),
    ]
    with ServiceManager(argv, tmp_path, watchdog_secs=4.0) as manager:
        manager.until(lambda: manager.starts == 2)
        assert marker.exists()
        manager.until(lambda: sum("WATCHDOG" in message for message in manager.messages) >= 4)
        assert manager.starts == 2
        assert manager.terminate() == 0
