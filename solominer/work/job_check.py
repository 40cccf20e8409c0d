"""Independent check of every job before it is published, by code that shares nothing with the builder.

It parses the coinbase as a node does and compares it with the configuration: scripts and amounts, sum, height, witness
commitment and Merkle root (those of raw transactions are as the node stated them, and recomputed by
`transaction_check`). A bug or manipulation in the builder then stops the job instead of misdirecting a reward.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import NamedTuple

from solominer.errors import TemplateError
from solominer.work.job import Job
from solominer.work.payout import Payout
from solominer.work.raw_transactions import RawTransactions
from solominer.work.template import Template
from solominer.work.workers import EXTRANONCE_SIZE

_SCRIPT_SIG_AT = 42


class CoinbaseRead(NamedTuple):
    """Content of a stripped coinbase; `outputs` are (scriptPubKey, satoshis)."""

    script_sig: bytes
    sequence: int
    outputs: list[tuple[bytes, int]]
    locktime: int


def check_job(job: Job, payout: Payout) -> None:
    """Raises TemplateError unless the job pays exactly `payout`, in its order.

    The same applies to `job.coinbase.outputs`, from which engines build alternative coinbases.
    """
    template = job.template
    payouts = _amounts(payout, template.coinbase_value)
    check_coinbase(
        job.coinbase.prefix,
        job.coinbase.suffix,
        EXTRANONCE_SIZE,
        height=template.height,
        commitment=_commitment(template),
        coinbase_value=template.coinbase_value,
        payouts=payouts,
    )
    claimed = [(out.script_pubkey, out.value_sats) for out in job.coinbase.outputs[:-1]]
    _demand(claimed == payouts, "the outputs are not the configured payouts")
    if isinstance(template.transactions, RawTransactions):
        branch_is_right = job.merkle_branch == template.transactions.merkle_branch
    else:
        txid_le = _twice(job.coinbase.prefix + job.extranonce() + job.coinbase.suffix)
        branch_root = txid_le
        for sibling in job.merkle_branch:
            branch_root = _twice(branch_root + sibling)
        branch_is_right = branch_root == _tree([txid_le] + [tx.txid_le for tx in template.transactions])
    _demand(branch_is_right, "the Merkle branch is wrong")


def check_coinbase(
    prefix: bytes,
    suffix: bytes,
    extranonce_size: int,
    *,
    height: int,
    commitment: bytes,
    coinbase_value: int,
    payouts: Sequence[tuple[bytes, int]],
) -> None:
    """Raises TemplateError unless the coinbase pays exactly `payouts`: (scriptPubKey, satoshis), in order.

    `prefix` and `suffix` are the stripped coinbase around an extranonce of `extranonce_size` bytes.
    """
    script_sig, sequence, outputs, locktime = read_coinbase(prefix + bytes(extranonce_size) + suffix)
    hole = len(prefix) - _SCRIPT_SIG_AT
    _demand(hole > 0 and hole + extranonce_size <= len(script_sig), "the extranonce is not in the scriptSig")
    _demand(script_sig[hole - 1] == extranonce_size, "the extranonce is not a single push")
    _demand(_height_of(script_sig) == height, f"the scriptSig does not begin with height {height}")
    _demand(locktime == height - 1 and sequence == 0xFFFFFFFE, "locktime or sequence would not be final")
    script = b"\x6a\x24\xaa\x21\xa9\xed" + commitment
    _demand(outputs[-1] == (script, 0), "the witness commitment is wrong or not the last output")
    _demand(outputs[:-1] == list(payouts), "the outputs are not the configured payouts")
    _demand(sum(value for _, value in outputs) == coinbase_value, "the outputs do not sum to the coinbase value")


def check_group(outputs: Sequence[tuple[bytes, int]], members: Iterable[tuple[str, str, int]], value: int) -> None:
    """Raises TemplateError if `outputs` (scriptPubKey, satoshis) pay a stranger, or a member twice or more than is due.

    `members` are (scriptPubKey in hex, work, balance in satoshis) of all. Only the first output may be larger than what
    is due: it holds what others are not paid yet. Rounding may add less than a satoshi for each member.
    """
    works = {bytes.fromhex(member): (int(work), balance) for member, work, balance in members}
    total = sum(work for work, _ in works.values())
    due = {script: Fraction(value * work, total) + balance for script, (work, balance) in works.items()}
    strangers = [script for script, _ in outputs if script not in due]
    over = [script for script, sats in outputs[1:] if not strangers and sats > due[script] + len(due)]
    twice = len({script for script, _ in outputs}) != len(outputs)
    _demand(not (strangers or over or twice), "the outputs are not the group's")


def read_coinbase(raw: bytes) -> CoinbaseRead:
    """Parse a stripped coinbase. Raises TemplateError."""
    try:
        return _read(raw)
    except IndexError:
        raise _refused("the coinbase is truncated") from None


def _commitment(template: Template) -> bytes:
    """To all witnesses; that of raw transactions is recomputed after the publication (`transaction_check`)."""
    if isinstance(template.transactions, RawTransactions):
        return template.commitment
    return _twice(_tree([bytes(32)] + [tx.wtxid_le for tx in template.transactions]) + bytes(32))


def _amounts(payout: Payout, value: int) -> list[tuple[bytes, int]]:
    """(scriptPubKey, satoshis) of each payee: basis points rounded down; the first receives the rest."""
    units, odd = divmod(value, 10_000)
    others = [
        (part.script_pubkey, units * part.basis_points + odd * part.basis_points // 10_000) for part in payout.others
    ]
    return [(payout.script_pubkey, value - sum(sats for _, sats in others)), *others]


def _read(raw: bytes) -> CoinbaseRead:
    _demand(raw[:4] in (b"\x01\0\0\0", b"\x02\0\0\0"), "the coinbase's version is neither 1 nor 2")
    _demand(raw[4:41] == b"\x01" + bytes(32) + b"\xff\xff\xff\xff", "the coinbase does not have exactly one null input")
    size, at = raw[41], _SCRIPT_SIG_AT
    _demand(2 <= size <= 100, f"the scriptSig has {size} bytes")
    script_sig = raw[at : at + size]
    at += size
    sequence = int.from_bytes(raw[at : at + 4], "little")
    count, at = _length(raw, at + 4)
    _demand(count > 1, f"the coinbase has {count} outputs")
    outputs = []
    for _ in range(count):
        value = int.from_bytes(raw[at : at + 8], "little")
        size, at = _length(raw, at + 8)
        outputs.append((raw[at : at + size], value))
        at += size
    _demand(len(raw) == at + 4, "the coinbase has the wrong length")
    return CoinbaseRead(script_sig, sequence, outputs, int.from_bytes(raw[at:], "little"))


def _length(raw: bytes, at: int) -> tuple[int, int]:
    """Parse a CompactSize of one or three bytes; returns it and the position after it."""
    if raw[at] < 0xFD:
        return raw[at], at + 1
    size = raw[at + 1] | raw[at + 2] << 8
    _demand(raw[at] == 0xFD <= size, "a length in the coinbase is too large or not minimally encoded")
    return size, at + 3


def _height_of(script_sig: bytes) -> int:
    """The BIP 34 height, or -1 if it is not minimally encoded."""
    first = script_sig[0]
    if 0x51 <= first <= 0x60:
        return first - 0x50
    number = script_sig[1 : 1 + first]
    minimal = 1 <= first <= 5 and len(number) == first and (number[-1] or (first > 1 and number[-2] & 0x80))
    height = int.from_bytes(number, "little") if minimal and not number[-1] & 0x80 else -1
    return height if height > 16 else -1


def _twice(data: bytes) -> bytes:
    return hashlib.sha256(hashlib.sha256(data).digest()).digest()


def _tree(row: list[bytes]) -> bytes:
    while len(row) > 1:
        row = [_twice(row[i] + row[min(i + 1, len(row) - 1)]) for i in range(0, len(row), 2)]
    return row[0]


def _demand(holds: bool, problem: str) -> None:
    if not holds:
        raise _refused(problem)


def _refused(problem: str) -> TemplateError:
    return TemplateError(
        f"a job failed validation and is not published: {problem}",
        "this is a bug or manipulation; please report it with the log",
    )
