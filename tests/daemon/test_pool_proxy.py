"""A run at a scripted pool with a listener: a pool that leaves few bytes, and one that goes away."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import pytest

from solominer.config.load import load_config
from solominer.config.models import Config
from solominer.daemon.every_run import RunOptions
from solominer.errors import ConfigError
from solominer.setup.first_run import check_start
from tests.daemon.test_pool_run import Running
from tests.engines.stratum.wire import WireMiner
from tests.ports import free_port
from tests.upstream.scripted import MAINNET_BITS, Script, ScriptedPool, notify


def proxy_config(folder: Path, pool: ScriptedPool, **values: object) -> Config:
    known = {"url": pool.config().url, "user": "house"}
    own = {"mode": "pool", "network": "regtest", "data_dir": str(folder), "pools": [known]}
    return load_config(overrides={**own, "stratum": "127.0.0.1:3333", **values}, environ={})


async def in_thread(work: object) -> object:
    return await asyncio.to_thread(work)  # type: ignore[arg-type]


async def test_a_pool_that_leaves_four_bytes_gets_the_miners_shares(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "solominer")
    port = free_port()
    script = Script(size=4, extranonce1="a1a2a3a4", lines=[notify(nbits=MAINNET_BITS, extranonce_bytes=8)])
    async with ScriptedPool(script) as pool:
        running = Running(proxy_config(tmp_path, pool, stratum=f"127.0.0.1:{port}"))
        await running.until(lambda: running.miner and running.miner.working)

        def hand_in() -> bytes:
            miner = WireMiner(url=f"stratum+tcp://127.0.0.1:{port}")
            miner.log_in()
            target = 1 << 254
            params, _ = miner.mine(target=target, extranonce2=bytes(2))
            assert miner.hand_in(params)["result"] is True
            return miner.extranonce1

        async def first_share() -> bytes:
            while True:
                try:
                    return await asyncio.to_thread(hand_in)
                except (OSError, AssertionError):  # the server is started anew, with the pool's size
                    await asyncio.sleep(0.1)

        extranonce1 = await asyncio.wait_for(first_share(), 30)
        await running.until(lambda: pool.shares)
        assert len(extranonce1) == 1
        assert len(pool.shares[0][2]) == 8
        assert "miners are cut off, to connect anew" in caplog.text
        pool.cut()
        await running.until(lambda: pool.connections == 2 and running.miner and running.miner.working)
        assert await running.end() == 0
    while WireMiner.opened:
        WireMiner.opened.pop().close()


async def test_a_pool_that_leaves_too_little_is_told_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    script = Script(size=3, lines=[notify(extranonce_bytes=7)])
    async with ScriptedPool(script) as pool:
        running = Running(proxy_config(tmp_path, pool, stratum=f"127.0.0.1:{free_port()}"))
        await running.until(lambda: "extranonce2 has 3 bytes, at least 4 are needed" in caplog.text)
        assert await running.end() == 0


def test_who_may_mine_at_a_pool_is_checked(tmp_path: Path) -> None:
    pool = ScriptedPool()
    pool.port = 1
    check_start(proxy_config(tmp_path, pool), RunOptions(), None)
    for changes, said in (
        ({"cpu_workers": 1}, "a proxy does not mine itself"),
        ({"stratum": [{"listen": "127.0.0.1:3333", "payout": "miner"}]}, "in mode pool the pool pays"),
        ({"stratum": [{"listen": "127.0.0.1:3333", "v2": "only"}]}, "a proxy's miners speak Stratum V1"),
    ):
        with pytest.raises(ConfigError, match=said):
            check_start(proxy_config(tmp_path, pool, **changes), RunOptions(), None)
