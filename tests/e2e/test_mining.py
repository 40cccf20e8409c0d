"""300 blocks in a row on a real node: none rejected, each put to it unsolved first.

Heights 1 to 20 (where BIP 34's push changes its form), 127 to 130 (where it gets a sign byte), the halving at 150,
blocks with transactions of all script types and chains of them, and full blocks of 4,000 and more.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from regtest.scenarios import coins_address, fan_out, fill_mempool, mixed_transactions
from solominer.node.private.node import PrivateNode
from tests.e2e.harness import RunningMiner, config_for

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(280)]

PLAIN_BEFORE = 131
MIXED = 55
FULL = 6
IN_ALL = 300


async def test_300_blocks_in_a_row(node: PrivateNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = config_for(node, tmp_path / "data", payout_address=coins_address(node))
    async with RunningMiner(monkeypatch, config, node=node) as miner:
        miner.allow(0)
        await miner.mine(PLAIN_BEFORE)
        for seed in range(MIXED):
            await asyncio.to_thread(mixed_transactions, node, 24, seed=seed, mine=False)
            await miner.mine(1)
        for seed in range(FULL):
            starts = await asyncio.to_thread(fan_out, node, 4200)
            while node.call("getmempoolinfo")["size"]:  # a block may be of a template from before them
                await miner.mine(1)
            await asyncio.to_thread(fill_mempool, node, 4200, seed=seed, mine=False, starts=starts)
            await miner.mine(1)
        await miner.mine(IN_ALL - miner.accepted, timeout_secs=120)
        blocks = [*miner.coordinator.blocks.settled, *miner.coordinator.blocks.open.values()]
        await miner.until(lambda: node.call("getblockcount") == IN_ALL)

    assert {tracked.state.value for tracked in blocks} <= {"accepted", "confirmed", "mature"}
    assert miner.accepted == IN_ALL
    chain = [node.call("getblock", node.call("getblockhash", height)) for height in range(1, IN_ALL + 1)]
    ours = config.coinbase_tag.encode().hex()
    assert all(ours in node.call("getblock", block["hash"], 2)["tx"][0]["vin"][0]["coinbase"] for block in chain[:5])
    counts = [block["nTx"] - 1 for block in chain]
    assert sum(count >= 20 for count in counts) >= 50
    assert sum(count >= 4000 for count in counts) >= 5
    # Each height was put to the node before it was mined, and the node would have taken every one of them.
    assert {height for height, _ in miner.proposals} >= set(range(1, IN_ALL + 1))
    assert {answer for _, answer in miner.proposals} == {None}
