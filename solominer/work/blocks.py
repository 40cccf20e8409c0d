"""Tracks our blocks from the hit until they have 100 confirmations or are replaced (rules 41 to 47). Pure.

The chain decides, not a single answer: `null` is not durable (rule S2) and `duplicate` is not success (rule S3). So a
block is submitted to every node, again while its state is unknown, and looked up until it is mature.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from solominer.errors import printable
from solominer.work.actions import (
    Action,
    LocateBlock,
    ProposeBlock,
    Record,
    SaveBlock,
    SaveState,
    SendBlock,
)
from solominer.work.block_alarms import INVALID_PARENT, INVALID_PARENT_SECS, not_taken, parent_invalid, rejected
from solominer.work.events import Answer, BlockSeen, SubmitAnswered
from solominer.work.found import BlockState, FoundBlock
from solominer.work.instant import Instant
from solominer.work.policy import RetryPolicy

MATURE_DEPTH = 100
SPARE_SECS = 5.0
"""How long a block may remain unaccepted before another of our blocks on the same parent is submitted too."""

UNSEEN_SECS = 5.0
"""Interval of lookups on a node that has never reported the block."""

REFUSED_SECS, UNANSWERED_SECS = 1.0, 3.0
"""Delay of the alarm for a block that is in no node's chain: after a bad answer, without an answer."""

FIRST_ALARM_SECS, LONGEST_ALARM_SECS = 2.0, 60.0
"""First and longest interval between repetitions of that alarm; while the parent is invalid that of retries."""

OPEN = frozenset({BlockState.FOUND, BlockState.SENT, BlockState.ACCEPTED, BlockState.CONFIRMED, BlockState.STALE})

_SENT = "sent to every node"
_TIP_MOVED = "inconclusive-not-best-prevblk"


@dataclass(slots=True)
class _AtNode:
    """State of one block on one node. `send_at` is None if it need not be sent."""

    attempts: int = 0
    send_at: Instant | None = None
    in_flight: bool = False
    answer: Answer | None = None
    raw: str = ""
    confirmations: int | None = None
    look_at: Instant | None = None

    @property
    def holds_parent_invalid(self) -> bool:
        """Whether it says so."""
        return self.answer is Answer.RETRY and self.raw.startswith(INVALID_PARENT)


@dataclass(slots=True)
class TrackedBlock:
    """A block and its state. `confirmations` is the maximum reported by any node.

    `spares` are our later blocks on the same parent, kept in case this one fails. `earlier`: found by an earlier run.
    `on_disk`: the journal has it. `alarm_at`: time of the next alarm while no node has it in its chain.
    `told_parent`: it was told that a node holds its parent invalid.
    """

    block: FoundBlock
    state: BlockState
    state_at: Instant
    confirmations: int = 0
    staged: bool = False
    earlier: bool = False
    on_disk: bool = False
    alarm_at: Instant | None = None
    alarms: int = 0
    told_parent: bool = False
    nodes: dict[str, _AtNode] = field(default_factory=dict)
    spares: list[FoundBlock] = field(default_factory=list)

    @property
    def is_new(self) -> bool:
        """Whether no node has reported it in its active chain yet."""
        return self.state in (BlockState.FOUND, BlockState.SENT)

    def confirmations_at(self, tip_height: int) -> int:
        """Its confirmations at this tip height, counted from the tip because lookups are up to a minute old.

        0 if it is not known to be in the active chain; a block of an earlier run counts once it was looked up.
        """
        if self.staged or self.state not in (BlockState.ACCEPTED, BlockState.CONFIRMED, BlockState.MATURE):
            return 0
        if self.earlier and not self.confirmations:
            return 0
        return max(self.confirmations, tip_height - self.block.height + 1)


class BlockTracker:
    """Tracks all our blocks that are not settled: handles answers, returns actions."""

    def __init__(self, nodes: Sequence[str], policy: RetryPolicy, *, staging: bool = False) -> None:
        self._names = tuple(nodes)
        self._policy = policy
        self._staging = staging
        self.open: dict[bytes, TrackedBlock] = {}
        self._accepted: set[bytes] = set()
        self._known: set[bytes] = set()
        self._beaten_nodes: frozenset[str] = frozenset()
        self._found_count = 0
        self._refused_count = 0
        self.settled: list[TrackedBlock] = []

    def __contains__(self, hash_le: object) -> bool:
        return hash_le in self._known

    @property
    def accepted_count(self) -> int:
        """Number of blocks that a node added to its active chain in this run and that are not stale."""
        return len(self._accepted)

    @property
    def standing(self) -> int:
        """Number of blocks found in this run that are neither rejected nor stale."""
        stale = sum(tracked.state is BlockState.STALE and not tracked.earlier for tracked in self.open.values())
        return self._found_count - self._refused_count - stale

    @property
    def untaken(self) -> list[TrackedBlock]:
        """Blocks of this run that no node has reported in its active chain yet."""
        return [each for each in self.open.values() if each.is_new and not each.earlier and not each.staged]

    def sibling_of(self, block: FoundBlock, at: Instant) -> TrackedBlock | None:
        """An earlier block of ours on the same parent that was accepted, or was just submitted."""
        rivals = (tracked for tracked in self.open.values() if tracked.block.prevhash_le == block.prevhash_le)
        standing = (rival for rival in rivals if rival.state is not BlockState.STALE)
        return next((each for each in standing if not each.is_new or at - each.state_at < SPARE_SECS), None)

    def found(self, block: FoundBlock, at: Instant) -> list[Action]:
        """A new block: save it and submit it to every node at the same time."""
        sends = self._track(block, at)
        return [*sends, *self._keep(block), *self._move(self.open[block.hash_le], BlockState.SENT, at, _SENT)]

    def superseded(self, block: FoundBlock, elder: TrackedBlock, at: Instant) -> list[Action]:
        """A new block on the same parent as `elder`, with which it would compete: sent only if that one fails."""
        elder.spares.append(block)
        spare = TrackedBlock(block, BlockState.SUPERSEDED, at)
        return [*self._keep(block), *_state_actions(spare, f"superseded by {elder.block.hash_hex}")]

    def restore(self, block: FoundBlock, state: BlockState, at: Instant) -> list[Action]:
        """A block from the journal at start: looked up, and sent again to nodes that do not have it (S2).

        Ignored in staging, where blocks are never submitted.
        """
        if state not in OPEN or block.hash_le in self.open or self._staging:
            return []
        tracked = TrackedBlock(replace(block, block_hex=""), state, at, earlier=True, on_disk=True)
        tracked.nodes = {name: _AtNode(look_at=at) for name in self._names}
        self.open[block.hash_le] = tracked
        self._known.add(block.hash_le)
        fields = {"height": block.height, "hash": block.hash_hex, "state": state.value}
        return [Record("block_replayed", fields)]

    def answered(self, event: SubmitAnswered) -> list[Action]:
        """One node's reply to one submission."""
        tracked = self.open.get(event.hash_le)
        fields = {
            "hash": event.hash_le[::-1].hex(),
            "node": event.node,
            "answer": event.answer.value,
            "raw": event.raw,
            "attempt": event.attempt,
            "rpc_secs": round(event.rpc_secs, 6),
        }
        actions: list[Action] = [Record("block_answer", fields)]
        if tracked is None or event.node not in tracked.nodes:
            return actions
        there = tracked.nodes[event.node]
        there.in_flight = False
        there.answer, there.raw = event.answer, event.raw
        if tracked.staged:
            return [*actions, *self._staged_answer(tracked, event)]
        if event.answer in (Answer.ACCEPTED, Answer.HELD):
            there.send_at = None
            there.look_at = event.at if event.answer is Answer.HELD else event.at + self._policy.first_secs
            if event.answer is Answer.ACCEPTED and tracked.is_new and event.node not in self._beaten_nodes:
                actions += self._move(tracked, BlockState.ACCEPTED, event.at, f"accepted by {event.node}")
            actions += self._send_children(tracked, event)
        elif event.answer is Answer.INVALID:
            there.send_at = None
            there.look_at = event.at + self._policy.look_secs
            actions += self._refused(tracked, event)
        else:
            there.send_at = event.at + self._backoff(there)
            there.look_at = event.at
            if there.holds_parent_invalid and not tracked.told_parent:
                tracked.told_parent = True
                actions.append(parent_invalid(tracked.block, event.node))
        return actions

    def seen(self, event: BlockSeen) -> list[Action]:
        """A node's position of the block: if unknown, it is sent again; if mature, it is settled."""
        tracked = self.open.get(event.hash_le)
        if tracked is None or event.node not in tracked.nodes or tracked.staged:
            return []
        there = tracked.nodes[event.node]
        had_it = (there.confirmations or 0) >= 1 or there.answer in (None, Answer.ACCEPTED)
        there.confirmations = event.confirmations
        there.look_at = event.at + self._policy.look_secs
        if event.confirmations is None:
            if there.answer is Answer.INVALID or there.send_at is not None or there.in_flight:
                return []
            there.send_at = event.at
            unknown = Record("block_unknown_to_node", {"hash": tracked.block.hash_hex, "node": event.node})
            return [unknown, *self._lost(tracked, event.at, f"{event.node} does not know it; sent again")]
        there.send_at = None
        if event.confirmations >= 1:
            if event.node in self._beaten_nodes:
                return self._beaten_with(tracked, event.at)
            return self._confirmed(tracked, event)
        if not event.rival_hex:  # invalidateblock
            return self._lost(tracked, event.at, f"{event.node} took it out of its chain") if had_it else []
        if self._is_active(tracked) or tracked.state is BlockState.STALE:
            return []
        return self._move(tracked, BlockState.STALE, event.at, f"replaced by {event.rival_hex} on {event.node}")

    def tick(self, at: Instant, tip_height: int) -> list[Action]:
        """Actions that are due: resubmissions, lookups, alarms, and settled blocks."""
        actions: list[Action] = []
        looks = self._policy.looks_per_tick
        for tracked in list(self.open.values()):
            actions += self._send_due(tracked, at)
            actions += self._untaken(tracked, at)
            if tracked.spares and tracked.is_new and at - tracked.state_at >= SPARE_SECS:
                actions += self._send_spares(tracked, at)
            for name, there in tracked.nodes.items():
                if looks and there.look_at is not None and there.look_at <= at:
                    looks -= 1
                    # A lookup may remain unanswered: repeat it sooner if nothing is known yet.
                    wait_secs = self._policy.look_secs
                    there.look_at = at + (min(UNSEEN_SECS, wait_secs) if there.confirmations is None else wait_secs)
                    actions.append(LocateBlock(name, tracked.block.hash_le, tracked.block.height))
            gone = tracked.state is BlockState.STALE and not any(
                (n.confirmations or 0) > 0 for n in tracked.nodes.values()
            )
            if gone and tip_height >= tracked.block.height + MATURE_DEPTH:
                actions += _state_actions(tracked, f"its replacement has {MATURE_DEPTH} confirmations", final=True)
                self._settle(tracked)
        return actions

    def look_now(self, at: Instant, node: str | None = None) -> None:
        """At the next tick, look up every block and retry what is to be retried, on one node or all.

        For a reorganization or a node's return: retries must not wait out their delay then.
        """
        for tracked in self.open.values():
            for there in (there for name, there in tracked.nodes.items() if node in (None, name)):
                there.look_at = at if there.look_at is not None else None
                there.send_at = min(there.send_at, at) if there.send_at is not None else None

    def nodes_beaten(self, beaten_nodes: frozenset[str], at: Instant) -> list[Action]:
        """Set the nodes on a chain with less work: blocks that only they have in their active chain are stale."""
        if beaten_nodes == self._beaten_nodes:
            return []
        self._beaten_nodes = beaten_nodes
        self.look_now(at)
        return [action for tracked in list(self.open.values()) for action in self._beaten_with(tracked, at)]

    def saved(self, hash_le: bytes) -> list[Action]:
        """The block is on disk: its hex is dropped from memory once a node has it."""
        tracked = self.open.get(hash_le)
        if tracked is not None:
            tracked.on_disk = True
            self._drop_hex(tracked)
        return []

    # --- internals -----------------------------------------------------------------------------------------------

    @staticmethod
    def _drop_hex(tracked: TrackedBlock) -> None:
        if tracked.on_disk and not tracked.is_new and not tracked.staged:
            tracked.block = replace(tracked.block, block_hex="")

    def _track(self, block: FoundBlock, at: Instant) -> list[Action]:
        tracked = TrackedBlock(block, BlockState.FOUND, at, staged=self._staging)
        tracked.nodes = {name: _AtNode(send_at=at) for name in self._names}
        self._found_count += 1
        self.open[block.hash_le] = tracked
        return self._send_due(tracked, at)

    def _keep(self, block: FoundBlock) -> list[Action]:
        self._known.add(block.hash_le)
        fields = {
            "height": block.height,
            "hash": block.hash_hex,
            "worker": str(block.worker),
            "reward_sats": block.reward_sats,
            "staged": self._staging,
        }
        return [SaveBlock(block), Record("block_found", fields)]

    def _send_spares(self, elder: TrackedBlock, at: Instant) -> list[Action]:
        spares, elder.spares = elder.spares, []
        actions: list[Action] = []
        for spare in spares:
            actions += self._track(spare, at)
            detail = f"{_SENT}, since {elder.block.hash_hex} was not accepted"
            actions += self._move(self.open[spare.hash_le], BlockState.SENT, at, detail)
        return actions

    def _is_active(self, tracked: TrackedBlock) -> bool:
        """Whether a node that is not beaten has it in its active chain."""
        return any((it.confirmations or 0) >= 1 for n, it in tracked.nodes.items() if n not in self._beaten_nodes)

    def _beaten_with(self, tracked: TrackedBlock, at: Instant) -> list[Action]:
        """Mark it stale if only beaten nodes have it in their active chain."""
        having = [n for n, it in tracked.nodes.items() if n in self._beaten_nodes and (it.confirmations or 0) >= 1]
        if not having or tracked.state is BlockState.STALE or self._is_active(tracked):
            return []
        tracked.confirmations = 0
        detail = f"only in the chain of {', '.join(having)}, which has less work than another node's"
        return self._move(tracked, BlockState.STALE, at, detail)

    def _lost(self, tracked: TrackedBlock, at: Instant, detail: str) -> list[Action]:
        """A node no longer has the block (rule S2): unless another has it, its state is `sent` again."""
        if self._is_active(tracked) or tracked.is_new or tracked.state is BlockState.STALE:
            return []
        return self._move(tracked, BlockState.SENT, at, detail)

    def _send_due(self, tracked: TrackedBlock, at: Instant) -> list[Action]:
        actions: list[Action] = []
        for name, there in tracked.nodes.items():
            if there.send_at is None or there.send_at > at or there.in_flight:
                continue
            there.attempts += 1
            there.in_flight = True
            if tracked.staged:
                actions.append(ProposeBlock(name, tracked.block))
            else:
                actions.append(SendBlock(name, tracked.block, there.attempts))
        return actions

    def _send_children(self, parent: TrackedBlock, event: SubmitAnswered) -> list[Action]:
        """Send what the node could not take without this block: it has lost more of the chain than the tip."""
        actions: list[Action] = []
        for tracked in self.open.values():
            if tracked.block.prevhash_le == parent.block.hash_le and (there := tracked.nodes.get(event.node)):
                there.send_at = None if there.send_at is None else event.at
                actions += self._send_due(tracked, event.at)
        return actions

    @staticmethod
    def _untaken(tracked: TrackedBlock, at: Instant) -> list[Action]:
        """An alarm, repeated while no node has the block in its chain, for any reason."""
        if not tracked.is_new or tracked.staged:
            tracked.alarm_at, tracked.alarms = None, 0
            return []
        refused = any(there.answer in (Answer.RETRY, Answer.UNKNOWN) for there in tracked.nodes.values())
        first_at = tracked.state_at + (REFUSED_SECS if refused else UNANSWERED_SECS)
        if at < (first_at if tracked.alarm_at is None else tracked.alarm_at):
            return []
        known = all(there.holds_parent_invalid for there in tracked.nodes.values())
        longest = INVALID_PARENT_SECS if known else LONGEST_ALARM_SECS
        tracked.alarm_at = at + min(FIRST_ALARM_SECS * float(1 << min(tracked.alarms, 10)), longest)
        tracked.alarms += 1
        said = "; ".join(f"{name}: submitblock: {_words(there)}" for name, there in tracked.nodes.items())
        return [not_taken(tracked.block, at, said)]

    def _backoff(self, there: _AtNode) -> float:
        most_secs = INVALID_PARENT_SECS if there.holds_parent_invalid else self._policy.most_secs
        return min(self._policy.first_secs * float(1 << min(there.attempts - 1, 20)), most_secs)

    def _confirmed(self, tracked: TrackedBlock, event: BlockSeen) -> list[Action]:
        depth = event.confirmations or 0
        tracked.confirmations = depth
        if depth >= MATURE_DEPTH:
            return self._move(tracked, BlockState.MATURE, event.at, f"{depth} confirmations", final=True)
        state = BlockState.CONFIRMED if depth > 1 else BlockState.ACCEPTED
        return self._move(tracked, state, event.at, f"{depth} confirmations on {event.node}")

    def _refused(self, tracked: TrackedBlock, event: SubmitAnswered) -> list[Action]:
        alarm = rejected(tracked.block, event.node, event.raw)
        others = (there.answer for name, there in tracked.nodes.items() if name != event.node)
        if tracked.is_new and all(a is Answer.INVALID for a in others):
            actions = self._move(tracked, BlockState.REJECTED, event.at, event.raw, final=True)
            return [alarm, *actions, *self._send_spares(tracked, event.at)]
        return [alarm]

    def _staged_answer(self, tracked: TrackedBlock, event: SubmitAnswered) -> list[Action]:
        if event.raw.startswith(_TIP_MOVED):
            tracked.nodes[event.node].send_at = None  # no further answer on this block is expected
            if any(there.send_at is not None for there in tracked.nodes.values()):
                return []
            return self._move(tracked, BlockState.STALE, event.at, f"proposal: {event.raw}", final=True)
        if event.answer in (Answer.RETRY, Answer.UNKNOWN):
            tracked.nodes[event.node].send_at = event.at + self._backoff(tracked.nodes[event.node])
            return []
        good = event.answer in (Answer.ACCEPTED, Answer.HELD)
        state = BlockState.ACCEPTED if good else BlockState.REJECTED
        return self._move(tracked, state, event.at, f"proposal to {event.node}: {event.raw}", final=True)

    def _move(
        self, tracked: TrackedBlock, state: BlockState, at: Instant, detail: str, *, final: bool = False
    ) -> list[Action]:
        actions: list[Action] = []
        if state is not tracked.state:
            if state in (BlockState.ACCEPTED, BlockState.CONFIRMED, BlockState.MATURE):
                tracked.spares.clear()
                if tracked.is_new or not tracked.earlier:
                    self._accepted.add(tracked.block.hash_le)
            elif state is BlockState.STALE:
                self._accepted.discard(tracked.block.hash_le)
            tracked.state, tracked.state_at = state, at
            self._refused_count += state is BlockState.REJECTED and not tracked.earlier
            actions = _state_actions(tracked, detail, final=final)
            self._drop_hex(tracked)
        if final:
            self._settle(tracked)
        return actions

    def _settle(self, tracked: TrackedBlock) -> None:
        self.open.pop(tracked.block.hash_le, None)
        self._refused_count += tracked.state is BlockState.STALE and not tracked.earlier
        tracked.block = replace(tracked.block, block_hex="")
        self.settled = [*self.settled[-99:], tracked]


def _words(there: _AtNode) -> str:
    """A node's last answer on a block that is not in its chain."""
    if there.answer is None:
        return f"no answer yet to attempt {there.attempts}" if there.attempts else "not sent yet, lookup pending"
    return f"{printable(there.raw, 300)} (attempt {there.attempts})"


def _state_actions(tracked: TrackedBlock, detail: str, *, final: bool = False) -> list[Action]:
    block = tracked.block
    fields = {
        "height": block.height,
        "hash": block.hash_hex,
        "state": tracked.state.value,
        "confirmations": tracked.confirmations,
        "detail": detail,
    }
    return [Record("block_state", fields), SaveState(block, tracked.state, detail, tracked.confirmations, final)]
