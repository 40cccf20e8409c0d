"""The Stratum server of a real daemon on a real node, its miners one by one, and a crowd of them."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil
import pytest

from regtest.scenarios import coins_address
from solominer.chain.target import decode_compact
from solominer.engines.pool import pool as cpu_pool
from solominer.engines.pool.pool import WorkerPool
from solominer.engines.stratum.assignment import Assignment, read_job, search
from solominer.engines.stratum.engine import StratumEngine
from solominer.errors import RpcFailed
from solominer.node.private.node import PrivateNode
from solominer.work.blocks import TrackedBlock
from tests.e2e.harness import RunningMiner, config_for
from tests.engines.stratum.builders import line
from tests.engines.stratum.wire import WireMiner
from tests.ports import free_port

MINERS = 200
FINDERS = 2
"""How many of a crowd hand in blocks all the time."""

_PACE_SECS, _RETRY_SECS = 0.2, 0.2


async def in_thread(work: Callable[[], Any]) -> Any:
    """Blocking sockets beside the daemon's loop."""
    return await asyncio.to_thread(work)


async def until(holds: Callable[[], object], secs: float) -> float:
    """Wait until it holds; seconds."""
    began = time.monotonic()
    while not holds():
        assert time.monotonic() - began < secs, f"not in {secs:g} s"
        await asyncio.sleep(0.02)
    return time.monotonic() - began


def solve(miner: WireMiner, **where: Any) -> tuple[list[str], str]:
    """A block of its job: the parameters to hand in, and its hash."""
    params, header = miner.mine(target=decode_compact(int(miner.job[6], 16)), **where)
    return params, header.hash_le()[::-1].hex()


def confirmations(node: PrivateNode, hash_hex: str) -> int:
    """How deep the node has a block; -1 where it is not on its chain."""
    try:
        return int(node.call("getblockheader", hash_hex)["confirmations"])
    except RpcFailed:
        return -1


@dataclass
class Bench:
    """A daemon without CPU workers on a real node, and its miners."""

    running: RunningMiner
    node: PrivateNode
    url: str
    data: Path

    def miner(self, session: str = "", user: str = "rig.1") -> WireMiner:
        """A miner that is logged in and has a job; with `session` it resumes that one."""
        miner = WireMiner(url=self.url)
        miner.log_in(user=user, session=session)
        return miner

    async def solved(self) -> tuple[WireMiner, list[str], str]:
        """A miner with a block of its job: the parameters to hand in, and its hash."""
        miner = await in_thread(self.miner)
        return miner, *solve(miner)

    async def hand_in(self, miner: WireMiner, params: list[str], user: str = "rig.1") -> Any:
        """Hand in a share; the error that it is answered with, None if it is accepted."""
        return (await in_thread(lambda: miner.hand_in(params, user)))["error"]

    @property
    def server_pid(self) -> int:
        """The Stratum process, the first if there are several."""
        return self.engine._servers[0].pid

    @property
    def server_starts(self) -> int:
        """How often that one was started."""
        return self.engine._servers[0].starts

    @property
    def engine(self) -> StratumEngine:
        """The engine of the daemon."""
        engine = self.running.executor._engines.engines["stratum"]
        assert isinstance(engine, StratumEngine)
        return engine

    def tracked(self) -> list[TrackedBlock]:
        """All blocks of ours."""
        blocks = self.running.coordinator.blocks
        return [*blocks.settled, *blocks.open.values()]

    @asynccontextmanager
    async def no_cpu_blocks(self) -> AsyncIterator[None]:
        """Stop the CPU's workers, so that no block of theirs makes a miner's a late one."""
        cpu = self.running.executor._engines.engines["cpu"]
        assert isinstance(cpu, WorkerPool)
        await self.running.until(lambda: all(worker.alive and worker.hashes for worker in cpu.pool_snapshot().workers))
        workers = [psutil.Process(worker.pid) for worker in cpu.pool_snapshot().workers]
        for worker in workers:
            worker.suspend()
        try:
            yield
        finally:
            for worker in workers:
                with suppress(psutil.NoSuchProcess):
                    worker.resume()

    async def on_the_chain(self, hash_hex: str) -> None:
        """Wait until the node has this block on its chain."""
        await self.running.until(lambda: confirmations(self.node, hash_hex) > 0, 20)

    async def a_fork_of(self, hash_hex: str) -> None:
        """Wait until the node knows this block, which is not on its chain."""

        def tips() -> dict[str, str]:
            return {tip["hash"]: tip["status"] for tip in self.node.call("getchaintips")}

        await self.running.until(lambda: hash_hex in tips(), 20)
        assert tips()[hash_hex] in ("valid-headers", "valid-fork")


@asynccontextmanager
async def serving(
    node: PrivateNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, **more: Any
) -> AsyncIterator[Bench]:
    """A daemon in this process that serves miners."""
    monkeypatch.setattr(cpu_pool, "HANG_SECS", 300.0)  # a worker that is stopped stays so
    port = free_port()
    values = {"cpu_workers": 0, "stratum": f"127.0.0.1:{port}", "payout_address": coins_address(node)} | more
    async with RunningMiner(monkeypatch, config_for(node, tmp_path / "data", **values)) as running:
        bench = Bench(running, node, f"stratum+tcp://127.0.0.1:{port}", tmp_path / "data/regtest")
        await running.until(lambda: running.coordinator.working)
        try:
            yield bench
        finally:
            while WireMiner.opened:
                WireMiner.opened.pop().close()


class Crowd:
    """Many miners that come back whenever they are cut off, with their sessions; asyncio, in this process.

    The first FINDERS hand in a block of each job; `answers` are what they heard of each, by its hash.
    """

    def __init__(self, url: str) -> None:
        host, _, port = url.partition("//")[2].rpartition(":")
        self.host, self.port = host, int(port)
        self.sessions: dict[int, str] = {}
        self.resumed: dict[int, int] = dict.fromkeys(range(MINERS), 0)
        self.with_job: set[int] = set()
        self.answers: dict[str, bool | None] = {}
        self.tasks = [asyncio.create_task(self._live(number)) for number in range(MINERS)]

    @property
    def accepted(self) -> set[str]:
        """The blocks that were answered with true."""
        return {hash_hex for hash_hex, answer in self.answers.items() if answer}

    async def _live(self, number: int) -> None:
        while True:
            with suppress(OSError, EOFError, ValueError):
                await self._connect(number)
            self.with_job.discard(number)
            await asyncio.sleep(_RETRY_SECS)

    async def _connect(self, number: int) -> None:
        reader, writer = await asyncio.open_connection(self.host, self.port)
        try:
            wanted = self.sessions.get(number)
            writer.write((line(1, "mining.subscribe", "crowd/1", *([wanted] if wanted else [])) + "\n").encode())
            writer.write((line(2, "mining.authorize", f"m{number}", "x") + "\n").encode())
            extranonce1, handed_in = b"", list[str]()
            while data := await reader.readline():
                heard = json.loads(data)
                if heard.get("id") == 1:
                    subscriptions, extranonce1_hex, _ = heard["result"]
                    session, extranonce1 = subscriptions[0][1], bytes.fromhex(extranonce1_hex)
                    self.resumed[number] += session == wanted
                    self.sessions[number] = session
                elif heard.get("method") == "mining.notify":
                    self.with_job.add(number)
                    if number < FINDERS:
                        await asyncio.sleep(_PACE_SECS)
                        writer.write(self._solution(number, extranonce1, heard["params"], handed_in))
                elif (heard.get("id") or 0) >= 100:
                    self.answers[handed_in[heard["id"] - 100]] = heard["result"]
        finally:
            writer.close()

    def _solution(self, number: int, extranonce1: bytes, params: Sequence[Any], handed_in: list[str]) -> bytes:
        job = read_job(params)
        assignment, extranonce2 = Assignment(job, 1.0, extranonce1, 8, 0), number.to_bytes(8)
        header = assignment.header(extranonce2, 0)
        nonce = search(header, range(1 << 16), assignment.network_target)
        assert nonce is not None
        hash_hex = assignment.header(extranonce2, 0, nonce).hash_le()[::-1].hex()
        self.answers[hash_hex] = None
        handed_in.append(hash_hex)
        fields = (f"m{number}", job.job_id, extranonce2.hex(), f"{job.ntime:08x}", f"{nonce:08x}")
        return (line(99 + len(handed_in), "mining.submit", *fields) + "\n").encode()

    async def all_have_a_job(self, secs: float) -> float:
        """Wait until all do; seconds."""
        return await until(lambda: len(self.with_job) == MINERS, secs)

    async def accepts(self, more: int, secs: float) -> None:
        """Wait until so many more blocks were accepted."""
        wanted = len(self.accepted) + more
        await until(lambda: len(self.accepted) >= wanted, secs)

    async def leave(self) -> None:
        """All of them."""
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)


def logged_in(
    url: str, process: subprocess.Popen[bytes], said: Callable[[], str] = lambda: "", **login: str
) -> WireMiner:
    """A miner that is logged in and has a job, as soon as that process serves; `said` is told if it does not."""
    deadline = time.monotonic() + 60
    while True:
        with suppress(OSError, AssertionError):
            miner = WireMiner(url=url)
            miner.log_in(**login)
            return miner
        assert process.poll() is None, f"the daemon ended with {process.returncode}: {said()}"
        assert time.monotonic() < deadline, f"the daemon does not serve: {said()}"
        time.sleep(0.1)


class Daemon:
    """`solominer run` as a process of its own, on a port that stays the same over its restarts.

    The first time `command` may stand in place of `python -m solominer`.
    """

    def __init__(self, node: PrivateNode, folder: Path, *command: str) -> None:
        self.port = free_port()
        self.url = f"stratum+tcp://127.0.0.1:{self.port}"
        self.data = folder / "data"
        self._config = folder / "config.json"
        values = {
            "mode": "regtest",
            "bitcoin_rpc": {"host": node.rpc_host, "port": node.rpc_port, "cookie_file": str(node.cookie_file)},
            "data_dir": str(self.data),
            "payout_address": coins_address(node),
            "cpu_workers": 0,
            "stratum": f"127.0.0.1:{self.port}",
        }
        self._config.write_text(json.dumps(values))
        self.start(*command)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        while WireMiner.opened:
            WireMiner.opened.pop().close()

    def start(self, *command: str) -> None:
        """Start it, by `command` in place of `python -m solominer`."""
        run = [*(command or (sys.executable, "-m", "solominer")), "run", "--config", str(self._config), "--plain"]
        self.process = subprocess.Popen(run, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def sessions_text(self) -> str:
        """The file that keeps sessions."""
        file = self.data / "regtest/stratum-sessions.json"
        return file.read_text() if file.exists() else ""

    def kill(self) -> None:
        """As the system does when memory runs out."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """End it as a service manager does."""
        self.process.terminate()
        self.process.wait(30)

    def miner(self, session: str = "") -> WireMiner:
        """A miner that is logged in and has a job, as soon as it serves; with `session` it resumes that one."""
        return logged_in(self.url, self.process, session=session)
