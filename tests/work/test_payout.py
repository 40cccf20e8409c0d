"""Payouts: a split's outputs, what is dust, what is refused, and the second calculation that guards it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from solominer.chain.coinbase import build_coinbase
from solominer.chain.transaction import TxOut
from solominer.errors import PayoutError, TemplateError
from solominer.work.job import build_job
from solominer.work.job_check import check_job
from solominer.work.payout import Payout, PayoutPart, coinbase_bytes, dust_sats, split
from tests.work.builders import PAYOUT, real_template, template_on, tip

P2WPKH, OTHER = b"\x00\x14" + bytes(20), b"\x00\x14" + b"\1" * 20
P2PKH, P2WSH = b"\x76\xa9\x14" + bytes(20) + b"\x88\xac", b"\x00\x20" + bytes(32)
TAPROOT = bytes.fromhex("5120a60869f0dbcf1dc659c9cecbaf8050135ea9e8cdc487053f1dc6880949dc684c")


def test_parts_are_rounded_down_and_the_first_gets_the_rest() -> None:
    payout = Payout(P2WPKH, "me", (PayoutPart(OTHER, "friend", 3333), PayoutPart(P2PKH, "family", 1)))
    assert payout.outputs(10**8 + 9999) == (
        TxOut(10**8 + 9999 - 33_333_332 - 10_000, P2WPKH),
        TxOut(33_333_332, OTHER),
        TxOut(10_000, P2PKH),
    )
    assert payout.parts[0] == PayoutPart(P2WPKH, "me", 6666)
    assert payout.describe() == "me 66.66 %, friend 33.33 %, family 0.01 %"


def test_a_single_payee_is_paid_everything_however_little() -> None:
    assert PAYOUT.outputs(1) == (TxOut(1, PAYOUT.script_pubkey),)
    assert PAYOUT.describe() == "bcrt1-test"
    assert Payout(P2WPKH).describe() == P2WPKH.hex()


def test_single_payouts_become_one() -> None:
    parts = [(Payout(P2WPKH, "a"), 5000), (Payout(OTHER, "b"), 5000)]
    assert split(parts) == Payout(P2WPKH, "a", (PayoutPart(OTHER, "b", 5000),))
    assert split([(PAYOUT, 10_000)]) == PAYOUT


@pytest.mark.parametrize(
    ("others", "problem"),
    [
        ([(P2WPKH, 5000)], "duplicate address in the payout split"),
        ([(OTHER, 100), (OTHER, 100)], "duplicate address in the payout split"),
        ([(OTHER, 0)], "do not sum to 10000"),
        ([(OTHER, 10_000)], "do not sum to 10000"),
        ([(OTHER, 10_001), (P2PKH, -5)], "do not sum to 10000"),
    ],
)
def test_what_is_no_split_is_refused(others: list[tuple[bytes, int]], problem: str) -> None:
    with pytest.raises(PayoutError, match=problem):
        Payout(P2WPKH, "me", tuple(PayoutPart(script, "x", points) for script, points in others))


def test_dust_is_refused_by_name() -> None:
    payout = Payout(P2WPKH, "me", (PayoutPart(OTHER, "friend", 1),))
    with pytest.raises(PayoutError, match="friend would receive 293 of 2939999 satoshis, which is dust"):
        payout.outputs(2_939_999)
    assert payout.outputs(2_940_000)[1].value_sats == 294
    template = replace(template_on(tip(1), 261), coinbase_value=2_939_999)
    with pytest.raises(PayoutError, match="is dust"):
        build_job(template, payout, job_id=1, salt=bytes(4))


@pytest.mark.parametrize(("script", "sats"), [(P2PKH, 546), (P2WPKH, 294), (P2WSH, 330), (TAPROOT, 330)])
def test_dust_as_bitcoin_core_has_it(script: bytes, sats: int) -> None:
    assert dust_sats(script) == sats
    assert dust_sats(b"\xa9\x14" + bytes(20) + b"\x87") == 540


@pytest.mark.parametrize("count", [1, 2, 251, 252, 253, 300])
def test_the_size_of_a_coinbase_is_known_before_it_is_built(count: int) -> None:
    scripts = [b"\x00\x14" + number.to_bytes(20, "big") for number in range(count)]
    coinbase = build_coinbase(
        height=900_000,
        payouts=[TxOut(1, script) for script in scripts],
        coinbase_value=count,
        commitment=bytes(32),
        extranonce_size=12,
        tag=b"/x/",
    )
    assert len(coinbase.stripped(bytes(12))) == coinbase_bytes(scripts, 4 + 13 + 4)


@pytest.mark.parametrize(
    "paid",
    [
        Payout(P2WPKH, "", (PayoutPart(OTHER, "", 2499), PayoutPart(P2PKH, "", 2500))),
        Payout(P2WPKH, "", (PayoutPart(OTHER, "", 2501), PayoutPart(P2PKH, "", 2500))),
        Payout(P2WPKH, "", (PayoutPart(P2PKH, "", 2500), PayoutPart(OTHER, "", 2500))),
        Payout(P2WPKH, "", (PayoutPart(OTHER, "", 2500),)),
        Payout(OTHER, "", (PayoutPart(P2WPKH, "", 2500), PayoutPart(P2PKH, "", 2500))),
        Payout(P2WPKH),
    ],
)
def test_the_guard_stops_a_job_that_pays_another_split(paid: Payout) -> None:
    wanted = Payout(P2WPKH, "", (PayoutPart(OTHER, "", 2500), PayoutPart(P2PKH, "", 2500)))
    check_job(build_job(real_template(), wanted, job_id=1, salt=bytes(4)), wanted)
    with pytest.raises(TemplateError, match="not the configured payouts"):
        check_job(build_job(real_template(), paid, job_id=1, salt=bytes(4)), wanted)
