"""The parameters of mining.submit: [username, job id, extranonce2, ntime, nonce, (version bits)]."""

from __future__ import annotations

from typing import NamedTuple

from solominer.engines.stratum.messages import Errors, StratumError
from solominer.engines.stratum.work import EXTRANONCE2_SIZE

MAX_HEX = 64
MAX_UINT32 = 0xFFFFFFFF


class Submission(NamedTuple):
    """A share as the client names it. `extranonce2` may have a wrong length; `version_bits` is None if not sent."""

    username: str
    job_id: str
    extranonce2: str
    ntime: int
    nonce: int
    version_bits: int | None


def parse_submit(params: object) -> Submission | StratumError:
    """The share, or ckpool's error for what is missing. Numbers need not be padded: NerdMiner's nonces are not."""
    if not isinstance(params, list):
        return Errors.NOT_ARRAY
    if not 5 <= len(params) <= 16:
        return Errors.INVALID_SIZE
    username, job_id, extranonce2, ntime_hex, nonce_hex = params[:5]
    if not isinstance(username, str) or not username:
        return Errors.NO_USERNAME
    if not isinstance(job_id, str) or not job_id:
        return Errors.NO_JOB_ID
    if _number(extranonce2) is None:
        return Errors.NO_NONCE2
    ntime, nonce, bits = _number(ntime_hex), _number(nonce_hex), None
    if ntime is None or ntime > MAX_UINT32:
        return Errors.NO_NTIME
    if nonce is None or nonce > MAX_UINT32:
        return Errors.NO_NONCE
    if len(params) > 5 and params[5] not in (None, ""):
        bits = _number(params[5])
        if bits is None or bits > MAX_UINT32:
            return Errors.VERSION_MASK
    return Submission(username, job_id, extranonce2, ntime, nonce, bits)


def extranonce2_candidates(text: str, size_bytes: int = EXTRANONCE2_SIZE) -> list[bytes]:
    """The values that a client that sent `text` may have hashed: one if the length is right, else guesses.

    Too few digits: padded behind, as ckpool does, or in front. Too many: cut. A guess is only good for a block.
    """
    size = 2 * size_bytes
    text = text[2:] if text[:2] in ("0x", "0X") else text
    if len(text) == size:
        return [bytes.fromhex(text)]
    return [
        bytes.fromhex(guess) for guess in dict.fromkeys((text.ljust(size, "0")[:size], text.rjust(size, "0")[-size:]))
    ]


def _number(text: object) -> int | None:
    """The number in up to 64 hex digits, padded or not; without the signs, spaces and underscores that int() takes."""
    if not isinstance(text, str) or len(text) > MAX_HEX or not text.isalnum() or not text.isascii():
        return None
    try:
        return int(text, 16)
    except ValueError:
        return None
