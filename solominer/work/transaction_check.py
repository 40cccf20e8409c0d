"""The slow half of a template's validation, after the publication of its job: everything recomputed from the bytes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from hashlib import sha256
from math import inf

from solominer.chain.coinbase import commitment_of
from solominer.chain.hashes import ZERO_HASH, coinbase_branch, merkle_root, sha256d, to_rpc_hex
from solominer.chain.transaction import parse_transaction
from solominer.errors import BadValue, DecodeError, TemplateError
from solominer.work.raw_transactions import RawTransactions
from solominer.work.template import ADVICE, Template, TemplateTx


class TransactionCheck:
    """Recomputes the ids, weight and dependencies of each transaction from its bytes (rule 6); slow.

    `checked` maps the fingerprint of each transaction checked so far to the txids that it spends from. Handed to a
    later check as `already_checked`, it saves parsing those transactions again; their place is judged anew.
    """

    def __init__(self, template: Template, already_checked: Mapping[bytes, Collection[bytes]] | None = None) -> None:
        self.checked: dict[bytes, Collection[bytes]] = {}
        self._already_checked = already_checked or {}
        self._template = template
        self._position_of: dict[bytes, int] = {}
        self._remaining: Iterator[tuple[int, TemplateTx]] | None = None

    def step(self, most_secs: float, steady: Callable[[], float]) -> bool:
        """Check transactions for `most_secs` of the clock `steady`; returns whether there may be more.

        Raises TemplateError at the first mismatch.
        """
        transactions, end = self._template.transactions, steady() + most_secs
        if isinstance(transactions, RawTransactions):
            while not transactions.is_read:
                transactions.read_one()
                if steady() >= end:
                    return True
        if self._remaining is None:
            self._position_of = {tx.txid_le: index for index, tx in enumerate(transactions, start=1)}
            self._remaining = enumerate(transactions, start=1)
            if isinstance(transactions, RawTransactions):
                _check_statements(self._template, transactions)
                return True
        for index, tx in self._remaining:
            self._check(index, tx)
            if steady() >= end:
                return True
        return False

    def _check(self, index: int, tx: TemplateTx) -> None:
        digest = sha256(tx.data_hex.encode("ascii", "replace")).digest()[:16]
        fingerprint = tx.wtxid_le + tx.txid_le + tx.weight.to_bytes(4, "little") + digest
        spent = self._already_checked.get(fingerprint)
        if spent is None:
            spent = _spent_by(tx)
        _check_place(index, tx, {self._position_of[txid] for txid in spent if txid in self._position_of})
        self.checked[fingerprint] = spent


def check_transactions(
    template: Template, already_checked: Mapping[bytes, Collection[bytes]] | None = None
) -> dict[bytes, Collection[bytes]]:
    """Run a TransactionCheck to its end. Raises TemplateError at the first mismatch."""
    check = TransactionCheck(template, already_checked)
    check.step(inf, lambda: 0.0)
    return check.checked


def _check_statements(template: Template, transactions: RawTransactions) -> None:
    """Check what the node stated of raw transactions: commitment, Merkle branch, and that they fit in the block."""
    try:
        commitment = commitment_of(merkle_root([ZERO_HASH, *(tx.wtxid_le for tx in transactions)]))
        branch = coinbase_branch([tx.txid_le for tx in transactions])
    except BadValue as error:
        raise TemplateError(f"the transactions of the node's block: {error.what}", ADVICE) from error
    if len({tx.txid_le for tx in transactions}) != len(transactions):
        raise TemplateError("the node's block contains a transaction twice", ADVICE)
    if commitment != template.commitment:
        raise TemplateError("the node's witness commitment does not match the transactions of its block", ADVICE)
    if branch != transactions.merkle_branch:
        raise TemplateError("the node's Merkle branch does not match the transactions of its block", ADVICE)
    weight = sum(tx.weight for tx in transactions)
    if weight > transactions.most_weight:
        raise TemplateError(
            f"the transactions of the node's block weigh {weight}, the limit is {transactions.most_weight}", ADVICE
        )


def _spent_by(tx: TemplateTx) -> frozenset[bytes]:
    """Check a transaction's ids and weight with its bytes; returns the txids that its inputs spend."""
    try:
        data = bytes.fromhex(tx.data_hex)
        if 2 * len(data) != len(tx.data_hex):
            raise ValueError("its hex contains whitespace")  # the node would reject the block
        parsed = parse_transaction(data)
    except (ValueError, DecodeError) as error:
        raise TemplateError(f"{_name(tx)} cannot be parsed: {error}", ADVICE) from error
    stripped, full = parsed.stripped(), parsed.serialize()
    if sha256d(stripped) != tx.txid_le:
        raise TemplateError(f"{_name(tx)} has a wrong txid", ADVICE)
    if sha256d(full) != tx.wtxid_le:
        raise TemplateError(f"{_name(tx)} has a wrong wtxid", ADVICE)
    weight = 3 * len(stripped) + len(full)
    if weight != tx.weight:
        raise TemplateError(f"{_name(tx)} weighs {weight}, not {tx.weight}", ADVICE)
    return frozenset(txin.prev_txid_le for txin in parsed.inputs)


def _check_place(index: int, tx: TemplateTx, needed: set[int]) -> None:
    """Check dependencies; `needed` are the positions of the transactions that it spends."""
    if tx.depends is not None and needed != set(tx.depends):
        raise TemplateError(f"{_name(tx)} depends on {sorted(needed)}, not on {sorted(tx.depends)}", ADVICE)
    if any(position >= index for position in needed):
        raise TemplateError(f"{_name(tx)} comes before a transaction that it spends", ADVICE)


def _name(tx: TemplateTx) -> str:
    return f"transaction {to_rpc_hex(tx.txid_le)} of the template"
