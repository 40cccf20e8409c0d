"""Alarms about a found block that is not, or not yet, in the chain."""

from __future__ import annotations

from solominer.chain.hashes import to_rpc_hex
from solominer.work.actions import Alarm, Severity
from solominer.work.found import FoundBlock
from solominer.work.instant import Instant

INVALID_PARENT = "bad-prevblk"
"""submitblock's answer, also while somebody holds the parent invalid by hand (invalidateblock)."""

INVALID_PARENT_SECS = 300.0
"""Longest delay of a retry at a node with that answer; a new tip, as reconsiderblock may bring, ends it."""


def not_taken(block: FoundBlock, at: Instant, said: str) -> Alarm:
    """No node has it in its chain; `said` is what each has answered."""
    text = (
        f"no node has our block {block.hash_hex} at height {block.height} in its chain, "
        f"{max(at.wall - block.found_at, 0):.0f} s after {block.worker} found it. {said}"
    )
    todo = "it is kept in submissions/ and submitted again until a node has it; fix what the node's answer reports"
    return Alarm(Severity.CRITICAL, "block-not-taken", text, todo)


def rejected(block: FoundBlock, node: str, raw: str) -> Alarm:
    """A node says that it is invalid."""
    return Alarm(
        Severity.CRITICAL,
        "block-rejected",
        f"{node} rejects our block {block.hash_hex} of {block.worker} at height {block.height}: {raw}",
        "the block is kept in submissions/; report it with its folder and the node's debug.log",
    )


def parent_invalid(block: FoundBlock, node: str) -> Alarm:
    """A node holds its parent invalid."""
    parent_hex = to_rpc_hex(block.prevhash_le)
    return Alarm(
        Severity.HIGH,
        "block-parent-invalid",
        f"{node} holds the parent {parent_hex} of our block {block.hash_hex} at height {block.height} invalid",
        f"if it was invalidated by hand: bitcoin-cli reconsiderblock {parent_hex}; the block is submitted again at "
        f"every new tip, and else at growing intervals of up to {INVALID_PARENT_SECS / 60:.0f} min",
    )
