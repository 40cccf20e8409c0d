"""The nats-server program: where it is, which version it has, and how a running one reads its configuration again."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

import psutil

from solominer.errors import ConfigError

LEAST = (2, 15)
"""Older ones lose acknowledged messages or do not know `sync_interval: always`."""
PROGRAM = "nats-server"
PID_FILE = "nats-server.pid"
_GET_IT = "install nats-server 2.15 or later (https://nats.io/download), or set cluster.server to its path"
_VERSION = re.compile(r"v?(\d+)\.(\d+)\.(\d+)\S*")


@dataclass(frozen=True, slots=True)
class NatsServer:
    """A nats-server on this machine that is new enough."""

    path: Path
    version: str


def version_problem(version: str) -> str:
    """Why a server of this version cannot be used, or ''."""
    match = _VERSION.search(version)
    if match is None:
        return f"the server's version {version!r:.60} is not one"
    if (int(match[1]), int(match[2])) >= LEAST:
        return ""
    wanted = ".".join(map(str, LEAST))
    return (
        f"nats-server {match[0].removeprefix('v')} is too old: before {wanted} a share that it has acknowledged can be "
        "lost in a power failure (Debian 12 has 2.9.10, which refuses `sync_interval: always`)"
    )


def find_nats_server(configured: Path | None) -> NatsServer:
    """The configured program, or the one on the PATH. Raises ConfigError if there is none, or if it is too old."""
    wanted = str(configured or PROGRAM)
    found = shutil.which(wanted)
    if found is None:
        raise ConfigError(f"there is no program {wanted}", _GET_IT)
    try:
        done = subprocess.run([found, "--version"], capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired, UnicodeDecodeError) as error:
        raise ConfigError(f"{found} cannot be run: {error}", _GET_IT) from None
    version = done.stdout.strip()[:100].removeprefix(f"{PROGRAM}: ").removeprefix("v")
    if problem := version_problem(version):
        raise ConfigError(f"{found}: {problem}", _GET_IT)
    return NatsServer(Path(found), version)


def check_configuration(server: NatsServer, path: Path) -> None:
    """Have the server read its configuration without starting. Raises ConfigError with what it says."""
    done = subprocess.run(
        [str(server.path), "-t", "-c", str(path)], capture_output=True, text=True, timeout=10, check=False
    )
    if done.returncode:
        said = done.stderr.strip() or done.stdout.strip()
        raise ConfigError(f"nats-server refuses {path}: {said:.500}", "write it again: solominer cluster init")


def reload_server(store: Path) -> bool:
    """Have the server with this store read its configuration again. False if none runs here."""
    try:
        pid = int((store / PID_FILE).read_text())
        if PROGRAM not in psutil.Process(pid).name():
            return False
        os.kill(pid, signal.SIGHUP)
    except (OSError, ValueError, psutil.Error):
        return False
    return True
