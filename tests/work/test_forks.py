"""Nodes on different chains: when they are compared, when a person is alarmed, and which blocks count.

By example on lists of events, and by random histories of two or three nodes that extend, adopt and leave chains: once
nothing moves any more, the alarms and the states of our blocks are the truth.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from solominer.work.actions import Action, Alarm, CompareNodes, LocateBlock, SendBlock, Severity
from solominer.work.coordinator import Coordinator
from solominer.work.events import Answer, BlockSeen, HealthSeen, NodeHealth, NodesCompared, SubmitAnswered, Tick
from solominer.work.forks import DEEP_SECS, SHALLOW_SECS, TIE_SECS, common_height
from solominer.work.found import BlockState, FoundBlock
from solominer.work.instant import Instant
from solominer.work.policy import Policy
from tests.work.builders import T0, WALL, coordinator, of_type
from tests.work.test_blocks import make_block

NAMES = ("a", "b", "c")


def block_hash(text: str) -> bytes:
    """A made-up block's hash."""
    return hashlib.sha256(text.encode()).digest()


@dataclass
class Nodes:
    """Nodes with chains of made-up blocks (all begin with the same one) and the coordinator that watches them.

    Every block has the same work. `alarms` are all there were.
    """

    machine: Coordinator
    chains: dict[str, list[bytes]]
    away: set[str] = field(default_factory=set)
    at: Instant = T0
    alarms: list[Alarm] = field(default_factory=list)
    compared: int = 0
    known: dict[str, set[bytes]] = field(default_factory=dict)
    ours: list[FoundBlock] = field(default_factory=list)

    @classmethod
    def called(cls, *names: str) -> Nodes:
        """So many nodes on their first block."""
        genesis = block_hash("genesis")
        nodes = cls(coordinator(*names, policy=Policy()), {name: [genesis] for name in names})
        nodes.known = {name: set() for name in names}
        return nodes

    def health(self, name: str) -> NodeHealth:
        """What a node shows of itself."""
        if name in self.away:
            return NodeHealth(name, False, "unreachable")
        chain = self.chains[name]
        return NodeHealth(name, True, height=len(chain) - 1, best_hash_le=chain[-1], chainwork=len(chain))

    def extend(self, name: str, count: int = 1) -> None:
        """Blocks of somebody else's on a node's chain."""
        for _ in range(count):
            self.chains[name].append(block_hash(f"{name} {len(self.chains[name])} {self.at.mono}"))

    def adopt(self, name: str, other: str) -> None:
        """The node hears of another's chain, and follows it if it has more work."""
        if len(self.chains[other]) > len(self.chains[name]):
            self.chains[name] = list(self.chains[other])
            self.known[name] |= self.known[other]

    def find(self, name: str) -> FoundBlock:
        """A block of ours on top of this node's chain; the others may not know its parent."""
        block = make_block(len(self.ours) + 1, parent=self.chains[name][-1], height=len(self.chains[name]))
        self.ours.append(block)
        self.do(self.machine.blocks.found(block, self.at))
        return block

    def do(self, actions: list[Action]) -> None:
        """Answer what is asked, as the nodes are now."""
        for action in actions:
            if isinstance(action, Alarm):
                self.alarms.append(action)
            elif isinstance(action, CompareNodes) and not {action.one, action.other} & self.away:
                self.compared += 1
                one, other = self.chains[action.one], self.chains[action.other]
                common = next((n for n, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1]), 0)
                common = (common or min(len(one), len(other))) - 1
                looks = self.health(action.one), self.health(action.other)
                self.do(self.machine.handle(NodesCompared(self.at, *looks, common)))
            elif isinstance(action, SendBlock) and action.node not in self.away:
                reply = self._submit(action.node, action.block)
                self.do(
                    self.machine.handle(
                        SubmitAnswered(self.at, action.node, action.block.hash_le, reply, "raw", action.attempt, 0.01)
                    )
                )
            elif isinstance(action, LocateBlock) and action.node not in self.away:
                self.do(self.machine.handle(self._whereabouts(action)))

    def _submit(self, name: str, block: FoundBlock) -> Answer:
        chain = self.chains[name]
        if block.hash_le in self.known[name]:
            return Answer.HELD
        if block.prevhash_le not in chain:
            return Answer.RETRY
        self.known[name].add(block.hash_le)
        if chain[-1] != block.prevhash_le:
            return Answer.HELD
        chain.append(block.hash_le)
        return Answer.ACCEPTED

    def _whereabouts(self, action: LocateBlock) -> BlockSeen:
        chain = self.chains[action.node]
        rival = chain[action.height][::-1].hex() if action.height < len(chain) else ""
        if action.hash_le in chain:
            return BlockSeen(self.at, action.node, action.hash_le, len(chain) - chain.index(action.hash_le))
        held = action.hash_le in self.known[action.node]
        return BlockSeen(self.at, action.node, action.hash_le, -1 if held else None, rival)

    def live(self, secs: float) -> None:
        """Time passes: a tick every quarter of a second, a look at each node every two seconds."""
        steps = round(secs * 4)
        for step in range(steps):
            self.at += 0.25
            if step % 8 == 0:
                for name in self.chains:
                    self.do(self.machine.handle(HealthSeen(self.at, self.health(name))))
            self.do(self.machine.handle(Tick(self.at)))

    def state(self, block: FoundBlock) -> BlockState:
        """Where one of our blocks stands."""
        blocks = self.machine.blocks
        return next(
            each.state for each in (*blocks.open.values(), *blocks.settled) if each.block.hash_le == block.hash_le
        )

    def codes(self) -> list[str]:
        """The alarms about forks so far."""
        return [alarm.code for alarm in self.alarms if alarm.code.startswith("nodes-")]


def test_two_chains_raise_an_alarm_that_names_height_and_loser_and_an_all_clear_ends_it() -> None:
    nodes = Nodes.called("a", "b")
    nodes.extend("a", 5)
    nodes.extend("b", 3)
    nodes.live(DEEP_SECS + 8)
    (alarm,) = nodes.alarms
    assert alarm.severity is Severity.HIGH
    assert "nodes a and b disagree: they are on different chains since height 1; b has less work" in alarm.message
    assert nodes.machine.forks.note("b") == "on a different chain from a since height 1, with less work"
    nodes.machine.working = True
    assert nodes.machine.status == "mining, but the nodes disagree since height 1"
    nodes.live(600)
    assert nodes.codes() == ["nodes-disagree"], "said once while it lasts"
    nodes.adopt("b", "a")
    nodes.live(10)
    assert nodes.codes() == ["nodes-disagree", "nodes-agree"]
    assert nodes.alarms[-1].severity is Severity.INFO
    assert nodes.machine.forks.note("b") == ""


def test_the_loser_may_win_and_that_is_said() -> None:
    nodes = Nodes.called("a", "b")
    nodes.extend("a", 5)
    nodes.extend("b", 3)
    nodes.live(15)
    nodes.extend("b", 4)
    nodes.live(15)
    assert nodes.codes() == ["nodes-disagree"] * 2
    assert "a has less work" in nodes.alarms[-1].message
    assert nodes.machine.nodes.current == "b"


def test_a_node_that_is_behind_is_no_fork_and_is_not_compared_for_ever() -> None:
    nodes = Nodes.called("a", "b")
    nodes.extend("a", 50)
    nodes.live(4 * TIE_SECS)
    assert nodes.codes() == []
    assert nodes.compared == 1
    nodes.extend("a")
    nodes.live(10)
    assert nodes.compared == 2


def test_a_block_on_its_way_is_not_even_compared() -> None:
    nodes = Nodes.called("a", "b")
    nodes.live(5)
    nodes.extend("a")
    nodes.live(1)
    nodes.adopt("b", "a")
    nodes.live(60)
    assert (nodes.codes(), nodes.compared) == ([], 0)


@pytest.mark.parametrize(("ahead", "patience_secs"), [(0, TIE_SECS), (1, SHALLOW_SECS)])
def test_a_race_of_two_blocks_is_ordinary_for_a_while(ahead: int, patience_secs: float) -> None:
    nodes = Nodes.called("a", "b")
    nodes.extend("a", 1 + ahead)
    nodes.extend("b")
    nodes.live(patience_secs - 5)
    assert nodes.codes() == []
    nodes.live(20)
    assert nodes.codes() == ["nodes-disagree"]
    assert ("same work" in nodes.alarms[0].message) == (ahead == 0)


def test_blocks_on_the_losing_chain_are_stale_and_come_back_if_it_wins() -> None:
    nodes = Nodes.called("a", "b")
    nodes.extend("b", 2)
    ours = nodes.find("b")
    nodes.live(3)
    assert nodes.state(ours) is BlockState.ACCEPTED
    nodes.extend("a", 10)
    nodes.live(5)
    assert nodes.state(ours) is BlockState.STALE
    assert (nodes.machine.blocks.accepted_count, nodes.machine.blocks.standing) == (0, 0)
    nodes.live(200)
    assert nodes.state(ours) is BlockState.STALE, "the loser's word does not bring it back"
    nodes.extend("b", 10)
    nodes.live(10)
    assert nodes.state(ours) is BlockState.CONFIRMED
    assert (nodes.machine.blocks.accepted_count, nodes.machine.blocks.standing) == (1, 1)


def test_a_block_of_the_losing_chain_is_followed_though_its_rival_is_deep() -> None:
    nodes = Nodes.called("a", "b")
    nodes.extend("b", 2)
    ours = nodes.find("b")
    nodes.extend("a", 150)
    nodes.live(100)
    assert nodes.state(ours) is BlockState.STALE
    assert ours.hash_le in nodes.machine.blocks.open
    nodes.extend("b", 200)
    nodes.live(100)
    assert nodes.state(ours) is BlockState.MATURE


def test_equal_work_beats_nobody() -> None:
    nodes = Nodes.called("a", "b")
    nodes.extend("a", 3)
    nodes.extend("b", 2)
    ours = nodes.find("b")
    nodes.live(60)
    assert nodes.state(ours) in (BlockState.ACCEPTED, BlockState.CONFIRMED)
    assert nodes.machine.forks.beaten == frozenset()


def test_a_node_on_the_best_chain_is_not_beaten_by_one_that_is_beaten_itself() -> None:
    """`c` has less work than `a` and is on another chain, but that is `b`'s, which has the most."""
    nodes = Nodes.called("a", "b", "c")
    nodes.extend("b")
    nodes.adopt("c", "b")
    nodes.extend("a", 3)
    nodes.live(SHALLOW_SECS + 10)
    assert nodes.machine.forks.beaten == {"b", "c"}
    nodes.extend("b", 4)
    nodes.live(10)
    assert nodes.machine.forks.beaten == {"a"}
    assert nodes.machine.forks.note("c") == ""


def test_a_winner_that_is_gone_does_not_beat_whoever_has_more_work_by_now() -> None:
    nodes = Nodes.called("a", "b")
    nodes.extend("b", 2)
    ours = nodes.find("b")
    nodes.extend("a", 10)
    nodes.live(10)
    nodes.away.add("a")
    nodes.live(30)
    assert nodes.state(ours) is BlockState.STALE, "the better chain is known to exist"
    nodes.extend("b", 20)
    nodes.live(70)
    assert nodes.state(ours) is BlockState.CONFIRMED


def test_a_comparison_that_nobody_answers_is_asked_for_again_and_a_clock_set_back_delays_none() -> None:
    nodes = Nodes.called("a", "b")
    nodes.extend("a", 5)
    nodes.extend("b", 3)
    machine = nodes.machine
    for name in ("a", "b"):
        machine.handle(HealthSeen(T0, nodes.health(name)))
    assert of_type(CompareNodes, machine.handle(Tick(T0 + 3))) == [CompareNodes("a", "b")]
    assert of_type(CompareNodes, machine.handle(Tick(T0 + 5))) == []
    set_back = Instant(WALL - 1000, (T0 + 6).mono)
    assert of_type(CompareNodes, machine.handle(Tick(set_back))) == []
    assert of_type(CompareNodes, machine.handle(Tick(set_back + 40))) == [CompareNodes("a", "b")]


@given(st.integers(0, 5000), st.data())
def test_the_fork_is_found_with_few_questions(height: int, data: st.DataObject) -> None:
    common = data.draw(st.integers(0, height))
    questions, found = 0, None

    def ask() -> Generator[int, bool, None]:
        nonlocal found
        found = yield from common_height(height)

    search = ask()
    asked: int | None = next(search)
    while asked is not None:
        assert 0 <= asked <= height
        questions += 1
        try:
            asked = search.send(asked <= common)
        except StopIteration:
            asked = None
    assert found == common
    assert questions <= 2 + 2 * (height - common + 1).bit_length()


_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("extend"), st.sampled_from(NAMES), st.integers(1, 4)),
        st.tuples(st.just("adopt"), st.sampled_from(NAMES), st.sampled_from(NAMES)),
        st.tuples(st.just("find"), st.sampled_from(NAMES), st.none()),
        st.tuples(st.just("live"), st.none(), st.sampled_from([0.25, 2, 5, 20])),
    ),
    max_size=14,
)


@settings(max_examples=int(os.environ.get("SOLOMINER_TEST_EXAMPLES", "40")), deadline=None)
@given(st.integers(2, 3), _STEPS)
def test_in_the_end_alarms_and_blocks_are_the_truth(count: int, steps: list[tuple[str, str, Any]]) -> None:
    nodes = Nodes.called(*NAMES[:count])
    for what, name, more in steps:
        if what == "live":
            nodes.live(more)
        elif name in nodes.chains and (what != "adopt" or more in nodes.chains):
            getattr(nodes, what)(*([name] if more is None else [name, more]))
    nodes.live(SHALLOW_SECS + 100)
    _check(nodes)


def _check(nodes: Nodes) -> None:
    chains = nodes.chains
    most = max(map(len, chains.values()))
    winners = [chain for chain in chains.values() if len(chain) == most]
    on_winners = [name for name, chain in chains.items() if any(chain == won[: len(chain)] for won in winners)]
    assert nodes.machine.forks.beaten == frozenset(set(chains) - set(on_winners)) or len(winners) > 1
    if len({tuple(chain) for chain in winners}) == 1 and len(on_winners) == len(chains):
        assert nodes.machine.forks.forks == []
        assert nodes.machine.forks.beaten == frozenset()
    for block in nodes.ours:
        if block.hash_le not in nodes.machine.blocks.open:
            continue
        wins = any(block.hash_le in won for won in winners)
        counts = nodes.state(block) in (BlockState.ACCEPTED, BlockState.CONFIRMED)
        if wins:
            assert counts, f"{block.height} is active on the best chain"
        elif len(winners) == 1 or not any(block.hash_le in chains[name] for name in on_winners):
            assert not counts, f"{block.height} is on no chain that counts"
    counted = sum(nodes.state(b) in (BlockState.ACCEPTED, BlockState.CONFIRMED, BlockState.MATURE) for b in nodes.ours
                  if b.hash_le in nodes.machine.blocks)  # fmt: skip
    assert nodes.machine.blocks.accepted_count == counted
