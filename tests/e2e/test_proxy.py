"""Miners behind `solominer run --pool --stratum`, whose pool is this program's own Stratum server on a real node."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from solominer.node.private.node import PrivateNode
from solominer.records.control_client import ask
from solominer.records.evidence.verify import verify
from solominer.upstream.submit import Outcome
from tests.e2e.stratum_rig import Bench, confirmations, in_thread, logged_in, serving, solve
from tests.engines.stratum.wire import WireMiner
from tests.ports import free_port

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

ROOT = Path(__file__).parents[2]
BLOCKS = 10


class Proxy:
    """The daemon between the miners and the pool, as a process of its own."""

    def __init__(self, folder: Path, pool_url: str) -> None:
        self.data, self._log = folder / "proxy", folder / "proxy.log"
        port = free_port()
        self.url = f"stratum+tcp://127.0.0.1:{port}"
        values = {
            "mode": "pool",
            "network": "regtest",
            "pools": [{"url": pool_url, "user": "house"}],
            "cpu_workers": 0,
            "stratum": f"127.0.0.1:{port}",
            "data_dir": str(self.data),
        }
        config = folder / "proxy.json"
        config.write_text(json.dumps(values))
        environment = {**os.environ, "SOLOMINER_CACHE": str(ROOT / ".cache"), "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-m", "solominer", "run", "--config", str(config), "--plain"]
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, cwd=ROOT, env=environment)

    def log(self) -> str:
        """What it logged."""
        return self._log.read_text()

    def status(self) -> dict[str, Any]:
        """As `solominer status` gets it."""
        return dict(ask(self.data / "pool-regtest", {"do": "status"})["status"])

    def await_answers(self) -> None:
        """Wait until the pool has answered all shares."""
        deadline = time.monotonic() + 60
        while (status := self.status())["shares"] > sum(status["pools"][0][each.value] for each in Outcome):
            assert time.monotonic() < deadline, status
            time.sleep(0.05)

    def miner(self, name: str) -> WireMiner:
        """A miner that has a job."""
        return logged_in(self.url, self.process, self.log, user=name)

    def stop(self) -> int:
        """End it as a service manager does; its exit code."""
        self.process.terminate()
        return self.process.wait(30)


@contextmanager
def proxy_at(folder: Path, pool_url: str) -> Iterator[Proxy]:
    """A proxy that ends with the test."""
    proxy = Proxy(folder, pool_url)
    try:
        yield proxy
    finally:
        proxy.process.kill()
        proxy.process.wait()


def mine(proxy: Proxy, miner: WireMiner, name: str, bench: Bench) -> set[str]:
    """Hand in a block of each job until the pool has enough; those that the proxy accepted.

    The next one is not begun until the pool has answered: it does not answer while its disk is behind.
    """
    found = set[str]()
    while bench.running.accepted < BLOCKS:
        jobs = len(miner.jobs)
        params, hash_hex = solve(miner, extranonce2=bytes(4))
        if miner.hand_in(params, name)["error"] is None:
            found.add(hash_hex)
        proxy.await_answers()
        while len(miner.jobs) == jobs and bench.running.accepted < BLOCKS:
            miner.read()
    return found


@pytest.mark.parametrize("scheme", ["stratum+tcp", "stratum2+tcp"])
async def test_blocks_of_miners_behind_a_proxy_are_the_pools(
    node: PrivateNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    if scheme == "stratum2+tcp":
        pytest.importorskip("coincurve", reason="needs the extra stratum2")
    async with serving(node, tmp_path, monkeypatch) as bench:
        url = next(url for url in bench.engine.urls if url.startswith(scheme))
        with proxy_at(tmp_path, url) as proxy:
            names, workers = ("rack.1", "rack.2"), {"stratum/rack.1", "stratum/rack.2"}
            miners = {name: await in_thread(partial(proxy.miner, name)) for name in names}
            mining = (in_thread(partial(mine, proxy, miner, name, bench)) for name, miner in miners.items())
            found = await asyncio.gather(*mining)
            async with asyncio.timeout(60):  # workers are reported once a second
                while {each["worker"] for each in (await in_thread(proxy.status))["workers"]} != workers:
                    await asyncio.sleep(0.1)
            assert (await in_thread(proxy.status))["stratum_urls"]
            await in_thread(proxy.await_answers)
            assert await in_thread(proxy.stop) == 0, proxy.log()
        on_chain = {hash_hex for hash_hex in set.union(*found) if confirmations(node, hash_hex) > 0}
        assert len(on_chain) >= BLOCKS - 1
        assert all(found), "each miner found some"
    result = verify(proxy.data / "pool-regtest", thorough=True)
    assert result.holds, result.wrong
    (file,) = (proxy.data / "pool-regtest").glob("reports/*/*/*/*/report.json")
    report = json.loads(file.read_text())
    assert {miner["worker"] for miner in report["miners"]["workers"]} >= workers
    assert report["pools"][0]["accepted"] >= BLOCKS
