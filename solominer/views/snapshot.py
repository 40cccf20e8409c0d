"""One consistent look at the running miner, made by the daemon for whoever shows it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class WorkerView:
    """One worker of any engine; `rate_hps` over the last seconds. `pid` is 0 where it is no process of ours.

    A Stratum miner has its user agent as `kernel`; `connections` to `rejected` (shares) are of such miners alone.
    """

    worker: str
    pid: int
    alive: bool
    kernel: str
    rate_hps: float
    hashes_counted: int
    hashes_credited: float
    shares: int
    connections: int = 0
    difficulty: float = 0.0
    best_difficulty: float = 0.0
    rejected: int = 0

    @property
    def is_miner(self) -> bool:
        """Whether it is a Stratum miner."""
        return self.worker.startswith("stratum/")


@dataclass(frozen=True, slots=True)
class NodeView:
    """One node; `note` is its problem in a line, `fork` that it is on another chain than another node; else empty."""

    name: str
    usable: bool
    active: bool
    height: int
    peers: int | None
    zmq: str
    rpc_secs: float
    note: str
    fork: str = ""


@dataclass(frozen=True, slots=True)
class BlockView:
    """One of our blocks."""

    height: int
    hash_hex: str
    state: str
    confirmations: int
    reward_sats: int


@dataclass(frozen=True, slots=True)
class PayoutView:
    """One payee, with its satoshis in the block of the current job (0 without a job)."""

    address: str
    basis_points: int
    sats: int


@dataclass(frozen=True, slots=True)
class ListenerView:
    """A listener of the Stratum server, and whom the blocks of its miners pay: `config`, `miner` or `group`."""

    url: str
    payout: str


@dataclass(frozen=True, slots=True)
class GroupMemberView:
    """A member: his part of the work that counts (0 to 1), and what a block of the current job pays him.

    `carried_sats` he is owed from earlier blocks; below zero he was paid so much for others.
    """

    address: str
    work_share: float
    paid_sats: int
    carried_sats: int


@dataclass(frozen=True, slots=True)
class GroupView:
    """The group: the largest payments first. If nobody has proven work, blocks pay as configured.

    The window of work that counts is as long as `window_blocks` blocks take on average; `window_filled` from 0 to 1.
    Payments are those in a coinbase of at most `coinbase_bytes`, as the fastest miner takes.
    """

    members: tuple[GroupMemberView, ...]
    window_blocks: float
    window_filled: float
    coinbase_bytes: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything at one moment. Times in Unix seconds, rates in hashes per second with a 95 % interval."""

    at: float
    mode: str
    network: str
    simulated: bool
    status: str
    started_at: float
    height: int
    tip_hex: str
    tip_at: float
    transactions: int
    fees_sats: int
    template_at: float
    network_difficulty: float
    share_difficulty: float
    rate_hps: float
    rate_low_hps: float
    rate_high_hps: float
    hashes: int
    shares: int
    accepted_blocks: int
    payout: str
    data_dir: str
    workers: tuple[WorkerView, ...]
    nodes: tuple[NodeView, ...]
    blocks: tuple[BlockView, ...]
    events: tuple[tuple[float, str], ...]
    stratum_urls: tuple[str, ...] = ()
    payouts: tuple[PayoutView, ...] = ()
    listeners: tuple[ListenerView, ...] = ()
    group: GroupView | None = None
