"""Submit blocks, look them up, and classify the node's answers (BIP 22, BIP 23; mining rules 40 to 46).

The strings are those of src/validation.cpp and src/rpc/mining.cpp; they vary between versions, so they are matched by
prefix.
"""

from __future__ import annotations

import re
import time
from dataclasses import replace

from solominer.chain.fields import MAX_HEIGHT, shown
from solominer.chain.hashes import sha256d, to_rpc_hex
from solominer.chain.header import HEADER_SIZE
from solominer.chain.networks import Network
from solominer.errors import NodeAuthFailed, NodeError, NodeNotReady, RpcFailed, WrongNetwork, printable
from solominer.node.headers import contradiction, hash_at, header_of
from solominer.node.health import pin_network
from solominer.node.rpc import DESERIALIZATION_FAILED, NOT_FOUND, RpcClient
from solominer.work.events import Answer, TipFacts
from solominer.work.ports import BlockPosition, SubmitReply

ACCEPTED_WORD = "null"
"""An acceptance in records: the JSON value that the node returns."""

_SUBMIT_WORDS = (  # the first match counts
    ("inconclusive", Answer.HELD),
    ("duplicate-invalid", Answer.INVALID),
    ("duplicate", Answer.HELD),
    ("time-too-new", Answer.RETRY),
    ("prev-blk-not-found", Answer.RETRY),
    ("bad-prevblk", Answer.RETRY),  # invalidateblock on the parent, which reconsiderblock takes back
)
TRIAL_SECS = 4.0
"""Timeout for the node to refuse the trial block."""

_NO_BLOCK_HEX = (
    bytes.fromhex("00000020" + "00" * 64 + "00000000" + "ffff001d" + "00000000")  # header, of the easiest mainnet bits
    + bytes.fromhex("01" + "01000000" + "01" + "00" * 32 + "ffffffff" + "020000" + "ffffffff")  # its coinbase
    + bytes.fromhex("01" + "00" * 8 + "fe40420f00" + "00" * 1_000_000 + "00000000")
).hex()

_PROPOSAL_WORDS = (
    ("inconclusive-not-best-prevblk", Answer.RETRY),  # the tip has changed: says nothing about the block itself
    *_SUBMIT_WORDS,
)

_MOST_WORDS = 500
_REASON = re.compile(rf"rejected|(?=.{{1,{_MOST_WORDS}}}$)[a-z][a-z0-9]*(-[a-z0-9]+)+([ (,:].*)?", re.ASCII)
"""The form of all reject reasons; other texts are not answers to a block."""


def classify_submit(reply: object) -> tuple[Answer, str]:
    """The meaning of submitblock's result or NodeError, and its text for the records."""
    return _classify(reply, _SUBMIT_WORDS)


def classify_proposal(reply: object) -> tuple[Answer, str]:
    """The meaning of the result or NodeError of getblocktemplate in proposal mode, and its text for the records."""
    return _classify(reply, _PROPOSAL_WORDS)


def submit_block(client: RpcClient, block_hex: str) -> SubmitReply:
    """Send a block; a NodeError becomes an answer. `client` should be used for nothing else."""
    start = time.perf_counter()
    try:
        reply = client.call("submitblock", block_hex)
    except NodeError as error:
        reply = error
    return SubmitReply(*classify_submit(reply), time.perf_counter() - start)


def try_submitting(client: RpcClient) -> None:
    """Submit an invalid block of full size (no work, no parent); the node must answer `high-hash`.

    That tests the path of a found block: login, whitelist, and size limits of anything in between. CheckBlock
    (src/validation.cpp) checks the proof of work first. Raises NodeError.
    """
    reply = client.call("submitblock", _NO_BLOCK_HEX, timeout_secs=TRIAL_SECS)
    if reply != "high-hash":
        raise NodeError(
            f"{client.node} answered submitblock with {printable(repr(reply), 80)} instead of 'high-hash' for a block "
            "without work",
            "look for a proxy in between; otherwise report it with the node's debug.log",
        )


def propose_block(client: RpcClient, block_hex: str) -> SubmitReply:
    """Ask whether a block would be valid apart from its proof of work (rule 40); a NodeError becomes an answer."""
    start = time.perf_counter()
    try:
        reply = client.call("getblocktemplate", {"mode": "proposal", "data": block_hex})
    except NodeError as error:
        reply = error
    return SubmitReply(*classify_proposal(reply), time.perf_counter() - start)


def check_reply(client: RpcClient, network: Network, block_hex: str, first: SubmitReply) -> SubmitReply:
    """Confirm a final answer to a block on another connection, since a single reply may belong to another request.

    An accepted block must be in the active chain, otherwise it counts as held; a rejection must be repeated by a node
    on `network`, and the block must not be in the chain. Never raises NodeError.
    """
    again = submit_block(client, block_hex) if first.answer is Answer.INVALID else first
    if again.answer not in (Answer.ACCEPTED, Answer.INVALID):
        return again
    if again.answer is Answer.INVALID:
        try:
            pin_network(client, network)
        except WrongNetwork as error:
            return replace(again, answer=Answer.RETRY, raw=f"{again.raw}, but {error.what}")
        except NodeError as error:
            return replace(again, answer=Answer.UNKNOWN, raw=f"{again.raw}, then {error.what}")
    try:
        is_active = header_of(client, _hash_of(block_hex)).confirmations >= 1
    except NodeError:
        is_active = False
    return again if is_active is (again.answer is Answer.ACCEPTED) else replace(again, answer=Answer.HELD)


def check_proposal(client: RpcClient, block_hex: str, first: SubmitReply) -> SubmitReply:
    """Confirm a final answer to a proposal on another connection. Never raises NodeError."""
    again = propose_block(client, block_hex)
    if again.answer is first.answer:
        return first
    return replace(again, answer=Answer.UNKNOWN, raw=f"{again.raw}, and before: {first.raw}")


def where_is(client: RpcClient, hash_le: bytes, height: int) -> BlockPosition:
    """Look up one of our blocks (rule 46). Raises NodeError, also for inconsistent answers."""
    try:
        header = header_of(client, hash_le)
    except RpcFailed as error:
        if error.code != NOT_FOUND:
            raise
        header = None
    active_le = hash_at(client, height)
    confirmations = None if header is None else header.confirmations
    is_there = header is None or header.height == height
    if confirmations is None or confirmations < 1:
        replaced = is_there and active_le not in (b"", hash_le)
        return BlockPosition(confirmations, to_rpc_hex(active_le) if replaced else "")
    if not is_there or active_le != hash_le:
        raise contradiction(client, f"{confirmations} confirmations of a block that is not the one at height {height}")
    most = client.ask("getblockchaininfo")["blocks"].integer(0, MAX_HEIGHT) - height + 1
    if confirmations > most:
        raise contradiction(client, f"{confirmations} confirmations where the chain allows {most}")
    return BlockPosition(confirmations, "")


def agreed(first: BlockPosition, again: BlockPosition) -> BlockPosition:
    """Combine two lookups. Raises NodeError if they disagree on whether, or by what, the block is replaced."""
    depths = (first.confirmations or 0, again.confirmations or 0)
    if (depths[0] >= 1) is not (depths[1] >= 1) or first.rival_hex != again.rival_hex:
        raise NodeError("two answers about one of our blocks disagree", "it is looked up again")
    return first if depths[0] <= depths[1] else again


def tip_facts(client: RpcClient, hash_le: bytes) -> TipFacts:
    """The facts of the active tip's header that an empty block on top of it requires. Raises NodeError."""
    known = header_of(client, hash_le)
    if known.confirmations < 1:  # getblockhash would say the same, a call later
        raise contradiction(client, f"{to_rpc_hex(hash_le)} is the best block, and not in the active chain")
    header = known.header
    return TipFacts(hash_le, known.height, header.version, header.ntime, known.median_time, header.nbits)


def best_hash(client: RpcClient, *, timeout_secs: float | None = None) -> bytes:
    """The node's best block, internal byte order. Raises NodeError."""
    return client.ask("getbestblockhash", timeout_secs=timeout_secs).hash_le()


def _hash_of(block_hex: str) -> bytes:
    return sha256d(bytes.fromhex(block_hex[: 2 * HEADER_SIZE]))


def _classify(reply: object, meanings: tuple[tuple[str, Answer], ...]) -> tuple[Answer, str]:
    if reply is None:
        return Answer.ACCEPTED, ACCEPTED_WORD
    if isinstance(reply, str):
        unknown = Answer.INVALID if _REASON.fullmatch(reply) else Answer.UNKNOWN
        answer = next((answer for word, answer in meanings if reply.startswith(word)), unknown)
        return answer, printable(reply, 200)
    if isinstance(reply, RpcFailed):
        # All codes except "cannot be decoded" are internal errors of the node, such as -25.
        return (Answer.INVALID if reply.code == DESERIALIZATION_FAILED else Answer.RETRY), reply.what
    if isinstance(reply, NodeNotReady | NodeAuthFailed):
        return Answer.RETRY, reply.what
    if isinstance(reply, NodeError):
        return Answer.UNKNOWN, reply.what
    return Answer.UNKNOWN, f"unexpected answer {shown(reply)}"
