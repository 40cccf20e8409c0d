"""Sending a block, asking about it, and what the node's words mean (BIP 22, BIP 23; mining rules 40 to 46).

The strings are those of src/validation.cpp and src/rpc/mining.cpp; they vary between versions, so they are matched by
how they begin.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from solominer.chain.hashes import to_rpc_hex
from solominer.errors import NodeAuthFailed, NodeError, NodeNotReady, RpcFailed, printable
from solominer.node.rpc import DESERIALIZATION_FAILED, NOT_FOUND, OUT_OF_RANGE, RpcClient, field_of, hash_from
from solominer.work.events import Answer, TipFacts

ACCEPTED_WORD = "null"
"""How an acceptance is written down: the JSON value that the node gives."""

_SUBMIT_WORDS = (  # the first that fits counts
    ("inconclusive", Answer.HELD),
    ("duplicate-invalid", Answer.INVALID),
    ("duplicate", Answer.HELD),
    ("time-too-new", Answer.RETRY),
    ("prev-blk-not-found", Answer.RETRY),
)
TRIAL_SECS = 4.0
"""How long the node may take to refuse what is no block."""

_NO_BLOCK_HEX = (
    bytes.fromhex("00000020" + "00" * 64 + "00000000" + "ffff001d" + "00000000")  # header, of the easiest mainnet bits
    + bytes.fromhex("01" + "01000000" + "01" + "00" * 32 + "ffffffff" + "020000" + "ffffffff")  # its coinbase
    + bytes.fromhex("01" + "00" * 8 + "fe40420f00" + "00" * 1_000_000 + "00000000")
).hex()

_PROPOSAL_WORDS = (
    ("inconclusive-not-best-prevblk", Answer.RETRY),  # the tip has moved: no verdict on the block itself
    *_SUBMIT_WORDS,
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """A node's answer to a block: what it means, the node's own words, and how long it took."""

    answer: Answer
    raw: str
    rpc_secs: float


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """Where a node has a block: `confirmations` as in BlockSeen, `rival_hex` the active block at its height or ''."""

    confirmations: int | None
    rival_hex: str


def classify_submit(reply: object) -> tuple[Answer, str]:
    """What submitblock's result, or the NodeError it ended with, means; and its words for the record."""
    return _classify(reply, _SUBMIT_WORDS)


def classify_proposal(reply: object) -> tuple[Answer, str]:
    """What the result or NodeError of getblocktemplate in proposal mode means; and its words for the record."""
    return _classify(reply, _PROPOSAL_WORDS)


def submit_block(client: RpcClient, block_hex: str) -> Verdict:
    """Send a block; never raises NodeError, since that too is an answer. `client` should be used for nothing else."""
    start = time.perf_counter()
    try:
        reply = client.call("submitblock", block_hex)
    except NodeError as error:
        reply = error
    return Verdict(*classify_submit(reply), time.perf_counter() - start)


def try_submitting(client: RpcClient, *, timeout_secs: float = TRIAL_SECS) -> None:
    """Send what is no block (no work, no parent) but as large as one; the node must answer `high-hash`.

    That proves the way that a found block takes: login, whitelist, and whatever sits in between and limits sizes.
    Raises NodeError. The order of checks is that of CheckBlock (src/validation.cpp): proof of work comes first.
    """
    reply = client.call("submitblock", _NO_BLOCK_HEX, timeout_secs=timeout_secs)
    if reply != "high-hash":
        raise NodeError(
            f"{client.node} answered submitblock with {printable(repr(reply), 80)} instead of 'high-hash' for a block "
            "without work",
            "look for a proxy in between; report it with the node's debug.log",
        )


def propose_block(client: RpcClient, block_hex: str) -> Verdict:
    """Ask whether a block would be valid but for its proof of work (rule 40); never raises NodeError."""
    start = time.perf_counter()
    try:
        reply = client.call("getblocktemplate", {"mode": "proposal", "data": block_hex})
    except NodeError as error:
        reply = error
    return Verdict(*classify_proposal(reply), time.perf_counter() - start)


def where_is(client: RpcClient, hash_le: bytes, height: int) -> Whereabouts:
    """Look up a block of ours (rule 46). Raises NodeError where the node cannot tell."""
    hash_hex = to_rpc_hex(hash_le)
    try:
        confirmations = field_of(client.call("getblockheader", hash_hex), "confirmations", int)
    except RpcFailed as error:
        if error.code != NOT_FOUND:
            raise
        confirmations = None
    if confirmations is not None and confirmations >= 1:
        return Whereabouts(confirmations, "")
    try:
        active_hex = client.call("getblockhash", height)
    except RpcFailed as error:
        if error.code != OUT_OF_RANGE:
            raise
        active_hex = ""
    return Whereabouts(confirmations, active_hex if isinstance(active_hex, str) and active_hex != hash_hex else "")


def hash_at(client: RpcClient, height: int) -> bytes:
    """The active block at a height, internal byte order; empty above the tip. Raises NodeError."""
    try:
        return hash_from(client.call("getblockhash", height))
    except RpcFailed as error:
        if error.code != OUT_OF_RANGE:
            raise
        return b""


def tip_facts(client: RpcClient, hash_le: bytes) -> TipFacts:
    """The header of a block as an empty block on top of it needs it. Raises NodeError."""
    header = client.call("getblockheader", to_rpc_hex(hash_le))
    return TipFacts(
        hash_le=hash_le,
        height=field_of(header, "height", int),
        version=field_of(header, "version", int),
        time=field_of(header, "time", int),
        median_time=field_of(header, "mediantime", int),
        nbits=_number_of_hex(field_of(header, "bits", str)),
    )


def best_hash(client: RpcClient, *, timeout_secs: float | None = None) -> bytes:
    """The node's best block, internal byte order. Raises NodeError."""
    return hash_from(client.call("getbestblockhash", timeout_secs=timeout_secs))


def _number_of_hex(text: str) -> int:
    try:
        return int(text, 16)
    except ValueError as error:
        raise NodeError("the node's answer has no usable 'bits'", "check the node's version") from error


def _classify(reply: object, words: tuple[tuple[str, Answer], ...]) -> tuple[Answer, str]:
    if reply is None:
        return Answer.ACCEPTED, ACCEPTED_WORD
    if isinstance(reply, str):
        answer = next((answer for word, answer in words if reply.startswith(word)), Answer.INVALID)
        return answer, printable(reply, 200)
    if isinstance(reply, RpcFailed):
        # -25 is trouble inside the node, and the same goes for every other code but "cannot be decoded".
        return (Answer.INVALID if reply.code == DESERIALIZATION_FAILED else Answer.RETRY), reply.what
    if isinstance(reply, NodeNotReady | NodeAuthFailed):
        return Answer.RETRY, reply.what
    if isinstance(reply, NodeError):
        return Answer.UNKNOWN, reply.what
    return Answer.UNKNOWN, f"unexpected answer {reply!r:.200}"
