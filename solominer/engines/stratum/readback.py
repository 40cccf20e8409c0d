"""Reads a finished coinbase back as a node would, sharing no code with what builds it.

Every job that leaves is checked: it pays exactly what it is meant to, to the satoshi. A fault of the builder then costs
a job instead of a block.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

from solominer.errors import TemplateError


class CoinbaseRead(NamedTuple):
    """What stands in a stripped coinbase; `outputs` are (scriptPubKey, satoshis)."""

    script_sig: bytes
    script_sig_at: int
    sequence: int
    outputs: list[tuple[bytes, int]]
    locktime: int


def read_coinbase(raw: bytes) -> CoinbaseRead:
    """Take a stripped coinbase apart. Raises TemplateError for anything that is not one."""
    try:
        return _read(raw)
    except IndexError:
        raise _refused("the coinbase ends early") from None


def _read(raw: bytes) -> CoinbaseRead:
    _demand(raw[:4] in (b"\x01\0\0\0", b"\x02\0\0\0"), "the coinbase's version is neither 1 nor 2")
    _demand(raw[4:41] == b"\x01" + bytes(32) + b"\xff\xff\xff\xff", "the coinbase does not have exactly one null input")
    size, at = raw[41], 42
    _demand(2 <= size <= 100, f"the scriptSig has {size} bytes")
    script_sig = raw[at : at + size]
    at += size
    sequence = int.from_bytes(raw[at : at + 4], "little")
    count, at = _length(raw, at + 4)
    outputs = []
    for _ in range(count):
        value = int.from_bytes(raw[at : at + 8], "little")
        length, at = _length(raw, at + 8)
        outputs.append((raw[at : at + length], value))
        at += length
    _demand(len(raw) == at + 4, "the coinbase does not end where its outputs do")
    return CoinbaseRead(script_sig, 42, sequence, outputs, int.from_bytes(raw[at:], "little"))


def _length(raw: bytes, at: int) -> tuple[int, int]:
    """A CompactSize of one or three bytes, and the place behind it."""
    if raw[at] < 0xFD:
        return raw[at], at + 1
    _demand(raw[at] == 0xFD, "a length in the coinbase is too large")
    return raw[at + 1] | raw[at + 2] << 8, at + 3


def check_coinbase(
    prefix: bytes,
    suffix: bytes,
    extranonce_size: int,
    *,
    height: int,
    witness_root_le: bytes,
    coinbase_value: int,
    payouts: Sequence[tuple[bytes, int]],
) -> None:
    """Raises TemplateError unless the coinbase pays exactly `payouts`: (scriptPubKey, satoshis), in order."""
    coinbase = read_coinbase(prefix + bytes(extranonce_size) + suffix)
    hole = len(prefix) - coinbase.script_sig_at
    _demand(hole > 0 and hole + extranonce_size <= len(coinbase.script_sig), "the extranonce is not in the scriptSig")
    _demand(coinbase.script_sig[hole - 1] == extranonce_size, "the extranonce is not pushed whole")
    _demand(_height(coinbase.script_sig) == height, f"the scriptSig does not begin with height {height}")
    _demand(coinbase.locktime == max(height - 1, 0) and coinbase.sequence == 0xFFFFFFFE, "it would not be final")
    commitment = hashlib.sha256(hashlib.sha256(witness_root_le + bytes(32)).digest()).digest()
    _demand(
        coinbase.outputs[-1:] == [(b"\x6a\x24\xaa\x21\xa9\xed" + commitment, 0)],
        "the witness commitment is wrong or not the last output",
    )
    _demand(coinbase.outputs[:-1] == list(payouts), "the outputs are not the configured payouts")
    _demand(sum(value for _, value in payouts) == coinbase_value, "the outputs do not sum to the coinbase value")


def _height(script_sig: bytes) -> int:
    first = script_sig[0]
    if 0x51 <= first <= 0x60:
        return first - 0x50
    number = script_sig[1 : 1 + first]
    return int.from_bytes(number, "little") if 1 <= first <= 5 and len(number) == first and number[-1] < 0x80 else -1


def _demand(holds: bool, problem: str) -> None:
    if not holds:
        raise _refused(problem)


def _refused(problem: str) -> TemplateError:
    return TemplateError(
        f"a job failed its own check and is not sent: {problem}",
        "nothing was mined on it; please report this with the log, it is a bug or tampering",
    )
