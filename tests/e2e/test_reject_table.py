"""What a real node answers to blocks that a fault of ours could make, what it is taken for, and what is done about it.

Each row of the table of reject reasons that our own code could cause (mining rules 40 to 47): one defect in a block
with transactions, put to the node as a proposal and as a solved block; both answers go through the classification and
then into the coordinator, whose reaction is checked. Times and reorganizations are in test_node_submit.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from regtest.raw import P2WSH_TRUE, Coin, Output, build
from regtest.scenarios import mine_blocks, mixed_transactions, node_args
from solominer.node.private.bitcoind import BitcoindBinary
from solominer.node.private.node import PrivateNode
from solominer.node.rpc import RpcClient
from solominer.node.submit import propose_block, submit_block, where_is
from solominer.work.actions import Action, Alarm, LocateBlock, PublishJob, SaveState, SendBlock
from solominer.work.blocks import MATURE_DEPTH
from solominer.work.events import Answer, BlockSeen, HealthSeen, ProposalAnswered, SubmitAnswered, TemplateReady, Tick
from solominer.work.found import BlockState
from solominer.work.ports import BlockPosition, SubmitReply
from tests.e2e.broken import Parts
from tests.e2e.mined import settings_of
from tests.work.builders import T0, coordinator, feed, health, mining, of_type, real_template, solution

pytestmark = pytest.mark.e2e

_salts = count(1)
INVALID, RETRY, HELD, ACCEPTED = Answer.INVALID, Answer.RETRY, Answer.HELD, Answer.ACCEPTED
NOT_BEST = "inconclusive-not-best-prevblk"


@dataclass(frozen=True)
class Row:
    """One defect: how to make it, and what the node says. `proposal` is "" where it says the same to that."""

    defect: str
    make: Callable[[Parts], Parts]
    word: str
    answer: Answer = INVALID
    proposal: str = ""
    proposed: Answer = INVALID
    cached: bool = False


def _change(**changes: Any) -> Callable[[Parts], Parts]:
    return lambda parts: parts.then(**changes)


def _script(make: Callable[[Parts], bytes]) -> Callable[[Parts], Parts]:
    return lambda parts: parts.then(script_sig=make(parts))


def _last_twice(*, same_root: bool) -> Callable[[Parts], Parts]:
    """Of an odd number of transactions the last stands twice in the Merkle tree anyway (CVE-2012-2459)."""

    def make(parts: Parts) -> Parts:
        odd = (1 + len(parts.txs)) % 2 == 1
        txs = parts.txs if odd == same_root else parts.txs[:-1]
        return parts.then(txs=(*txs, txs[-1]))

    return make


def _push(height: int) -> bytes:
    raw = height.to_bytes(2, "little")
    return b"\x02" + raw + b"\x08" + next(_salts).to_bytes(8, "big")


ROWS = (
    Row("nonce misses the target", _change(solved=False), "high-hash", proposal="null", proposed=ACCEPTED),
    Row("Merkle root wrong", _change(root_le=bytes(32)), "bad-txnmrklroot"),
    Row("Merkle root over wtxids", _change(root_over_wtxids=True), "bad-txnmrklroot"),
    Row(
        "prevhash byte-reversed",
        lambda parts: parts.then(prevhash_le=parts.prevhash_le[::-1]),
        "prev-blk-not-found",
        RETRY,
        NOT_BEST,
        RETRY,
    ),
    Row("wrong bits that the hash satisfies", _change(nbits=0x207FFFFE), "bad-diffbits"),
    Row("version 1", _change(version=1), "bad-version(0x00000001)"),
    Row("version 3", _change(version=3), "bad-version(0x00000003)"),
    Row("height one too low", _script(lambda parts: _push(parts.height - 1)), "bad-cb-height", cached=True),
    Row("height one too high", _script(lambda parts: _push(parts.height + 1)), "bad-cb-height", cached=True),
    Row("height absent", _script(lambda parts: b"\x08" + bytes(8)), "bad-cb-height", cached=True),
    Row(
        "height not minimal",
        _script(lambda parts: b"\x03" + parts.height.to_bytes(3, "little") + b"\x01\x07"),
        "bad-cb-height",
        cached=True,
    ),
    Row("scriptSig of 101 bytes", _script(lambda parts: _push(parts.height).ljust(101, b"\x00")), "bad-cb-length"),
    Row("scriptSig of one byte", _script(lambda parts: b"\x51"), "bad-cb-length"),
    Row("reward one satoshi too high", lambda parts: parts.then(value=parts.value + 1), "bad-cb-amount", cached=True),
    Row("transactions dropped, value kept", _change(txs=()), "bad-cb-amount", cached=True),
    Row("no outputs", _change(no_outputs=True), "bad-txns-vout-empty"),
    Row("coinbase prevout index 0", _change(prev_index=0), "bad-cb-missing"),
    Row("second coinbase", _change(second_coinbase=True), "bad-cb-multiple"),
    Row("coinbase locktime is the height", lambda p: p.then(locktime=p.height), "bad-txns-nonfinal", cached=True),
    Row("no commitment though there are witnesses", _change(commitment=b"", witness=None), "unexpected-witness"),
    Row("wrong commitment", _change(commitment=b"\x11" * 32), "bad-witness-merkle-match"),
    Row("reserved value of 31 bytes", _change(witness=(bytes(31),)), "bad-witness-nonce-size"),
    Row("two reserved values", _change(witness=(bytes(32), bytes(32))), "bad-witness-nonce-size"),
    Row("coinbase witness left out", _change(witness=None), "null", ACCEPTED, "bad-witness-nonce-size", INVALID),
    Row("last transaction twice, the Merkle root the same", _last_twice(same_root=True), "bad-txns-duplicate"),
    Row("last transaction twice", _last_twice(same_root=False), "bad-txns-inputs-missingorspent", cached=True),
    Row("child before its parent", lambda p: p.then(txs=p.txs[::-1]), "bad-txns-inputs-missingorspent", cached=True),
    Row("20,001 CHECKSIG in an output", _change(more_outputs=((0, b"\xac" * 20_001),)), "bad-blk-sigops"),
    Row("stripped size of more than a million", _change(more_outputs=((0, b"\x6a" * 1_000_001),)), "bad-blk-length"),
)


@pytest.fixture(scope="module")
def busy_node(bitcoind_binary: BitcoindBinary, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateNode]:
    """A node whose templates have transactions, chained ones and with witnesses."""
    folder = tmp_path_factory.mktemp("busy")
    with PrivateNode(bitcoind_binary, folder, extra_args=node_args(bitcoind_binary.version)) as node:
        mine_blocks(node, 130)
        mixed_transactions(node, 20)
        yield node


@pytest.fixture
def client(busy_node: PrivateNode) -> Iterator[RpcClient]:
    """A client of that node."""
    with settings_of(busy_node).connect() as connected:
        yield connected


def good_parts(client: RpcClient) -> Parts:
    """A block in which nothing is wrong."""
    return Parts.of(client.call("getblocktemplate", {"rules": ["segwit"]}), next(_salts))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.defect)
def test_a_defect(client: RpcClient, busy_node: PrivateNode, row: Row) -> None:
    parts = good_parts(client)
    assert parts.txs, "the table is about blocks with transactions"
    block_hex = row.make(parts).block_hex()

    proposal = propose_block(client, block_hex)
    assert proposal.answer is row.proposed
    assert _begins(proposal, row.proposal or row.word)
    _check_reaction_to_proposal(proposal)

    reply = submit_block(client, block_hex)
    assert reply.answer is row.answer
    assert _begins(reply, row.word)
    _check_reaction(reply)

    again = submit_block(client, block_hex)
    expected = {ACCEPTED: "duplicate", RETRY: row.word}.get(row.answer, "duplicate-invalid" if row.cached else row.word)
    assert _begins(again, expected)
    if row.answer is ACCEPTED:
        mixed_transactions(busy_node, 20, seed=next(_salts))  # the block took the ones there were


def _begins(reply: SubmitReply, words: str) -> bool:
    return reply.raw.startswith(tuple(words.split("|")))


def test_the_good_block_is_good(client: RpcClient, busy_node: PrivateNode) -> None:
    """What the rows change is right before: without this they would show nothing."""
    block_hex = good_parts(client).block_hex()
    for ask, word in ((propose_block, "null"), (submit_block, "null"), (submit_block, "duplicate")):
        reply = ask(client, block_hex)
        assert reply.raw == word
    mixed_transactions(busy_node, 20, seed=next(_salts))


@pytest.mark.parametrize(
    "damage", [lambda text: text[:-2], lambda text: text + "0", lambda text: "zz", lambda text: ""]
)
def test_what_is_no_block(client: RpcClient, damage: Callable[[str], str]) -> None:
    damaged = damage(good_parts(client).block_hex())
    for reply in (submit_block(client, damaged), propose_block(client, damaged)):
        assert reply.answer is INVALID
        assert "-22" in reply.raw
    _check_reaction(submit_block(client, damaged))


def test_a_child_of_an_invalid_block(client: RpcClient) -> None:
    parts = good_parts(client)
    bad = parts.then(value=parts.value + 1)
    assert submit_block(client, bad.block_hex()).raw.startswith("bad-cb-amount")
    child = parts.then(prevhash_le=bad.hash_le(), height=parts.height + 1, txs=(), value=0)
    reply = submit_block(client, child.block_hex())
    assert (reply.answer, reply.raw) == (RETRY, "bad-prevblk")
    _check_reaction(reply)
    assert propose_block(client, child.block_hex()).raw == NOT_BEST


@pytest.mark.parametrize("below", [1, 5])
def test_a_block_below_the_tip_is_held_and_looked_up(client: RpcClient, busy_node: PrivateNode, below: int) -> None:
    parts = good_parts(client).then(txs=(), value=0)
    mine_blocks(busy_node, below)
    for word in ("inconclusive", "duplicate"):
        reply = submit_block(client, parts.block_hex())
        assert (reply.answer, reply.raw) == (HELD, word)
        _check_reaction(reply)
    proposal = propose_block(client, parts.then(salt=b"\x01\x01").block_hex())
    assert (proposal.answer, proposal.raw) == (RETRY, NOT_BEST)
    mixed_transactions(busy_node, 20, seed=next(_salts))


def test_a_retarget_block_that_goes_back_too_far(bitcoind_binary: BitcoindBinary, tmp_path: Path) -> None:
    """Rule 15, where the node enforces BIP 94: 600 seconds before the parent are allowed, 601 are not."""
    extra = (*node_args(bitcoind_binary.version), "-test=bip94")
    with PrivateNode(bitcoind_binary, tmp_path / "bip94", extra_args=extra) as node:
        mine_blocks(node, 142)
        now = int(node.call("getblockheader", node.call("getbestblockhash"))["time"])
        node.call("setmocktime", now + 3000)
        mine_blocks(node, 1)
        with settings_of(node).connect() as connected:
            parts = good_parts(connected)
            assert parts.height == 144
            early = parts.then(time=now + 3000 - 601)
            for reply in (propose_block(connected, early.block_hex()), submit_block(connected, early.block_hex())):
                assert (reply.answer, reply.raw) == (INVALID, "time-timewarp-attack")
            assert submit_block(connected, parts.then(time=now + 3000 - 600).block_hex()).answer is ACCEPTED


def test_precious_makes_the_second_block_the_active_one(client: RpcClient, busy_node: PrivateNode) -> None:
    """Rule 45: an operator's choice; the tracker then sees the first one replaced and the second one return."""
    first, second = good_parts(client), good_parts(client)
    assert submit_block(client, first.block_hex()).answer is ACCEPTED
    assert submit_block(client, second.block_hex()).answer is HELD
    busy_node.call("preciousblock", second.hash_le()[::-1].hex())
    assert where_is(client, second.hash_le(), second.height) == BlockPosition(1, "")
    assert where_is(client, first.hash_le(), first.height) == BlockPosition(-1, second.hash_le()[::-1].hex())
    mixed_transactions(busy_node, 20, seed=next(_salts))


def test_a_reward_is_spendable_when_the_tracker_calls_it_mature(client: RpcClient, busy_node: PrivateNode) -> None:
    """Rule 47: with 99 confirmations the spend is refused, with 100 it is taken."""
    [tip] = mine_blocks(busy_node, 1)
    coinbase = busy_node.call("getblock", tip, 2)["tx"][0]
    sats = round(coinbase["vout"][0]["value"] * 100_000_000)
    spend = build([Coin(coinbase["txid"], 0, sats, P2WSH_TRUE)], [Output(sats - 10_000, P2WSH_TRUE.script)])
    mine_blocks(busy_node, MATURE_DEPTH - 2)
    height = int(busy_node.call("getblockheader", tip)["height"])
    assert where_is(client, bytes.fromhex(tip)[::-1], height).confirmations == MATURE_DEPTH - 1
    [refused] = busy_node.call("testmempoolaccept", [spend.full.hex()])
    assert refused["reject-reason"] == "bad-txns-premature-spend-of-coinbase"
    mine_blocks(busy_node, 1)
    [taken] = busy_node.call("testmempoolaccept", [spend.full.hex()])
    assert taken["allowed"]
    machine, job = mining()
    (send,) = of_type(SendBlock, feed(machine, solution(job)))
    for depth, state in ((MATURE_DEPTH - 1, BlockState.CONFIRMED), (MATURE_DEPTH, BlockState.MATURE)):
        actions = feed(machine, BlockSeen(T0, "a", send.block.hash_le, depth))
        assert [save.state for save in of_type(SaveState, actions)] == [state]


# --- what is done about it --------------------------------------------------------------------------------------------


def _check_reaction(reply: SubmitReply) -> None:
    """Feed the node's words to a coordinator that has just found a block."""
    machine, job = mining()
    (send,) = of_type(SendBlock, feed(machine, solution(job)))
    answered = SubmitAnswered(T0 + 1, "a", send.block.hash_le, reply.answer, reply.raw, 1, reply.rpc_secs)
    actions = feed(machine, answered)
    later: list[Action] = feed(machine, Tick(T0 + 2))
    states = [save.state for save in of_type(SaveState, actions)]
    alarms = [alarm for alarm in of_type(Alarm, actions) if alarm.code == "block-rejected"]
    if reply.answer is INVALID:
        assert [reply.raw in alarm.message for alarm in alarms] == [True], "loud, with the node's own words"
        assert states == [BlockState.REJECTED]
        assert [publish.job.is_empty for publish in of_type(PublishJob, actions)] == [True], "work goes on"
        assert of_type(SendBlock, later) == []
        return
    assert alarms == []
    resent = [again.attempt for again in of_type(SendBlock, later)]
    assert resent == ([2] if reply.answer is RETRY else [])
    assert of_type(LocateBlock, later), "the chain is asked, whatever the answer was"
    assert states == ([BlockState.ACCEPTED] if reply.answer is ACCEPTED else [])


def _check_reaction_to_proposal(reply: SubmitReply) -> None:
    """Feed the node's words to a coordinator that mines a full template."""
    machine, template = coordinator(), real_template()
    seen = HealthSeen(T0, health("a", best=template.prevhash_le))
    [publish] = of_type(PublishJob, feed(machine, seen, TemplateReady(T0, "a", template)))
    assert not publish.job.is_empty
    actions = feed(machine, ProposalAnswered(T0, "a", publish.job.job_id, reply.answer, reply.raw))
    alarms = [alarm.code for alarm in of_type(Alarm, actions)]
    jobs = [published.job for published in of_type(PublishJob, actions)]
    if reply.answer is INVALID:
        assert alarms == ["proposal-failed"]
        assert [job.is_empty for job in jobs] == [True], "an empty block with the right value instead"
        assert jobs[0].template.coinbase_value < publish.job.template.coinbase_value
    else:
        assert (alarms, jobs) == ([], [])
