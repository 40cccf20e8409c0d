"""Who is paid by blocks of miners and of the CPU, on a real node."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest

from regtest.scenarios import coins_address
from solominer.engines.stratum.work import swap_words
from solominer.node.private.node import PrivateNode
from solominer.records.control_client import ask
from solominer.records.evidence.verify import verify
from tests.e2e.stratum_rig import Bench, confirmations, in_thread, serving, solve
from tests.engines.stratum.builders import line
from tests.engines.stratum.wire import WireMiner
from tests.ports import free_port
from tests.records.standalone import standalone

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]


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
        async with bench.no_cpu_blocks():
            while not found:  # late where the CPU's last block comes after the job
                miner = await in_thread(lambda: bench.miner(user=user))
                params, hash_hex = solve(miner)
                await bench.hand_in(miner, params, user)
                await asyncio.sleep(0.3)
                found = hash_hex if confirmations(node, hash_hex) > 0 else ""
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


async def test_a_split_is_paid_by_blocks_of_the_cpu_and_of_miners(
    node: PrivateNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, friend = coins_address(node), "mhJuoGLgnJC8gdBgBzEigsoyG4omQXejPT"
    family = "bcrt1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqc8gma6"
    parts = [{"address": friend, "basis_points": "12.34%"}, {"address": family, "basis_points": 1}]
    more = {"payout_address": own, "payout_split": parts, "cpu_workers": 1}
    async with serving(node, tmp_path, monkeypatch, **more) as bench:
        found: dict[str, str] = {}
        while found.keys() != {"cpu", "stratum"}:
            async with bench.no_cpu_blocks():
                miner, params, _ = await bench.solved()
                await bench.hand_in(miner, params)
                await asyncio.sleep(0.3)
            await asyncio.sleep(0.3)
            ours = [(each.block.worker.engine, each.block.hash_hex) for each in bench.tracked()]
            found |= {engine: hash_hex for engine, hash_hex in ours if confirmations(node, hash_hex) > 0}
        for hash_hex in found.values():
            block = node.call("getblock", hash_hex, 2)
            paid = {out["scriptPubKey"]["address"]: round(out["value"] * 10**8) for out in block["tx"][0]["vout"][:-1]}
            value = sum(paid.values())
            assert value == 50 * 10**8 >> block["height"] // 150
            assert paid == {own: value - value * 1234 // 10_000 - value // 10_000, friend: value * 1234 // 10_000,
                            family: value // 10_000}  # fmt: skip
        status = (await in_thread(lambda: ask(bench.data, {"do": "status"})))["status"]
        assert [(each["address"], each["basis_points"]) for each in status["payouts"]] == [
            (own, 8765), (friend, 1234), (family, 1),
        ]  # fmt: skip
        assert sum(each["sats"] for each in status["payouts"]) > 0
    assert verify(bench.data).holds


async def test_a_group_is_paid_by_proven_work_over_restarts_and_anybody_can_recompute_it(
    node: PrivateNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two miners, a server that is killed, a daemon that is started again; the records prove each payout."""
    one, two = "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080", "mrCDrCybB6J1vRfbwM5hemdJz73FwDBC8r"
    scripts = {user: node.call("validateaddress", user)["scriptPubKey"] for user in (one, two)}
    port = free_port()
    more = {"stratum": [{"listen": f"127.0.0.1:{port}", "payout": "group"}], "group_window": 1000}
    paid: list[dict[str, int]] = []

    async def find(bench: Bench, user: str, shares: int) -> None:
        """A miner hands in that many blocks, each on the tip before."""
        bench.url = f"stratum+tcp://127.0.0.1:{port}"
        miner = await in_thread(lambda: bench.miner(user=user))
        for _ in range(shares):
            params, hash_hex = solve(miner)
            assert await bench.hand_in(miner, params, user) is None
            await bench.on_the_chain(hash_hex)
            while swap_words(bytes.fromhex(miner.job[1])) != bytes.fromhex(hash_hex)[::-1]:
                await asyncio.to_thread(miner.read)
            coinbase = node.call("getblock", hash_hex, 2)["tx"][0]
            outs = coinbase["vout"][:-1]
            paid.append({out["scriptPubKey"]["hex"]: round(out["value"] * 10**8) for out in outs})

    def works(bench: Bench) -> dict[str, int]:
        books = bench.engine._group
        assert books is not None
        done, pending = books._account.window.works(), books._pending
        return {member: done.get(member, 0) + pending.get(member, 0) for member in done | pending}

    async with serving(node, tmp_path, monkeypatch, **more) as bench:
        await find(bench, one, 3)
        await bench.running.until(lambda: scripts[one] in works(bench))  # the server reports once a second
        os.kill(bench.server_pid, signal.SIGKILL)
        await bench.running.until(lambda: bench.server_starts == 2 and bench.engine.is_serving)
        await find(bench, two, 3)
        await bench.running.until(lambda: scripts[two] in works(bench))
    async with serving(node, tmp_path, monkeypatch, **more) as bench:
        known = works(bench)
        assert known.keys() == set(scripts.values())
        await find(bench, two, 1)
        shown = (await in_thread(lambda: ask(bench.data, {"do": "status"})))["status"]
    assert [listener["payout"] for listener in shown["listeners"]] == ["group"]
    assert {member["address"] for member in shown["group"]["members"]} == {one, two}
    assert sum(member["paid_sats"] for member in shown["group"]["members"]) > 0
    total = sum(known.values())
    value = sum(paid[-1].values())
    assert value == 50 * 10**8 >> node.call("getblockcount") // 150
    for member, work in known.items():
        assert abs(paid[-1][member] - value * work // total) <= 2
    own = node.call("validateaddress", coins_address(node))["scriptPubKey"]
    assert paid[0].keys() == {own}  # nobody had proven any work yet
    result = verify(tmp_path / "data/regtest", thorough=True)
    assert result.wrong == []
    # Jobs from before the first credit pay as configured.
    assert result.checked["{n} group block(s): the coinbase contains the payouts"] >= 3
    assert result.checked["{n} change(s) of a group's account"] >= 4
    alone = standalone(tmp_path / "data/regtest", "--shares")
    assert alone.holds, alone.output
    n = result.checked["{n} group block(s): the coinbase contains the payouts"]
    assert f"{n} group blocks: the coinbase contains the payouts" in alone.output
