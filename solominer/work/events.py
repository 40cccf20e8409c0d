"""What happens: the events into the coordinator. What is to be done then are actions.

Every event carries `at`, its instant by both clocks; the coordinator itself reads no clock. Nodes are known by the
name that the configuration gives them. Hashes are 32 bytes in internal order.
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
    """What a node's reply to submitblock or to a proposal means (rule 44)."""

    ACCEPTED = "accepted"  # null: connected to the active chain at that moment
    HELD = "held"  # inconclusive, duplicate, duplicate-inconclusive: the node has it, the chain decides
    RETRY = "retry"  # time-too-new, prev-blk-not-found, -25, not ready: try again later
    UNKNOWN = "unknown"  # timeout, connection lost, half a reply: nobody knows whether it arrived
    INVALID = "invalid"  # any other string, duplicate-invalid, -22: the block is bad, raise the alarm


@dataclass(frozen=True, slots=True)
class NodeHealth:
    """One look at a node. `problem` is empty where work may come from it, else one line that says why not."""

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
    version: str = ""
    rpc_secs: float = 0.0
    warnings: tuple[str, ...] = ()

    @property
    def usable(self) -> bool:
        """Whether templates of this node may be mined."""
        return self.reachable and not self.problem


@dataclass(frozen=True, slots=True)
class TipFacts:
    """The new tip's header as the node tells it, enough for an empty block on top of it."""

    hash_le: bytes
    height: int
    version: int
    time: int
    median_time: int
    nbits: int


@dataclass(frozen=True, slots=True)
class NewTip:
    """A node has a new best block; `source` is zmq, poll, longpoll or health."""

    at: Instant
    node: str
    hash_le: bytes
    source: str


@dataclass(frozen=True, slots=True)
class TipHeader:
    """The answer to FetchTipHeader."""

    at: Instant
    node: str
    tip: TipFacts


@dataclass(frozen=True, slots=True)
class TemplateReady:
    """A validated template; `rpc_secs` and `parse_secs` are what it took."""

    at: Instant
    node: str
    template: Template
    rpc_secs: float = 0.0
    parse_secs: float = 0.0


@dataclass(frozen=True, slots=True)
class TemplateFailed:
    """No template: the node's error in one line. `refused` where it came but broke a rule."""

    at: Instant
    node: str
    reason: str
    refused: bool = False


@dataclass(frozen=True, slots=True)
class TransactionsChecked:
    """The slow half of validation is through; `problem` is empty or says which transaction lies."""

    at: Instant
    node: str
    template_id: str
    problem: str = ""


@dataclass(frozen=True, slots=True)
class HealthSeen:
    """A new look at a node."""

    at: Instant
    health: NodeHealth


@dataclass(frozen=True, slots=True)
class NodesCompared:
    """The answer to CompareNodes: fresh looks at both, and the last height at which their chains are one."""

    at: Instant
    one: NodeHealth
    other: NodeHealth
    common_height: int


@dataclass(frozen=True, slots=True)
class ShareFound:
    """A header whose hash an engine believes to meet its share target. It is hashed again before it is believed.

    `extranonce` is both halves, 12 bytes. `share_target` is what this worker was asked to meet (0: the job's own).
    `kernel` is what found it; `position` counts the chunks of this extranonce that the search plan visits before the
    one of the hit (None: no plan). `is_block`: the engine saw the network target met, so this is never dropped.
    `coinbase` replaces the job's, where the engine makes coinbases of its own.
    """

    at: Instant
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


@dataclass(frozen=True, slots=True)
class WrongHit:
    """A worker's kernel reported a hit that is none when hashed again; `count` such hits so far from this worker."""

    at: Instant
    worker: WorkerId
    kernel: str
    count: int


@dataclass(frozen=True, slots=True)
class WorkerStarted:
    """A worker process hashes (or is about to)."""

    at: Instant
    worker: WorkerId
    pid: int
    kernel: str


@dataclass(frozen=True, slots=True)
class WorkerDied:
    """A worker process ended though nobody asked it to; it comes back after `restart_secs`."""

    at: Instant
    worker: WorkerId
    pid: int
    reason: str
    restart_secs: float


@dataclass(frozen=True, slots=True)
class SubmitAnswered:
    """One node's reply to one submission; `raw` is its own words."""

    at: Instant
    node: str
    hash_le: bytes
    answer: Answer
    raw: str
    attempt: int
    rpc_secs: float


@dataclass(frozen=True, slots=True)
class SubmittingTried:
    """A node was sent what is no block; `problem` is what was wrong with that, or ''."""

    at: Instant
    node: str
    problem: str


@dataclass(frozen=True, slots=True)
class BlockSeen:
    """Where a node has one of our blocks: `confirmations` >= 1 active, -1 off the chain, None unknown to it.

    `rival_hex` is the hash of the active block at the same height, where there is another one.
    """

    at: Instant
    node: str
    hash_le: bytes
    confirmations: int | None
    rival_hex: str = ""


@dataclass(frozen=True, slots=True)
class ProposalAnswered:
    """A node's answer about an unsolved block of ours (rule 40)."""

    at: Instant
    node: str
    job_id: int
    answer: Answer
    raw: str


@dataclass(frozen=True, slots=True)
class JobSigned:
    """The answer to SignJob: the signet solution, or in `problem` why there is none."""

    at: Instant
    node: str
    job_id: int
    solution: bytes = b""
    problem: str = ""


@dataclass(frozen=True, slots=True)
class HashRate:
    """What the engines do together, hashes per second; sets how hard shares are."""

    at: Instant
    hps: float


@dataclass(frozen=True, slots=True)
class Tick:
    """Time passes."""

    at: Instant


@dataclass(frozen=True, slots=True)
class PauseWanted:
    """Somebody or something wants hashing to stop; reasons add up, work goes on when the last one is gone."""

    at: Instant
    reason: str


@dataclass(frozen=True, slots=True)
class ResumeWanted:
    """One reason for a pause is gone."""

    at: Instant
    reason: str


@dataclass(frozen=True, slots=True)
class PolicyChanged:
    """The coordinator behaves by this policy from now on."""

    at: Instant
    policy: Policy


@dataclass(frozen=True, slots=True)
class BlockSaved:
    """A block of ours is on disk, fsynced."""

    at: Instant
    hash_le: bytes


@dataclass(frozen=True, slots=True)
class BlockRestored:
    """At start: a block of an earlier run that was not settled yet."""

    at: Instant
    block: FoundBlock
    state: BlockState


Event = (
    NewTip
    | TipHeader
    | TemplateReady
    | TemplateFailed
    | TransactionsChecked
    | HealthSeen
    | NodesCompared
    | ShareFound
    | WrongHit
    | WorkerStarted
    | WorkerDied
    | SubmitAnswered
    | SubmittingTried
    | BlockSeen
    | ProposalAnswered
    | JobSigned
    | HashRate
    | Tick
    | PauseWanted
    | ResumeWanted
    | PolicyChanged
    | BlockSaved
    | BlockRestored
)
