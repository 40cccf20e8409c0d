"""The coinbase transaction, split around its extranonce.

Rules 22 to 35: one null input; scriptSig = BIP 34 height, coinbaseaux, extranonce, tag, 2 to 100 bytes in all; the
outputs sum to the coinbase value exactly; the witness commitment is the last output; the witness is one item of 32
bytes; locktime height - 1 and sequence 0xfffffffe, as BIP 54 will require.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from solominer.chain.hashes import ZERO_HASH, sha256d, witness_commitment
from solominer.chain.script import legacy_sigops, push, push_height
from solominer.chain.transaction import Transaction, TxIn, TxOut
from solominer.errors import BadValue

COINBASE_INDEX = 0xFFFFFFFF
BIP54_SEQUENCE = 0xFFFFFFFE
MAX_SCRIPT_SIG = 100
COMMITMENT_HEADER = bytes.fromhex("6a24aa21a9ed")
RESERVED_VALUE = ZERO_HASH


@dataclass(frozen=True, slots=True)
class Coinbase:
    """A coinbase without its extranonce of `extranonce_size` bytes: the stripped serialization before and after it.

    Stratum calls `prefix` and `suffix` coinb1 and coinb2. `sigop_cost` and `weight` include the witness.
    """

    prefix: bytes
    suffix: bytes
    extranonce_size: int
    outputs: tuple[TxOut, ...]
    sigop_cost: int
    weight: int

    def stripped(self, extranonce: bytes) -> bytes:
        """The transaction without witness, the one that is hashed for the txid."""
        if len(extranonce) != self.extranonce_size:
            raise BadValue(f"the extranonce has {self.extranonce_size} bytes, not {len(extranonce)}")
        return self.prefix + extranonce + self.suffix

    def txid_le(self, extranonce: bytes) -> bytes:
        """The txid, internal order."""
        return sha256d(self.stripped(extranonce))

    def serialize(self, extranonce: bytes) -> bytes:
        """The transaction as it goes into the block, with its witness (rule 33: always)."""
        stripped = self.stripped(extranonce)
        return stripped[:4] + b"\x00\x01" + stripped[4:-4] + b"\x01\x20" + RESERVED_VALUE + stripped[-4:]


def commitment_of(witness_root_le: bytes) -> bytes:
    """The 32 bytes that a coinbase commits to, with the reserved value of ours (BIP 141)."""
    return witness_commitment(witness_root_le, RESERVED_VALUE)


def commitment_output(commitment: bytes) -> TxOut:
    """The output of value 0 that commits to all witnesses (BIP 141)."""
    return TxOut(0, COMMITMENT_HEADER + commitment)


def build_coinbase(
    *,
    height: int,
    payouts: Sequence[TxOut],
    coinbase_value: int,
    commitment: bytes,
    extranonce_size: int,
    tag: bytes = b"",
    aux: bytes = b"",
) -> Coinbase:
    """The coinbase of the block at `height` that pays `payouts`, which must sum to `coinbase_value` satoshis.

    `tag` is the miner's text, pushed after the extranonce; `aux` is the template's coinbaseaux, inserted raw. Raises
    BadValue if the scriptSig is not 2 to 100 bytes long or the sums differ.
    """
    if not payouts:
        raise BadValue("a coinbase has at least one payout")
    paid = sum(out.value_sats for out in payouts)
    if paid != coinbase_value or any(out.value_sats < 0 for out in payouts):
        raise BadValue(f"the payouts sum to {paid} satoshis, the coinbase value is {coinbase_value}")
    if not 1 <= extranonce_size <= 75:
        raise BadValue(f"an extranonce of {extranonce_size} bytes cannot be pushed")
    head = push_height(height) + aux + bytes((extranonce_size,))
    tail = push(tag) if tag else b""
    size = len(head) + extranonce_size + len(tail)
    if not 2 <= size <= MAX_SCRIPT_SIG:
        raise BadValue(
            f"the coinbase's scriptSig would have {size} bytes, {MAX_SCRIPT_SIG} are allowed", "shorten coinbase_tag"
        )
    outputs = (*payouts, commitment_output(commitment))
    whole = Transaction(
        version=2,
        inputs=(TxIn(ZERO_HASH, COINBASE_INDEX, head + bytes(extranonce_size) + tail, BIP54_SEQUENCE),),
        outputs=outputs,
        locktime=max(height - 1, 0),
        witness=((RESERVED_VALUE,),),
    )
    stripped = whole.stripped()
    hole = 4 + 1 + 36 + 1 + len(head)
    return Coinbase(
        prefix=stripped[:hole],
        suffix=stripped[hole + extranonce_size :],
        extranonce_size=extranonce_size,
        outputs=outputs,
        sigop_cost=4 * (legacy_sigops(head + tail) + sum(legacy_sigops(out.script_pubkey) for out in outputs)),
        weight=whole.weight(),
    )
