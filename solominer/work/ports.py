"""What the coordinator's surroundings must be able to do: engines that search, nodes that give work and take blocks.

Whatever implements these is handed in; tests hand in fakes (`tests/fakes.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from solominer.chain.networks import Network
from solominer.errors import NodeError
from solominer.work.actions import ShareSeen
from solominer.work.events import Answer, Event, NodeHealth, TipFacts
from solominer.work.found import BlockState, FoundBlock
from solominer.work.job import Job
from solominer.work.payout import Payout
from solominer.work.template import Template
from solominer.work.workers import EngineSnapshot, ExtranonceRange, WorkerId

Post = Callable[[Event], None]
"""Takes an event, on the event loop's thread; never blocks."""


BlockObserver = Callable[[FoundBlock, BlockState], None]
"""Takes each change of the state of a block of ours; never blocks."""


class Engine(Protocol):
    """Anything that takes jobs and finds shares: the CPU pool, a GPU, a Stratum server, a cluster."""

    @property
    def name(self) -> str:
        """The first half of its workers' ids."""

    async def start(self, post: Post, space: ExtranonceRange) -> None:
        """Begin; every extranonce1 of its headers comes from `space`. Raises EngineError if it cannot."""

    def publish(self, job: Job, *, clean: bool) -> None:
        """Search this job and drop the one before; within 1 ms. `clean`: the tip moved, older shares are stale."""

    def stop_work(self) -> None:
        """Drop the job at once; a publish follows when there is work again."""

    def block_saved(self, hash_le: bytes) -> None:
        """A block that this engine found is on disk; within 1 ms."""

    def set_intensity(self, share: float) -> None:
        """Use this share of the engine's power, 0 to 1. Called by the governor alone."""

    def snapshot(self) -> EngineSnapshot:
        """What its workers are doing."""

    async def run(self) -> None:
        """Supervise until cancelled or stopped; whatever else ends this is raised and ends the daemon."""

    async def stop(self, timeout_secs: float) -> None:
        """Hand in what was found and end; by force after `timeout_secs`. Nothing is left running."""


class ShareObserver(Protocol):
    """An engine's own monitor of its search: it is shown all jobs, shares and blocks.

    What it returns of a share or block goes into the records; None where it has nothing to say.
    """

    def published(self, job: Job) -> None:
        """The engines got this job."""

    def share(self, seen: ShareSeen) -> Mapping[str, Any] | None:
        """A share that holds; returns where in the search plan it lies."""

    def block(self, block: FoundBlock, job: Job | None) -> Mapping[str, Any] | None:
        """A block was found; returns where in the search plan it lies, with the plan."""

    def repeated(self, worker: WorkerId) -> None:
        """A worker handed in a share for the second time."""

    def look(self, at: float, mono: float) -> None:
        """Look at the workers; called once a second with the wall clock and the monotonic one."""

    def close(self, at: float, mono: float) -> None:
        """The run ends: hand in what is left to say."""


@dataclass(frozen=True, slots=True)
class SubmitReply:
    """A node's answer to a block: what it means, the node's own words, and how long it took."""

    answer: Answer
    raw: str
    rpc_secs: float


@dataclass(frozen=True, slots=True)
class BlockPosition:
    """Where a node has a block: `confirmations` as in BlockSeen, `rival_hex` the active block at its height or ''."""

    confirmations: int | None
    rival_hex: str


@dataclass(frozen=True, slots=True)
class DifficultyForecast:
    """Today's difficulty, and the forecast of the next one over it."""

    difficulty: float
    next_ratio: float


class Node(Protocol):
    """One configured node. Everything it learns by itself is posted as an event."""

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
        """Whether waiting can help after this error."""

    async def payout(self, address: str) -> Payout:
        """The payout of an address. Raises PayoutError, or NodeError while it cannot be asked."""

    async def must_sign(self) -> bool:
        """Whether this chain's blocks are signed. Raises SigningRefused if the node cannot, or NodeError."""

    async def fetch_template(self, reason: str) -> None:
        """Post TemplateReady or TemplateFailed."""

    async def check_transactions(self, template: Template) -> None:
        """Post TransactionsChecked."""

    async def look(self) -> NodeHealth:
        """Look at it once. Never raises NodeError."""

    async def submit(self, block_hex: str) -> SubmitReply:
        """Send a block. Never raises NodeError."""

    async def propose(self, block_hex: str) -> SubmitReply:
        """Ask whether an unsolved block would be valid. Never raises NodeError."""

    async def where_is(self, hash_le: bytes, height: int) -> BlockPosition:
        """Where it has a block. Raises NodeError."""

    async def hash_at(self, height: int) -> bytes:
        """The hash of its active block at a height, internal order. Raises NodeError."""

    async def tip_facts(self, hash_le: bytes) -> TipFacts:
        """A block's header, as an empty block on top of it needs it. Raises NodeError."""

    async def forecast_difficulty(self) -> DifficultyForecast | None:
        """What the next retarget is expected to set; None where nothing can be foretold. Raises NodeError."""

    async def sign(self, data: bytes) -> bytes:
        """The signet solution for 72 bytes of a block. Raises SigningRefused or NodeError."""
