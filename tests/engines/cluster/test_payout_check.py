"""A node works on no job that pays somebody else, whoever sends it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from solominer.chain.serialize import compact_size
from solominer.engines.cluster.payout_check import check_payout
from solominer.engines.pool.worker_job import WorkerJob
from solominer.errors import PayoutError
from tests.work.builders import PAYOUT, mining

SCRIPT = PAYOUT.script_pubkey
THIEF = b"\x00\x14" + bytes(20)


def job() -> WorkerJob:
    return WorkerJob.of(mining()[1], bytes(4))


def test_a_job_that_pays_the_join_files_scripts_is_good() -> None:
    check_payout(job(), {SCRIPT})
    check_payout(job(), {SCRIPT, THIEF})
    check_payout(job(), ())


def test_a_job_that_pays_somebody_else_is_refused() -> None:
    with pytest.raises(PayoutError, match=f"satoshis to {SCRIPT.hex()}, which is not in the join file"):
        check_payout(job(), {THIEF})


def test_a_job_that_pays_somebody_else_too_is_refused() -> None:
    good = job()
    count_at = good.coinbase_suffix.index(compact_size(2) + (25 * 10**8).to_bytes(8, "little"))
    paid = (10**8).to_bytes(8, "little") + bytes((len(THIEF),)) + THIEF
    suffix = good.coinbase_suffix[:count_at] + compact_size(3) + paid + good.coinbase_suffix[count_at + 1 :]
    with pytest.raises(PayoutError, match=f"100000000 satoshis to {THIEF.hex()}"):
        check_payout(replace(good, coinbase_suffix=suffix), {SCRIPT})


def test_a_job_that_pays_nobody_is_refused() -> None:
    good = job()
    nothing = good.coinbase_suffix.replace((25 * 10**8).to_bytes(8, "little"), bytes(8)).replace(SCRIPT, THIEF)
    with pytest.raises(PayoutError, match="pays nobody"):
        check_payout(replace(good, coinbase_suffix=nothing), {SCRIPT})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"coinbase_suffix": b""}, "no valid coinbase"),
        ({"network_target": 1}, "targets that do not fit"),
        ({"share_target": 1}, "targets that do not fit"),
        ({"nbits": 0xFF800001}, "no valid coinbase"),
    ],
)
def test_a_job_that_contradicts_itself_is_refused(change: dict[str, object], said: str) -> None:
    with pytest.raises(PayoutError, match=said):
        check_payout(replace(job(), **change), {SCRIPT})  # type: ignore[arg-type]


def test_a_coinbase_that_spends_a_coin_is_refused() -> None:
    good = job()
    prefix = good.coinbase_prefix.replace(bytes(32), b"\1" + bytes(31), 1)
    with pytest.raises(PayoutError, match="spends a coin"):
        check_payout(replace(good, coinbase_prefix=prefix), {SCRIPT})
