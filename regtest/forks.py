"""Make chains disagree: rival branches, reorganizations, and two nodes that can be cut apart and joined again."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from regtest.coins import Node, mine_blocks
from solominer.node.private.bitcoind import BitcoindBinary
from solominer.node.private.node import PrivateNode

_WAIT_MS = 30_000


def rival_branch(node: Node, depth: int) -> str:
    """Give the node a valid branch that replaces its last `depth` blocks, and leave it on its own chain.

    Returns the branch's tip, of the node's own height. The node's tip moves while the branch is made; afterwards one
    `preciousblock` (same height) or one more block on the branch switches the node over in a single step.
    """
    own_tip = str(node.call("getbestblockhash"))
    first = str(node.call("getblockhash", node.call("getblockcount") - depth + 1))
    node.call("invalidateblock", first)
    rival_tip = mine_blocks(node, depth, _fresh_address(node))[-1]
    node.call("reconsiderblock", first)
    node.call("preciousblock", own_tip)
    return rival_tip


def same_height_reorg(node: Node) -> str:
    """Replace the tip by another block of the same height; return the new tip's hash."""
    rival_tip = rival_branch(node, 1)
    node.call("preciousblock", rival_tip)
    return rival_tip


def reorganize(node: Node, depth: int) -> str:
    """Replace the last `depth` blocks by `depth` + 1 others; return the new tip's hash."""
    node.call("preciousblock", rival_branch(node, depth))
    return mine_blocks(node, 1, _fresh_address(node))[0]


def _fresh_address(node: Node) -> str:
    """A new address of nobody, so that a block paying to it cannot equal one mined before."""
    return str(node.call("decodescript", "0020" + os.urandom(32).hex())["address"])


@dataclass(frozen=True, slots=True)
class Pair:
    """Two private nodes that follow each other while joined."""

    left: PrivateNode
    right: PrivateNode

    def cut(self) -> None:
        """Part them: each goes on alone."""
        for each in (self.left, self.right):
            each.call("setnetworkactive", False)

    def heal(self) -> None:
        """Join them again and wait until both are on the heavier chain."""
        for each in (self.left, self.right):
            each.call("setnetworkactive", True)
        self.left.call("addnode", f"{self.right.rpc_host}:{self.right.p2p_port}", "onetry")
        self.wait_same_tip()

    def wait_same_tip(self) -> str:
        """Wait until both have the same tip, the higher one's, and return it. Raises TimeoutError if they do not."""
        ahead, behind = sorted((self.left, self.right), key=lambda each: -int(each.call("getblockcount")))
        tip = str(ahead.call("getbestblockhash"))
        if behind.call("waitforblock", tip, _WAIT_MS)["hash"] != tip:
            raise TimeoutError(f"the nodes did not meet on {tip}")
        return tip


@contextmanager
def two_nodes(binary: BitcoindBinary, folder: Path, *, extra_args: Sequence[str] = ()) -> Iterator[Pair]:
    """Two fresh regtest nodes in `folder`, joined and on one block; both are stopped at the end."""
    with ExitStack() as stack:
        left, right = (
            stack.enter_context(PrivateNode(binary, folder / name, extra_args=extra_args)) for name in ("left", "right")
        )
        mine_blocks(left, 1)  # with a recent tip neither is in its initial download
        pair = Pair(left, right)
        pair.heal()
        yield pair
