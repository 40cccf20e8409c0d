"""A second look at every job before it is published, by code that shares nothing with the builder.

It reads the finished coinbase bytes as a node would and compares them with what the configuration promises: exactly
the configured scripts and amounts, the right sum, height, witness commitment and Merkle root. A bug in the builder, or
somebody's change to it, then stops a job instead of paying a block to the wrong place.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from solominer.errors import TemplateError
from solominer.work.job import Job


def check_job(job: Job, payouts: Sequence[tuple[bytes, int]]) -> None:
    """Raises TemplateError unless the job pays exactly `payouts`: (scriptPubKey, satoshis), in order."""
    raw = job.coinbase.prefix + job.extranonce() + job.coinbase.suffix
    template = job.template
    script_sig, sequence, outputs, locktime = _read_coinbase(raw)
    _demand(2 <= len(script_sig) <= 100, f"the scriptSig has {len(script_sig)} bytes")
    _demand(_height_of(script_sig) == template.height, f"the scriptSig does not begin with height {template.height}")
    _demand(job.extranonce() in script_sig, "the extranonce is not in the scriptSig")
    _demand(locktime == template.height - 1 and sequence == 0xFFFFFFFE, "locktime or sequence would not be final")
    _demand(outputs[:-1] == list(payouts), "the outputs are not the configured payouts")
    _demand(
        sum(value for _, value in outputs) == template.coinbase_value, "the outputs do not sum to the coinbase value"
    )
    expected = b"\x6a\x24\xaa\x21\xa9\xed" + _twice(
        _tree([bytes(32)] + [tx.wtxid_le for tx in template.transactions]) + bytes(32)
    )
    _demand(outputs[-1] == (expected, 0), "the witness commitment is wrong or not the last output")
    branch_root = _twice(raw)
    for sibling in job.merkle_branch:
        branch_root = _twice(branch_root + sibling)
    _demand(
        branch_root == _tree([_twice(raw)] + [tx.txid_le for tx in template.transactions]), "the Merkle branch is wrong"
    )


def _demand(holds: bool, problem: str) -> None:
    if not holds:
        raise TemplateError(
            f"a job failed its own check and is not published: {problem}",
            "nothing was mined on it; please report this with the log, it is a bug or tampering",
        )


def _twice(data: bytes) -> bytes:
    return hashlib.sha256(hashlib.sha256(data).digest()).digest()


def _tree(row: list[bytes]) -> bytes:
    while len(row) > 1:
        row = [_twice(row[i] + row[min(i + 1, len(row) - 1)]) for i in range(0, len(row), 2)]
    return row[0]


def _height_of(script_sig: bytes) -> int:
    first = script_sig[0]
    if 0x51 <= first <= 0x60:
        return first - 0x50
    number = script_sig[1 : 1 + first]
    minimal = 1 <= first <= 5 and len(number) == first and (number[-1] or (first > 1 and number[-2] & 0x80))
    return int.from_bytes(number, "little") if minimal and not number[-1] & 0x80 else -1


def _read_coinbase(raw: bytes) -> tuple[bytes, int, list[tuple[bytes, int]], int]:
    """(scriptSig, sequence, [(script, satoshis)], locktime) of a stripped coinbase; each length byte is below 0xfd."""
    _demand(raw[:4] in (b"\x01\0\0\0", b"\x02\0\0\0"), "the coinbase's version is neither 1 nor 2")
    _demand(raw[4:41] == b"\x01" + bytes(32) + b"\xff\xff\xff\xff", "the coinbase does not have exactly one null input")
    size = raw[41]
    script_sig, at = raw[42 : 42 + size], 42 + size
    sequence = int.from_bytes(raw[at : at + 4], "little")
    count, at = raw[at + 4], at + 5
    _demand(1 < count < 0xFD, f"the coinbase has {count} outputs")
    outputs = []
    for _ in range(count):
        value, size = int.from_bytes(raw[at : at + 8], "little"), raw[at + 8]
        outputs.append((raw[at + 9 : at + 9 + size], value))
        at += 9 + size
    _demand(len(raw) == at + 4, "the coinbase does not end where its outputs do")
    return script_sig, sequence, outputs, int.from_bytes(raw[at:], "little")
