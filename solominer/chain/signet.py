"""Signet blocks: the signed data, the position of the solution, and its transactions (BIP 325, src/signet.cpp).

A signet's challenge is a script. A block is valid if its *solution* (a scriptSig and a witness) satisfies that script
in two virtual transactions, of which the first commits to the block. The solution is in the coinbase's witness
commitment output, after the commitment, in one push that begins with SIGNET_HEADER; the block is signed without it. So
the signature fixes version, ntime and coinbase, and only the nonce is left to search.
"""

from __future__ import annotations

import struct
from dataclasses import replace

from solominer.chain.coinbase import COINBASE_INDEX, Coinbase
from solominer.chain.hashes import ZERO_HASH
from solominer.chain.script import OP_0, OP_1, OP_RETURN, push
from solominer.chain.serialize import compact_size, int64_le, sized, uint32_le
from solominer.chain.transaction import Transaction, TxIn, TxOut
from solominer.errors import BadValue

SIGNET_HEADER = bytes.fromhex("ecc7daa2")
PUBLIC_CHALLENGE = bytes.fromhex(
    "512103ad5e0edad18cb1f0fc0d28a3d4f1f3e445640337489abb10404f2d1e086be430"
    "210359ef5021964fe22d6f8e05b2463c9540ce96883fe3b278760f048f5189f2e6c452ae"
)
"""The challenge of the public signet: a multisignature of its two maintainers (src/kernel/chainparams.cpp)."""

COMMITMENT_SIZE = 38
_SIGHASH_ALL = 1
_DATA = struct.Struct("<I32s32sI")
_PSBT_MAGIC = b"psbt\xff"
_UNSIGNED_TX, _NON_WITNESS_UTXO, _WITNESS_UTXO, _SIGHASH_TYPE = 0x00, 0x00, 0x01, 0x03


def is_trivial(challenge: bytes) -> bool:
    """Whether anyone can mine: OP_TRUE requires no solution."""
    return challenge == bytes((OP_1,))


def is_taproot(challenge: bytes) -> bool:
    """Whether the challenge is a taproot output, which has another default sighash type (BIP 341)."""
    return len(challenge) == 34 and challenge[:2] == b"\x51\x20"


def block_data(version: int, prevhash_le: bytes, merkle_root_le: bytes, ntime: int) -> bytes:
    """The 72 bytes to which the first transaction commits. The Merkle root is of the block without its solution."""
    return _DATA.pack(version, prevhash_le, merkle_root_le, ntime)


def to_spend(challenge: bytes, data: bytes) -> Transaction:
    """The first transaction, with one output locked by the challenge."""
    script_sig = bytes((OP_0,)) + push(data)
    return Transaction(0, (TxIn(ZERO_HASH, COINBASE_INDEX, script_sig, 0),), (TxOut(0, challenge),), 0)


def to_sign(spent: Transaction) -> Transaction:
    """The second one, which spends the first; its scriptSig and witness are the solution."""
    return Transaction(0, (TxIn(spent.txid_le(), 0, b"", 0),), (TxOut(0, bytes((OP_RETURN,))),), 0)


def solution_of(signed: Transaction) -> bytes:
    """The solution in a signed second transaction, serialized as the coinbase carries it."""
    stack = signed.witness[0] if signed.witness else ()
    return sized(signed.inputs[0].script_sig) + compact_size(len(stack)) + b"".join(map(sized, stack))


def psbt(challenge: bytes, data: bytes) -> bytes:
    """Both transactions as a PSBT for a wallet to sign (BIP 174)."""
    spent = to_spend(challenge, data)
    entries = [
        _entry(_NON_WITNESS_UTXO, spent.stripped()),
        _entry(_WITNESS_UTXO, int64_le(0) + sized(challenge)),
    ]
    if not is_taproot(challenge):
        entries.append(_entry(_SIGHASH_TYPE, uint32_le(_SIGHASH_ALL)))
    unsigned = _entry(_UNSIGNED_TX, to_sign(spent).stripped())
    return _PSBT_MAGIC + unsigned + b"\x00" + b"".join(entries) + b"\x00" + b"\x00"


def with_solution(coinbase: Coinbase, solution: bytes) -> Coinbase:
    """The coinbase with this solution after its commitment, replacing any other; b"" is the form to be signed.

    Raises BadValue if the solution cannot be pushed.
    """
    *payouts, commitment = coinbase.outputs
    script = commitment.script_pubkey[:COMMITMENT_SIZE] + push(SIGNET_HEADER + solution)
    outputs = (*payouts, TxOut(commitment.value_sats, script))
    before, after = _serialized(coinbase.outputs), _serialized(outputs)
    head, locktime = coinbase.suffix[: -len(before) - 4], coinbase.suffix[-4:]
    if head + before + locktime != coinbase.suffix:
        raise BadValue("the coinbase does not end with its outputs")
    weight = coinbase.weight + 4 * (len(after) - len(before))
    return replace(coinbase, suffix=head + after + locktime, outputs=outputs, weight=weight)


def _serialized(outputs: tuple[TxOut, ...]) -> bytes:
    return compact_size(len(outputs)) + b"".join(int64_le(out.value_sats) + sized(out.script_pubkey) for out in outputs)


def _entry(kind: int, value: bytes) -> bytes:
    return b"\x01" + bytes((kind,)) + sized(value)
