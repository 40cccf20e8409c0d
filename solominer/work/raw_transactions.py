"""The transactions of a template whose node hands over the bytes of a block, its Merkle branch, fees and sigops.

Nothing is parsed on the way to the publication of a job: a block needs only the bytes. They are divided when somebody
asks for a transaction, one at a time, each once; `transaction_check` compares them with what the node stated.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from threading import Lock
from typing import overload

from solominer.chain.hashes import coinbase_branch, sha256d
from solominer.chain.header import HEADER_SIZE
from solominer.chain.scan import scan_count, scan_transaction, stripped
from solominer.errors import BadValue, DecodeError, TemplateError
from solominer.work.template import ADVICE, TemplateTx


class RawTransactions(Sequence[TemplateTx]):
    """The transactions of `block` behind its coinbase; may be read by several threads.

    `merkle_branch` is the coinbase's; `fees` and `sigops` are those of each transaction, `most_weight` is what all
    together may weigh. Equal transactions of `known` (by wtxid) are shared. Raises BadValue if the numbers of
    transactions differ; iterating raises TemplateError if the bytes are malformed.
    """

    def __init__(
        self,
        block: bytes,
        *,
        merkle_branch: tuple[bytes, ...],
        fees: Sequence[int],
        sigops: Sequence[int],
        most_weight: int,
        known: Mapping[bytes, TemplateTx],
    ) -> None:
        self.merkle_branch = merkle_branch
        self.most_weight = most_weight
        try:
            count, at = scan_count(block, HEADER_SIZE)
            self._at = self._hex_from = scan_transaction(block, at).end
        except DecodeError as error:
            raise BadValue(f"the block's coinbase cannot be read: {error}") from error
        if not count - 1 == len(fees) == len(sigops):
            raise BadValue(f"a block of {count} transactions has {len(fees)} fees and {len(sigops)} costs of sigops")
        self._block, self._fees, self._sigops, self._known = block, fees, sigops, known
        self._done: list[TemplateTx] = []
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._fees)

    @overload
    def __getitem__(self, index: int) -> TemplateTx: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[TemplateTx]: ...
    def __getitem__(self, index: int | slice) -> TemplateTx | Sequence[TemplateTx]:
        while not self.is_read:
            self.read_one()
        return self._done[index]

    def __iter__(self) -> Iterator[TemplateTx]:
        for index in range(len(self)):
            while len(self._done) <= index:
                self.read_one()
            yield self._done[index]

    @property
    def is_read(self) -> bool:
        """Whether all transactions have been divided, so that reading them costs nothing."""
        return not self._block

    @property
    def raw_bytes(self) -> int:
        """The memory that the raw block takes; 0 when it is divided."""
        return len(self._block)

    @property
    def sigop_cost(self) -> int:
        """The sum of all transactions, as the node states it."""
        return sum(self._sigops)

    def data_hex(self) -> str:
        """All transactions in hex, as a block has them."""
        block = self._block
        return block[self._hex_from :].hex() if block else "".join(tx.data_hex for tx in self._done)

    def read_one(self) -> None:
        """Divide the next transaction from the rest; the last one frees the block. Raises TemplateError."""
        with self._lock:
            if self.is_read:
                return
            index, at, block = len(self._done), self._at, self._block
            try:
                if index < len(self):
                    self._done.append(self._read(index, at))
            except DecodeError as error:
                raise TemplateError(
                    f"transaction {index + 1} of the node's block cannot be read: {error}", ADVICE
                ) from error
            if len(self._done) == len(self):
                if self._at != len(block):
                    raise TemplateError(
                        f"{len(block) - self._at} bytes follow the transactions of the node's block", ADVICE
                    )
                self._block, self._known = b"", {}

    def _read(self, index: int, at: int) -> TemplateTx:
        bounds = scan_transaction(self._block, at)
        self._at = bounds.end
        data = self._block[at : bounds.end]
        wtxid_le = sha256d(data)
        fee, sigops = self._fees[index], self._sigops[index]
        known = self._known.get(wtxid_le)
        if known is not None and (known.fee_sats, known.sigops, known.depends) == (fee, sigops, None):
            return known
        bare = stripped(self._block, at, bounds)
        txid_le = sha256d(bare) if bounds.witness_at else wtxid_le
        return TemplateTx(data.hex(), txid_le, wtxid_le, fee, sigops, 3 * len(bare) + len(data), None)


def merkle_branch(transactions: Sequence[TemplateTx]) -> tuple[bytes, ...]:
    """The coinbase's Merkle branch: computed, or as the node states it."""
    if isinstance(transactions, RawTransactions):
        return transactions.merkle_branch
    return coinbase_branch([tx.txid_le for tx in transactions])


def most_weight(transactions: Sequence[TemplateTx]) -> int:
    """Their weight, or what they may weigh at most."""
    if isinstance(transactions, RawTransactions):
        return transactions.most_weight
    return sum(tx.weight for tx in transactions)


def sigop_cost(transactions: Sequence[TemplateTx]) -> int:
    """The cost of their signature operations."""
    if isinstance(transactions, RawTransactions):
        return transactions.sigop_cost
    return sum(tx.sigops for tx in transactions)


def data_hex(transactions: Sequence[TemplateTx]) -> str:
    """All of them in hex, as a block has them."""
    if isinstance(transactions, RawTransactions):
        return transactions.data_hex()
    return "".join(tx.data_hex for tx in transactions)


def is_read(transactions: Sequence[TemplateTx]) -> bool:
    """Whether reading them costs nothing."""
    return not isinstance(transactions, RawTransactions) or transactions.is_read


def raw_bytes(transactions: Sequence[TemplateTx]) -> int:
    """The memory of a block that is not divided yet."""
    return transactions.raw_bytes if isinstance(transactions, RawTransactions) else 0
