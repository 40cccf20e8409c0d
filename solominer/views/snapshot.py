"""A consistent snapshot of the running miner, taken by the daemon for the views."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class WorkerView:
    """One worker of any engine; `rate_hps` is over the last seconds. `pid` is 0 if it is not one of our processes.

    For a Stratum miner `kernel` is its user agent; only such miners have `connections` to `rejected` (shares).
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
    """One node; `note` is its problem in one line, `fork` describes a fork with another node; both may be ''."""

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
