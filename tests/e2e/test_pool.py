"""`solominer run --pool` at this program's own Stratum server on a real node, either of them killed at random.

Every block whose acceptance the pool told is with the node, and the miner's records hold. POOL_BLOCKS and POOL_KILLS
set how many blocks are mined and how often one side is killed.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from solominer.engines.stratum import server_process
from solominer.node.private.node import PrivateNode
from solominer.records.control_client import ask
from solominer.records.evidence.verify import verify
from tests.e2e.stratum_rig import Bench, in_thread, serving
from tests.engines.stratum.pem import make_certificate
from tests.faults.block_fates import check_blocks
from tests.ports import free_port

ROOT = Path(__file__).parents[2]
BLOCKS = int(os.environ.get("POOL_BLOCKS", "20"))
KILLS = int(os.environ.get("POOL_KILLS", "2"))
"""Kills of each side."""

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120 + 2 * BLOCKS + 20 * KILLS)]


class PoolMiner:
    """`solominer run` at a pool, as a process of its own."""

    def __init__(self, folder: Path, url: str, **pool: str) -> None:
        self.data = folder / "miner"
        self._config, self._log = folder / "miner.json", folder / "miner.log"
        values = {
            "mode": "pool",
            "network": "regtest",
            "pools": [{"url": url, "user": "rig.1", **pool}],
            "cpu_workers": 1,
            "nice": 0,
            "data_dir": str(self.data),
        }
        self._config.write_text(json.dumps(values))
        self.start()

    def start(self) -> None:
        """Start it."""
        environ = {**os.environ, "SOLOMINER_CACHE": str(ROOT / ".cache"), "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-m", "solominer", "run", "--config", str(self._config), "--plain"]
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, cwd=ROOT, env=environ)

    def kill(self) -> None:
        """As the system does when memory runs out."""
        self.process.kill()
        self.process.wait()

    def log(self) -> str:
        """What it logged."""
        return self._log.read_text()

    def accepted(self) -> set[str]:
        """Hashes of blocks that the pool told it to have accepted, from its ledgers."""
        entries = [json.loads(line) for line in self._lines() if line.startswith('{"seq"') and line.endswith("}\n")]
        blocks = {entry["hash"] for entry in entries if entry["kind"] == "pool_block"}
        answers = {entry["hash"]: entry["outcome"] for entry in entries if entry["kind"] == "pool_answer"}
        return {hash_hex for hash_hex in blocks if answers.get(hash_hex) == "accepted"}

    def _lines(self) -> Iterator[str]:
        for path in self.data.glob("pool-regtest/ledger/*/*/*/*/ledger.jsonl"):
            yield from path.read_text(errors="replace").splitlines(keepends=True)

    def stop(self) -> int:
        """End it as a service manager does; its exit code."""
        self.process.terminate()
        return self.process.wait(30)


@contextmanager
def mining(folder: Path, url: str, **pool: str) -> Iterator[PoolMiner]:
    """A miner that ends with the test."""
    miner = PoolMiner(folder, url, **pool)
    try:
        yield miner
    finally:
        miner.kill()


async def mined(bench: Bench, blocks: int) -> None:
    """Wait until the daemon has accepted so many more."""
    wanted = bench.running.accepted + blocks
    await bench.running.until(lambda: bench.running.accepted >= wanted, 60 + blocks)


async def heard(miner: PoolMiner) -> None:
    """Wait until it was told that a block is accepted, which it is when the block is on the pool's disk."""
    async with asyncio.timeout(30):
        while not miner.accepted():
            await asyncio.sleep(0.05)


def holds(miner: PoolMiner, node: PrivateNode, data: Path) -> None:
    """Its blocks are with the node, and its records verify."""
    assert miner.accepted()
    assert not check_blocks([node], miner.accepted(), [data]).problems
    result = verify(miner.data / "pool-regtest", thorough=True)
    assert result.holds, result.wrong
    assert any("mined for pool" in line for line in result.lines())


async def test_blocks_are_mined_while_either_side_is_killed(
    node: PrivateNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_process, "_MAX_BACKOFF_SECS", 0.2)  # it is killed more often than in real life
    kills = random.sample(["miner", "pool"] * KILLS, 2 * KILLS)
    async with serving(node, tmp_path, monkeypatch) as bench:
        with mining(tmp_path, bench.url) as miner:
            await mined(bench, 1)
            for side in kills:
                await mined(bench, random.randint(0, max(1, BLOCKS // len(kills) - 1)))
                if side == "miner":
                    miner.kill()
                    miner.start()
                else:
                    await bench.running.until(lambda: bench.engine.is_serving)
                    os.kill(bench.server_pid, signal.SIGKILL)
                await mined(bench, 1)
            await mined(bench, max(1, BLOCKS - bench.running.accepted))
            status = (await in_thread(lambda: ask(miner.data / "pool-regtest", {"do": "status"})))["status"]
            assert status["pools"][0]["active"]
            assert status["accepted_blocks"] > 0
            await heard(miner)
            assert await in_thread(miner.stop) == 0, miner.log()
        assert bench.running.accepted >= BLOCKS
        if "pool" in kills:
            assert "pool-lost" in miner.log()
    holds(miner, node, tmp_path / "data")


async def test_blocks_are_mined_over_tls(node: PrivateNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    certificate, key = make_certificate(tmp_path / "pem", "localhost")
    port = free_port()
    listener = {"listen": f"127.0.0.1:{port}", "tls_certificate": str(certificate), "tls_key": str(key)}
    async with serving(node, tmp_path, monkeypatch, stratum=[listener]) as bench:
        with mining(tmp_path, f"stratum+ssl://localhost:{port}", tls_ca=str(certificate)) as miner:
            await mined(bench, BLOCKS)
            await heard(miner)
            assert await in_thread(miner.stop) == 0, miner.log()
    holds(miner, node, tmp_path / "data")


async def test_blocks_are_mined_over_stratum_v2(
    node: PrivateNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("coincurve", reason="needs the extra stratum2")
    async with serving(node, tmp_path, monkeypatch) as bench:
        url = next(url for url in bench.engine.urls if url.startswith("stratum2+tcp://"))
        with mining(tmp_path, url) as miner:
            await mined(bench, BLOCKS // 2)
            os.kill(bench.server_pid, signal.SIGKILL)
            await mined(bench, BLOCKS - BLOCKS // 2)
            await heard(miner)
            assert await in_thread(miner.stop) == 0, miner.log()
    holds(miner, node, tmp_path / "data")
