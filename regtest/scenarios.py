"""Scenarios to put a node into, as functions for tests and benchmarks and as commands for people.

python -m regtest.scenarios fill                        # on a private node of its own, which ends with it
python -m regtest.scenarios --rpc-port 18443 --cookie ~/.bitcoin/regtest/.cookie reorg --depth 3
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from regtest.coins import CLONE_CACHE, Node, coins_address, mine_blocks, node_args, spendable_coins
from regtest.forks import Pair, reorganize, rival_branch, same_height_reorg, two_nodes
from regtest.mempool import Filled, fan_out, fill_mempool, mixed_transactions
from solominer.errors import SolominerError
from solominer.node.private.bitcoind import BitcoindBinary, find_bitcoind
from solominer.node.private.node import PrivateNode
from solominer.node.rpc import CookieRpc

__all__ = [
    "Filled",
    "Node",
    "Pair",
    "coins_address",
    "fan_out",
    "fill_mempool",
    "main",
    "mine_blocks",
    "mixed_transactions",
    "node_args",
    "reorganize",
    "rival_branch",
    "same_height_reorg",
    "spendable_coins",
    "two_nodes",
]


def main(argv: list[str] | None = None) -> int:
    """Run one scenario and print what it did; the exit code is 0 unless it failed."""
    options = _parser().parse_args(argv)
    try:
        if options.scenario == "pair":
            _show_pair(_binary(options))
        else:
            with _node(options) as node:
                _show(options, node)
    except (SolominerError, ValueError, TimeoutError) as error:
        print(error, file=sys.stderr)
        return error.exit_code if isinstance(error, SolominerError) else 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m regtest.scenarios", description=__doc__.partition("\n")[0])
    parser.add_argument("--bitcoind", type=Path, help="the bitcoind to run (default: found or fetched)")
    parser.add_argument("--rpc-port", type=int, help="use the regtest node that listens here instead of a private one")
    parser.add_argument("--cookie", type=Path, help="that node's cookie file")
    scenarios = parser.add_subparsers(dest="scenario", required=True)
    fill = scenarios.add_parser("fill", help="a mempool of a full block")
    fill.add_argument("--count", type=int, default=4_200, help="transactions (default: %(default)s)")
    mixed = scenarios.add_parser("mixed", help="signed transactions of all script types, in chains")
    mixed.add_argument("--count", type=int, default=24, help="transactions (default: %(default)s)")
    mine = scenarios.add_parser("mine", help="blocks by the node itself")
    mine.add_argument("--blocks", type=int, default=101, help="how many (default: %(default)s)")
    mine.add_argument("--address", help="where the reward goes (default: the scenarios' own coins)")
    reorg = scenarios.add_parser("reorg", help="replace the last blocks by a longer branch")
    reorg.add_argument("--depth", type=int, default=3, help="blocks to replace (default: %(default)s)")
    scenarios.add_parser("same-height", help="replace the tip by another block of its height")
    scenarios.add_parser("pair", help="two nodes: cut, let both mine, heal")
    return parser


def _binary(options: argparse.Namespace) -> BitcoindBinary:
    return find_bitcoind(options.bitcoind, CLONE_CACHE / "bitcoind", report=lambda line: print(line, file=sys.stderr))


@contextmanager
def _node(options: argparse.Namespace) -> Iterator[Node]:
    """The node that was named, or a private one with blocks to reorganize."""
    if options.rpc_port is not None:
        if options.cookie is None:
            raise ValueError("--rpc-port needs --cookie")
        yield CookieRpc("127.0.0.1", options.rpc_port, options.cookie.expanduser())
        return
    binary = _binary(options)
    with _folder() as folder, PrivateNode(binary, folder, extra_args=node_args(binary.version)) as node:
        if options.scenario in ("reorg", "same-height"):
            mine_blocks(node, getattr(options, "depth", 1))
        yield node


@contextmanager
def _folder() -> Iterator[Path]:
    """A temporary folder inside the clone."""
    CLONE_CACHE.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="scenario-", dir=CLONE_CACHE) as name:
        yield Path(name)


def _show(options: argparse.Namespace, node: Node) -> None:
    started = time.monotonic()
    match options.scenario:
        case "fill" | "mixed":
            scenario = fill_mempool if options.scenario == "fill" else mixed_transactions
            filled = scenario(node, options.count)
            print(f"sent {len(filled.txids_hex)} transactions of {filled.weight} weight units", end=" ")
        case "mine":
            print(f"mined {len(mine_blocks(node, options.blocks, options.address))} blocks", end=" ")
        case "reorg":
            print(f"replaced {options.depth} blocks, the tip is {reorganize(node, options.depth)}", end=" ")
        case "same-height":
            print(f"replaced the tip by {same_height_reorg(node)}", end=" ")
    print(f"in {time.monotonic() - started:.1f} s")
    template = node.call("getblocktemplate", {"rules": ["segwit"]})
    weight = sum(each["weight"] for each in template["transactions"])
    print(f"template at height {template['height']}: {len(template['transactions'])} transactions, weight {weight}")


def _show_pair(binary: BitcoindBinary) -> None:
    with _folder() as folder, two_nodes(binary, folder) as pair:
        pair.cut()
        mine_blocks(pair.left, 2)
        mine_blocks(pair.right, 3)
        print(f"apart: left on {pair.left.call('getbestblockhash')}, right on {pair.right.call('getbestblockhash')}")
        pair.heal()
        print(f"healed: both on {pair.left.call('getbestblockhash')}")


if __name__ == "__main__":
    sys.exit(main())
