"""Interfaces that the coordinator requires: engines that search, and nodes that provide templates and accept blocks.

Implementations are injected; tests use fakes (`tests/fakes.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from solominer.chain.networks import Network
from solominer.errors import NodeError
from solominer.work.actions import ShareSeen
from solominer.work.events import Answer, Event, NodeHealth, ShareFound, TipFacts
from solominer.work.found import BlockState, FoundBlock
from solominer.work.job import Job
from solominer.work.payout import Payout
from solominer.work.template import Template
from solominer.work.workers import EngineSnapshot, ExtranonceRange, WorkerId

Post = Callable[[Event], None]
"""Posts an event; called in the event loop's thread, never blocks."""


BlockObserver = Callable[[FoundBlock, BlockState], None]
"""Takes each change of the state of a block of ours; never blocks."""


class Engine(Protocol):
    """Takes jobs and finds shares: the CPU pool, a GPU, a Stratum server, a cluster."""

    @property
    def name(self) -> str:
        """The first half of its workers' ids."""

    async def start(self, post: Post, space: ExtranonceRange) -> None:
        """Start; every extranonce1 of its headers must be from `space`. Raises EngineError."""

    def publish(self, job: Job, *, clean: bool) -> None:
        """Switch to this job within 1 ms. `clean`: the tip has changed, older shares are stale."""

    def stop_work(self) -> None:
        """Drop the job at once; a publish follows when there is work again."""

    def block_saved(self, hash_le: bytes) -> None:
        """A block that this engine found is on disk; within 1 ms."""

    def share_judged(self, share: ShareFound) -> None:
        """A share of this engine was judged and handed to the records, a block is on disk; within 1 ms.

        One that is dropped on the way, because there are too many, is not heard of again.
        """

    def set_intensity(self, share: float) -> None:
        """Use this fraction of the engine's power, 0 to 1. Called only by the governor."""

    def snapshot(self) -> EngineSnapshot:
        """State and counters of its workers."""

    async def run(self) -> None:
        """Supervise until cancelled or stopped; any other exception ends the daemon."""

    async def stop(self, timeout_secs: float) -> None:
        """Post remaining shares and stop, by force after `timeout_secs`. No process is left running."""


class ShareObserver(Protocol):
    """Monitors an engine's search: it gets all jobs, shares and blocks.

    What it returns for a share or block is recorded; None for nothing.
    """

    def published(self, job: Job) -> None:
        """This job was published."""

    def share(self, seen: ShareSeen) -> Mapping[str, Any] | None:
        """A valid share; returns its position in the search plan."""

    def block(self, block: FoundBlock, job: Job | None) -> Mapping[str, Any] | None:
        """A block was found; returns its position in the search plan, with the plan."""

    def repeated(self, worker: WorkerId) -> None:
        """A worker submitted a duplicate share."""

    def look(self, at: float, mono: float) -> None:
        """Check the workers; called once a second with wall time and monotonic time."""

    def close(self, at: float, mono: float) -> None:
        """The run ends: record the remaining results."""


@dataclass(frozen=True, slots=True)
class SubmitReply:
    """A node's answer to a block: its meaning, its text, and its duration."""

    answer: Answer
    raw: str
    rpc_secs: float


@dataclass(frozen=True, slots=True)
class BlockPosition:
    """A node's position of a block: `confirmations` as in BlockSeen, `rival_hex` the block that replaced it or ''."""

    confirmations: int | None
    rival_hex: str


@dataclass(frozen=True, slots=True)
class DifficultyForecast:
    """The current difficulty, and the ratio of the forecast one to it."""

    difficulty: float
    next_ratio: float


class Node(Protocol):
    """One configured node. Everything that it observes is posted as an event."""

    @property
    def name(self) -> str:
        """Its name in the configuration."""

    @property
    def network(self) -> Network:
        """The network it must be on."""

    async def run(self) -> None:
        """Watch tips and health until cancelled."""

    async def close(self) -> None:
        """Close all connections."""

    def may_recover(self, error: NodeError) -> bool:
        """Whether retrying can help after this error."""

    async def payout(self, address: str) -> Payout:
        """The payout of an address. Raises PayoutError or NodeError."""

    async def must_sign(self) -> bool:
        """Whether this chain's blocks are signed. Raises SigningRefused if the node cannot, or NodeError."""

    async def fetch_template(self, reason: str) -> None:
        """Post TemplateReady or TemplateFailed."""

    async def check_transactions(self, template: Template) -> None:
        """Post TransactionsChecked."""

    async def look(self) -> NodeHealth:
        """Check its health. Never raises NodeError."""

    async def submit(self, block_hex: str) -> SubmitReply:
        """Submit a block. Never raises NodeError."""

    async def propose(self, block_hex: str) -> SubmitReply:
        """Ask whether an unsolved block would be valid. Never raises NodeError."""

    async def where_is(self, hash_le: bytes, height: int) -> BlockPosition:
        """Where it has a block. Raises NodeError."""

    async def hash_at(self, height: int) -> bytes:
        """The hash of its active block at a height, internal order. Raises NodeError."""

    async def tip_facts(self, hash_le: bytes) -> TipFacts:
        """The facts of a block's header that an empty block on top of it requires. Raises NodeError."""

    async def forecast_difficulty(self) -> DifficultyForecast | None:
        """The forecast of the next retarget, or None if there is none. Raises NodeError."""

    async def sign(self, data: bytes) -> bytes:
        """The signet solution for 72 bytes of a block. Raises SigningRefused or NodeError."""
