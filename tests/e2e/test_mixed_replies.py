"""Replies mixed up on their way from a real node: a block that it never got is not taken for confirmed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from solominer.node.private.node import PrivateNode
from solominer.work.found import BlockState
from tests.e2e.harness import RunningMiner, config_for
from tests.faults.rpc_proxy import Fault, Kind, RpcProxy

pytestmark = pytest.mark.e2e


@pytest.mark.parametrize("disguised", [False, True], ids=["as it is", "with our hash and height"])
async def test_another_blocks_header_confirms_nothing(
    node: PrivateNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, disguised: bool
) -> None:
    """Submissions are cut, and every question about a header is answered with that of a block 100 deep."""

    def another(params: list[Any]) -> Any:
        header = node.call("getblockheader", node.call("getblockhash", 1)) | {"confirmations": 100}
        return header | {"hash": params[0], "height": node.call("getblockcount") + 1} if disguised else header

    with RpcProxy(node.rpc_port) as proxy:
        config = config_for(
            node,
            tmp_path / "data",
            bitcoin_rpc={"host": "127.0.0.1", "port": proxy.port, "cookie_file": str(node.cookie_file)},
            retry={"first_secs": 0.05, "most_secs": 0.2, "look_secs": 0.1},
        )
        async with RunningMiner(monkeypatch, config) as miner:
            await miner.mine(2)
            height = node.call("getblockcount")
            lost = Fault(Kind.RESET, "submitblock", times=None)
            mixed = Fault(Kind.PASS, "getblockheader", times=None, instead=another)
            proxy.set(lost, mixed)
            miner.allow(miner.accepted + 1)
            await miner.until(lambda: lost.hits >= 5 and mixed.hits >= 5)
            (tracked,) = (each for each in miner.coordinator.blocks.open.values() if each.block.height == height + 1)
            assert tracked.state is BlockState.SENT
            assert node.call("getblockcount") == height
            proxy.heal()
            await miner.until(lambda: tracked.state in (BlockState.ACCEPTED, BlockState.CONFIRMED))
            assert node.call("getblockhash", height + 1) == tracked.block.hash_hex
