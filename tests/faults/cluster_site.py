"""A whole cluster of real processes on this machine: bitcoind, nats-server, the daemon, and nodes."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from regtest.scenarios import node_args
from solominer.engines.cluster.join_file import JoinFile
from solominer.node.private.bitcoind import BitcoindBinary
from solominer.node.private.node import PrivateNode
from solominer.setup.cluster.folder import ClusterFolder
from tests.engines.cluster.server import await_port, made, nats_server
from tests.faults.link import Link
from tests.ports import free_ports

CLONE = Path(__file__).parents[2]
PATIENCE_SECS = 60.0
NODE_FOUND = re.compile(r"BLOCK FOUND: ([0-9a-f]{64}) on ([0-9a-f]{64})")


class Program:
    """A program that is started, killed, frozen and started again; `lines` are all that it said, with their times."""

    def __init__(self, name: str, command: Sequence[str]) -> None:
        self.name, self.command = name, command
        self.lines: list[tuple[float, str]] = []
        self.frozen = False
        self._process: subprocess.Popen[str] | None = None
        self._news = threading.Condition()

    @property
    def is_running(self) -> bool:
        """Whether its process is there."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """Of its newest process."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start it, unless it runs."""
        if self.is_running:
            return
        self._process = subprocess.Popen(
            self.command,
            cwd=CLONE,
            env={"SOLOMINER_CACHE": str(CLONE / ".cache"), **os.environ},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        )
        threading.Thread(target=self._read, args=(self._process,), daemon=True).start()

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stderr is not None
        for line in process.stderr:
            with self._news:
                self.lines.append((time.monotonic(), line.rstrip("\n")))
                self._news.notify_all()
        process.stderr.close()

    def kill(self) -> None:
        """SIGKILL, and wait."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(30)
        self.frozen = False

    def freeze(self) -> None:
        """SIGSTOP."""
        if self.is_running:
            os.kill(self.pid, signal.SIGSTOP)
            self.frozen = True

    def thaw(self) -> None:
        """SIGCONT."""
        if self.frozen and self.is_running:
            os.kill(self.pid, signal.SIGCONT)
        self.frozen = False

    def stop(self, timeout_secs: float = 30.0) -> int:
        """SIGTERM and wait; its exit code."""
        self.thaw()
        assert self._process is not None
        self._process.terminate()
        return self.wait_end(timeout_secs)

    def wait_end(self, timeout_secs: float = 30.0) -> int:
        """Its exit code, when it has ended."""
        assert self._process is not None
        try:
            return self._process.wait(timeout_secs)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"{self.name} did not end within {timeout_secs:g} s") from None

    def count(self, pattern: str, since: float = 0.0) -> int:
        """How many lines match, since then (monotonic)."""
        wanted = re.compile(pattern)
        with self._news:
            return sum(at >= since and wanted.search(line) is not None for at, line in self.lines)

    def wait_line(self, pattern: str, since: float = 0.0, count: int = 1, secs: float = PATIENCE_SECS) -> float:
        """When the `count`-th line that matches came, since then (monotonic). Raises AssertionError."""
        wanted, deadline = re.compile(pattern), time.monotonic() + secs
        with self._news:
            while True:
                found = [at for at, line in self.lines if at >= since and wanted.search(line)]
                if len(found) >= count:
                    return found[count - 1]
                if time.monotonic() > deadline:
                    tail = "\n".join(line for _, line in self.lines[-15:])
                    raise AssertionError(f"{self.name}: no line like {pattern!r} within {secs:g} s:\n{tail}")
                self._news.wait(0.2)


class ClusterSite:
    """Use as a context manager: everything runs when it begins, nothing when it ends.

    The daemon mines with nodes alone, on a private regtest chain of its own. With `links` nodes and daemons reach the
    server each over a link that can be cut. With `standby` a second daemon waits to become the head. `work` is what
    nodes work with.
    """

    def __init__(
        self,
        binary: BitcoindBinary,
        folder: Path,
        nodes: int,
        *,
        links: bool = False,
        standby: bool = False,
        work: Sequence[str] = ("--cpu-workers", "1", "--nice", "0"),
    ) -> None:
        self.folder = folder.absolute()
        self.bitcoind = PrivateNode(binary, self.folder / "bitcoind", extra_args=node_args(binary.version))
        self.port = free_ports(1)[0]
        names = [f"n{number}" for number in range(1, nodes + 1)]
        self.cluster: ClusterFolder = made(self.folder / "cluster", names, self.port, scripts=())
        self.server = Program("server", [nats_server(), "-c", str(self.cluster.path / "nats.conf")])
        self.heads = [
            self._solominer(name, "run", "--config", str(self.folder / f"{name}.json"), "--plain")
            for name in ("head", "standby")[: 1 + standby]
        ]
        self.head = self.heads[0]
        self.nodes = {
            name: self._solominer(
                name,
                *("node", "--join", str(self.cluster.join_path(name)), *work),
                *("--data-dir", str(self.folder / "data")),
            )
            for name in names
        }
        ends = [*names, *(head.name for head in self.heads)]
        self.links = {name: Link(self.port) for name in ends} if links else {}
        self._stack = ExitStack()

    @staticmethod
    def _solominer(name: str, *arguments: str) -> Program:
        return Program(name, [sys.executable, "-m", "solominer", *arguments])

    def _urls_for(self, name: str) -> tuple[str, ...]:
        """Where this node or daemon reaches the server."""
        return (f"nats://localhost:{self.links[name].port if name in self.links else self.port}",)

    @property
    def _all_links(self) -> Iterable[Link]:
        return self.links.values()

    @property
    def programs(self) -> list[Program]:
        """All but bitcoind."""
        return [self.server, *self.heads, *self.nodes.values()]

    @property
    def trees(self) -> list[Path]:
        """The records of each daemon."""
        return [self.folder / f"{head.name}-data" / "regtest" for head in self.heads]

    @property
    def tree(self) -> Path:
        """Those of the first one."""
        return self.trees[0]

    def __enter__(self) -> Self:
        self._stack.enter_context(self.bitcoind)
        self._stack.callback(self._end)
        for link in self._all_links:
            self._stack.enter_context(link)
        for name in self.nodes:
            path = self.cluster.join_path(name)
            replace(JoinFile.read(path), servers=self._urls_for(name)).write(path)
        config: dict[str, Any] = {
            "mode": "regtest",
            "bitcoin_rpc": {
                "host": self.bitcoind.rpc_host,
                "port": self.bitcoind.rpc_port,
                "cookie_file": str(self.bitcoind.cookie_file),
            },
            "zmq": {"hashblock": self.bitcoind.zmq_hashblock, "sequence": self.bitcoind.zmq_sequence},
            "cluster": {
                "dir": str(self.cluster.path),
                "standby": len(self.heads) > 1,
            },
            "cpu_workers": 0,
        }
        for head in self.heads:
            cluster = config["cluster"] | {"servers": self._urls_for(head.name)}
            own = {"data_dir": str(self.folder / f"{head.name}-data"), "cluster": cluster}
            (self.folder / f"{head.name}.json").write_text(json.dumps(config | own, indent=1))
        self.start_server()
        self.head.start()
        for node in self.nodes.values():
            node.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def start_server(self) -> None:
        """Start the server and wait until it listens."""
        self.server.start()
        assert self.server._process is not None
        await_port(self.port, self.server._process)

    def _end(self) -> None:
        for program in self.programs:
            if program.is_running:
                program.kill()

    def found_by_nodes(self) -> dict[str, str]:
        """The blocks that nodes said they found, and their parents."""
        pairs = (NODE_FOUND.search(line) for node in self.nodes.values() for _, line in node.lines)
        return {match[1]: match[2] for match in pairs if match}

    def accepted(self) -> int:
        """How many blocks the daemon said were accepted."""
        return self.head.count("is accepted")
