"""Splits exact to the satoshi in the jobs of CPU workers and of miners, read back by a parser that is written here.

SOLOMINER_PAYOUT_CASES sets the number of generated cases, 10,000 if it is not set.
"""

from __future__ import annotations

import os
from dataclasses import replace
from fractions import Fraction
from io import BytesIO
from math import floor

from hypothesis import given, settings
from hypothesis import strategies as st

from solominer.config.payees import MOST_PAYEES
from solominer.engines.stratum.agents import AGENTS
from solominer.engines.stratum.jobs import JobBoard
from solominer.engines.stratum.server import _payouts
from solominer.engines.stratum.translate import work_of
from solominer.engines.stratum.work import Audience
from solominer.errors import PayoutError
from solominer.work.job import build_job
from solominer.work.job_check import check_job
from solominer.work.payout import Payout, PayoutPart, coinbase_bytes, output_bytes
from tests.work.builders import template_on, tip

CASES = int(os.environ.get("SOLOMINER_PAYOUT_CASES", "10000"))
KINDS = ((b"\x00\x14", 20, b""), (b"\x00\x20", 32, b""), (b"\xa9\x14", 20, b"\x87"), (b"\x76\xa9\x14", 20, b"\x88\xac"))
LEAST_SPENDABLE = {22: 294, 34: 330, 23: 540, 25: 546}


def outputs_in(coinbase: bytes) -> list[tuple[bytes, int]]:
    """(script, satoshis) of each output of a stripped transaction."""
    raw = BytesIO(coinbase)

    def number(size: int) -> int:
        return int.from_bytes(raw.read(size), "little")

    def count() -> int:
        first = number(1)
        return number(1 << first - 0xFC) if first > 0xFC else first

    raw.read(4)
    for _ in range(count()):
        raw.read(36)
        raw.read(count())
        raw.read(4)
    outputs = []
    for _ in range(count()):
        sats = number(8)
        outputs.append((raw.read(count()), sats))
    assert len(raw.read()) == 4  # the lock time
    return outputs


@st.composite
def payouts(draw: st.DrawFn) -> Payout:
    """A split among 1 to 12 different scripts, most parts small, or odd."""
    size = draw(st.sampled_from((1, 2, 2, 3, 5, 12)))
    cuts = sorted(draw(st.sets(st.integers(1, 9_999), min_size=size - 1, max_size=size - 1)))
    points = [high - low for low, high in zip([0, *cuts], [*cuts, 10_000], strict=True)]
    parts = []
    for place, each in enumerate(points):
        head, length, tail = draw(st.sampled_from(KINDS))
        parts.append(PayoutPart(head + bytes([place]).ljust(length, b"\7") + tail, "", each))
    return Payout(parts[0].script_pubkey, "", tuple(parts[1:]))


VALUES = st.one_of(st.integers(0, 10_000), st.integers(10**5, 50 * 10**8), st.sampled_from((312_500_000, 2_940_000)))


@settings(max_examples=CASES)
@given(payouts(), VALUES, st.integers(1, 2**31 - 2))
def test_every_job_pays_the_split_to_the_satoshi(payout: Payout, value: int, height: int) -> None:
    template = replace(template_on(tip(1), height), coinbase_value=value)
    due = [(part.script_pubkey, floor(Fraction(part.basis_points, 10_000) * value)) for part in payout.parts]
    due[0] = (due[0][0], value - sum(sats for _, sats in due[1:]))
    try:
        job = build_job(template, payout, job_id=1, salt=bytes(4), tag=b"/x/")
    except PayoutError:
        assert payout.others
        assert any(sats < LEAST_SPENDABLE[len(script)] for script, sats in due)
        return
    assert not payout.others or all(sats >= LEAST_SPENDABLE[len(script)] for script, sats in due)
    check_job(job, payout)
    *paid, commitment = outputs_in(job.coinbase.stripped(job.extranonce()))
    assert paid == due
    assert commitment[1] == 0
    assert sum(sats for _, sats in paid) == value

    board = JobBoard(_payouts, 1)
    board.publish(work_of(job, b"/x/"), 0.0)
    for_miners = board.job_after(0, Audience())
    assert outputs_in(for_miners.prefix + bytes(12) + for_miners.suffix)[:-1] == due


def test_the_longest_split_is_the_longest_that_any_miner_takes() -> None:
    shortest = b"\x00\x14" + bytes(20)
    most = max(agent.coinbase_bytes for _, agent in AGENTS)
    least_script_sig = 4 + 5 + 13
    assert coinbase_bytes([shortest] * MOST_PAYEES, least_script_sig) <= most
    assert coinbase_bytes([shortest] * (MOST_PAYEES + 1), least_script_sig) > most
    assert output_bytes(shortest) == 31
