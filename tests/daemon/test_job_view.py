"""The current job as the status shows it."""

from __future__ import annotations

from solominer.chain.encode_address import address_of
from solominer.daemon.job_view import FEE_BINS, TemplateViews, coinbase_view
from solominer.work.job import Job, build_job
from solominer.work.job_check import read_coinbase
from solominer.work.payout import Payout
from tests.work.builders import real_template

SCRIPT = bytes.fromhex("0014" + "11" * 20)


def job() -> Job:
    template = real_template()
    return build_job(template, Payout(SCRIPT), job_id=1, salt=bytes(4), tag=b"/test/", share_target=template.target)


def test_the_template_is_summed_up() -> None:
    view, template = TemplateViews().of(job()), real_template()
    assert view.transactions == len(template.transactions) > 20
    assert view.fees_sats == sum(tx.fee_sats for tx in template.transactions)
    assert view.weight == sum(tx.weight for tx in template.transactions) + job().coinbase.weight <= view.weight_limit
    assert abs(sum(size for _, size in view.fee_histogram) - sum(tx.weight for tx in template.transactions) / 4) < 20
    assert {low for low, _ in view.fee_histogram} <= set(FEE_BINS)
    high = sum(tx.weight / 4 for tx in template.transactions if tx.fee_sats * 4 / tx.weight >= FEE_BINS[-1])
    assert dict(view.fee_histogram).get(FEE_BINS[-1], 0) == round(high)


def test_the_sums_are_those_of_the_newest_template() -> None:
    views, whole = TemplateViews(), job()
    views.of(whole)
    template = whole.template.without_transactions()
    empty = build_job(template, Payout(SCRIPT), job_id=2, salt=bytes(4), tag=b"", share_target=template.target)
    assert views.of(empty).transactions == 0
    assert views.of(empty).fee_histogram == ()
    assert views.of(empty).weight == empty.coinbase.weight
    assert views.of(whole).transactions == len(whole.template.transactions)


def test_the_coinbase_is_decoded() -> None:
    whole = job()
    network = whole.template.network
    view = coinbase_view(whole.coinbase, network, b"/test/")
    paid, commitment = view.outputs
    assert (paid.sats, paid.pays) == (whole.template.coinbase_value, address_of(SCRIPT, network))
    assert (commitment.sats, commitment.pays) == (0, "witness commitment")
    assert commitment.script_hex == "6a24aa21a9ed" + view.witness_commitment_hex
    raw = bytes.fromhex(view.prefix_hex) + bytes(view.extranonce_bytes) + bytes.fromhex(view.suffix_hex)
    assert read_coinbase(raw).outputs == [(bytes.fromhex(out.script_hex), out.sats) for out in view.outputs]
    assert view.tag.encode() in read_coinbase(raw).script_sig
