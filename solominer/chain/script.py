"""Script: pushes, the BIP 34 height, payout script types, and legacy sigop counting.

Sources: src/script/script.h and script.cpp, src/script/solver.cpp, BIP 34, BIP 141, BIP 341.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum

from solominer.errors import BadValue, PayoutError

OP_0, OP_PUSHDATA1, OP_PUSHDATA2, OP_PUSHDATA4 = 0x00, 0x4C, 0x4D, 0x4E
OP_1, OP_16, OP_RETURN, OP_EQUAL = 0x51, 0x60, 0x6A, 0x87
OP_CHECKSIG, OP_CHECKSIGVERIFY, OP_CHECKMULTISIG, OP_CHECKMULTISIGVERIFY = 0xAC, 0xAD, 0xAE, 0xAF
MAX_PUBKEYS_PER_MULTISIG = 20

_SECP256K1_P = 2**256 - 2**32 - 977


class PayoutType(StrEnum):
    """The output types that a payout may have (mining rule 29)."""

    P2PKH = "p2pkh"
    P2SH = "p2sh"
    P2WPKH = "p2wpkh"
    P2WSH = "p2wsh"
    P2TR = "p2tr"


def push(data: bytes) -> bytes:
    """The shortest opcode that pushes `data` as bytes (never OP_1..OP_16). Up to 65,535 bytes."""
    size = len(data)
    if size < OP_PUSHDATA1:
        return bytes((size,)) + data
    if size <= 0xFF:
        return bytes((OP_PUSHDATA1, size)) + data
    if size <= 0xFFFF:
        return bytes((OP_PUSHDATA2,)) + size.to_bytes(2, "little") + data
    raise BadValue(f"{size} bytes are too many to push")


def push_int(value: int) -> bytes:
    """`CScript() << value` for value >= 0: OP_0, OP_1..OP_16, else a minimal little-endian number with sign bit."""
    if value < 0:
        raise BadValue("negative numbers are not needed here")
    if value == 0:
        return bytes((OP_0,))
    if value <= 16:
        return bytes((OP_1 - 1 + value,))
    return push(value.to_bytes(value.bit_length() // 8 + 1, "little"))


def push_height(height: int) -> bytes:
    """The prefix of the coinbase's scriptSig at `height` (BIP 34)."""
    return push_int(height)


def operations(script: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield (opcode, pushed data); stops at a push beyond the end, as Core's GetOp does."""
    position, end = 0, len(script)
    while position < end:
        opcode = script[position]
        position += 1
        if opcode < OP_PUSHDATA1:
            size = opcode
        elif opcode <= OP_PUSHDATA4:
            width = 1 << (opcode - OP_PUSHDATA1)
            if position + width > end:
                return
            size = int.from_bytes(script[position : position + width], "little")
            position += width
        else:
            yield opcode, b""
            continue
        if position + size > end:
            return
        yield opcode, script[position : position + size]
        position += size


def legacy_sigops(script: bytes) -> int:
    """Legacy signature operations, multisig counted as 20 (CScript::GetSigOpCount(false)). Cost is four times this."""
    count = 0
    for opcode, _ in operations(script):
        if opcode in (OP_CHECKSIG, OP_CHECKSIGVERIFY):
            count += 1
        elif opcode in (OP_CHECKMULTISIG, OP_CHECKMULTISIGVERIFY):
            count += MAX_PUBKEYS_PER_MULTISIG
    return count


def payout_type(script: bytes) -> PayoutType:
    """The type of a payout's scriptPubKey.

    Raises PayoutError for everything that rule 29 refuses: witness versions 2 to 16, pay-to-anchor, a taproot output
    whose x is not on the curve (unspendable), and every other script.
    """
    size = len(script)
    if size == 25 and script[:3] == b"\x76\xa9\x14" and script[23:] == b"\x88\xac":
        return PayoutType.P2PKH
    if size == 23 and script[:2] == b"\xa9\x14" and script[22] == OP_EQUAL:
        return PayoutType.P2SH
    if size == 22 and script[:2] == b"\x00\x14":
        return PayoutType.P2WPKH
    if size == 34 and script[:2] == b"\x00\x20":
        return PayoutType.P2WSH
    if size == 34 and script[:2] == b"\x51\x20":
        if not is_on_curve_x(script[2:]):
            raise PayoutError(
                "the payout is a taproot address whose key is not a point of the curve: nobody could spend from it",
                "take a fresh address from your wallet",
            )
        return PayoutType.P2TR
    raise PayoutError(
        f"the payout script {script.hex()} is of no type that is safe to pay a block to",
        "use a P2PKH, P2SH, P2WPKH, P2WSH or P2TR address of your own wallet",
    )


def is_on_curve_x(x_be: bytes) -> bool:
    """Whether the 32 bytes are the x of a point on secp256k1 (BIP 340, lift_x)."""
    x = int.from_bytes(x_be, "big")
    if x >= _SECP256K1_P:
        return False
    y_squared = (pow(x, 3, _SECP256K1_P) + 7) % _SECP256K1_P
    return pow(y_squared, (_SECP256K1_P - 1) // 2, _SECP256K1_P) == 1
