"""The embedded nats-server: started, started again, ended with the daemon, and refused with the reason."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from solominer.config.load import load_config
from solominer.config.models import Config
from solominer.daemon.nats_process import NatsProcess
from solominer.doctor.check import Finding, Status
from solominer.doctor.cluster_checks import examine_cluster
from solominer.engines.cluster.nats_server import find_nats_server, version_problem
from solominer.errors import ConfigError
from solominer.setup.cluster.folder import ClusterFolder
from tests.engines.cluster.server import await_port, head_of, made, nats_server, running

OLD = "#!/bin/sh\necho 'nats-server: v2.9.10'\n"


def config_of(folder: ClusterFolder, **cluster: Any) -> Config:
    values = {"servers": "embedded", "dir": folder.path, "server": nats_server()} | cluster
    overrides = {f"cluster.{key}": value for key, value in values.items()}
    data = folder.path.parent / "data"
    return load_config(environ={}, overrides={"mode": "demo", "data_dir": data, **overrides})


def pid_of(folder: ClusterFolder) -> int:
    """The server's, 0 while it writes it."""
    return int((folder.path / "jetstream" / "nats-server.pid").read_text() or 0)


async def until(holds: Any, secs: float = 30.0) -> None:
    async with asyncio.timeout(secs):
        while not holds():
            await asyncio.sleep(0.01)


def alive(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


async def test_it_serves_comes_back_and_ends(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = made(tmp_path / "cluster", ["a"])
    server = NatsProcess.of(config_of(folder))
    await server.start()
    first = pid_of(folder)
    await (await head_of(folder)).close()
    os.kill(first, signal.SIGKILL)
    await until(lambda: pid_of(folder) != first and alive(pid_of(folder)))
    await until(lambda: "it ended with exit code 137" in caplog.text)
    await asyncio.to_thread(await_port, int(folder.read().servers[0].rpartition(":")[2]), None)
    await (await head_of(folder)).close()
    second = pid_of(folder)
    await server.stop()
    await until(lambda: not alive(second))
    assert "Server is ready" in (folder.path / "nats-server.log").read_text()


async def test_it_ends_with_a_daemon_that_is_killed(tmp_path: Path) -> None:
    folder = made(tmp_path / "cluster", [])
    script = (
        "import asyncio, sys; from pathlib import Path; from solominer.daemon.nats_process import NatsProcess\n"
        "from tests.engines.cluster.test_nats_process import config_of; from solominer.setup.cluster.folder import *\n"
        "async def main():\n"
        "    await NatsProcess.of(config_of(ClusterFolder(Path(sys.argv[1])))).start(); print('up', flush=True)\n"
        "    await asyncio.sleep(60)\n"
        "asyncio.run(main())\n"
    )
    daemon = subprocess.Popen([sys.executable, "-c", script, str(folder.path)], stdout=subprocess.PIPE)
    assert daemon.stdout is not None
    assert daemon.stdout.readline() == b"up\n"
    pid = pid_of(folder)
    assert alive(pid)
    daemon.kill()
    daemon.wait()
    daemon.stdout.close()
    await until(lambda: not alive(pid))


async def test_why_it_cannot_run_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = made(tmp_path / "cluster", [])
    server = NatsProcess.of(config_of(folder))
    (folder.path / "jetstream").rmdir()
    await server.start()
    await asyncio.sleep(1.0)  # several attempts
    await server.stop()
    said = [record.message for record in caplog.records if "embedded nats-server" in record.message]
    assert len(said) == 1
    assert "exit code 1: Could not write pidfile" in said[0]


def test_what_is_in_the_way_is_said_before_the_start(tmp_path: Path) -> None:
    folder = made(tmp_path / "cluster", [])
    with pytest.raises(ConfigError, match="there is no program") as caught:
        NatsProcess.of(config_of(folder, server=tmp_path / "nowhere"))
    assert "nats.io/download" in caught.value.todo
    old = tmp_path / "nats-server"
    old.write_text(OLD)
    old.chmod(0o755)
    with pytest.raises(ConfigError, match=r"2\.9\.10 is too old.*sync_interval"):
        NatsProcess.of(config_of(folder, server=old))
    with pytest.raises(ConfigError, match="cannot be read") as caught:
        NatsProcess.of(config_of(ClusterFolder(tmp_path / "none")))
    assert "solominer cluster init" in caught.value.todo
    port = int(folder.read().servers[0].rpartition(":")[2])
    with socket.create_server(("127.0.0.1", port)), pytest.raises(ConfigError, match="is in use"):
        NatsProcess.of(config_of(folder))
    (folder.path / "nats.conf").write_text("jetstrem: {}\nlisten: x y")
    with pytest.raises(ConfigError, match="nats-server refuses"):
        NatsProcess.of(config_of(folder))


@pytest.mark.parametrize(
    ("version", "problem"),
    [
        ("2.15.1", ""),
        ("v2.15.0-RC.1", ""),
        ("3.0.0", ""),
        ("2.14.9", "too old"),
        ("2.9.10", "Debian 12"),
        ("", "is not one"),
        ("unknown", "is not one"),
    ],
)
def test_versions(version: str, problem: str) -> None:
    found = version_problem(version)
    assert (problem in found) if problem else found == ""


def test_the_real_one_is_new_enough() -> None:
    assert re.fullmatch(r"2\.\d+\.\d+", find_nats_server(Path(nats_server())).version)


# Doctor


def examined(config: Config) -> dict[str, Finding]:
    return {finding.check: finding for finding in examine_cluster(config)}


def test_doctor_looks_at_a_server_of_ours(tmp_path: Path) -> None:
    folder = made(tmp_path / "cluster", [])
    config = config_of(folder, servers=folder.read().servers)
    with running(folder):
        found = examined(config)
    assert [finding.status for finding in found.values()] == [Status.OK, Status.OK]
    assert "2.15" in found["servers"].evidence
    assert "sync_interval: always" in found["servers"].evidence
    gone = examined(config)["servers"]
    assert (gone.status, "lets the head in" in gone.evidence) == (Status.FAILED, True)


@pytest.mark.parametrize(
    ("old", "new", "status", "evidence"),
    [
        ("sync_interval: always", "sync_interval: 2m", Status.FAILED, "power failure"),
        ("jetstream {", "ignored {", Status.FAILED, "JetStream is off"),
        ('exports: [{service: "$SYS.REQ.SERVER.PING.JSZ", response_type: stream}]', "", Status.WARNING, "settings"),
    ],
)
def test_doctor_finds_a_server_that_would_lose_shares(
    tmp_path: Path, old: str, new: str, status: Status, evidence: str
) -> None:
    folder = made(tmp_path / "cluster", [])
    conf = folder.path / "nats.conf"
    text = conf.read_text()
    assert old in text
    text = text.replace(old, new)
    if "JetStream" in evidence:
        text = "\n".join(line for line in text.splitlines() if not line.startswith("ignored"))
        text = text.replace("jetstream: enabled, ", "")
    if not new:
        text = text.replace('imports: [{service: {account: SYS, subject: "$SYS.REQ.SERVER.PING.JSZ"}}]', "")
    conf.write_text(text)
    with running(folder):
        found = examined(config_of(folder, servers=folder.read().servers))["servers"]
    assert (found.status, evidence in found.evidence) == (status, True), found


def test_doctor_before_the_start_and_without_files(tmp_path: Path) -> None:
    folder = made(tmp_path / "cluster", [])
    found = examined(config_of(folder))
    assert [found[name].status for name in ("certificates", "nats-server", "nats.conf", "servers")] == [
        *[Status.OK] * 3,
        Status.SKIPPED,
    ]
    (folder.path / "head.pem").unlink()
    found = examined(config_of(folder))
    assert "solominer cluster init" in found["certificates"].todo
    assert found["servers"].status is Status.SKIPPED
