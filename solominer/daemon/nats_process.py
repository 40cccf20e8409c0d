"""Runs a nats-server beside the daemon (`--cluster embedded`), and again when it ends. Mining never waits for it.

A guard process ends it with the daemon, however that ends. Its log is nats-server.log in the cluster's folder.
"""

from __future__ import annotations

import asyncio
import logging
import re
import socket
import sys
import time
from contextlib import AsyncExitStack, suppress
from pathlib import Path

from solominer.config.models import Config
from solominer.config.paths import reason
from solominer.engines.cluster.nats_server import NatsServer, check_configuration, find_nats_server
from solominer.errors import ConfigError, printable
from solominer.node.private import guard

FIRST_BACKOFF_SECS, MAX_BACKOFF_SECS, HEALTHY_SECS = 0.2, 30.0, 60.0
START_SECS = 10.0
STOP_SECS = 5.0
LOG_NAME = "nats-server.log"
_TAIL_BYTES = 4096
_READY = b"Server is ready"
_STAMP = re.compile(rb"^\[\d+\] \S+ \S+ \[\w+\] ")
"""Before each line of its log: pid, time, level."""

log = logging.getLogger("solominer.daemon.daemon")


class NatsProcess:
    """A supervised nats-server with the configuration in `folder`; `port` is the one on which it listens."""

    def __init__(self, server: NatsServer, folder: Path, port: int) -> None:
        self._server, self._folder, self._port = server, folder, port
        self._task: asyncio.Task[None] | None = None
        self._problem = ""

    @classmethod
    def of(cls, config: Config) -> NatsProcess:
        """As configured. Raises ConfigError if it could not run: no program, too old, no files, invalid files."""
        server = find_nats_server(config.cluster.server)
        from solominer.engines.cluster.join_file import ClusterFiles  # it needs the packages of a cluster

        files = ClusterFiles.read(config.cluster_dir)
        check_configuration(server, config.cluster_dir / "nats.conf")
        port = int(files.local_url.rpartition(":")[2])
        if _listens(port):
            raise ConfigError(
                f"port {port} of the embedded nats-server is in use",
                f"stop what uses it, or use it: --cluster {files.servers[0]}",
            )
        return cls(server, config.cluster_dir, port)

    async def start(self) -> None:
        """Start it, and wait a moment until it is ready."""
        path = self._folder / LOG_NAME
        old_bytes = path.stat().st_size if path.exists() else 0
        self._task = asyncio.create_task(self._keep())
        deadline = time.monotonic() + START_SECS
        while _READY not in _end_of(path, old_bytes):
            if time.monotonic() > deadline or self._problem:
                return  # `_keep` has said why and goes on
            await asyncio.sleep(0.02)
        log.info("nats-server %s listens on port %d", self._server.version, self._port)

    async def stop(self) -> None:
        """End it."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def _keep(self) -> None:
        backoff = FIRST_BACKOFF_SECS
        while True:
            began = time.monotonic()
            try:
                problem = await self._serve()
            except OSError as error:
                problem = f"it cannot be started: {reason(error)}"
            if time.monotonic() - began > HEALTHY_SECS:
                backoff, self._problem = FIRST_BACKOFF_SECS, ""
            if problem != self._problem:
                self._problem = problem
                log.error("nodes cannot reach the embedded nats-server: %s; starting it again", problem)
            await asyncio.sleep(backoff)
            backoff = min(2 * backoff, MAX_BACKOFF_SECS)

    async def _serve(self) -> str:
        """One run of the process; returns why it ended."""
        path = self._folder / LOG_NAME
        command = [str(self._server.path), "-c", str(self._folder / "nats.conf"), "-l", str(path)]
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-S", str(guard.__file__), str(STOP_SECS), *command),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,  # a terminal's Ctrl-C is for the daemon, which says farewell to the nodes first
        )
        try:
            code = await process.wait()
            return f"it ended with exit code {code}: {_last_line(path) or 'its log is empty'}"
        finally:
            if process.returncode is None:
                assert process.stdin is not None
                process.stdin.close()  # the guard ends it
                with suppress(TimeoutError):
                    await asyncio.wait_for(process.wait(), STOP_SECS + 1)


async def embedded_server(config: Config, stack: AsyncExitStack) -> None:
    """Start it; `stack` ends it. Raises ConfigError as NatsProcess.of."""
    server = NatsProcess.of(config)
    await server.start()
    stack.push_async_callback(server.stop)


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def _end_of(path: Path, skip: int) -> bytes:
    """The last bytes of a file, without the first `skip`; empty if there is none."""
    try:
        with path.open("rb") as file:
            file.seek(max(skip, path.stat().st_size - _TAIL_BYTES))
            return file.read()
    except OSError:
        return b""


def _last_line(path: Path) -> str:
    lines = _end_of(path, 0).splitlines()
    return printable(_STAMP.sub(b"", lines[-1]), 300) if lines else ""
