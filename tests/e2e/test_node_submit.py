"""Answers of a real node to good and broken blocks, and what they are classified as: mining rules 13, 14, 40 to 46,
S2 and S3.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from regtest.scenarios import mine_blocks, reorganize
from solominer.chain.hashes import sha256d
from solominer.chain.header import Header
from solominer.node.private.node import PrivateNode
from solominer.node.rpc import RpcClient
from solominer.node.submit import propose_block, submit_block, tip_facts, try_submitting, where_is
from solominer.work.events import Answer
from solominer.work.ports import BlockPosition
from solominer.work.template import Template
from tests.e2e.mined import Mined, current_template, mine, settings_of

pytestmark = pytest.mark.e2e


@pytest.fixture
def client(module_node: PrivateNode) -> Iterator[RpcClient]:
    """A client of the module's node."""
    with settings_of(module_node).connect() as connected:
        yield connected


def _submitted(client: RpcClient, block: Mined) -> tuple[Answer, str]:
    reply = submit_block(client, block.block_hex)
    return reply.answer, reply.raw


def _proposed(client: RpcClient, block: Mined) -> tuple[Answer, str]:
    reply = propose_block(client, block.block_hex)
    return reply.answer, reply.raw


def test_the_trial_is_refused_for_its_missing_work_and_leaves_no_trace(client: RpcClient) -> None:
    tips = client.call("getchaintips")
    try_submitting(client)
    assert client.call("getchaintips") == tips


def test_accepted_then_duplicate(client: RpcClient) -> None:
    block = mine(current_template(client))
    assert _submitted(client, block) == (Answer.ACCEPTED, "null")
    assert _submitted(client, block) == (Answer.HELD, "duplicate")
    assert where_is(client, block.hash_le, block.height) == BlockPosition(1, "")
    facts = tip_facts(client, block.hash_le)
    assert (facts.hash_le, facts.height) == (block.hash_le, block.height)


def test_a_sibling_of_the_tip_is_held(client: RpcClient) -> None:
    template = current_template(client)
    first, second = mine(template), mine(template)
    assert _submitted(client, first)[0] is Answer.ACCEPTED
    assert _submitted(client, second) == (Answer.HELD, "inconclusive")
    assert _submitted(client, second) == (Answer.HELD, "duplicate")
    assert where_is(client, second.hash_le, second.height) == BlockPosition(-1, first.hash_hex)
    assert _proposed(client, mine(template, solved=False)) == (Answer.RETRY, "inconclusive-not-best-prevblk")


def test_an_unsolved_block_is_a_good_proposal_and_a_bad_block(client: RpcClient) -> None:
    block = mine(current_template(client), solved=False)
    assert _proposed(client, block) == (Answer.ACCEPTED, "null")
    assert _submitted(client, block) == (Answer.INVALID, "high-hash")
    assert where_is(client, block.hash_le, block.height) == BlockPosition(None, "")


def _header(**changes: object) -> Callable[[Template], Mined]:
    return lambda template: mine(template, lambda header: replace(header, **changes))  # type: ignore[arg-type]


def _too_much(template: Template) -> Mined:
    return mine(replace(template, coinbase_value=template.coinbase_value + 1))


def _wrong_height(template: Template) -> Mined:
    return mine(replace(template, height=template.height - 1))


def _wrong_commitment(template: Template) -> Mined:
    return mine(replace(template, commitment=sha256d(b"another")))


@pytest.mark.parametrize(
    ("make", "answer", "word", "again"),
    [
        (_header(merkle_root_le=b"\x11" * 32), Answer.INVALID, "bad-txnmrklroot", "bad-txnmrklroot"),
        (_header(nbits=0x207FFFFE), Answer.INVALID, "bad-diffbits", "bad-diffbits"),
        (_header(version=1), Answer.INVALID, "bad-version", "bad-version"),
        (_too_much, Answer.INVALID, "bad-cb-amount", "duplicate-invalid"),
        (_wrong_height, Answer.INVALID, "bad-cb-height", "duplicate-invalid"),
        (_wrong_commitment, Answer.INVALID, "bad-witness-merkle-match", "bad-witness-merkle-match"),
    ],
)
def test_broken_blocks(
    client: RpcClient, make: Callable[[Template], Mined], answer: Answer, word: str, again: str
) -> None:
    block = make(current_template(client))
    for ask, expected in ((_proposed, word), (_submitted, word), (_submitted, again)):
        found, raw = ask(client, block)
        assert found is answer
        assert raw.startswith(expected)
    assert where_is(client, block.hash_le, block.height).confirmations in (None, -1)


def test_a_block_whose_parent_is_unknown_is_kept_for_later(client: RpcClient) -> None:
    block = mine(current_template(client), lambda header: replace(header, prevhash_le=b"\x11" * 32))
    assert _submitted(client, block) == (Answer.RETRY, "prev-blk-not-found")
    assert _submitted(client, block) == (Answer.RETRY, "prev-blk-not-found")
    assert _proposed(client, block) == (Answer.RETRY, "inconclusive-not-best-prevblk")


def test_a_block_on_a_parent_that_was_invalidated_by_hand_is_kept_for_later(
    client: RpcClient, module_node: PrivateNode
) -> None:
    mine_blocks(module_node, 1)
    block = mine(current_template(client))
    parent_hex = module_node.call("getbestblockhash")
    module_node.call("invalidateblock", parent_hex)
    assert _submitted(client, block) == (Answer.RETRY, "bad-prevblk")
    module_node.call("reconsiderblock", parent_hex)
    assert _submitted(client, block) == (Answer.ACCEPTED, "null")


@pytest.mark.parametrize("damage", [lambda text: text[:-2], lambda text: text[:-1], lambda text: "zz", lambda text: ""])
def test_what_cannot_be_decoded_is_invalid(client: RpcClient, damage: Callable[[str], str]) -> None:
    reply = submit_block(client, damage(mine(current_template(client)).block_hex))
    assert reply.answer is Answer.INVALID
    assert "-22" in reply.raw


def test_time_rules_at_their_edges(client: RpcClient, module_node: PrivateNode) -> None:
    """The median time itself is too old, one second more is accepted; clock + 7200 is, one more is not until later."""
    mine_blocks(module_node, 12)

    def at(time: int) -> Callable[[Header], Header]:
        return lambda header: replace(header, ntime=time)

    template = current_template(client)
    assert _submitted(client, mine(template, at(template.mintime - 1))) == (Answer.INVALID, "time-too-old")
    assert _submitted(client, mine(template, at(template.mintime)))[0] is Answer.ACCEPTED

    now = current_template(client).curtime
    try:
        module_node.call("setmocktime", now)
        template = current_template(client)
        early = mine(template, at(now + 7201))
        answer, raw = _submitted(client, early)
        assert (answer, raw[:12]) == (Answer.RETRY, "time-too-new")
        module_node.call("setmocktime", now + 1)
        assert _submitted(client, early) == (Answer.ACCEPTED, "null"), "the refusal is not remembered"
    finally:
        module_node.call("setmocktime", 0)


def test_duplicate_is_not_success(client: RpcClient, module_node: PrivateNode) -> None:
    """S3: a block that lost its race answers `duplicate`, and only the chain tells that it is not in it."""
    block = mine(current_template(client))
    assert _submitted(client, block)[0] is Answer.ACCEPTED
    reorganize(module_node, 1)
    assert _submitted(client, block) == (Answer.HELD, "duplicate")
    place = where_is(client, block.hash_le, block.height)
    assert place.confirmations == -1
    assert place.rival_hex == module_node.call("getblockhash", block.height)


def test_null_is_not_durable(node: PrivateNode) -> None:
    """S2: a node that is killed behind its answer forgets the block; it takes it again."""
    mine_blocks(node, 3)
    node.restart()  # what came before is on its disk
    with settings_of(node).connect() as client:
        block = mine(current_template(client))
        assert _submitted(client, block) == (Answer.ACCEPTED, "null")
        node.kill()
        assert _submitted(client, block)[0] is Answer.UNKNOWN
        node.start()
        assert where_is(client, block.hash_le, block.height) == BlockPosition(None, "")
        assert _submitted(client, block) == (Answer.ACCEPTED, "null")
        assert where_is(client, block.hash_le, block.height) == BlockPosition(1, "")
