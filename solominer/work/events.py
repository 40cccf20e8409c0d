"""Events handled by the coordinator; the results are actions.

Every event has its instant; the coordinator reads no clock. Nodes are identified by their configured names.
Hashes are 32 bytes in internal order.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from solominer.work.found import BlockState, FoundBlock
from solominer.work.instant import Instant
from solominer.work.job import SplitCoinbase
from solominer.work.policy import Policy
from solominer.work.template import Template
from solominer.work.workers import WorkerId


class Answer(StrEnum):
    """Meaning of a node's reply to submitblock or a proposal (rule 44)."""

    ACCEPTED = "accepted"  # null: connected to the active chain at that moment
    HELD = "held"  # inconclusive, duplicate, duplicate-inconclusive: the node has it, the chain decides
    RETRY = "retry"  # time-too-new, prev-blk-not-found, bad-prevblk, -25, not ready: try again later
    UNKNOWN = "unknown"  # timeout, connection lost, incomplete reply: it may or may not have arrived
    INVALID = "invalid"  # any other string, duplicate-invalid, -22: the block is invalid


@dataclass(frozen=True, slots=True)
class NodeHealth:
    """Result of a node's health check. `problem` is why its templates must not be mined, in one line, or ''."""

    node: str
    reachable: bool
    problem: str = ""
    height: int = 0
    headers: int = 0
    best_hash_le: bytes = b""
    chainwork: int = 0
    tip_time: int = 0
    median_time: int = 0
    clock_offset_secs: float | None = None
    peers: int | None = None
    initial_download: bool = False
    pruned: bool = False
    zmq: str = "off"  # off, silent, live
    ipc: str = "off"  # off, live, or why templates come by RPC
    version: str = ""
    rpc_secs: float = 0.0
    warnings: tuple[str, ...] = ()

    @property
    def usable(self) -> bool:
        """Whether templates of this node may be mined."""
        return self.reachable and not self.problem


def template_way(ipc: str) -> str:
    """How templates come if NodeHealth has this `ipc`, to continue a line of text; '' without IPC."""
    if ipc == "off":
        return ""
    return ", templates by IPC" if ipc == "live" else f", templates by RPC (IPC: {ipc})"


@dataclass(frozen=True, slots=True)
class TipFacts:
    """The facts of a new tip's header that an empty block on top of it requires.

    `empty` is the node's own template for that block, if it makes one.
    """

    hash_le: bytes
    height: int
    version: int
    time: int
    median_time: int
    nbits: int
    empty: Template | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """An event; `at` is when it happened."""

    at: Instant


@dataclass(frozen=True, slots=True)
class NewTip(Event):
    """A node has a new best block; `source` is zmq, ipc, poll, longpoll or health."""

    node: str
    hash_le: bytes
    source: str


@dataclass(frozen=True, slots=True)
class TipHeader(Event):
    """The answer to FetchTipHeader."""

    node: str
    tip: TipFacts


@dataclass(frozen=True, slots=True)
class TemplateReady(Event):
    """A validated template, with the durations of the RPC call and of validation."""

    node: str
    template: Template
    rpc_secs: float = 0.0
    parse_secs: float = 0.0


@dataclass(frozen=True, slots=True)
class TemplateFailed(Event):
    """No template: `reason` is the error in one line. `refused`: the template broke a rule."""

    node: str
    reason: str
    refused: bool = False


@dataclass(frozen=True, slots=True)
class TransactionsChecked(Event):
    """A template's transactions were validated; `problem` names an invalid one, or is ''."""

    node: str
    template_id: str
    problem: str = ""


@dataclass(frozen=True, slots=True)
class HealthSeen(Event):
    """A node's health was checked."""

    health: NodeHealth


@dataclass(frozen=True, slots=True)
class NodesCompared(Event):
    """The answer to CompareNodes: the health of both, and the last common height of their chains."""

    one: NodeHealth
    other: NodeHealth
    common_height: int


@dataclass(frozen=True, slots=True)
class ShareFound(Event):
    """A header whose hash meets the share target according to an engine. It is hashed again here.

    `extranonce` is both halves, 12 bytes. `share_target` is what this worker was asked to meet (0: the job's own).
    `kernel` is what found it; `position` counts the chunks of this extranonce that the search plan visits before the
    one of the hit (None: no plan). `is_block`: the engine saw the network target met, so this is never dropped.
    `coinbase` replaces the job's, where the engine makes coinbases of its own. `recorded`: an earlier run has counted
    it, and only the block that it may be is wanted.
    """

    worker: WorkerId
    job_id: int
    extranonce: bytes
    version: int
    ntime: int
    nonce: int
    share_target: int = 0
    kernel: str = ""
    position: int | None = None
    is_block: bool = False
    coinbase: SplitCoinbase | None = None
    recorded: bool = False

    @property
    def key(self) -> tuple[int, bytes, int, int, int]:
        """What tells its header from all others of known jobs: job id, extranonce, version, ntime, nonce."""
        return self.job_id, self.extranonce, self.version, self.ntime, self.nonce


@dataclass(frozen=True, slots=True)
class WrongHit(Event):
    """A worker's kernel reported an invalid hit; `count` is the number of its invalid hits so far."""

    worker: WorkerId
    kernel: str
    count: int


@dataclass(frozen=True, slots=True)
class WorkerStarted(Event):
    """A worker process has started."""

    worker: WorkerId
    pid: int
    kernel: str


@dataclass(frozen=True, slots=True)
class WorkerDied(Event):
    """A worker process exited unexpectedly; it is restarted after `restart_secs`, or (None) stays off."""

    worker: WorkerId
    pid: int
    reason: str
    restart_secs: float | None


@dataclass(frozen=True, slots=True)
class SubmitAnswered(Event):
    """One node's reply to one submission; `raw` is its text."""

    node: str
    hash_le: bytes
    answer: Answer
    raw: str
    attempt: int
    rpc_secs: float


@dataclass(frozen=True, slots=True)
class SubmittingTried(Event):
    """Submission to a node was tested with an invalid block; `problem` is why it failed, or ''."""

    node: str
    problem: str


@dataclass(frozen=True, slots=True)
class BlockSeen(Event):
    """A node's position of one of our blocks: `confirmations` >= 1 active, -1 not in the chain, None unknown.

    `rival_hex` is the hash of the active block at the same height, where there is another one.
    """

    node: str
    hash_le: bytes
    confirmations: int | None
    rival_hex: str = ""


@dataclass(frozen=True, slots=True)
class ProposalAnswered(Event):
    """A node's answer to a proposed block (rule 40)."""

    node: str
    job_id: int
    answer: Answer
    raw: str


@dataclass(frozen=True, slots=True)
class JobSigned(Event):
    """The answer to SignJob: the signet solution, or why there is none in `problem`."""

    node: str
    job_id: int
    solution: bytes = b""
    problem: str = ""


@dataclass(frozen=True, slots=True)
class HashRate(Event):
    """Total hash rate of the engines in hashes per second; sets the share target."""

    hps: float


@dataclass(frozen=True, slots=True)
class Tick(Event):
    """Periodic event for timeouts."""


@dataclass(frozen=True, slots=True)
class PauseWanted(Event):
    """A reason to pause hashing; work resumes when no reason is left."""

    reason: str


@dataclass(frozen=True, slots=True)
class ResumeWanted(Event):
    """A reason for a pause has ended."""

    reason: str


@dataclass(frozen=True, slots=True)
class PolicyChanged(Event):
    """The coordinator's policy was changed."""

    policy: Policy


@dataclass(frozen=True, slots=True)
class BlockSaved(Event):
    """One of our blocks was written to disk with fsync."""

    hash_le: bytes


@dataclass(frozen=True, slots=True)
class BlockRestored(Event):
    """At start: an unsettled block of an earlier run."""

    block: FoundBlock
    state: BlockState


@dataclass(frozen=True, slots=True)
class JobRestored(Event):
    """At start: a job that an earlier run published `age_secs` ago. Miners may still submit shares of it."""

    job_id: int
    template: Template
    age_secs: float
