"""Difficulty history from a node's headers: closed epochs, the running one, and the blocks of recent days."""

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
"""Limit on recent blocks: four times the scheduled number of two weeks."""


@dataclass(frozen=True, slots=True)
class ChainHistory:
    """The history of the active chain. `difficulty` is the next block's (test networks may allow less for late blocks).

    `epochs` are the closed ones that a forecast uses, oldest first; `progress` is None if difficulty never changes;
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
    """The forecast of the next retarget; None if the chain has none, or is too young. Raises NodeError."""
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
    """Read about 250 headers at the ends of epochs, and all of the last `recent_secs`. Raises NodeError."""
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
    """Walk back along the chain, two hours further than requested, since header times are not in order."""
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
        raise NodeError(f"{client.node} sent an invalid header: {error.what}", NOT_IN_BETWEEN) from error
    return _Header(header.ntime, difficulty(target), header.prevhash_le)
