"""What a node's headers tell of difficulty and time: closed epochs, the running one, and the blocks of recent days."""

from __future__ import annotations

from dataclasses import dataclass

from solominer.chain.fields import MAX_HEIGHT
from solominer.chain.networks import Network
from solominer.chain.target import HASH_SPACE, difficulty, proof_target
from solominer.errors import BadValue, NodeError
from solominer.insight.forecast import (
    HISTORY,
    INTERVALS,
    TARGET_SPAN_SECS,
    Epoch,
    EpochProgress,
    forecast_retarget,
    retarget,
)
from solominer.node.headers import hash_at, header_of
from solominer.node.rpc import NOT_IN_BETWEEN, RpcClient
from solominer.work.ports import DifficultyForecast

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
    progress: EpochProgress | None
    blocks: tuple[tuple[int, float], ...]

    @property
    def retarget_height(self) -> int:
        """Height of the first block of the next epoch."""
        return (self.height + 1) // (INTERVALS + 1) * (INTERVALS + 1) + INTERVALS + 1


def difficulty_forecast(client: RpcClient, network: Network) -> DifficultyForecast | None:
    """What the next retarget is expected to set; None on a chain without one, or too young. Raises NodeError."""
    history = read_history(client, network, recent_secs=0)
    if history.progress is None:
        return None
    try:
        following = forecast_retarget(history.epochs, history.progress)
    except ValueError:  # too young a chain
        return None
    return DifficultyForecast(history.difficulty, following.difficulty.value / history.difficulty)


@dataclass(frozen=True, slots=True)
class _Header:
    time: int
    difficulty: float
    previous_le: bytes


def read_history(client: RpcClient, network: Network, recent_secs: float = 14 * DAY_SECS) -> ChainHistory:
    """Ask for about 250 headers of epochs' ends, and for all of the last `recent_secs`. Raises NodeError."""
    tip_height = client.ask("getblockchaininfo")["blocks"].integer(0, MAX_HEIGHT)
    tip = _header_at(client, tip_height)
    blocks = _recent(client, tip, tip_height, recent_secs)
    if network.no_retarget:
        return ChainHistory(tip_height, tip.time, tip.difficulty, (), None, blocks)
    epoch_blocks = network.retarget_interval
    first_height = tip_height // epoch_blocks * epoch_blocks
    starts = range(max(0, first_height - HISTORY * epoch_blocks), first_height, epoch_blocks)
    epochs = [_epoch(client, start, epoch_blocks) for start in starts]
    first = _header_at(client, first_height)
    progress = EpochProgress(first.difficulty, tip_height - first_height, tip.time - first.time)
    if progress.blocks == INTERVALS:  # the last block of its epoch: what the next one needs is known already
        epochs.append(Epoch(first.difficulty, max(progress.elapsed_secs, 1.0)))
        progress = EpochProgress(retarget(progress, progress.elapsed_secs), 0, 0)
    return ChainHistory(tip_height, tip.time, progress.difficulty, tuple(epochs[-HISTORY:]), progress, blocks)


def _recent(client: RpcClient, tip: _Header, height: int, recent_secs: float) -> tuple[tuple[int, float], ...]:
    """Back along the chain. Header times are not in order, by up to two hours, so a little further than asked for."""
    blocks: list[tuple[int, float]] = []
    header = tip
    while header.time > tip.time - recent_secs - 7200 and len(blocks) < MOST_BLOCKS:
        blocks.append((header.time, header.difficulty))
        if len(blocks) > height:
            break
        header = _header(client, header.previous_le)
    return tuple(blocks)


def _epoch(client: RpcClient, start: int, epoch_blocks: int) -> Epoch:
    first = _header_at(client, start)
    last = _header_at(client, start + epoch_blocks - 1)
    return Epoch(first.difficulty, max(last.time - first.time, TARGET_SPAN_SECS / 1e6))


def _header_at(client: RpcClient, height: int) -> _Header:
    hash_le = hash_at(client, height)
    if not hash_le:
        raise NodeError(f"{client.node} has no block {height}", "wait until it is synchronized")
    return _header(client, hash_le)


def _header(client: RpcClient, hash_le: bytes) -> _Header:
    header = header_of(client, hash_le).header
    try:
        target = proof_target(header.nbits, HASH_SPACE)
    except BadValue as error:
        raise NodeError(f"{client.node} has a header that cannot be: {error.what}", NOT_IN_BETWEEN) from error
    return _Header(header.ntime, difficulty(target), header.prevhash_le)
