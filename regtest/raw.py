"""Raw transactions as bytes, and outputs that anyone can spend without a signature.

Signing thousands of transactions takes minutes; an OP_TRUE behind a script hash needs no signature and is as
standard as any other, so bulk is made of it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

COIN_SATS = 100_000_000
_OP_TRUE = b"\x51"
_WSH_TRUE = b"\x00\x20" + hashlib.sha256(_OP_TRUE).digest()


@dataclass(frozen=True, slots=True)
class Lock:
    """An output script together with what opens it, where no key is needed for that."""

    script: bytes
    script_sig: bytes = b""
    witness: tuple[bytes, ...] = ()


# The script hashes are HASH160 of OP_TRUE and of the P2WSH program; RIPEMD-160 is missing in many a libcrypto.
P2WSH_TRUE = Lock(_WSH_TRUE, b"", (_OP_TRUE,))
P2SH_TRUE = Lock(bytes.fromhex("a914da1745e9b549bd0bfa1a569971c77eba30cd5a4b87"), b"\x01" + _OP_TRUE)
P2SH_P2WSH_TRUE = Lock(
    bytes.fromhex("a91472c44f957fc011d97e3406667dca5b1c930c402687"), b"\x22" + _WSH_TRUE, (_OP_TRUE,)
)
OPEN_LOCKS = (P2WSH_TRUE, P2SH_TRUE, P2SH_P2WSH_TRUE)


@dataclass(frozen=True, slots=True)
class Coin:
    """An output to spend: `txid_hex` as RPC shows it (byte-reversed), its index, amount and lock."""

    txid_hex: str
    index: int
    amount_sats: int
    lock: Lock


@dataclass(frozen=True, slots=True)
class Output:
    """An output to create."""

    amount_sats: int
    script: bytes


@dataclass(frozen=True, slots=True)
class RawTx:
    """A transaction as it is sent, with its witnesses (BIP 144); `txid_hex` as RPC shows it, weight as in BIP 141."""

    full: bytes
    txid_hex: str
    weight: int


def build(coins: Sequence[Coin], outputs: Sequence[Output]) -> RawTx:
    """Serialize a version 2 transaction that spends `coins` to `outputs`; keyed inputs are left for a signer."""
    version, locktime = (2).to_bytes(4, "little"), bytes(4)
    inputs = compact_size(len(coins)) + b"".join(
        bytes.fromhex(coin.txid_hex)[::-1]
        + coin.index.to_bytes(4, "little")
        + _with_size(coin.lock.script_sig)
        + b"\xfd\xff\xff\xff"
        for coin in coins
    )
    paid = compact_size(len(outputs)) + b"".join(
        output.amount_sats.to_bytes(8, "little") + _with_size(output.script) for output in outputs
    )
    stripped = version + inputs + paid + locktime
    if not any(coin.lock.witness for coin in coins):
        return _finished(stripped, stripped)
    witnesses = b"".join(
        compact_size(len(coin.lock.witness)) + b"".join(_with_size(item) for item in coin.lock.witness)
        for coin in coins
    )
    return _finished(version + b"\x00\x01" + inputs + paid + witnesses + locktime, stripped)


def _finished(full: bytes, stripped: bytes) -> RawTx:
    txid = hashlib.sha256(hashlib.sha256(stripped).digest()).digest()
    return RawTx(full, txid[::-1].hex(), 3 * len(stripped) + len(full))


def compact_size(number: int) -> bytes:
    """CompactSize of a number below 65,536."""
    return bytes([number]) if number < 0xFD else b"\xfd" + number.to_bytes(2, "little")


def op_return(data: bytes) -> bytes:
    """A data carrier script of up to 75 bytes."""
    return b"\x6a" + bytes([len(data)]) + data


def _with_size(data: bytes) -> bytes:
    return compact_size(len(data)) + data
