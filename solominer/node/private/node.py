"""A private node: a bitcoind on loopback that is started and stopped by this program, for tests and trials.

It listens only on loopback, on free ports, with cookie authentication and ZMQ (`hashblock`, `sequence`). A guard
process (`guard`) ends it even if this process is killed. Its data directory is kept and used again.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from solominer.chain.networks import NETWORK_OF_CHAIN
from solominer.config.forms import bracketed
from solominer.errors import NodeAuthFailed, NodeError, NodeNotReady, NodeTimeout, NodeUnreachable
from solominer.node.private import guard
from solominer.node.private.bitcoind import BitcoindBinary
from solominer.node.rpc import CookieRpc

LOOPBACK = ("127.0.0.1", "::1")
"""Addresses of a private node: the first one that is available is used."""
_START_TIMEOUT_SECS = 60.0
_STOP_TIMEOUT_SECS = 30.0
_POLL_SECS = 0.02
_RPC_START_TIMEOUT_SECS = 5.0
_PORT_TRIES = 5
_CLASH_WORDS = ("Unable to bind", "Failed to listen", "Unable to start HTTP server", "Address already in use")


@dataclass(frozen=True, slots=True)
class Ports:
    """The TCP ports of one private node on `host`, a loopback address."""

    host: str
    rpc: int
    p2p: int
    zmq_hashblock: int
    zmq_sequence: int


class PortClash(NodeError):
    """Another program took one of the node's ports between choosing and binding it."""


def full_block_args(version: str) -> tuple[str, ...]:
    """Arguments for templates as large as the rules allow; Knots makes much smaller ones by default."""
    weight = "-blockmaxweight=3996000"
    return (weight, "-blockmaxsize=4000000", "-blockprioritysize=0") if "knots" in version else (weight,)


class PrivateNode:
    """One bitcoind in `datadir` on `chain` (regtest, signet, ...); a context manager that starts and stops it.

    `extra_args` follow the default arguments and may override them; `connect_to` are HOST:PORT of permanent peers.
    The ports are chosen at the first start and kept over restarts. `start` raises NodeError with the end of the node's
    log; `call` raises RpcFailed for errors of the node.
    """

    def __init__(
        self,
        binary: BitcoindBinary,
        datadir: Path,
        *,
        chain: str = "regtest",
        extra_args: Sequence[str] = (),
        connect_to: Sequence[str] = (),
    ) -> None:
        self.binary = binary
        self.datadir = datadir.absolute()
        self.chain = chain
        self.extra_args = tuple(extra_args)
        self.connect_to = tuple(connect_to)
        self._ports: Ports | None = None
        self._guard: subprocess.Popen[bytes] | None = None
        self._pid: int | None = None
        self._rpc: CookieRpc | None = None

    # Properties

    @property
    def rpc_host(self) -> str:
        """Address of its RPC and ZMQ."""
        return self._chosen.host

    @property
    def rpc_port(self) -> int:
        """TCP port of its RPC."""
        return self._chosen.rpc

    @property
    def p2p_port(self) -> int:
        """TCP port for peers on this machine."""
        return self._chosen.p2p

    @property
    def zmq_hashblock(self) -> str:
        """Address of its `hashblock` publisher."""
        return f"tcp://{bracketed(self._chosen.host)}:{self._chosen.zmq_hashblock}"

    @property
    def zmq_sequence(self) -> str:
        """Address of its `sequence` publisher."""
        return f"tcp://{bracketed(self._chosen.host)}:{self._chosen.zmq_sequence}"

    @property
    def chain_dir(self) -> Path:
        """The chain's subdirectory of the data directory: blocks, wallets, cookie and debug.log."""
        return self.datadir / NETWORK_OF_CHAIN[self.chain].folder

    @property
    def cookie_file(self) -> Path:
        """Its cookie file, `user:password`; the content changes at every start."""
        return self.chain_dir / ".cookie"

    @property
    def pid(self) -> int:
        """Process id of the running bitcoind. Raises NodeUnreachable if it is not running."""
        if self._pid is None or not self.is_running():
            raise NodeUnreachable("the private node is not running", "start it first")
        return self._pid

    def is_running(self) -> bool:
        """Whether the process is running; its RPC may not be ready."""
        return self._guard is not None and self._guard.poll() is None

    def log_tail(self, lines: int = 20) -> str:
        """The last lines of debug.log and of the process's output."""
        parts = []
        for path in (self.chain_dir / "debug.log", self._console):
            if path.exists():
                parts += path.read_text(errors="replace").splitlines()[-lines:]
        return "\n".join(parts)

    # Start and stop

    def start(self, timeout_secs: float = _START_TIMEOUT_SECS) -> None:
        """Start it and wait until its RPC answers; if a chosen port is taken, retry with others.

        Raises NodeError if it exits, NodeTimeout if it does not answer in time.
        """
        if self.is_running():
            return
        self.datadir.mkdir(parents=True, exist_ok=True)
        if self._ports is not None:
            self._start_once(self._ports, timeout_secs)
            return
        for tries_left in reversed(range(_PORT_TRIES)):
            ports = _free_ports()
            try:
                self._start_once(ports, timeout_secs)
            except PortClash:
                if not tries_left:
                    raise
            else:
                self._ports = ports
                return

    def stop(self, timeout_secs: float = _STOP_TIMEOUT_SECS) -> None:
        """Stop it cleanly, or kill it after `timeout_secs`; its data directory remains."""
        self._end(timeout_secs)

    def kill(self) -> None:
        """Kill it with SIGKILL, as a power failure would."""
        if self._pid is not None:
            with suppress(ProcessLookupError):  # it has ended by itself
                os.kill(self._pid, signal.SIGKILL)
        self._end(_STOP_TIMEOUT_SECS)

    def restart(self) -> None:
        """Stop it cleanly and start it again on the same ports."""
        self.stop()
        self.start()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def rpc(self) -> CookieRpc:
        """Its RPC. Raises NodeUnreachable if it was not started."""
        if self._rpc is None:
            raise NodeUnreachable("the private node is not running", "start it first")
        return self._rpc

    def call(self, method: str, *params: object, wallet: str | None = None) -> Any:
        """Call an RPC method; safe from several threads. Raises RpcFailed, NodeUnreachable or NodeTimeout."""
        return self.rpc.call(method, *params, wallet=wallet)

    def batch(self, method: str, params: Sequence[Sequence[object]]) -> list[Any]:
        """Call `method` once for each item of `params` over one connection; the first failing call raises RpcFailed."""
        return self.rpc.batch(method, params)

    # Internals

    @property
    def _chosen(self) -> Ports:
        if self._ports is None:
            raise NodeUnreachable("the private node has no ports yet", "start it first")
        return self._ports

    @property
    def _console(self) -> Path:
        return self.datadir / "console.log"

    def _command(self, ports: Ports) -> list[str]:
        host = bracketed(ports.host)
        return [
            *self.binary.argv,
            f"-datadir={self.datadir}",
            f"-chain={self.chain}",
            "-server=1",
            "-daemon=0",
            "-printtoconsole=0",
            f"-rpcbind={ports.host}",
            f"-rpcallowip={ports.host}",
            f"-rpcport={ports.rpc}",
            "-rpcworkqueue=64",
            "-listen=1",
            f"-bind={host}:{ports.p2p}",
            "-listenonion=0",
            "-discover=0",
            "-dnsseed=0",
            "-fixedseeds=0",
            "-natpmp=0",
            "-connect=0",  # only the peers of -addnode
            f"-zmqpubhashblock=tcp://{host}:{ports.zmq_hashblock}",
            f"-zmqpubsequence=tcp://{host}:{ports.zmq_sequence}",
            "-fallbackfee=0.0002",
            *(f"-addnode={peer}" for peer in self.connect_to),
            *self.extra_args,
        ]

    def _start_once(self, ports: Ports, timeout_secs: float) -> None:
        command = [sys.executable, "-I", "-S", guard.__file__, str(_STOP_TIMEOUT_SECS), *self._command(ports)]
        with self._console.open("ab") as console:
            said_before = console.tell()
            self._guard = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=console,
                start_new_session=True,  # Ctrl-C in the terminal must not reach the node
            )
        self._pid = _read_pid(self._guard.stdout)
        self._rpc = CookieRpc(ports.host, ports.rpc, self.cookie_file)
        try:
            self._await_rpc(self._rpc, time.monotonic() + timeout_secs, said_before)
            self._check_zmq()
        except BaseException:
            self._end(_STOP_TIMEOUT_SECS)
            raise

    def _await_rpc(self, rpc: CookieRpc, deadline: float, said_before: int) -> None:
        while True:
            if not self.is_running():
                raise self._early_end(said_before)
            try:
                rpc.call("getblockcount", timeout_secs=_RPC_START_TIMEOUT_SECS)
                return
            except (NodeUnreachable, NodeNotReady, NodeTimeout, NodeAuthFailed):  # the last: a killed run's cookie
                if time.monotonic() > deadline:
                    raise NodeTimeout(
                        f"the private node did not answer in time; its log ends:\n{self.log_tail(5)}",
                        f"see {self.chain_dir / 'debug.log'}",
                    ) from None
            time.sleep(_POLL_SECS)

    def _early_end(self, said_before: int) -> NodeError:
        said = self._console.read_bytes()[said_before:].decode(errors="replace").strip() or self.log_tail(5)
        if any(word in said for word in _CLASH_WORDS):
            return PortClash(f"a port of the private node is taken: {said}", "free it, or start again")
        return NodeError(f"the private node exited at startup: {said}", f"see {self.chain_dir / 'debug.log'}")

    def _check_zmq(self) -> None:
        """Raises PortClash if ZMQ is missing: bitcoind continues without it if it cannot bind the port."""
        if not any(arg.startswith("-zmqpub") for arg in self.extra_args) and not self.call("getzmqnotifications"):
            raise PortClash("a ZMQ port of the private node is taken", "free it, or start again")

    def _end(self, timeout_secs: float) -> None:
        process, pid = self._guard, self._pid
        self._guard = self._pid = self._rpc = None
        if process is None or process.stdin is None or process.stdout is None:
            return
        process.stdin.close()  # which tells the guard to end the node
        try:
            process.wait(timeout_secs)
        except subprocess.TimeoutExpired:
            if pid is not None:
                with suppress(ProcessLookupError):  # it ended this moment
                    os.kill(pid, signal.SIGKILL)
            process.wait()
        process.stdout.close()


def _read_pid(pipe: IO[bytes] | None) -> int | None:
    """The node's pid from the guard; None if the command could not be started."""
    line = pipe.readline() if pipe is not None else b""
    return int(line) if line.strip() else None


def _free_ports() -> Ports:
    """Four different free ports, bound at the same time."""
    host = LOOPBACK[0]
    try:
        socket.create_server((host, 0)).close()
    except OSError:  # a machine without IPv4
        host = LOOPBACK[1]
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sockets = [socket.create_server((host, 0), family=family) for _ in range(4)]
    try:
        return Ports(host, *(each.getsockname()[1] for each in sockets))
    finally:
        for each in sockets:
            each.close()
