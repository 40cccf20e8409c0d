"""What a node's headers tell of difficulty and time: closed epochs, the running one, and the blocks of recent days."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from solominer.chain.networks import Network
from solominer.chain.target import decode_compact, difficulty
from solominer.errors import NodeError
from solominer.insight.forecast import HISTORY, INTERVALS, TARGET_SPAN_SECS, Epoch, Progress, retarget
from solominer.node.rpc import RpcClient, field_of

DAY_SECS = 86_400
MOST_BLOCKS = 8_064
"""Of recent days: four times what comes in a fortnight on schedule."""


@dataclass(frozen=True, slots=True)
class ChainHistory:
    """Headers of the active chain. `difficulty` is that of the next block by the schedule (that of blocks which come
    late may be lower on test networks).

    `epochs` are closed, oldest first, up to the forecast's reach; `progress` is None where difficulty never changes.
    `blocks` are (header time, difficulty) of the recent blocks, newest first.
    """

    height: int
    tip_time: int
    difficulty: float
    epochs: tuple[Epoch, ...]
    progress: Progress | None
    blocks: tuple[tuple[int, float], ...]

    @property
    def retarget_height(self) -> int:
        """Height of the first block of the next epoch."""
        return (self.height + 1) // (INTERVALS + 1) * (INTERVALS + 1) + INTERVALS + 1


@dataclass(frozen=True, slots=True)
class _Header:
    time: int
    difficulty: float
    previous_hex: str


def read_history(client: RpcClient, network: Network, recent_secs: float = 14 * DAY_SECS) -> ChainHistory:
    """Ask for about 250 headers of epochs' ends, and for all of the last `recent_secs`. Raises NodeError."""
    tip_height = field_of(client.call("getblockchaininfo"), "blocks", int)
    tip_hex = _hash_at(client, tip_height)
    tip = _header(client, tip_hex)
    blocks = _recent(client, tip, tip_height, recent_secs)
    if network.no_retarget:
        return ChainHistory(tip_height, tip.time, tip.difficulty, (), None, blocks)
    epoch_blocks = network.retarget_interval
    first_height = tip_height // epoch_blocks * epoch_blocks
    starts = range(max(0, first_height - HISTORY * epoch_blocks), first_height, epoch_blocks)
    epochs = [_epoch(client, start, epoch_blocks) for start in starts]
    first = _header(client, _hash_at(client, first_height))
    progress = Progress(first.difficulty, tip_height - first_height, tip.time - first.time)
    if progress.blocks == INTERVALS:  # the last block of its epoch: what the next one needs is known already
        epochs.append(Epoch(first.difficulty, max(progress.elapsed_secs, 1.0)))
        progress = Progress(retarget(progress, progress.elapsed_secs), 0, 0)
    return ChainHistory(tip_height, tip.time, progress.difficulty, tuple(epochs[-HISTORY:]), progress, blocks)


def _recent(client: RpcClient, tip: _Header, height: int, recent_secs: float) -> tuple[tuple[int, float], ...]:
    """Back along the chain. Header times are not in order, by up to two hours, so a little further than asked for."""
    blocks: list[tuple[int, float]] = []
    header = tip
    while header.time > tip.time - recent_secs - 7200 and len(blocks) < MOST_BLOCKS:
        blocks.append((header.time, header.difficulty))
        if len(blocks) > height:
            break
        header = _header(client, header.previous_hex)
    return tuple(blocks)


def _epoch(client: RpcClient, start: int, epoch_blocks: int) -> Epoch:
    first = _header(client, _hash_at(client, start))
    last = _header(client, _hash_at(client, start + epoch_blocks - 1))
    return Epoch(first.difficulty, max(last.time - first.time, TARGET_SPAN_SECS / 1e6))


def _hash_at(client: RpcClient, height: int) -> str:
    hash_hex: Any = client.call("getblockhash", height)
    if not isinstance(hash_hex, str):
        raise NodeError(f"{client.node} has no hash of block {height}", "wait until it is synchronized")
    return hash_hex


def _header(client: RpcClient, hash_hex: str) -> _Header:
    header = client.call("getblockheader", hash_hex)
    target = decode_compact(int(field_of(header, "bits", str), 16))
    return _Header(field_of(header, "time", int), difficulty(target), header.get("previousblockhash", ""))
