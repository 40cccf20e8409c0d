"""The current job as views show it: its template and its coinbase, decoded."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

from solominer.chain.coinbase import COMMITMENT_HEADER, Coinbase
from solominer.chain.encode_address import described
from solominer.chain.networks import Network
from solominer.chain.transaction import TxOut
from solominer.views.snapshot import CoinbaseView, OutputView, TemplateView
from solominer.work.job import Job
from solominer.work.raw_transactions import is_read
from solominer.work.template import TemplateTx

FEE_BINS = (0.0, 0.5, 1.0, 2.0, 3.0, 5.0, 8.0, 12.0, 20.0, 30.0, 50.0, 80.0, 120.0, 200.0, 500.0)
"""Lowest feerate of each bin, in sat/vB."""


class TemplateViews:
    """Makes the view of a job's template. The sums over its transactions are computed once for each template.

    Raw transactions are not divided for it: until they are, the sums are those of the template before.
    """

    def __init__(self) -> None:
        self._template_id = ""
        self._sums: tuple[int, int, tuple[tuple[float, int], ...]] = (0, 0, ())

    def of(self, job: Job) -> TemplateView:
        """The block that is being mined."""
        template = job.template
        if template.template_id != self._template_id and is_read(template.transactions):
            self._template_id, self._sums = template.template_id, _sums(template.transactions)
        weight, sigops, histogram = self._sums
        return TemplateView(
            height=template.height,
            provisional=template.provisional,
            transactions=len(template.transactions),
            fees_sats=template.fees_sats,
            reward_sats=template.coinbase_value,
            weight=weight + job.coinbase.weight,
            weight_limit=template.weight_limit,
            sigops=sigops + job.coinbase.sigop_cost,
            fee_histogram=histogram,
        )


def _sums(transactions: Sequence[TemplateTx]) -> tuple[int, int, tuple[tuple[float, int], ...]]:
    """Weight, sigops cost and fee histogram."""
    weight = sigops = 0
    bins = [0.0] * len(FEE_BINS)
    for tx in transactions:
        weight += tx.weight
        sigops += tx.sigops
        vbytes = tx.weight / 4
        bins[max(bisect_right(FEE_BINS, tx.fee_sats / vbytes) - 1, 0)] += vbytes
    return weight, sigops, tuple((low, round(size)) for low, size in zip(FEE_BINS, bins, strict=True) if size)


def coinbase_view(coinbase: Coinbase, network: Network, tag: bytes) -> CoinbaseView:
    """The coinbase, decoded."""
    commitment = next((out.script_pubkey for out in coinbase.outputs if _is_commitment(out)), b"")
    return CoinbaseView(
        outputs=tuple(_output(out, network) for out in coinbase.outputs),
        tag=tag.decode(errors="replace"),
        witness_commitment_hex=commitment[len(COMMITMENT_HEADER) :].hex(),
        prefix_hex=coinbase.prefix.hex(),
        suffix_hex=coinbase.suffix.hex(),
        extranonce_bytes=coinbase.extranonce_size,
    )


def _is_commitment(out: TxOut) -> bool:
    return out.script_pubkey.startswith(COMMITMENT_HEADER)


def _output(out: TxOut, network: Network) -> OutputView:
    pays = "witness commitment" if _is_commitment(out) else described(out.script_pubkey, network)
    return OutputView(out.value_sats, out.script_pubkey.hex(), pays)
