"""Blocks for set-up, and mature coins that a scenario can spend without a wallet."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from regtest.raw import COIN_SATS, P2WSH_TRUE, Coin, RawTx
from solominer.node.private.node import full_block_args

_MATURE_CONFIRMATIONS = 100
_MIN_COIN_SATS = COIN_SATS // 10
CLONE_CACHE = Path(__file__).parents[1] / ".cache"


class Node(Protocol):
    """What a scenario needs of a node; PrivateNode and its CookieRpc have it."""

    def call(self, method: str, *params: object, wallet: str | None = None) -> Any:
        """Call an RPC method and return its result."""

    def batch(self, method: str, params: Sequence[Sequence[object]]) -> list[Any]:
        """Call a method once for each item of `params`."""


def node_args(version: str) -> tuple[str, ...]:
    """Arguments for a node of `version` (BitcoindBinary.version) on which every scenario works.

    Full-size templates, bare multisig, and long chains of unconfirmed transactions. (Core 31 and later read the limits
    on chains no more and limit clusters to 64 transactions and 101 kvB: every scenario stays within these.)
    """
    common = (
        "-permitbaremultisig=1",
        "-limitancestorcount=10000",
        "-limitdescendantcount=10000",
        "-limitancestorsize=4000",
        "-limitdescendantsize=4000",
    )
    return (*full_block_args(version), *common)


def coins_address(node: Node) -> str:
    """The address whose coins scenarios spend: P2WSH of OP_TRUE. Pay block rewards to it to give them coins."""
    return str(node.call("decodescript", P2WSH_TRUE.script.hex())["address"])


def mine_blocks(node: Node, count: int, address: str | None = None) -> list[str]:
    """Let the node mine `count` blocks, to the scenarios' coins unless told otherwise; return their hashes."""
    hashes = node.call("generatetoaddress", count, address or coins_address(node))
    return [str(each) for each in hashes]


def spendable_coins(node: Node, count: int, *, mine: bool = True) -> list[Coin]:
    """The `count` largest mature coins of ours that nothing in the mempool spends; mine for them if allowed.

    Raises ValueError when there are not enough and `mine` is off.
    """
    coins = _find_coins(node, count)
    if len(coins) < count:
        if not mine:
            raise ValueError(f"{count} mature coins at {coins_address(node)} needed, {len(coins)} found: mine to it")
        mine_blocks(node, count)
        mine_blocks(node, _MATURE_CONFIRMATIONS)
        coins = _find_coins(node, count)
    if len(coins) < count:
        raise ValueError(f"the block reward is below {_MIN_COIN_SATS} sats by now: use a fresh chain")
    return coins


def send(node: Node, transactions: Sequence[RawTx]) -> None:
    """Put transactions into the node's mempool, parents before children. Raises RpcFailed where it refuses one."""
    node.batch("sendrawtransaction", [(each.full.hex(),) for each in transactions])


def send_many(node: Node, transactions: Sequence[RawTx]) -> None:
    """Like `send`, for thousands: `sendrawtransaction` slows down as the mempool grows, `importmempool` does not.

    The node must be able to read this clone's cache folder. Raises RpcFailed where it refuses a transaction.
    """
    CLONE_CACHE.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="import-", dir=CLONE_CACHE) as folder:
        path = Path(folder) / "mempool.dat"
        path.write_bytes(_mempool_dat(transactions))
        node.call("importmempool", str(path))
    present = set(node.call("getrawmempool"))
    send(node, [each for each in transactions if each.txid_hex not in present])  # which tells why not


def _mempool_dat(transactions: Sequence[RawTx]) -> bytes:
    """A mempool dump of version 1 (src/node/mempool_persist.cpp): each entry with its time, and no fee deltas."""
    time_and_delta = int(time.time()).to_bytes(8, "little") + bytes(8)
    entries = b"".join(each.full + time_and_delta for each in transactions)
    no_deltas_no_unbroadcast = bytes(2)
    return (1).to_bytes(8, "little") + len(transactions).to_bytes(8, "little") + entries + no_deltas_no_unbroadcast


def _find_coins(node: Node, count: int) -> list[Coin]:
    scan = node.call("scantxoutset", "start", [f"raw({P2WSH_TRUE.script.hex()})"])
    tip_height = int(scan["height"])
    mature = [
        Coin(each["txid"], each["vout"], round(each["amount"] * COIN_SATS), P2WSH_TRUE)
        for each in scan["unspents"]
        if not each.get("coinbase", True) or tip_height - each["height"] + 1 >= _MATURE_CONFIRMATIONS
    ]
    large = sorted((coin for coin in mature if coin.amount_sats >= _MIN_COIN_SATS), key=lambda coin: -coin.amount_sats)
    if not large:
        return []
    unspent = node.batch("gettxout", [(coin.txid_hex, coin.index, True) for coin in large])
    return [coin for coin, found in zip(large, unspent, strict=True) if found is not None][:count]
