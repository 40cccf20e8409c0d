"""The state of the running miner, as the daemon makes it for the console, `solominer status` and the web page.

As JSON (`status` and `watch` on the control socket, `/api/v1/status` of the web server) it is version 1: fields are
added, never renamed or removed. Times are Unix seconds, amounts satoshis, rates hashes per second.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from typing import Any

import orjson


def is_at_a_node(worker: str) -> bool:
    """Whether a worker of this name is a miner at a cluster's node: `cluster/site2.stratum/rack1.s19`."""
    return worker.startswith("cluster/") and ".stratum/" in worker


@dataclass(frozen=True, slots=True)
class WorkerView:
    """One worker of any engine; `rate_hps` is over the last seconds. `pid` is 0 if it is not one of our processes.

    For a Stratum miner `kernel` is its user agent; only such miners have `connections` to `rejected` (shares), and of
    these only our own server's: what a miner at a cluster's node has of them is not known here.
    `state` is one of starting, idle, hashing, paused, parked, exhausted, lost; miners are idle or hashing. A node of a
    cluster that was told to end has `left`; `gone_at` is since when it has, or is lost (Unix seconds).
    `temperature_c` is that of a graphics card, None if it cannot be read.
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
    state: str = ""
    temperature_c: float | None = None
    gone_at: float | None = None

    @property
    def is_miner(self) -> bool:
        """Whether it is a Stratum miner."""
        return self.worker.startswith("stratum/") or self.is_at_a_node

    @property
    def is_at_a_node(self) -> bool:
        """Whether it is a miner at a cluster's node."""
        return is_at_a_node(self.worker)


@dataclass(frozen=True, slots=True)
class NodeView:
    """One node; `note` is its problem in one line, `fork` describes a fork with another node; both may be ''.

    `ipc` is `off`, `live`, or why templates come by RPC.
    """

    name: str
    usable: bool
    active: bool
    height: int
    peers: int | None
    zmq: str
    rpc_secs: float
    note: str
    fork: str = ""
    ipc: str = "off"


@dataclass(frozen=True, slots=True)
class PoolView:
    """One pool, of mode `pool` or a fallback. `active`: it is mined at; `note` is why it gives no jobs, or ''.

    Of the shares, `unanswered` ones were given up. `latency_secs` is how long the last share waited for its answer.
    `message` is what the pool last said to people.
    """

    url: str
    user: str
    active: bool
    state: str
    note: str
    accepted: int
    rejected: int
    stale: int
    unanswered: int
    difficulty: float
    latency_secs: float
    message: str = ""


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
class AlarmView:
    """An alarm of this run; severity info is a recovery. `todo` is what to do about it, or empty."""

    at: float
    severity: str
    code: str
    message: str
    todo: str


@dataclass(frozen=True, slots=True)
class OutputView:
    """One output of the coinbase. `pays` is its address, or what else it is."""

    sats: int
    script_hex: str
    pays: str


@dataclass(frozen=True, slots=True)
class CoinbaseView:
    """The coinbase of the current job, decoded. Miners with their own payout have other outputs.

    `tag` is the miner's text in the scriptSig; prefix and suffix are the serialization without witness, before and
    after the extranonce of `extranonce_bytes`.
    """

    outputs: tuple[OutputView, ...]
    tag: str
    witness_commitment_hex: str
    prefix_hex: str
    suffix_hex: str
    extranonce_bytes: int


@dataclass(frozen=True, slots=True)
class TemplateView:
    """The block of the current job. `fee_histogram` has (lowest sat/vB of the bin, vbytes), lowest first.

    `provisional` is the empty block that is mined on a new tip until its template arrives.
    """

    height: int
    provisional: bool
    transactions: int
    fees_sats: int
    reward_sats: int
    weight: int
    weight_limit: int
    sigops: int
    fee_histogram: tuple[tuple[float, int], ...]


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
    """Everything at one moment. Times in Unix seconds, rates in hashes per second with a 95 % interval.

    `template` and `coinbase` are those of the current job; None without a job. `pauses` are the reasons why nothing is
    hashed; `intensity` is the part of the power (0 to 1) that the policies allow. `pools` are those of mode `pool`, in
    which `accepted_blocks` are the pool's, or the fallback ones while no node is healthy. `version` is that of this
    structure.
    """

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
    pauses: tuple[str, ...] = ()
    template: TemplateView | None = None
    coinbase: CoinbaseView | None = None
    alarms: tuple[AlarmView, ...] = ()
    listeners: tuple[ListenerView, ...] = ()
    group: GroupView | None = None
    intensity: float = 1.0
    pools: tuple[PoolView, ...] = ()
    version: int = 1

    @property
    def at_a_pool(self) -> bool:
        """Whether this is a run at pools, without nodes."""
        return self.mode == "pool"


def encode(snapshot: Snapshot) -> bytes:
    """The snapshot as JSON. Numbers that are not finite become null."""
    try:
        return orjson.dumps(snapshot)
    except TypeError:  # hashes beyond 64 bits: two days at 100 TH/s
        return json.dumps(_finite(asdict(snapshot)), separators=(",", ":")).encode()


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, tuple | list):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
