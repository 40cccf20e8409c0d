"""What a server gives a miner to do, read from its lines alone: the job, its coinbase, its headers.

Nothing here trusts the server: every value is bounded, and what is wrong is a BadValue that says which and why.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import NamedTuple

from solominer.chain.coinbase import COINBASE_INDEX, COMMITMENT_HEADER, MAX_SCRIPT_SIG
from solominer.chain.hashes import ZERO_HASH, root_from_branch, sha256d
from solominer.chain.header import Header
from solominer.chain.script import OP_0, OP_1, OP_16, operations, push_height
from solominer.chain.target import decode_compact, target_from_difficulty
from solominer.chain.transaction import Transaction, parse_transaction
from solominer.engines.stratum.server_values import MAX_NAME, hex_bytes
from solominer.engines.stratum.work import swap_words
from solominer.errors import BadValue, DecodeError

MAX_COINBASE_BYTES = 100_000
MAX_BRANCH = 32
NOTIFY_PARAMS = 9
_SCRIPT_SIG_LENGTH_AT = 4 + 1 + 36
_COMMITMENT_BYTES = 38


class ServerJob(NamedTuple):
    """The parameters of mining.notify. Hashes in internal order; `ntime` in Unix seconds."""

    job_id: str
    prevhash_le: bytes
    coinbase1: bytes
    coinbase2: bytes
    branch: tuple[bytes, ...]
    version: int
    nbits: int
    ntime: int
    clean: bool


def read_job(params: object) -> ServerJob:
    """The job in the parameters of mining.notify. Raises BadValue."""
    if not isinstance(params, list) or len(params) < NOTIFY_PARAMS:
        raise BadValue(f"mining.notify has {NOTIFY_PARAMS} parameters")
    job_id, prevhash, coinbase1, coinbase2, branch, version, nbits, ntime, clean = params[:NOTIFY_PARAMS]
    if not isinstance(job_id, str) or not 0 < len(job_id) <= MAX_NAME:
        raise BadValue(f"the job id is no text of 1 to {MAX_NAME} characters")
    if not isinstance(branch, list) or len(branch) > MAX_BRANCH:
        raise BadValue(f"the Merkle branch is no list of at most {MAX_BRANCH} hashes")
    if not isinstance(clean, bool):
        raise BadValue("clean_jobs is neither true nor false")
    job = ServerJob(
        job_id=job_id,
        prevhash_le=swap_words(hex_bytes(prevhash, "the parent's hash", 32, 32)),
        coinbase1=hex_bytes(coinbase1, "the first half of the coinbase", 0, MAX_COINBASE_BYTES),
        coinbase2=hex_bytes(coinbase2, "the second half of the coinbase", 0, MAX_COINBASE_BYTES),
        branch=tuple(hex_bytes(node, "a hash of the Merkle branch", 32, 32) for node in branch),
        version=int.from_bytes(hex_bytes(version, "the version", 4, 4), "big"),
        nbits=int.from_bytes(hex_bytes(nbits, "nbits", 4, 4), "big"),
        ntime=int.from_bytes(hex_bytes(ntime, "ntime", 4, 4), "big"),
        clean=clean,
    )
    if not decode_compact(job.nbits):
        raise BadValue(f"nbits {job.nbits:08x} is a target of zero")
    return job


@dataclass(frozen=True, slots=True)
class Assignment:
    """A job and what held when it came: share difficulty, extranonces, and the version bits that may be rolled."""

    job: ServerJob
    difficulty: float
    extranonce1: bytes
    extranonce2_size: int
    version_mask: int

    @property
    def share_target(self) -> int:
        """The largest hash of a share."""
        return target_from_difficulty(self.difficulty)

    @property
    def network_target(self) -> int:
        """The largest hash of a block."""
        return decode_compact(self.job.nbits)

    def rolled_bits(self) -> int:
        """What a share with a rolled version names: the bits of the mask as they are in its header; 0 without a mask.

        One bit of the job's version that is 0 is set. The header's version is (version & ~mask) | bits (BIP 310); a
        server that ORs the bits in comes to the same.
        """
        free = self.version_mask & ~self.job.version
        return (self.job.version & self.version_mask) | (free & -free)

    def at(self, ntime: int) -> Assignment:
        """The same with another ntime, as a miner rolled it."""
        return self if ntime == self.job.ntime else replace(self, job=self.job._replace(ntime=ntime))

    def coinbase(self, extranonce2: bytes) -> bytes:
        """The coinbase transaction as it is hashed."""
        return self.job.coinbase1 + self.extranonce1 + extranonce2 + self.job.coinbase2

    def header(self, extranonce2: bytes, bits: int, nonce: int = 0) -> Header:
        """The header of a share; `bits` is what it names as version bits."""
        job = self.job
        root = root_from_branch(sha256d(self.coinbase(extranonce2)), job.branch)
        version = job.version & ~self.version_mask | bits & self.version_mask
        return Header(version, job.prevhash_le, root, job.ntime, job.nbits, nonce)


class CoinbaseView(NamedTuple):
    """What a coinbase says. `height` is None where BIP 34's push is missing; `size` in bytes, without witness.

    `extranonce_in_script` is whether both extranonces lie in the input's script. `commits` is whether an output commits
    to the witnesses (BIP 141).
    """

    height: int | None
    transaction: Transaction
    size: int
    commits: bool
    extranonce_in_script: bool


def read_coinbase(assignment: Assignment) -> CoinbaseView:
    """Join the halves and read them. Raises BadValue if they make no coinbase transaction without witness."""
    extranonce2 = bytes(assignment.extranonce2_size)
    data = assignment.coinbase(extranonce2)
    try:
        transaction = parse_transaction(data)
    except DecodeError as error:
        raise BadValue(f"the halves make no transaction: {error.what}") from None
    if transaction.witness:
        raise BadValue("the halves hold a witness, which does not belong into the hash of the transaction")
    if len(transaction.inputs) != 1:
        raise BadValue(f"the coinbase has {len(transaction.inputs)} inputs")
    (only,) = transaction.inputs
    if (only.prev_txid_le, only.prev_index) != (ZERO_HASH, COINBASE_INDEX):
        raise BadValue("the coinbase's input spends another transaction")
    if not 2 <= len(only.script_sig) <= MAX_SCRIPT_SIG:
        raise BadValue(f"the coinbase's script has {len(only.script_sig)} bytes instead of 2 to {MAX_SCRIPT_SIG}")
    if not transaction.outputs:
        raise BadValue("the coinbase has no outputs")
    script_at = _SCRIPT_SIG_LENGTH_AT + 1
    start, size = len(assignment.job.coinbase1), len(assignment.extranonce1) + assignment.extranonce2_size
    return CoinbaseView(
        height=height_of(only.script_sig),
        transaction=transaction,
        size=len(data),
        commits=any(
            out.script_pubkey.startswith(COMMITMENT_HEADER) and len(out.script_pubkey) >= _COMMITMENT_BYTES
            for out in transaction.outputs
        ),
        extranonce_in_script=script_at <= start and start + size <= script_at + len(only.script_sig),
    )


def height_of(script_sig: bytes) -> int | None:
    """The height that a coinbase's script begins with, or None if it does not as BIP 34 demands."""
    opcode, data = next(operations(script_sig), (-1, b""))
    if opcode == OP_0:
        height = 0
    elif OP_1 <= opcode <= OP_16:
        height = opcode - OP_1 + 1
    elif 1 <= len(data) <= 5 and not data[-1] & 0x80:
        height = int.from_bytes(data, "little")
    else:
        return None
    return height if script_sig.startswith(push_height(height)) else None


def search(header: Header, nonces: range, target: int, above: int = -1) -> int | None:
    """The first of `nonces` whose hash is at most `target` and more than `above`, by hashlib; None if there is none."""
    packed = header.pack()
    middle, tail = hashlib.sha256(packed[:64]), packed[64:76]
    low, high = max(above, -1), target
    for nonce in nonces:
        inner = middle.copy()
        inner.update(tail + nonce.to_bytes(4, "little"))
        if low < int.from_bytes(hashlib.sha256(inner.digest()).digest(), "little") <= high:
            return nonce
    return None
