"""A fake Engine and a fake Node (see `solominer.work.ports`): everything in memory, as a test asks, without a wait.

`FakeChain` is the chain that several `FakeNode`s may share; `FakeEngine` hashes with hashlib, on regtest's targets.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from hashlib import sha256

from solominer.chain.hashes import hash_to_int, sha256d, to_rpc_hex
from solominer.chain.header import Header
from solominer.chain.networks import REGTEST, Network
from solominer.chain.target import expected_hashes
from solominer.config.models import Config
from solominer.errors import EngineError, NodeError, NodeUnreachable
from solominer.work.blocks import TrackedBlock
from solominer.work.events import (
    Answer,
    HealthSeen,
    NewTip,
    NodeHealth,
    ShareFound,
    TemplateReady,
    TipFacts,
    TransactionsChecked,
    WorkerDied,
    WorkerStarted,
)
from solominer.work.found import BlockState
from solominer.work.instant import Clock, Instant
from solominer.work.job import Job
from solominer.work.payout import Payout
from solominer.work.ports import BlockPosition, DifficultyForecast, Node, Post, SubmitReply
from solominer.work.template import Template, empty_template
from solominer.work.workers import EngineSnapshot, ExtranonceRange, WorkerId, WorkerSnapshot

ANY_HASH = (1 << 256) - 1
"""A share target that every hash meets."""

REGTEST_BITS = 0x207FFFFF
PAYOUT = Payout(b"\x00\x14" + bytes(range(20)), "bcrt1-fake")


def real_clock() -> Instant:
    """Both clocks of this machine."""
    return Instant(time.time(), time.monotonic())


class FakeEngine:
    """Finds what `find` asks for; with `auto`, so many shares of every job, each by the next worker, in `run`.

    `share_target` is its own (0: the job's). With `credited` its hashes are those that its shares prove, else those it
    did. Methods named in `raises` raise EngineError, those in `hangs` never return (async ones) or do nothing.
    """

    def __init__(
        self,
        name: str = "fake",
        *,
        workers: int = 1,
        share_target: int = ANY_HASH,
        credited: bool = False,
        auto: int = 0,
        clock: Clock = real_clock,
    ) -> None:
        self.name = name
        self.share_target, self.credited, self.auto = share_target, credited, auto
        self.raises: set[str] = set()
        self.hangs: set[str] = set()
        self.calls: list[str] = []
        self.jobs: list[tuple[Job, bool]] = []
        self.job: Job | None = None
        self.intensity = 1.0
        self.found: list[ShareFound] = []
        self.saved: list[bytes] = []
        self.judged: list[ShareFound] = []
        self.space = ExtranonceRange(0, 1)
        self._post: Post = lambda event: None
        self._clock = clock
        self._workers = [WorkerId(name, str(index)) for index in range(workers)]
        self._counted = dict.fromkeys(self._workers, 0)
        self._credited = dict.fromkeys(self._workers, 0.0)
        self._shares = dict.fromkeys(self._workers, 0)
        self._nonces: dict[tuple[int, WorkerId], int] = {}
        self._given = asyncio.Event()

    # --- the port ------------------------------------------------------------------------------------------------

    async def start(self, post: Post, space: ExtranonceRange) -> None:
        """Tell of all workers."""
        await self._misbehave("start")
        self._post, self.space = post, space
        for worker in self._workers:
            post(WorkerStarted(self._clock(), worker, 0, "hashlib"))

    def publish(self, job: Job, *, clean: bool) -> None:
        """Take the job."""
        if self._called("publish"):
            self.job = job
            self.jobs.append((job, clean))
            self._given.set()

    def stop_work(self) -> None:
        """Drop the job."""
        if self._called("stop_work"):
            self.job = None

    def block_saved(self, hash_le: bytes) -> None:
        """Remember it."""
        if self._called("block_saved"):
            self.saved.append(hash_le)

    def share_judged(self, share: ShareFound) -> None:
        """Remember it."""
        if self._called("share_judged"):
            self.judged.append(share)

    def set_intensity(self, share: float) -> None:
        """Remember it."""
        if self._called("set_intensity"):
            self.intensity = share

    def snapshot(self) -> EngineSnapshot:
        """What every worker has done."""
        self._called("snapshot")
        return EngineSnapshot(self.name, tuple(map(self._snapshot, self._workers)), len(self._workers))

    async def run(self) -> None:
        """Find `auto` shares of each job, for good."""
        await self._misbehave("run")
        while True:
            await self._given.wait()
            self._given.clear()
            for index in range(self.auto):
                if self.job is not None:
                    self.find(worker=index % len(self._workers))

    async def stop(self, timeout_secs: float) -> None:
        """End."""
        await self._misbehave("stop")
        self.job = None

    # --- on demand -----------------------------------------------------------------------------------------------

    def find(
        self, *, worker: int = 0, block: bool | None = None, job: Job | None = None, share_target: int | None = None
    ) -> ShareFound:
        """Search until a share is met (one that is a block, or that is none), and post it. Raises if it has no job."""
        searched = job or self.job
        assert searched is not None, f"engine {self.name} has no job"
        target = self.share_target if share_target is None else share_target
        who = self._workers[worker]
        where = searched.extranonce(self.space.nth(worker % self.space.count), worker)
        nonce = self._nonces.get((searched.job_id, who), 0)
        while True:
            header = searched.header(where, searched.space.version, searched.space.ntime_min, nonce)
            value, nonce = hash_to_int(header.hash_le()), nonce + 1
            self._counted[who] += 1
            is_block = value <= searched.template.target
            if value <= (target or searched.share_target) and block in (None, is_block):
                break
        self._nonces[searched.job_id, who] = nonce
        self._shares[who] += 1
        self._credited[who] += expected_hashes(target or searched.share_target)
        share = ShareFound(
            self._clock(),
            who,
            searched.job_id,
            where,
            searched.space.version,
            searched.space.ntime_min,
            nonce - 1,
            share_target=target,
            kernel="hashlib",
            is_block=is_block,
        )
        return self.post_share(share)

    def lie(self, *, worker: int = 0, job: Job | None = None) -> ShareFound:
        """Post a header as a block whose hash does not meet the network target."""
        honest = self.find(worker=worker, block=False, job=job, share_target=ANY_HASH)
        return self.post_share(replace(honest, share_target=1, is_block=True))

    def post_share(self, share: ShareFound) -> ShareFound:
        """Post any share."""
        self.found.append(share)
        self._post(share)
        return share

    def lose(self, worker: int = 0) -> None:
        """Tell that a worker died."""
        self._post(WorkerDied(self._clock(), self._workers[worker], 0, "asked to by a test", 1.0))

    # --- inside --------------------------------------------------------------------------------------------------

    def _called(self, what: str) -> bool:
        self.calls.append(what)
        if what in self.raises:
            raise EngineError(f"the fake engine was asked to raise in {what}", "nothing")
        return what not in self.hangs

    async def _misbehave(self, what: str) -> None:
        if not self._called(what):
            await asyncio.Event().wait()

    def _snapshot(self, worker: WorkerId) -> WorkerSnapshot:
        return WorkerSnapshot(
            worker,
            "idle" if self.job is None else "hashing",
            hashes_counted=0 if self.credited else self._counted[worker],
            hashes_credited=self._credited[worker] if self.credited else 0.0,
            share_target=self.share_target,
            shares=self._shares[worker],
            kernel="hashlib",
        )


@dataclass(frozen=True, slots=True)
class FakeBlock:
    """A block of a FakeChain."""

    hash_le: bytes
    parent_le: bytes
    height: int
    time: int


class FakeChain:
    """Blocks above a made-up one at `height`; the highest is the tip, the first of equals. Nodes may share one."""

    def __init__(self, height: int = 260, *, nbits: int = REGTEST_BITS, network: Network = REGTEST) -> None:
        self.network, self.nbits = network, nbits
        root = FakeBlock(sha256(b"root").digest(), bytes(32), height, int(time.time()) - 600)
        self.blocks = {root.hash_le: root}
        self.tip = root
        self.submitted: list[str] = []
        self._made = 0

    def add(self, block: FakeBlock) -> bool:
        """A new block; whether it is the tip now."""
        self.blocks[block.hash_le] = block
        if block.height > self.tip.height:
            self.tip = block
        return self.tip is block

    def mine(self, parent_le: bytes | None = None) -> FakeBlock:
        """Somebody else's block, on the tip or on another block (a fork; two of them reorganize)."""
        parent = self.blocks[parent_le or self.tip.hash_le]
        self._made += 1
        digest = sha256(b"theirs %d" % self._made).digest()
        block = FakeBlock(digest, parent.hash_le, parent.height + 1, int(time.time()))
        self.add(block)
        return block

    def active_at(self, height: int) -> FakeBlock | None:
        """The active block at a height, as far down as the chain is known."""
        block: FakeBlock | None = self.tip
        while block is not None and block.height > height:
            block = self.blocks.get(block.parent_le)
        return block if block is not None and block.height == height else None

    def template(self) -> Template:
        """A template without transactions on the tip."""
        now = int(time.time())
        template = empty_template(
            self.network,
            height=self.tip.height + 1,
            prevhash_le=self.tip.hash_le,
            version=0x20000000,
            version_mask=0x1FFFE000,
            nbits=self.nbits,
            curtime=max(now, self.tip.time + 1),
            mintime=self.tip.time + 1,
        )
        return replace(template, provisional=False)


class FakeNode:
    """A node on a FakeChain. `answers` and `positions` come before what the chain itself would say; while `down` is
    set every question fails with it. It signs nothing."""

    def __init__(
        self,
        name: str,
        post: Post,
        chain: FakeChain | None = None,
        *,
        payout: Payout = PAYOUT,
        clock: Clock = real_clock,
    ) -> None:
        self.name = name
        self.chain = chain or FakeChain()
        self.network = self.chain.network
        self.answers: deque[SubmitReply | NodeError] = deque()
        self.positions: deque[BlockPosition | NodeError] = deque()
        self.down: NodeError | None = None
        self.signs = False
        self.forecast: DifficultyForecast | None = None
        self.closed = False
        self.submitted: list[str] = []
        self.proposed: list[str] = []
        self._post, self._payout, self._clock = post, payout, clock

    async def run(self) -> None:
        """Tell of its health once; `new_tip` tells of a tip."""
        self.tell_health()
        await asyncio.Event().wait()

    def tell_health(self) -> None:
        """Post its health."""
        self._post(HealthSeen(self._clock(), self._health()))

    def new_tip(self) -> FakeBlock:
        """Post its chain's tip."""
        tip = self.chain.tip
        self._post(NewTip(self._clock(), self.name, tip.hash_le, "zmq"))
        return tip

    def mine(self, parent_le: bytes | None = None) -> FakeBlock:
        """Somebody else's block comes in; gives the tip."""
        self.chain.mine(parent_le)
        return self.new_tip()

    async def close(self) -> None:
        """Remember it."""
        self.closed = True

    def may_recover(self, error: NodeError) -> bool:
        """Always."""
        return True

    async def payout(self, address: str) -> Payout:
        """The one it was made with."""
        self._ask()
        return self._payout

    async def must_sign(self) -> bool:
        """As `signs` says."""
        return self.signs

    async def fetch_template(self, reason: str) -> None:
        """Post one on the tip, or its failure."""
        if self.down is None:
            self._post(TemplateReady(self._clock(), self.name, self.chain.template()))

    async def check_transactions(self, template: Template) -> None:
        """All is well."""
        self._post(TransactionsChecked(self._clock(), self.name, template.template_id))

    async def look(self) -> NodeHealth:
        """Its health."""
        return self._health()

    async def submit(self, block_hex: str) -> SubmitReply:
        """The next answer of `answers`, else what a node would say."""
        self.submitted.append(block_hex)
        if self.down is not None:
            return SubmitReply(Answer.UNKNOWN, str(self.down), 0.0)
        if self.answers:
            answer = self.answers.popleft()
            return SubmitReply(Answer.UNKNOWN, str(answer), 0.0) if isinstance(answer, NodeError) else answer
        raw = bytes.fromhex(block_hex[:160])
        header, hash_le = Header.unpack(raw), sha256d(raw)
        parent = self.chain.blocks.get(header.prevhash_le)
        if hash_to_int(hash_le) > self.chain.template().target:
            return SubmitReply(Answer.INVALID, "high-hash", 0.001)
        if parent is None:
            return SubmitReply(Answer.RETRY, "prev-blk-not-found", 0.001)
        if hash_le in self.chain.blocks:
            return SubmitReply(Answer.HELD, "duplicate", 0.001)
        if not self.chain.add(FakeBlock(hash_le, parent.hash_le, parent.height + 1, header.ntime)):
            return SubmitReply(Answer.HELD, "inconclusive", 0.001)
        self.new_tip()
        return SubmitReply(Answer.ACCEPTED, "", 0.001)

    async def propose(self, block_hex: str) -> SubmitReply:
        """It would take it."""
        self.proposed.append(block_hex)
        return SubmitReply(Answer.ACCEPTED, "", 0.001)

    async def where_is(self, hash_le: bytes, height: int) -> BlockPosition:
        """The next of `positions`, else where the chain has it."""
        self._ask()
        if self.positions:
            position = self.positions.popleft()
            if isinstance(position, NodeError):
                raise position
            return position
        active = self.chain.active_at(height)
        if active is not None and active.hash_le == hash_le:
            return BlockPosition(self.chain.tip.height - height + 1, "")
        rival = to_rpc_hex(active.hash_le) if active is not None else ""
        return BlockPosition(-1 if hash_le in self.chain.blocks else None, rival)

    async def hash_at(self, height: int) -> bytes:
        """Of the active block."""
        self._ask()
        block = self.chain.active_at(height)
        if block is None:
            raise NodeUnreachable(f"the fake chain has no block {height}")
        return block.hash_le

    async def tip_facts(self, hash_le: bytes) -> TipFacts:
        """Of any block of its chain."""
        self._ask()
        block = self.chain.blocks[hash_le]
        return TipFacts(hash_le, block.height, 0x20000000, block.time, block.time - 1, self.chain.nbits)

    async def forecast_difficulty(self) -> DifficultyForecast | None:
        """As `forecast` says."""
        self._ask()
        return self.forecast

    async def sign(self, data: bytes) -> bytes:
        """It has no wallet."""
        raise NodeUnreachable("the fake node has no wallet")

    def _ask(self) -> None:
        if self.down is not None:
            raise self.down

    def _health(self) -> NodeHealth:
        tip = self.chain.tip
        if self.down is not None:
            return NodeHealth(self.name, reachable=False, problem=str(self.down))
        return NodeHealth(
            self.name,
            reachable=True,
            height=tip.height,
            headers=tip.height,
            best_hash_le=tip.hash_le,
            chainwork=tip.height,
            tip_time=tip.time,
            median_time=tip.time - 1,
            peers=1,
            zmq="live",
            version="fake",
        )


class FakeNodes:
    """The `nodes` that a Run under test uses: FakeNodes of these names on one chain, kept in `nodes` once made."""

    def __init__(self, names: Sequence[str] = ("a",), chain: FakeChain | None = None) -> None:
        self.chain = chain or FakeChain()
        self.nodes: dict[str, FakeNode] = {}
        self._names = names

    async def __call__(self, config: Config, post: Post, stack: AsyncExitStack) -> dict[str, Node]:
        """Make them, as `solominer.daemon.nodes.nodes_of` does."""
        self.nodes = {name: FakeNode(name, post, self.chain) for name in self._names}
        return dict(self.nodes)


def block_engines(blocks: Sequence[TrackedBlock]) -> set[str]:
    """Which engines found blocks that a node has accepted."""
    accepted = (BlockState.ACCEPTED, BlockState.CONFIRMED, BlockState.MATURE)
    return {each.block.worker.engine for each in blocks if each.state in accepted}
