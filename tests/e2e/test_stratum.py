"""The Stratum server on a real node: blocks of all kinds of clients, late and odd solutions, and what is killed."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from regtest.scenarios import coins_address
from solominer.chain.target import decode_compact
from solominer.engines.stratum.engine import StratumEngine
from solominer.engines.stratum.work import swap_words
from solominer.node.private.node import PrivateNode
from solominer.records.evidence.verify import verify
from solominer.work.blocks import TrackedBlock
from tests.e2e.harness import RunningMiner, config_for
from tests.engines.stratum.builders import line
from tests.engines.stratum.test_clients import PLAYS
from tests.engines.stratum.wire import WireMiner

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

SIX = ("bitaxe", "nerdminer", "cgminer", "whatsminer", "bfgminer", "nicehash")
BLOCKS = 200


def free_port() -> int:
    """A port that nobody uses at the moment."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


@dataclass
class Bench:
    """A daemon without CPU workers on a real node, and its miners."""

    running: RunningMiner
    node: PrivateNode
    url: str
    data: Path
    miners: list[WireMiner] = field(default_factory=list)

    def miner(self, session: str = "", user: str = "rig.1") -> WireMiner:
        """A miner that is logged in and has a job; with `session` it resumes that one."""
        miner = WireMiner(url=self.url)
        self.miners.append(miner)
        miner.log_in(user=user, session=session)
        return miner

    async def solved(self) -> tuple[WireMiner, list[str], str]:
        """A miner with a block of its job: the parameters to hand in, and its hash."""
        miner = await in_thread(self.miner)
        return miner, *solve(miner)

    @property
    def server_pid(self) -> int:
        """The Stratum process."""
        process = self.engine._process
        assert process is not None
        return process.pid

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

    async def on_the_chain(self, hash_hex: str) -> dict[str, Any]:
        """Wait until the node has this block on its chain; its header."""
        await self.running.until(lambda: self._confirmations(hash_hex) > 0, 20)
        header: dict[str, Any] = self.node.call("getblockheader", hash_hex)
        return header

    async def a_fork_of(self, hash_hex: str) -> None:
        """Wait until the node knows this block, which is not on its chain."""

        def tips() -> dict[str, str]:
            return {tip["hash"]: tip["status"] for tip in self.node.call("getchaintips")}

        await self.running.until(lambda: hash_hex in tips(), 20)
        assert tips()[hash_hex] in ("valid-headers", "valid-fork")

    def _confirmations(self, hash_hex: str) -> int:
        try:
            return int(self.node.call("getblockheader", hash_hex)["confirmations"])
        except Exception:  # noqa: BLE001 - not known yet
            return -1


@asynccontextmanager
async def serving(
    node: PrivateNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, **more: Any
) -> AsyncIterator[Bench]:
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


async def in_thread(work: Callable[[], Any]) -> Any:
    """Blocking sockets beside the daemon's loop."""
    return await asyncio.to_thread(work)


def solve(miner: WireMiner, **where: Any) -> tuple[list[str], str]:
    """A block of its job: the parameters to hand in, and its hash."""
    params, header = miner.mine(target=decode_compact(int(miner.job[6], 16)), **where)
    return params, header.hash_le()[::-1].hex()


async def test_six_kinds_of_clients_find_blocks_in_a_row(
    node: PrivateNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each with its own lines and its own version rolling; the node takes every block."""
    address = coins_address(node)
    script = node.call("validateaddress", address)["scriptPubKey"]
    start = node.call("getblockcount")
    async with serving(node, tmp_path, monkeypatch) as bench:

        def mine() -> list[str]:
            miners = {name: WireMiner(url=bench.url) for name in SIX}
            for name, miner in miners.items():
                miner.play(PLAYS[name])
            hashes: list[str] = []
            while len(hashes) < BLOCKS:
                name = SIX[len(hashes) % len(SIX)]
                miner, lines = miners[name], PLAYS[name]
                while hashes and swap_words(bytes.fromhex(miner.job[1])) != bytes.fromhex(hashes[-1])[::-1]:
                    miner.read()
                params, hash_hex = solve(miner, bits=lines.bits, extranonce2=bytes.fromhex(lines.extranonce2))
                before = len(miner.lines)
                miner.write(lines.submit(params[0], params[1], params[2], int(params[3], 16), lines.bits))
                assert miner.reply(lines.share_id, start=before)["error"] is None
                hashes.append(hash_hex)
            return hashes

        hashes = await in_thread(mine)
        await bench.running.until(lambda: bench.running.accepted == BLOCKS, 20)
    chain = [node.call("getblockhash", start + 1 + number) for number in range(BLOCKS)]
    assert chain == hashes
    for hash_hex in (chain[0], chain[99], chain[-1]):
        coinbase = node.call("getblock", hash_hex, 2)["tx"][0]
        assert coinbase["vout"][0]["scriptPubKey"]["hex"] == script
    assert verify(bench.data).holds
    (file,) = bench.data.glob("reports/*/*/*/*/report.json")
    report = json.loads(file.read_text())
    engine, section = report["hashes"]["engines"]["stratum"], report["miners"]
    assert engine["shares"] == BLOCKS
    assert engine["counted"] == 0
    assert 0 < engine["credited"] <= 1.001 * section["hashes"]
    assert section["shares"] == sum(row["shares"] for row in section["user_agents"]) == BLOCKS
    assert len(section["user_agents"]) == len(SIX)
    proofs = [json.loads(proof.read_text()) for proof in bench.data.glob("proofs/*/*/*/*/[0-9]*.json")]
    assert {proof["found"]["worker"] for proof in proofs} == {row["worker"] for row in section["workers"]}


async def test_a_miner_that_finds_far_more_blocks_than_are_wanted(
    node: PrivateNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As cpuminer on regtest, which finds thousands before it hears of the next tip: the chain grows all the same."""
    async with serving(node, tmp_path, monkeypatch) as bench:
        start = node.call("getblockcount")

        def flood() -> None:
            miner = bench.miner()
            for _ in range(10):
                job, before = miner.job, len(miner.lines)
                lines = [
                    line(share, "mining.submit", "rig.1", job[0], f"{share:016x}", job[7], "00000000")
                    for share in range(1000)
                ]
                miner.write("".join(each + "\n" for each in lines))
                miner.reply(999, start=before)
                while miner.job[1] == job[1]:
                    miner.read()

        await in_thread(flood)
        await bench.running.until(lambda: node.call("getblockcount") >= start + 10, 20)
        assert len(bench.tracked()) <= 8 * 11


async def test_a_solution_on_a_tip_that_is_stale_reaches_the_node(
    node: PrivateNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(node, tmp_path, monkeypatch) as bench:
        miner, params, hash_hex = await bench.solved()
        node.call("generatetoaddress", 1, coins_address(node))
        await in_thread(lambda: miner.until("mining.notify", count=2))
        answer = await in_thread(lambda: miner.hand_in(params))
        assert answer["error"][1] == "Stale"
        await bench.a_fork_of(hash_hex)


async def test_a_solution_of_a_job_that_was_dropped_is_made_again(
    node: PrivateNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By retargets, which make a new job each, until the first has been dropped from memory."""
    async with serving(node, tmp_path, monkeypatch) as bench:
        miner, params, hash_hex = await bench.solved()
        await asyncio.sleep(0.2)  # the daemon knows the session
        os.kill(bench.server_pid, signal.SIGKILL)  # the new process has none of the jobs, only the work
        await bench.running.until(lambda: bench.engine._starts == 2 and bench.engine.is_serving)
        again = await in_thread(lambda: bench.miner(session=miner.session_id))
        assert again.job[0] != params[0]
        assert again.extranonce1 == miner.extranonce1
        assert (await in_thread(lambda: again.hand_in(params)))["error"] is None
        await bench.on_the_chain(hash_hex)


async def test_a_duplicate_is_one_block(node: PrivateNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(node, tmp_path, monkeypatch) as bench:
        miner, params, hash_hex = await bench.solved()
        both = "".join(line(number, "mining.submit", "rig.1", *params) + "\n" for number in (80, 81))
        await in_thread(lambda: miner.write(both))
        assert (await in_thread(lambda: miner.reply(80)))["error"] is None
        assert (await in_thread(lambda: miner.reply(81)))["error"] is not None
        await bench.on_the_chain(hash_hex)
        assert [each.block.hash_hex for each in bench.tracked()] == [hash_hex]


async def test_a_share_is_held_against_its_own_jobs_difficulty(
    node: PrivateNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(node, tmp_path, monkeypatch) as bench:
        miner, params, hash_hex = await bench.solved()
        suggestion = line(90, "mining.suggest_difficulty", 1e-12) + "\n"
        await in_thread(lambda: miner.write(suggestion))
        await in_thread(lambda: miner.reply(90))
        assert (await in_thread(lambda: miner.hand_in(params)))["error"] is None
        await bench.on_the_chain(hash_hex)


async def test_the_last_line_of_a_connection_may_be_a_block(
    node: PrivateNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(node, tmp_path, monkeypatch) as bench:
        miner, params, hash_hex = await bench.solved()
        miner.write(line(77, "mining.submit", "rig.1", *params) + "\n")
        miner.close()
        await bench.on_the_chain(hash_hex)


async def test_a_connection_whose_session_another_one_took_still_counts(
    node: PrivateNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both connections are listened to for a while: what was under way on the first one is not lost."""
    async with serving(node, tmp_path, monkeypatch) as bench:
        miner, params, hash_hex = await bench.solved()
        other = await in_thread(lambda: bench.miner(session=miner.session_id))
        assert other.extranonce1 == miner.extranonce1
        assert (await in_thread(lambda: miner.hand_in(params)))["error"] is None
        await bench.on_the_chain(hash_hex)
        assert await in_thread(miner.ended)


async def test_each_miner_is_paid_and_foreign_addresses_are_refused(
    node: PrivateNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = free_port()
    listener = {"listen": f"127.0.0.1:{port}", "payout": "miner"}
    async with serving(node, tmp_path, monkeypatch, stratum=[listener], cpu_workers=1) as bench:
        bench.url = f"stratum+tcp://127.0.0.1:{port}"
        mine = "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080"
        user = f"{mine}.shelf"
        found = ""
        while not found:  # the CPU mines the same chain, so the miner may be late
            miner = await in_thread(lambda: bench.miner(user=user))
            params, hash_hex = solve(miner)
            await asyncio.to_thread(miner.hand_in, params, user)
            await asyncio.sleep(0.3)
            found = hash_hex if bench._confirmations(hash_hex) > 0 else ""
        coinbase = node.call("getblock", found, 2)["tx"][0]
        assert coinbase["vout"][0]["scriptPubKey"]["address"] == mine

        def refused(address: str) -> str:
            stranger = WireMiner(url=bench.url)
            stranger.write(line(1, "mining.subscribe", "x/1") + "\n" + line(2, "mining.authorize", address) + "\n")
            return str(stranger.reply(2)["error"])

        assert "belongs to mainnet" in await in_thread(lambda: refused("bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4"))
        assert "must be a Bitcoin address" in await in_thread(lambda: refused("rig1"))
        await bench.running.until(lambda: {each.block.worker.engine for each in bench.tracked()} == {"cpu", "stratum"})
    assert verify(bench.data).holds


MINERS = 200


class Crowd:
    """Many miners that come back whenever they are cut off, with their sessions; asyncio, in this process."""

    def __init__(self, url: str) -> None:
        host, _, port = url.partition("//")[2].rpartition(":")
        self.host, self.port = host, int(port)
        self.sessions: dict[int, str] = {}
        self.resumed: dict[int, int] = dict.fromkeys(range(MINERS), 0)
        self.with_job: set[int] = set()
        self.tasks = [asyncio.create_task(self._live(number)) for number in range(MINERS)]

    async def _live(self, number: int) -> None:
        while True:
            with suppress(OSError, EOFError, ValueError):
                await self._connect(number)
            self.with_job.discard(number)
            await asyncio.sleep(0.2)

    async def _connect(self, number: int) -> None:
        reader, writer = await asyncio.open_connection(self.host, self.port)
        try:
            wanted = self.sessions.get(number)
            writer.write((line(1, "mining.subscribe", "crowd/1", *([wanted] if wanted else [])) + "\n").encode())
            writer.write((line(2, "mining.authorize", f"m{number}", "x") + "\n").encode())
            while data := await reader.readline():
                told = json.loads(data)
                if told.get("id") == 1:
                    session = told["result"][0][0][1]
                    self.resumed[number] += session == wanted
                    self.sessions[number] = session
                elif told.get("method") == "mining.notify":
                    self.with_job.add(number)
        finally:
            writer.close()

    async def all_have_a_job(self, running: RunningMiner, secs: float) -> float:
        """Wait until all do; seconds."""
        return await running.until(lambda: len(self.with_job) == MINERS, secs)

    async def leave(self) -> None:
        """All of them."""
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)


async def test_the_server_is_killed_under_a_crowd(
    node: PrivateNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everybody is back within 5 s with the session that he had; a block that was found meanwhile is not lost."""
    async with serving(node, tmp_path, monkeypatch) as bench:
        crowd = Crowd(bench.url)
        await crowd.all_have_a_job(bench.running, 20)
        miner, params, hash_hex = await bench.solved()
        await asyncio.sleep(1.2)
        os.kill(bench.server_pid, signal.SIGKILL)
        await bench.running.until(lambda: not crowd.with_job, 5)
        assert await crowd.all_have_a_job(bench.running, 5) < 5
        assert all(crowd.resumed.values())
        again = await in_thread(lambda: bench.miner(session=miner.session_id))
        assert (await in_thread(lambda: again.hand_in(params)))["error"] is None
        await bench.on_the_chain(hash_hex)
        await crowd.leave()


async def test_the_node_is_lost_under_a_crowd(
    node: PrivateNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Work goes on for a while, then everybody is sent away; all come back with the node."""
    async with serving(node, tmp_path, monkeypatch, stale_secs=1) as bench:
        crowd = Crowd(bench.url)
        await crowd.all_have_a_job(bench.running, 20)
        miner, params, hash_hex = await bench.solved()
        node.stop()
        answered = await in_thread(lambda: miner.hand_in(params))  # no node takes it now
        assert answered["error"] is None
        await bench.running.until(lambda: not crowd.with_job, 60)
        node.start()
        began = time.monotonic()
        await crowd.all_have_a_job(bench.running, 30)
        assert time.monotonic() - began < 30
        await bench.on_the_chain(hash_hex)
        await crowd.leave()


class Daemon:
    """`solominer run` as a process of its own."""

    def __init__(self, config: Path) -> None:
        self._command = [sys.executable, "-m", "solominer", "run", "--config", str(config), "--plain"]
        self.process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def kill(self) -> None:
        """As the system does when memory runs out."""
        self.process.kill()
        self.process.wait()


async def until(holds: Callable[[], object], secs: float) -> float:
    """Wait until it holds; seconds."""
    began = time.monotonic()
    while not holds():
        assert time.monotonic() - began < secs, f"not in {secs:g} s"
        await asyncio.sleep(0.02)
    return time.monotonic() - began


async def test_the_daemon_is_killed_under_a_crowd(node: PrivateNode, tmp_path: Path) -> None:
    """Its server ends with it. Started again, everybody is back within 5 s of its listening, with his session."""
    port = free_port()
    config = tmp_path / "config.json"
    values = {
        "mode": "regtest",
        "bitcoin_rpc": {"host": node.rpc_host, "port": node.rpc_port, "cookie_file": str(node.cookie_file)},
        "data_dir": str(tmp_path / "data"),
        "payout_address": coins_address(node),
        "cpu_workers": 0,
        "stratum": f"127.0.0.1:{port}",
    }
    config.write_text(json.dumps(values))
    crowd = Crowd(f"stratum+tcp://127.0.0.1:{port}")
    daemon = Daemon(config)
    try:
        await until(lambda: len(crowd.with_job) == MINERS, 40)
        await asyncio.sleep(6.0)  # sessions are kept every 5 s
        before = dict(crowd.sessions)
        daemon.kill()
        await until(lambda: not crowd.with_job, 5)
        daemon = Daemon(config)
        await until(lambda: crowd.with_job, 30)
        assert await until(lambda: len(crowd.with_job) == MINERS, 5) < 5
        assert crowd.sessions == before
        miner = await in_thread(lambda: WireMiner(url=f"stratum+tcp://127.0.0.1:{port}"))
        await in_thread(lambda: miner.play(PLAYS["cgminer"]))
        lines = PLAYS["cgminer"]
        params, hash_hex = solve(miner, bits=lines.bits)
        await in_thread(
            lambda: miner.write(lines.submit(params[0], params[1], params[2], int(params[3], 16), lines.bits))
        )
        await in_thread(lambda: miner.reply(lines.share_id, start=len(miner.lines)))
        await until(lambda: node.call("getbestblockhash") == hash_hex, 20)
        miner.close()
    finally:
        await crowd.leave()
        daemon.process.terminate()
        daemon.process.wait()
