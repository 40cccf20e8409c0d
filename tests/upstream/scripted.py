"""A pool that does what a test says, on a loopback socket, and the pieces of its lines."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from solominer.config.pools import PoolConfig
from solominer.engines.stratum.assignment import Assignment, read_job

REGTEST_BITS = "207fffff"
MAINNET_BITS = "17030000"
PARENT = bytes(range(32)).hex()
SECRET = "swordfish-of-the-pool"


def coinbase(height: int, extranonce_bytes: int = 12, outputs: int = 1, tail: bytes = b"/test/") -> tuple[str, str]:
    """The halves of a coinbase around its extranonce, in hex."""
    size = max(1, (height.bit_length() + 8) // 8)
    head = bytes((size,)) + height.to_bytes(size, "little")
    script_bytes = len(head) + extranonce_bytes + len(tail)
    first = b"\1\0\0\0\1" + bytes(32) + b"\xff" * 4 + bytes((script_bytes,)) + head
    paid = b"".join((5000 + n).to_bytes(8, "little") + b"\x16\x00\x14" + bytes(20) for n in range(outputs))
    return first.hex(), (tail + b"\xff" * 4 + bytes((outputs,)) + paid + bytes(4)).hex()


def notify(job_id: str = "j1", height: int = 200, **changes: Any) -> dict[str, Any]:
    """A mining.notify. `changes` replace its parameters by name; None leaves one out."""
    coinbase1, coinbase2 = coinbase(height, changes.pop("extranonce_bytes", 12))
    params = {
        "job_id": job_id,
        "prevhash": PARENT,
        "coinbase1": coinbase1,
        "coinbase2": coinbase2,
        "branch": [],
        "version": "20000000",
        "nbits": REGTEST_BITS,
        "ntime": "65000000",
        "clean": True,
    } | changes
    return {"id": None, "method": "mining.notify", "params": [each for each in params.values() if each is not None]}


def assignment_of(
    *,
    difficulty: float = 1e-9,
    extranonce1: bytes = b"\xa1\xa2\xa3\xa4",
    size: int = 8,
    mask: int = 0x1FFFE000,
    **job: Any,
) -> Assignment:
    """What a client makes of a job."""
    job.setdefault("extranonce_bytes", len(extranonce1) + size)
    return Assignment(read_job(notify(**job)["params"]), difficulty, extranonce1, size, mask)


@dataclass
class Script:
    """How a pool behaves. `lines` follow the login; `verdict` answers a share: None accepts it."""

    extranonce1: str = "a1a2a3a4"
    size: int = 8
    difficulty: object = 1e-9
    authorize: object = True
    mask: str = "1fffe000"
    lines: list[object] = field(default_factory=lambda: [notify()])
    verdict: Callable[[list[Any]], list[Any] | None] = lambda params: None
    first_bytes: bytes = b""
    silent: bool = False
    """It does not answer at all."""


class ScriptedPool:
    """The pool: an async context manager. It counts connections, and keeps subscriptions, logins,
    shares, and replies to what it asked."""

    def __init__(self, script: Script | None = None, tls: ssl.SSLContext | None = None) -> None:
        self.script = script or Script()
        self.connections = 0
        self.subscribed: list[list[Any]] = []
        self.logins: list[list[Any]] = []
        self.shares: list[list[Any]] = []
        self.replies: list[dict[str, Any]] = []
        self.suggested: list[Any] = []
        self.port = 0
        self._tls = tls
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()

    def config(self, user: str = "rig.1", **more: Any) -> PoolConfig:
        """How a miner names it."""
        scheme = "stratum+ssl" if self._tls else "stratum+tcp"
        return PoolConfig.model_validate({"url": f"{scheme}://127.0.0.1:{self.port}", "user": user} | more)

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def open(self) -> None:
        """Listen, on the same port as before."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Cut all connections and stop listening."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self.cut()
        await asyncio.sleep(0)

    def cut(self) -> None:
        """Cut all connections."""
        for writer in self._open:
            writer.transport.abort()

    def say(self, *lines: object) -> None:
        """Send to all who are connected."""
        for writer in self._open:
            _write(writer, lines)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._open.add(writer)
        try:
            writer.write(self.script.first_bytes)
            while line := await reader.readline():
                request = json.loads(line)
                if "method" not in request:
                    self.replies.append(request)
                elif not self.script.silent:
                    _write(writer, self._answers(request))
        except (ConnectionError, ValueError):
            pass
        finally:
            self._open.discard(writer)
            writer.transport.abort()

    def _answers(self, request: dict[str, Any]) -> list[object]:
        script, params, answer = self.script, request["params"], {"id": request["id"], "error": None}
        match request["method"]:
            case "mining.configure":
                return [answer | {"result": {"version-rolling": True, "version-rolling.mask": script.mask}}]
            case "mining.subscribe":
                self.subscribed.append(params)
                result = [[["mining.notify", "session-1"]], script.extranonce1, script.size]
                return [answer | {"result": result}]
            case "mining.authorize":
                self.logins.append(params)
                if script.authorize is not True:
                    return [answer | {"result": None, "error": script.authorize}]
                set_difficulty = {"id": None, "method": "mining.set_difficulty", "params": [script.difficulty]}
                return [answer | {"result": True}, set_difficulty, *script.lines]
            case "mining.submit":
                self.shares.append(params)
                error = script.verdict(params)
                return [answer | {"result": error is None, "error": error}]
            case "mining.suggest_difficulty":
                self.suggested += params
        return [answer | {"result": None, "error": [20, "Method not found", None]}]


def _write(writer: asyncio.StreamWriter, lines: Any) -> None:
    for line in lines:
        writer.write(line if isinstance(line, bytes) else json.dumps(line).encode() + b"\n")
