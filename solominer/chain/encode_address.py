"""Scripts as addresses (base58check, BIP 173, BIP 350), or a description of other outputs; base58check itself."""

from __future__ import annotations

from solominer.chain.hashes import sha256d
from solominer.chain.networks import Network
from solominer.chain.script import OP_1, OP_16, OP_CHECKSIG, OP_EQUAL, OP_RETURN
from solominer.errors import BadValue

_BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_BECH32 = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_GENERATOR = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
_BECH32_CHECK, _BECH32M_CHECK = 1, 0x2BC830A3
_P2PKH_VERSION, _P2SH_VERSION = {False: b"\x00", True: b"\x6f"}, {False: b"\x05", True: b"\xc4"}
_LONGEST_HEX = 64
_LONGEST_BASE58 = 128


def address_of(script: bytes, network: Network) -> str:
    """The address that `script` pays, or "" if it has none (src/key_io.cpp)."""
    size = len(script)
    if size == 25 and script[:3] == b"\x76\xa9\x14" and script[23:] == bytes((0x88, OP_CHECKSIG)):
        return base58check(_P2PKH_VERSION[network.for_testing] + script[3:23])
    if size == 23 and script[:2] == b"\xa9\x14" and script[22] == OP_EQUAL:
        return base58check(_P2SH_VERSION[network.for_testing] + script[2:22])
    if 4 <= size <= 42 and script[1] == size - 2 and (script[0] == 0 or OP_1 <= script[0] <= OP_16):
        version = script[0] and script[0] - OP_1 + 1
        if version or size in (22, 34):
            return _segwit(network.bech32_hrp, version, script[2:])
    return ""


def described(script: bytes, network: Network) -> str:
    """The address of `script`, else `OP_RETURN` and its size, else the script in hex, shortened."""
    address = address_of(script, network)
    if address:
        return address
    if script[:1] == bytes((OP_RETURN,)):
        return f"OP_RETURN of {len(script)} bytes"
    text = script.hex()
    return f"script {text[:_LONGEST_HEX]}{'…' if len(text) > _LONGEST_HEX else ''}" if text else "an empty script"


def base58check(payload: bytes) -> str:
    """`payload` and four bytes of its double SHA-256, in base 58."""
    data = payload + sha256d(payload)[:4]
    number, text = int.from_bytes(data, "big"), ""
    while number:
        number, digit = divmod(number, 58)
        text = _BASE58[digit] + text
    return "1" * (len(data) - len(data.lstrip(b"\0"))) + text


def from_base58check(text: str) -> bytes:
    """The payload of a base58check text of up to 128 characters. Raises BadValue."""
    number = 0
    for char in text[: _LONGEST_BASE58 + 1]:
        digit = _BASE58.find(char)
        if digit < 0:
            raise BadValue(f"{char!r} is no character of base 58")
        number = 58 * number + digit
    zeros = len(text) - len(text.lstrip("1"))
    data = bytes(zeros) + number.to_bytes((number.bit_length() + 7) // 8, "big")
    if len(text) > _LONGEST_BASE58 or len(data) < 4 or sha256d(data[:-4])[:4] != data[-4:]:
        raise BadValue("its checksum is wrong: a character is mistyped or missing")
    return data[:-4]


def _segwit(hrp: str, version: int, program: bytes) -> str:
    values = [version, *_five_bits(program)]
    check = _BECH32M_CHECK if version else _BECH32_CHECK
    head = [ord(char) >> 5 for char in hrp] + [0] + [ord(char) & 31 for char in hrp]
    left = _polymod([*head, *values, 0, 0, 0, 0, 0, 0]) ^ check
    values += [left >> shift & 31 for shift in (25, 20, 15, 10, 5, 0)]
    return f"{hrp}1{''.join(_BECH32[value] for value in values)}"


def _five_bits(data: bytes) -> list[int]:
    """The bits of `data` in groups of five, most significant first, padded with zeros."""
    bits = 8 * len(data)
    groups = -(-bits // 5)
    number = int.from_bytes(data, "big") << (5 * groups - bits)
    return [number >> 5 * place & 31 for place in reversed(range(groups))]


def _polymod(values: list[int]) -> int:
    check = 1
    for value in values:
        top = check >> 25
        check = (check & 0x1FFFFFF) << 5 ^ value
        for bit, factor in enumerate(_GENERATOR):
            check ^= factor if top >> bit & 1 else 0
    return check
