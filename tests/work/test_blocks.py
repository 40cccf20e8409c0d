"""The life of our blocks: by example for each rule, and by a machine of random events over nodes that forget and err.

The machine's nodes are simple: each knows some blocks and has some of those on its active chain. Whatever happens, no
block may ever be left without something under way or due; and once all nodes answer truly again, each has every block
and the tracker's states are the truth.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from solominer.work.actions import (
    Action,
    Alarm,
    LocateBlock,
    ProposeBlock,
    Record,
    SaveBlock,
    SaveState,
    SendBlock,
    Severity,
)
from solominer.work.blocks import MATURE_DEPTH, SPARE_SECS, UNSEEN_SECS, BlockTracker
from solominer.work.events import Answer, BlockSeen, SubmitAnswered
from solominer.work.found import BlockState, FoundBlock
from solominer.work.instant import Instant
from solominer.work.policy import RetryPolicy
from solominer.work.workers import WorkerId
from tests.work.builders import T0, WALL, of_type

POLICY = RetryPolicy(first_secs=0.25, most_secs=4.0, look_secs=20.0)
PARENT = bytes([7]) * 32


def _alarms(actions: list[Action]) -> list[Alarm]:
    return [each for each in of_type(Alarm, actions) if each.code == "block-not-taken"]


def _alarm_times(tracker: BlockTracker, until_secs: float) -> list[float]:
    """When a tick every quarter of a second raises the alarm that no node has the block, in seconds since the find."""
    ticks = (number / 4 for number in range(int(4 * until_secs)))
    return [secs for secs in ticks if _alarms(tracker.tick(T0 + secs, 200))]


def test_without_an_answer_there_is_an_alarm_within_five_seconds_and_on() -> None:
    tracker = BlockTracker(["a", "b"], POLICY)
    tracker.found(make_block(1), T0)
    times = _alarm_times(tracker, 300)
    assert times[0] <= 5
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert gaps == sorted(gaps)
    assert gaps[0] == 2
    assert gaps[-1] == 60


@pytest.mark.parametrize("answer", [Answer.RETRY, Answer.UNKNOWN])
def test_a_refusal_is_an_alarm_sooner_and_quotes_the_node(answer: Answer) -> None:
    tracker = BlockTracker(["a", "b"], POLICY)
    block = make_block(1)
    tracker.found(block, T0)
    tracker.answered(SubmitAnswered(T0, "a", block.hash_le, answer, "no\x1b[31m" + "x" * 1000, 1, 0.1))
    assert not _alarms(tracker.tick(T0 + 0.75, 200)), "the second attempt may be better"
    (alarm,) = _alarms(tracker.tick(T0 + 1.25, 200))
    assert alarm.severity is Severity.CRITICAL
    assert "a: submitblock: no\\x1b[31mxxx" in alarm.message
    assert "b: submitblock: no answer yet" in alarm.message
    assert f"after {block.worker} found it" in alarm.message
    assert len(alarm.message) < 700


def test_the_alarm_ends_with_a_node_that_has_it_and_begins_anew_where_that_forgets_it() -> None:
    tracker = BlockTracker(["a"], POLICY)
    block = make_block(1)
    tracker.found(block, T0)
    assert _alarm_times(tracker, 10)
    tracker.answered(SubmitAnswered(T0 + 10, "a", block.hash_le, Answer.ACCEPTED, "null", 1, 0.1))
    assert not _alarms(tracker.tick(T0 + 100, 200))
    tracker.seen(BlockSeen(T0 + 100, "a", block.hash_le, None, ""))
    assert not _alarms(tracker.tick(T0 + 100.25, 200))
    assert _alarms(tracker.tick(T0 + 105, 200))


def test_an_open_block_of_an_earlier_run_makes_noise_too() -> None:
    tracker = BlockTracker(["a"], POLICY)
    tracker.restore(make_block(1), BlockState.SENT, T0)
    assert _alarm_times(tracker, 6)


def test_in_staging_there_is_nothing_to_take() -> None:
    tracker = BlockTracker(["a"], POLICY, staging=True)
    tracker.found(make_block(1), T0)
    assert not _alarm_times(tracker, 60)


def make_block(number: int, parent: bytes = PARENT, height: int = 200) -> FoundBlock:
    """A block whose bytes are made up but whose hash and parent are in order."""
    header = number.to_bytes(4, "little") + parent + bytes(44)
    return FoundBlock(
        hash_le=hashlib.sha256(header).digest(),
        height=height,
        header=header,
        block_hex=f"{number:08x}",
        coinbase_hex="00",
        merkle_branch=(),
        extranonce=bytes(12),
        target=1 << 255,
        reward_sats=50,
        transaction_count=1,
        found_at=WALL,
        job_id=1,
        template_id="t",
        worker=WorkerId("cpu", "0"),
        kernel="reference",
    )


def tracker(*nodes: str, staging: bool = False) -> BlockTracker:
    """A tracker over `nodes` (one called a if none is given)."""
    return BlockTracker(nodes or ("a",), POLICY, staging=staging)


def answer(block: FoundBlock, kind: Answer, raw: str = "raw", *, at: Instant = T0, node: str = "a") -> SubmitAnswered:
    """A node's reply to a submission."""
    return SubmitAnswered(at, node, block.hash_le, kind, raw, 1, 0.01)


def seen(
    block: FoundBlock, confirmations: int | None, rival: str = "", *, at: Instant = T0, node: str = "a"
) -> BlockSeen:
    """What a node says about where it has a block."""
    return BlockSeen(at, node, block.hash_le, confirmations, rival)


def states(actions: list[Action]) -> list[BlockState]:
    """The states that were written down."""
    return [action.state for action in of_type(SaveState, actions)]


@pytest.fixture
def block() -> FoundBlock:
    return make_block(1)


def test_confirmations_are_counted_from_the_tip_between_two_looks(block: FoundBlock) -> None:
    tracker = BlockTracker(["a"], POLICY)
    tracker.found(block, T0)
    tracked = tracker.open[block.hash_le]
    assert tracked.confirmations_at(block.height + 5) == 0
    tracker.answered(answer(block, Answer.ACCEPTED))
    assert [tracked.confirmations_at(block.height + above) for above in (0, 1, 7)] == [1, 2, 8]
    tracker.seen(seen(block, 3))
    assert [tracked.confirmations_at(block.height + above) for above in (0, 7)] == [3, 8]
    tracker.seen(seen(block, -1, "rival"))
    assert tracked.confirmations_at(block.height + 8) == 0


def test_a_block_of_an_earlier_run_counts_once_it_was_looked_up(block: FoundBlock) -> None:
    tracker = BlockTracker(["a"], POLICY)
    tracker.restore(block, BlockState.CONFIRMED, T0)
    tracked = tracker.open[block.hash_le]
    assert tracked.confirmations_at(block.height + 9) == 0
    tracker.seen(seen(block, 9))
    assert tracked.confirmations_at(block.height + 9) == 10


def test_a_staged_block_has_no_confirmations(block: FoundBlock) -> None:
    tracker = BlockTracker(["a"], POLICY, staging=True)
    tracker.found(block, T0)
    tracked = tracker.open[block.hash_le]
    tracker.answered(answer(block, Answer.ACCEPTED))
    assert tracked.confirmations_at(block.height + 9) == 0


# --- found and sent (rules 41 and 42) ---------------------------------------------------------------------------------


def test_a_new_block_goes_to_every_node_at_once_and_to_the_disk(block: FoundBlock) -> None:
    actions = tracker("a", "b", "c").found(block, T0)
    assert [type(action) for action in actions[:3]] == [SendBlock] * 3, "sending comes first"
    assert [send.node for send in of_type(SendBlock, actions)] == ["a", "b", "c"]
    assert [save.block for save in of_type(SaveBlock, actions)] == [block]
    assert states(actions) == [BlockState.SENT]


@pytest.mark.parametrize("kind", [Answer.UNKNOWN, Answer.RETRY])
def test_what_nobody_knows_is_sent_again_with_growing_pauses_until_it_is_known(block: FoundBlock, kind: Answer) -> None:
    blocks = tracker()
    blocks.found(block, T0)
    at, pauses = T0, []
    for attempt in range(2, 9):
        blocks.answered(answer(block, kind, at=at))
        ticks = [at + 0.25 * number for number in range(40)]
        at, sends = next((tick, due) for tick in ticks if (due := of_type(SendBlock, blocks.tick(tick, 199))))
        assert [send.attempt for send in sends] == [attempt]
        pauses.append(at - ticks[0])
    assert pauses == [0.25, 0.5, 1.0, 2.0, 4.0, 4.0, 4.0]


def test_a_block_on_a_parent_that_is_held_invalid_is_retried_ever_more_rarely_and_told_once(block: FoundBlock) -> None:
    """invalidateblock on the parent may be taken back at any time: it is never given up."""
    blocks = tracker("a", "b")
    blocks.found(block, T0)
    at, pauses, actions = T0, [], []
    for _ in range(16):
        for node in ("a", "b"):
            actions += blocks.answered(answer(block, Answer.RETRY, "bad-prevblk", at=at, node=node))
        due = min(there.send_at for there in blocks.open[block.hash_le].nodes.values() if there.send_at is not None)
        ticked = blocks.tick(due, 199)
        assert [send.node for send in of_type(SendBlock, ticked)] == ["a", "b"]
        actions += ticked
        pauses.append(due - at)
        at = due
    assert pauses == sorted(pauses)
    assert (pauses[0], pauses[-2:]) == (0.25, [300.0, 300.0])
    (told,) = (alarm for alarm in of_type(Alarm, actions) if alarm.code == "block-parent-invalid")
    assert f"reconsiderblock {PARENT[::-1].hex()}" in told.todo
    for node in ("a", "b"):
        blocks.answered(answer(block, Answer.RETRY, "bad-prevblk", at=at, node=node))
    blocks.look_now(at)
    assert of_type(SendBlock, blocks.tick(at, 199)), "a new tip ends the wait"
    blocks.answered(answer(block, Answer.RETRY, "time-too-new", at=at))
    assert blocks.open[block.hash_le].nodes["a"].send_at == at + POLICY.most_secs, "other answers as before"


def test_nothing_is_sent_to_a_node_twice_at_the_same_time(block: FoundBlock) -> None:
    blocks = tracker()
    blocks.found(block, T0)
    assert of_type(SendBlock, blocks.tick(T0 + 1000, 199)) == []


def test_an_unknown_answer_is_followed_by_a_question_to_the_chain(block: FoundBlock) -> None:
    blocks = tracker()
    blocks.found(block, T0)
    blocks.answered(answer(block, Answer.UNKNOWN))
    assert of_type(LocateBlock, blocks.tick(T0, 199)) == [LocateBlock("a", block.hash_le, 200)]
    blocks.seen(seen(block, 1))
    assert blocks.open[block.hash_le].state is BlockState.ACCEPTED
    assert of_type(SendBlock, blocks.tick(T0 + 10, 200)) == [], "the chain has answered"


# --- answers are not the chain (rules 44 and 46, S2 and S3) -----------------------------------------------------------


def test_null_is_acceptance_and_not_the_end(block: FoundBlock) -> None:
    blocks = tracker()
    blocks.found(block, T0)
    assert states(blocks.answered(answer(block, Answer.ACCEPTED, "null"))) == [BlockState.ACCEPTED]
    assert of_type(LocateBlock, blocks.tick(T0 + 0.25, 200))
    again = blocks.seen(seen(block, None, at=T0 + 0.3))
    assert states(again) == [BlockState.SENT], "the node forgot it"
    assert of_type(SendBlock, blocks.tick(T0 + 0.5, 199))
    blocks.answered(answer(block, Answer.ACCEPTED, "null", at=T0 + 0.6))
    assert blocks.accepted_count == 1, "the same block accepted twice is one block"


def test_duplicate_is_not_success(block: FoundBlock) -> None:
    blocks = tracker()
    blocks.found(block, T0)
    assert states(blocks.answered(answer(block, Answer.HELD, "duplicate"))) == []
    assert blocks.accepted_count == 0
    assert of_type(LocateBlock, blocks.tick(T0, 199))
    assert states(blocks.seen(seen(block, -1, "rival"))) == [BlockState.STALE]


def test_a_block_that_another_node_still_has_is_not_forgotten(block: FoundBlock) -> None:
    blocks = tracker("a", "b")
    blocks.found(block, T0)
    for node in ("a", "b"):
        blocks.answered(answer(block, Answer.ACCEPTED, node=node))
    blocks.seen(seen(block, 1, node="b"))
    assert states(blocks.seen(seen(block, None, node="a"))) == []
    assert [send.node for send in of_type(SendBlock, blocks.tick(T0 + 1, 200))] == ["a"], "but a gets it again"


def test_an_orphan_is_watched_and_may_return(block: FoundBlock) -> None:
    blocks = tracker()
    blocks.found(block, T0)
    blocks.answered(answer(block, Answer.ACCEPTED))
    assert states(blocks.seen(seen(block, -1, "rival"))) == [BlockState.STALE]
    assert blocks.standing == 0
    assert of_type(LocateBlock, blocks.tick(T0 + POLICY.look_secs, 201))
    assert states(blocks.seen(seen(block, 2))) == [BlockState.CONFIRMED]
    assert (blocks.standing, blocks.accepted_count) == (1, 1)


def test_one_node_off_the_chain_does_not_outvote_one_that_has_it_active(block: FoundBlock) -> None:
    blocks = tracker("a", "b")
    blocks.found(block, T0)
    blocks.seen(seen(block, 3, node="a"))
    assert states(blocks.seen(seen(block, -1, "rival", node="b"))) == []


def test_off_the_chain_without_a_rival_is_no_replacement(block: FoundBlock) -> None:
    blocks = tracker()
    blocks.found(block, T0)
    assert states(blocks.seen(seen(block, -1))) == []


def test_a_block_is_mature_at_a_hundred_and_then_let_go(block: FoundBlock) -> None:
    blocks = tracker()
    blocks.found(block, T0)
    assert states(blocks.seen(seen(block, MATURE_DEPTH - 1))) == [BlockState.CONFIRMED]
    actions = blocks.seen(seen(block, MATURE_DEPTH))
    assert states(actions) == [BlockState.MATURE]
    assert [save.final for save in of_type(SaveState, actions)] == [True]
    assert not blocks.open
    assert block.hash_le in blocks
    assert blocks.tick(T0 + 10_000, 400) == []


def test_a_stale_block_is_let_go_when_its_rival_is_a_hundred_deep(block: FoundBlock) -> None:
    blocks = tracker()
    blocks.found(block, T0)
    blocks.seen(seen(block, -1, "rival"))
    blocks.tick(T0 + 1, block.height + MATURE_DEPTH - 1)
    assert blocks.open
    blocks.tick(T0 + 2, block.height + MATURE_DEPTH)
    assert not blocks.open


# --- rejected ---------------------------------------------------------------------------------------------------------


def test_a_rejection_by_the_only_node_is_final_and_loud(block: FoundBlock) -> None:
    blocks = tracker()
    blocks.found(block, T0)
    actions = blocks.answered(answer(block, Answer.INVALID, "bad-cb-amount"))
    [alarm] = of_type(Alarm, actions)
    assert (alarm.severity, alarm.code) == (Severity.CRITICAL, "block-rejected")
    assert f"of {block.worker} at height" in alarm.message
    assert "bad-cb-amount" in alarm.message
    assert states(actions) == [BlockState.REJECTED]
    assert (blocks.standing, len(blocks.open)) == (0, 0)


def test_a_rejection_by_one_of_two_nodes_is_loud_and_not_final(block: FoundBlock) -> None:
    blocks = tracker("a", "b")
    blocks.found(block, T0)
    actions = blocks.answered(answer(block, Answer.INVALID, "bad-diffbits", node="a"))
    assert of_type(Alarm, actions)
    assert states(actions) == []
    blocks.answered(answer(block, Answer.UNKNOWN, node="b"))
    assert [send.node for send in of_type(SendBlock, blocks.tick(T0 + 1, 199))] == ["b"]
    assert states(blocks.answered(answer(block, Answer.ACCEPTED, node="b"))) == [BlockState.ACCEPTED]


def test_a_rejection_by_all_nodes_is_final(block: FoundBlock) -> None:
    blocks = tracker("a", "b")
    blocks.found(block, T0)
    blocks.answered(answer(block, Answer.INVALID, node="a"))
    assert states(blocks.answered(answer(block, Answer.INVALID, node="b"))) == [BlockState.REJECTED]


# --- two blocks of ours on one parent ---------------------------------------------------------------------------------


def test_a_second_block_on_the_same_parent_is_kept_behind_the_first(block: FoundBlock) -> None:
    blocks = tracker()
    blocks.found(block, T0)
    second = make_block(2)
    elder = blocks.sibling_of(second, T0 + 0.01)
    assert elder is not None
    actions = blocks.superseded(second, elder, T0 + 0.01)
    assert of_type(SendBlock, actions) == []
    assert [save.block for save in of_type(SaveBlock, actions)] == [second]
    assert states(actions) == [BlockState.SUPERSEDED]
    assert second.hash_le in blocks


def test_the_second_is_sent_when_the_first_is_rejected(block: FoundBlock) -> None:
    blocks = tracker()
    blocks.found(block, T0)
    second = make_block(2)
    blocks.superseded(second, blocks.open[block.hash_le], T0)
    actions = blocks.answered(answer(block, Answer.INVALID))
    assert [send.block for send in of_type(SendBlock, actions)] == [second]
    assert states(actions) == [BlockState.REJECTED, BlockState.SENT]


def test_the_second_is_sent_when_the_first_stays_unaccepted(block: FoundBlock) -> None:
    blocks = tracker()
    blocks.found(block, T0)
    second = make_block(2)
    blocks.superseded(second, blocks.open[block.hash_le], T0)
    blocks.answered(answer(block, Answer.RETRY, "time-too-new"))
    assert second not in [send.block for send in of_type(SendBlock, blocks.tick(T0 + SPARE_SECS + -0.1, 199))]
    assert second in [send.block for send in of_type(SendBlock, blocks.tick(T0 + SPARE_SECS, 199))]
    assert blocks.sibling_of(make_block(3), T0 + SPARE_SECS) is not None, "now the second is the hope"


def test_nobody_waits_behind_a_block_that_hangs(block: FoundBlock) -> None:
    blocks = tracker()
    blocks.found(block, T0)
    assert blocks.sibling_of(make_block(2), T0 + SPARE_SECS) is None


def test_a_chain_that_a_node_has_lost_is_sent_again_at_once_one_block_behind_the_other() -> None:
    blocks = tracker("a", "b")
    first = make_block(1)
    second = make_block(2, first.hash_le, 201)
    third = make_block(3, second.hash_le, 202)
    for each in (first, second, third):
        blocks.found(each, T0)
    for each in (third, second):
        blocks.answered(answer(each, Answer.RETRY, "prev-blk-not-found"))
    assert of_type(SendBlock, blocks.tick(T0 + 0.1, 200)) == []
    for parent, child in ((first, second), (second, third)):
        (sent,) = of_type(SendBlock, blocks.answered(answer(parent, Answer.ACCEPTED)))
        assert (sent.node, sent.block, sent.attempt) == ("a", child, 2)
    assert of_type(SendBlock, blocks.answered(answer(third, Answer.ACCEPTED))) == []


def test_an_acceptance_ends_the_wait(block: FoundBlock) -> None:
    blocks = tracker()
    blocks.found(block, T0)
    blocks.superseded(make_block(2), blocks.open[block.hash_le], T0)
    blocks.answered(answer(block, Answer.ACCEPTED))
    assert of_type(SendBlock, blocks.tick(T0 + 10 * SPARE_SECS, 200)) == []
    assert blocks.sibling_of(make_block(3), T0 + 10 * SPARE_SECS) is not None


@pytest.mark.parametrize("earlier", [False, True])
def test_a_block_that_was_invalidated_by_hand_stands_in_nobodys_way(block: FoundBlock, earlier: bool) -> None:
    """invalidateblock: the node knows it, has it no longer in its chain, and has no other block at that height."""
    blocks = tracker()
    if earlier:
        blocks.restore(block, BlockState.CONFIRMED, T0)
    else:
        blocks.found(block, T0)
        blocks.answered(answer(block, Answer.ACCEPTED, "null"))
    assert states(blocks.seen(seen(block, -1, at=T0 + 10))) == [BlockState.SENT]
    assert blocks.sibling_of(make_block(2), T0 + 10 + SPARE_SECS) is None, "the next one is sent"
    assert _alarms(blocks.tick(T0 + 15, 199))
    assert states(blocks.seen(seen(block, 2, at=T0 + 20))) == [BlockState.CONFIRMED], "reconsiderblock"


def test_a_beaten_block_stands_in_nobodys_way(block: FoundBlock) -> None:
    blocks = tracker()
    blocks.found(block, T0)
    blocks.seen(seen(block, -1, "rival"))
    assert blocks.sibling_of(make_block(2), T0) is None
    assert blocks.sibling_of(make_block(2, parent=bytes(32)), T0) is None


# --- restarts, nodes that come back, clocks (rule 43) -----------------------------------------------------------------


@pytest.mark.parametrize("state", [BlockState.FOUND, BlockState.SENT, BlockState.ACCEPTED, BlockState.CONFIRMED])
def test_a_block_of_the_journal_is_looked_up_and_sent_where_it_is_missing(block: FoundBlock, state: BlockState) -> None:
    blocks = tracker("a", "b")
    blocks.restore(block, state, T0)
    assert [look.node for look in of_type(LocateBlock, blocks.tick(T0, 199))] == ["a", "b"]
    blocks.seen(seen(block, None, node="a"))
    blocks.seen(seen(block, 5, node="b"))
    sends = of_type(SendBlock, blocks.tick(T0 + 0.25, 204))
    assert [(send.node, send.block.block_hex) for send in sends] == [("a", "")], "its hex is read from the journal"


@pytest.mark.parametrize("state", [BlockState.MATURE, BlockState.REJECTED, BlockState.SUPERSEDED])
def test_a_settled_block_of_the_journal_is_left_alone(block: FoundBlock, state: BlockState) -> None:
    blocks = tracker()
    assert blocks.restore(block, state, T0) == []
    assert blocks.tick(T0 + 1, 199) == []


def test_a_look_that_nobody_answers_is_repeated_soon(block: FoundBlock) -> None:
    blocks = tracker()
    blocks.restore(block, BlockState.SENT, T0)
    assert of_type(LocateBlock, blocks.tick(T0, 199))
    assert not of_type(LocateBlock, blocks.tick(T0 + UNSEEN_SECS + -0.1, 199))
    assert of_type(LocateBlock, blocks.tick(T0 + UNSEEN_SECS, 199))


def test_a_node_that_comes_back_is_asked_at_once_and_only_it(block: FoundBlock) -> None:
    blocks = tracker("a", "b")
    blocks.found(block, T0)
    for node in ("a", "b"):
        blocks.answered(answer(block, Answer.ACCEPTED, node=node))
        blocks.seen(seen(block, 1, node=node))
    assert not of_type(LocateBlock, blocks.tick(T0 + 1, 200))
    blocks.look_now(T0 + 1, "b")
    assert [look.node for look in of_type(LocateBlock, blocks.tick(T0 + 1, 200))] == ["b"]


def test_a_node_that_comes_back_is_sent_at_once_what_it_could_not_be_sent(block: FoundBlock) -> None:
    """However long the pauses between two submissions have become, and whatever is in flight."""
    blocks = tracker("a", "b")
    blocks.found(block, T0)
    at, sent = T0, 1
    while sent < 7:
        for node in ("a", "b"):
            blocks.answered(replace(answer(block, Answer.UNKNOWN, node=node), at=at))
        at += 0.25
        while not (sends := of_type(SendBlock, blocks.tick(at, 199))):
            at += 0.25
        sent = max(send.attempt for send in sends)
    blocks.answered(replace(answer(block, Answer.UNKNOWN, node="b"), at=at))
    at += 1
    assert not of_type(SendBlock, blocks.tick(at, 199))
    blocks.look_now(at, "a")
    blocks.look_now(at, "b")
    assert [send.node for send in of_type(SendBlock, blocks.tick(at, 199))] == ["b"]  # a's is still in flight


def test_a_clock_that_is_set_back_delays_neither_retry_nor_look(block: FoundBlock) -> None:
    blocks = tracker("a", "b")
    blocks.found(block, T0)
    blocks.answered(answer(block, Answer.UNKNOWN, node="a"))
    blocks.answered(answer(block, Answer.ACCEPTED, node="b"))
    actions = blocks.tick(Instant(WALL - 7200, T0.mono) + 1, 199)
    assert [send.node for send in of_type(SendBlock, actions)] == ["a"]
    assert {look.node for look in of_type(LocateBlock, actions)} == {"a", "b"}


def test_many_blocks_are_not_all_looked_up_at_once() -> None:
    blocks = tracker()
    for number in range(50):
        blocks.restore(make_block(number, parent=number.to_bytes(32, "little")), BlockState.SENT, T0)
    counts = [len(of_type(LocateBlock, blocks.tick(T0 + 0.25 * tick, 199))) for tick in range(5)]
    assert counts == [16, 16, 16, 2, 0]


def test_the_hex_is_kept_in_memory_until_it_is_both_on_disk_and_with_a_node(block: FoundBlock) -> None:
    blocks = tracker()
    blocks.found(block, T0)
    blocks.saved(block.hash_le)
    assert blocks.open[block.hash_le].block.block_hex
    blocks.answered(answer(block, Answer.ACCEPTED))
    assert not blocks.open[block.hash_le].block.block_hex


# --- staging ----------------------------------------------------------------------------------------------------------


def test_staging_proposes_and_never_submits(block: FoundBlock) -> None:
    blocks = tracker(staging=True)
    actions = blocks.found(block, T0)
    assert of_type(SendBlock, actions) == []
    assert len(of_type(ProposeBlock, actions)) == 1
    blocks.answered(answer(block, Answer.UNKNOWN))
    assert len(of_type(ProposeBlock, blocks.tick(T0 + 1, 199))) == 1
    assert states(blocks.answered(answer(block, Answer.ACCEPTED, "null"))) == [BlockState.ACCEPTED]
    assert not blocks.open


def test_staging_reports_what_would_have_been_rejected(block: FoundBlock) -> None:
    blocks = tracker(staging=True)
    blocks.found(block, T0)
    assert states(blocks.answered(answer(block, Answer.INVALID, "bad-cb-height"))) == [BlockState.REJECTED]


def test_staging_sends_no_block_that_an_earlier_run_left_open(block: FoundBlock) -> None:
    blocks = tracker(staging=True)
    assert blocks.restore(block, BlockState.SENT, T0) == []
    blocks.seen(seen(block, None))
    assert blocks.tick(T0 + 1, 199) == []


def test_staging_lets_a_block_go_when_no_node_can_check_it_any_more(block: FoundBlock) -> None:
    blocks = tracker("a", "b", staging=True)
    blocks.found(block, T0)
    late = "inconclusive-not-best-prevblk"
    assert states(blocks.answered(answer(block, Answer.RETRY, late, node="a"))) == []
    assert of_type(ProposeBlock, blocks.tick(T0 + 60, 200)) == [], "b's answer is still out"
    (saved,) = of_type(SaveState, blocks.answered(answer(block, Answer.RETRY, late, node="b")))
    assert (saved.state, saved.final) == (BlockState.STALE, True)
    assert not blocks.open


def test_an_earlier_runs_lost_block_leaves_room_for_none_of_this_run(block: FoundBlock) -> None:
    blocks = tracker()
    blocks.restore(block, BlockState.STALE, T0)
    assert blocks.standing == 0
    blocks.found(make_block(2, parent=bytes(32)), T0)
    assert blocks.standing == 1


def test_an_answer_about_an_unknown_block_or_node_is_only_recorded(block: FoundBlock) -> None:
    blocks = tracker()
    assert [type(action) for action in blocks.answered(answer(block, Answer.ACCEPTED))] == [Record]
    blocks.found(block, T0)
    assert [type(action) for action in blocks.answered(answer(block, Answer.ACCEPTED, node="z"))] == [Record]
    assert blocks.seen(seen(block, 1, node="z")) == []


# --- any events in any order ------------------------------------------------------------------------------------------

NODES = ("a", "b")


class Lives(RuleBasedStateMachine):
    """Nodes that lose answers, forget blocks, reorganize; the tracker between them."""

    @initialize()
    def begin(self) -> None:
        self.at = T0
        self.blocks = tracker(*NODES)
        self.known: dict[str, set[bytes]] = {name: set() for name in NODES}
        self.active: set[bytes] = set()  # the two nodes' chains agree: forks show as a block's leaving and returning
        self.in_flight: list[SendBlock] = []
        self.looks: list[LocateBlock] = []
        self.count = 0

    def do(self, actions: list[Action]) -> None:
        self.in_flight += of_type(SendBlock, actions)
        self.looks += of_type(LocateBlock, actions)

    @rule()
    def find(self) -> None:
        self.count += 1
        self.do(self.blocks.found(make_block(self.count, self.count.to_bytes(32, "big")), self.at))

    def _answer(self, send: SendBlock, kind: Answer) -> None:
        self.do(self.blocks.answered(answer(send.block, kind, at=self.at, node=send.node)))

    def _take_in(self, send: SendBlock) -> Answer:
        first = not any(send.block.hash_le in known for known in self.known.values())
        self.known[send.node].add(send.block.hash_le)
        if first:
            self.active.add(send.block.hash_le)
        return Answer.ACCEPTED if send.block.hash_le in self.active else Answer.HELD

    @precondition(lambda self: self.in_flight)
    @rule(data=st.data(), arrives=st.booleans(), answer_lost=st.booleans(), later=st.booleans())
    def node_answers(self, data: st.DataObject, arrives: bool, answer_lost: bool, later: bool) -> None:
        send = self.in_flight.pop(data.draw(st.integers(0, len(self.in_flight) - 1)))
        if not arrives:
            self._answer(send, Answer.RETRY if later else Answer.UNKNOWN)
            return
        truth = self._take_in(send)
        self._answer(send, Answer.UNKNOWN if answer_lost else truth)

    @precondition(lambda self: self.looks)
    @rule(data=st.data(), lost=st.booleans())
    def node_is_asked(self, data: st.DataObject, lost: bool) -> None:
        look = self.looks.pop(data.draw(st.integers(0, len(self.looks) - 1)))
        if not lost:
            self._tell(look)

    def _tell(self, look: LocateBlock) -> None:
        confirmations: int | None = None
        rival = ""
        if look.hash_le in self.known[look.node]:
            on_chain = look.hash_le in self.active
            confirmations, rival = (2, "") if on_chain else (-1, "rival")
        self.do(self.blocks.seen(BlockSeen(self.at, look.node, look.hash_le, confirmations, rival)))

    @rule(node=st.sampled_from(NODES), data=st.data())
    def node_forgets(self, node: str, data: st.DataObject) -> None:
        """Killed: it has lost some blocks (S2); when it is back, it is asked about all."""
        if self.known[node]:
            self.known[node].discard(data.draw(st.sampled_from(sorted(self.known[node]))))
        self.blocks.look_now(self.at, node)

    @rule(data=st.data())
    def reorganize(self, data: st.DataObject) -> None:
        everywhere = sorted(set().union(*self.known.values()))
        if everywhere:
            self.active ^= {data.draw(st.sampled_from(everywhere))}
            self.blocks.look_now(self.at)

    @rule(secs=st.sampled_from([0.1, 0.25, 1.0, 5.0, 30.0]))
    def time_passes(self, secs: float) -> None:
        self.at += secs
        self.do(self.blocks.tick(self.at, 210))

    @rule(secs=st.sampled_from([60.0, 7200.0]))
    def clock_is_set_back(self, secs: float) -> None:
        self.at = Instant(self.at.wall - secs, self.at.mono)

    @invariant()
    def nothing_is_left_alone(self) -> None:
        for tracked in self.blocks.open.values():
            for name, there in tracked.nodes.items():
                on_its_way = [s for s in self.in_flight if (s.node, s.block.hash_le) == (name, tracked.block.hash_le)]
                assert len(on_its_way) == int(there.in_flight)
                assert there.in_flight or there.send_at is not None or there.look_at is not None
                latest = max(POLICY.look_secs, POLICY.most_secs)
                assert (
                    there.in_flight
                    or min(due for due in (there.send_at, there.look_at) if due is not None) <= self.at + latest
                ), "nothing is put off for longer than the policy says"

    @invariant()
    def counts_hold(self) -> None:
        assert 0 <= self.blocks.accepted_count <= self.count
        assert self.blocks.standing <= self.count

    def teardown(self) -> None:
        """All nodes answer truly from now on: within a few looks each has every block and every state is true."""
        for _ in range(40):
            for send in self.in_flight[:]:
                self.in_flight.remove(send)
                self._answer(send, self._take_in(send))
            for look in self.looks[:]:
                self.looks.remove(look)
                self._tell(look)
            self.at += POLICY.look_secs / 4
            self.do(self.blocks.tick(self.at, 210))
        for hash_le, tracked in self.blocks.open.items():
            assert all(hash_le in known for known in self.known.values())
            good = (BlockState.ACCEPTED, BlockState.CONFIRMED)
            assert tracked.state in (good if hash_le in self.active else (BlockState.STALE,))
        assert len(self.blocks.open) == self.count, "none was dropped"


TestLives = Lives.TestCase
TestLives.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


def test_a_block_keeps_its_facts_when_its_hex_is_dropped(block: FoundBlock) -> None:
    blocks = tracker()
    blocks.found(block, T0)
    blocks.answered(answer(block, Answer.ACCEPTED))
    blocks.saved(block.hash_le)
    assert blocks.open[block.hash_le].block == replace(block, block_hex="")
