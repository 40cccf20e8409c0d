"""What a node's answer to a block means: every string of mining rule 44 and of the table of broken blocks, every kind
of failure, and the look-ups behind a submission.
"""

from __future__ import annotations

from typing import Any

import pytest

from solominer.chain.hashes import to_rpc_hex
from solominer.chain.header import Header, meets_target
from solominer.chain.target import decode_compact
from solominer.chain.transaction import parse_transaction
from solominer.errors import NodeAuthFailed, NodeError, NodeNotReady, NodeTimeout, NodeUnreachable, RpcFailed
from solominer.node.rpc import RpcClient
from solominer.node.submit import (
    agreed,
    best_hash,
    classify_proposal,
    classify_submit,
    propose_block,
    submit_block,
    tip_facts,
    try_submitting,
    where_is,
)
from solominer.work.events import Answer, TipFacts
from solominer.work.ports import BlockPosition
from tests.node.fake_chain import told_header
from tests.node.fake_node import Drop, FakeNode, Reply, error, result

OURS = Header(0x20000000, b"\2" * 32, b"\3" * 32, 100, 0x207FFFFF, 7)
OURS_LE, OURS_HEX = OURS.hash_le(), to_rpc_hex(OURS.hash_le())
RIVAL_HEX = "00000000000000000002" + "cd" * 22

INVALID_WORDS = [
    "duplicate-invalid",
    "rejected",
    "high-hash",
    "bad-txnmrklroot",
    "bad-diffbits",
    "time-too-old",
    "time-timewarp-attack",
    "bad-version(0x00000001)",
    "bad-cb-height",
    "bad-cb-length",
    "bad-cb-amount",
    "bad-txns-vout-empty",
    "bad-cb-missing",
    "bad-cb-multiple",
    "bad-txns-nonfinal",
    "unexpected-witness",
    "bad-witness-merkle-match",
    "bad-witness-nonce-size",
    "bad-txns-duplicate",
    "bad-txns-inputs-missingorspent",
    "bad-txns-premature-spend-of-coinbase",
    "bad-blk-sigops",
    "bad-blk-length",
    "bad-blk-weight",
    "bad-signet-blksig",
    "mandatory-script-verify-flag-failed",
    "block-script-verify-flag-failed",
    "something-new",
]


@pytest.mark.parametrize(
    ("reply", "answer"),
    [
        (None, Answer.ACCEPTED),
        ("inconclusive", Answer.HELD),
        ("duplicate", Answer.HELD),
        ("duplicate-inconclusive", Answer.HELD),
        ("time-too-new", Answer.RETRY),
        ("time-too-new, block timestamp too far in the future", Answer.RETRY),
        ("prev-blk-not-found", Answer.RETRY),
        ("bad-prevblk", Answer.RETRY),
        *((word, Answer.INVALID) for word in INVALID_WORDS),
        ({"unexpected": 1}, Answer.UNKNOWN),
        (False, Answer.UNKNOWN),
        (RpcFailed("Block decode failed", code=-22), Answer.INVALID),
        (RpcFailed("out of disk space", code=-25), Answer.RETRY),
        (RpcFailed("another one", code=-1), Answer.RETRY),
        (NodeNotReady("warming up"), Answer.RETRY),
        (NodeAuthFailed("wrong cookie"), Answer.RETRY),
        (NodeTimeout("no answer"), Answer.UNKNOWN),
        (NodeUnreachable("connection lost"), Answer.UNKNOWN),
        (NodeError("half a reply"), Answer.UNKNOWN),
    ],
)
def test_submit_answers(reply: object, answer: Answer) -> None:
    assert classify_submit(reply)[0] is answer


@pytest.mark.parametrize(
    ("reply", "answer"),
    [
        (None, Answer.ACCEPTED),
        ("duplicate", Answer.HELD),
        ("duplicate-inconclusive", Answer.HELD),
        ("inconclusive-not-best-prevblk", Answer.RETRY),
        ("time-too-new", Answer.RETRY),
        *((word, Answer.INVALID) for word in INVALID_WORDS),
        (RpcFailed("Block decode failed", code=-22), Answer.INVALID),
        (NodeTimeout("no answer"), Answer.UNKNOWN),
    ],
)
def test_proposal_answers(reply: object, answer: Answer) -> None:
    assert classify_proposal(reply)[0] is answer


def test_the_words_are_the_nodes_own() -> None:
    assert classify_submit(None)[1] == "null"
    assert classify_submit("bad-cb-amount")[1] == "bad-cb-amount"
    assert classify_submit(RpcFailed("the node's words", "advice", code=-25))[1] == "the node's words"
    assert classify_submit([1])[1] == "unexpected answer a list of 1"


@pytest.mark.parametrize(
    "text", ["", "null", "valid?", "ab" * 32, "Höhe", "x" * 10_000_000, "a-" * 999 + "b", "a-b\n"], ids=range(8)
)
def test_a_text_that_is_no_reason_is_no_answer(text: str) -> None:
    """Such as the answer to another question."""
    for classify in (classify_submit, classify_proposal):
        answer, raw = classify(text)
        assert answer is Answer.UNKNOWN
        assert len(raw) <= 500


def test_deep_nesting_is_no_answer() -> None:
    deep: Any = 1
    for _ in range(1000):
        deep = {"a": deep}
    assert classify_submit(deep)[0] is Answer.UNKNOWN


def test_submission_sends_the_block_and_times_the_answer(fake: FakeNode, client: RpcClient) -> None:
    fake.answers["submitblock"] = None
    reply = submit_block(client, "00ff")
    assert (reply.answer, reply.raw) == (Answer.ACCEPTED, "null")
    assert 0 < reply.rpc_secs < 10
    assert fake.requests[0].params == ["00ff"]


@pytest.mark.parametrize(
    ("step", "answer"),
    [
        (result("inconclusive"), Answer.HELD),
        (Reply(503, b"shutting down"), Answer.RETRY),
        (Reply(401), Answer.RETRY),
        (error(-28), Answer.RETRY),
        (error(-22), Answer.INVALID),
        (Drop(), Answer.UNKNOWN),
        (Reply(200, b'{"res', claimed=100, close=True), Answer.UNKNOWN),
        (Reply(500, b"Internal Error"), Answer.UNKNOWN),
    ],
)
def test_every_failure_of_a_submission_is_an_answer(
    fake: FakeNode, client: RpcClient, step: Reply | Drop, answer: Answer
) -> None:
    fake.then(step)
    reply = submit_block(client, "00")
    assert reply.answer is answer
    assert reply.raw


def test_proposal_request_and_failure(fake: FakeNode, client: RpcClient) -> None:
    fake.then(result("bad-cb-amount"), Drop(), Drop())
    assert propose_block(client, "00ff").answer is Answer.INVALID
    assert fake.requests[0].params == [{"mode": "proposal", "data": "00ff"}]
    assert propose_block(client, "00ff").answer is Answer.UNKNOWN


def test_where_a_block_is(fake: FakeNode, client: RpcClient) -> None:
    fake.answers = {"getblockheader": told_header(OURS, 7, 3), "getblockhash": OURS_HEX}
    fake.answers["getblockchaininfo"] = {"blocks": 9}
    assert where_is(client, OURS_LE, 7) == BlockPosition(3, "")
    fake.answers["getblockheader"] = told_header(OURS, 7, -1)
    assert where_is(client, OURS_LE, 7) == BlockPosition(-1, ""), "it came back between the two questions"
    fake.answers["getblockhash"] = RIVAL_HEX
    assert where_is(client, OURS_LE, 7) == BlockPosition(-1, RIVAL_HEX)
    fake.answers["getblockhash"] = error(-8, "Block height out of range")
    assert where_is(client, OURS_LE, 7) == BlockPosition(-1, "")
    fake.answers["getblockheader"] = error(-5, "Block not found")
    assert where_is(client, OURS_LE, 7) == BlockPosition(None, "")


OTHER = Header(0x20000000, b"\2" * 32, b"\3" * 32, 100, 0x207FFFFF, 8)


@pytest.mark.parametrize(
    ("header", "active_hex", "blocks", "words"),
    [
        (told_header(OTHER, 7, 3), OURS_HEX, 9, "sent that of"),
        ({**told_header(OURS, 7, 3), "nonce": 9}, OURS_HEX, 9, "sent that of"),
        ({**told_header(OTHER, 7, 3), "hash": OURS_HEX}, OURS_HEX, 9, "sent that of"),
        (told_header(OURS, 8, 3), OURS_HEX, 10, "not the one at height 7"),
        (told_header(OURS, 7, 3), RIVAL_HEX, 9, "not the one at height 7"),
        (told_header(OURS, 7, 3), error(-8), 9, "not the one at height 7"),
        (told_header(OURS, 7, 100), OURS_HEX, 9, "100 confirmations where the chain allows 3"),
        (told_header(OURS, 7, 3), OURS_HEX, 5, "where the chain allows -1"),
        (told_header(OURS, 7, -2), OURS_HEX, 9, "confirmations is -2"),
        (told_header(OURS, 7, 1 << 40), OURS_HEX, 9, "confirmations is"),
        (told_header(OURS, 7, 3), OURS_HEX, "9", "blocks is '9'"),
        ("text", OURS_HEX, 9, "not an object"),
    ],
)
def test_answers_that_do_not_fit_are_not_believed(
    fake: FakeNode, client: RpcClient, header: Any, active_hex: Any, blocks: Any, words: str
) -> None:
    fake.answers = {"getblockheader": header, "getblockhash": active_hex, "getblockchaininfo": {"blocks": blocks}}
    with pytest.raises(NodeError, match=words) as caught:
        where_is(client, OURS_LE, 7)
    assert not isinstance(caught.value, RpcFailed)


def test_where_a_block_is_cannot_always_be_told(fake: FakeNode, client: RpcClient) -> None:
    fake.answers = {"getblockheader": error(-1), "getblockhash": RIVAL_HEX}
    with pytest.raises(RpcFailed):
        where_is(client, OURS_LE, 7)
    fake.answers = {"getblockheader": error(-5), "getblockhash": error(-1)}
    with pytest.raises(RpcFailed):
        where_is(client, OURS_LE, 7)


def test_two_looks_must_agree() -> None:
    assert agreed(BlockPosition(3, ""), BlockPosition(4, "")) == BlockPosition(3, "")
    assert agreed(BlockPosition(100, ""), BlockPosition(99, "")) == BlockPosition(99, "")
    assert agreed(BlockPosition(-1, "aa"), BlockPosition(-1, "aa")) == BlockPosition(-1, "aa")
    for again in (BlockPosition(-1, ""), BlockPosition(None, ""), BlockPosition(-1, "bb")):
        with pytest.raises(NodeError, match="disagree"):
            agreed(BlockPosition(3, ""), again)
        with pytest.raises(NodeError, match="disagree"):
            agreed(BlockPosition(-1, "aa"), again)


def test_facts_of_a_tip(fake: FakeNode, client: RpcClient) -> None:
    header = told_header(OURS, 5, median_time=90)
    fake.answers = {"getblockheader": header, "getbestblockhash": OURS_HEX}
    hash_le = best_hash(client)
    assert hash_le == OURS_LE
    assert tip_facts(client, hash_le) == TipFacts(OURS_LE, 5, 0x20000000, 100, 90, 0x207FFFFF)
    fake.answers["getblockheader"] = header | {"confirmations": -1}
    with pytest.raises(NodeError, match="not in the active chain"):
        tip_facts(client, hash_le)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("bits", ""),
        ("bits", "0x10"),
        ("bits", "0x207fff"),
        ("mediantime", 1 << 32),
        ("mediantime", 101),
        ("time", -1),
        ("height", -1),
        ("height", 5.0),
        ("version", 1 << 31),
        ("nonce", True),
        ("merkleroot", "x" * 5_000_000),
    ],
    ids=range(11),
)
def test_a_wild_field_of_a_header_is_an_error_of_ours(fake: FakeNode, client: RpcClient, key: str, value: Any) -> None:
    fake.answers = {"getblockheader": {**told_header(OURS, 5), key: value}}
    with pytest.raises(NodeError, match=f"getblockheader.{key}") as caught:
        tip_facts(client, OURS_LE)
    assert len(str(caught.value)) < 500


def test_trying_sends_what_is_no_block_and_as_large_as_one(fake: FakeNode, client: RpcClient) -> None:
    fake.answers["submitblock"] = "high-hash"
    try_submitting(client)
    (content,) = fake.requests[0].params
    assert len(content) > 2_000_000
    header = Header.unpack(bytes.fromhex(content[:160]))
    assert not meets_target(header.hash_le(), decode_compact(header.nbits))
    assert content[160:162] == "01"
    coinbase = parse_transaction(bytes.fromhex(content[162:]))
    assert len(coinbase.outputs[0].script_pubkey) == 1_000_000


@pytest.mark.parametrize(
    ("step", "words"),
    [
        (result(None), "None instead of 'high-hash'"),
        (result("duplicate"), "'duplicate' instead"),
        (Reply(403), "submitblock (HTTP 403)"),
        (Reply(413), "HTTP 413"),
        (error(-22, "Block decode failed"), "-22"),
        (Drop(), "is unreachable"),
    ],
)
def test_every_other_answer_to_a_trial_is_wrong(
    fake: FakeNode, client: RpcClient, step: Reply | Drop, words: str
) -> None:
    fake.then(step)
    with pytest.raises(NodeError) as caught:
        try_submitting(client)
    assert words in str(caught.value)
