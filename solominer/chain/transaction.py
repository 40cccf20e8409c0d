"""Transactions: parsing, ids and weight (src/primitives/transaction.h, BIP 141, BIP 144)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from solominer.chain.hashes import sha256d
from solominer.chain.serialize import Reader, compact_size, int64_le, sized, uint32_le
from solominer.errors import BadValue


class TxIn(NamedTuple):
    """One input: the outpoint (txid in internal order, index), scriptSig and sequence."""

    prev_txid_le: bytes
    prev_index: int
    script_sig: bytes
    sequence: int


class TxOut(NamedTuple):
    """One output."""

    value_sats: int
    script_pubkey: bytes


@dataclass(frozen=True, slots=True)
class Transaction:
    """One transaction; `witness` has a stack per input, or is empty if no input has one."""

    version: int
    inputs: tuple[TxIn, ...]
    outputs: tuple[TxOut, ...]
    locktime: int
    witness: tuple[tuple[bytes, ...], ...] = ()

    def stripped(self) -> bytes:
        """Serialization without witness, as used for the txid and Stratum's coinb1/coinb2."""
        return uint32_le(self.version) + self._inputs_and_outputs() + uint32_le(self.locktime)

    def serialize(self) -> bytes:
        """Serialization with witness, if there is one (BIP 144)."""
        if not self.witness:
            return self.stripped()
        stacks = b"".join(compact_size(len(stack)) + b"".join(map(sized, stack)) for stack in self.witness)
        return uint32_le(self.version) + b"\x00\x01" + self._inputs_and_outputs() + stacks + uint32_le(self.locktime)

    def _inputs_and_outputs(self) -> bytes:
        inputs = b"".join(
            txin.prev_txid_le + uint32_le(txin.prev_index) + sized(txin.script_sig) + uint32_le(txin.sequence)
            for txin in self.inputs
        )
        outputs = b"".join(int64_le(out.value_sats) + sized(out.script_pubkey) for out in self.outputs)
        return compact_size(len(self.inputs)) + inputs + compact_size(len(self.outputs)) + outputs

    def txid_le(self) -> bytes:
        """Hash of the stripped form, internal order."""
        return sha256d(self.stripped())

    def wtxid_le(self) -> bytes:
        """Hash of the full form, internal order."""
        return sha256d(self.serialize())

    def weight(self) -> int:
        """3 x stripped size + full size (BIP 141)."""
        return 3 * len(self.stripped()) + len(self.serialize())


def parse_transaction(data: bytes) -> Transaction:
    """The transaction in exactly `data`. Raises Truncated, TrailingData or BadValue as `read_transaction` does."""
    reader = Reader(data)
    transaction = read_transaction(reader)
    reader.finish()
    return transaction


def read_transaction(reader: Reader) -> Transaction:
    """The next transaction of a block.

    Raises Truncated or BadValue: an empty input list, a wrong flag, or a witness of empty stacks only
    (src/primitives/transaction.h, "Superfluous witness record").
    """
    version = reader.uint32()
    input_count = reader.compact_size()
    has_witness = input_count == 0
    if has_witness:
        if reader.take(1) != b"\x01":
            raise BadValue("a transaction has at least one input")
        input_count = reader.compact_size()
    if input_count == 0:
        raise BadValue("a transaction has at least one input")
    inputs = tuple(TxIn(reader.take(32), reader.uint32(), reader.sized(), reader.uint32()) for _ in range(input_count))
    outputs = tuple(TxOut(reader.int64(), reader.sized()) for _ in range(reader.compact_size()))
    witness: tuple[tuple[bytes, ...], ...] = ()
    if has_witness:
        witness = tuple(tuple(reader.sized() for _ in range(reader.compact_size())) for _ in inputs)
        if not any(witness):
            raise BadValue("a witness flag without a witness")
    locktime = reader.uint32()
    return Transaction(version, inputs, outputs, locktime, witness)
