"""A node works on no job that pays somebody else, whoever sends it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from solominer.chain.serialize import compact_size
from solominer.chain.transaction import parse_transaction
from solominer.engines.cluster.messages import own_job
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


def two_faced() -> WorkerJob:
    """A job whose scriptSig's length is the first byte of extranonce1, which a lease replaces: with 15 the coinbase
    pays SCRIPT, and with 59 the thief, since all up to him is scriptSig then."""
    whole = (25 * 10**8).to_bytes(8, "little")
    thiefs = b"\xff\xff\xff\xff" + b"\x01" + whole + bytes((len(THIEF),)) + THIEF
    paid = b"\xff\xff\xff\xff" + b"\x02" + whole + bytes((len(SCRIPT),)) + SCRIPT
    hidden = bytes(8) + bytes((len(thiefs),)) + thiefs
    good = job()
    return replace(
        good,
        extranonce_prefix=b"\x0f" + good.extranonce_prefix[1:],
        coinbase_prefix=good.coinbase_prefix[:41],
        coinbase_suffix=bytes(4) + paid + hidden + bytes(4),
    )


def outputs(job: WorkerJob) -> list[bytes]:
    """Whom it pays."""
    coinbase = parse_transaction(job.coinbase_prefix + job.extranonce(0) + job.coinbase_suffix)
    return [out.script_pubkey for out in coinbase.outputs if out.value_sats]


def test_what_a_job_pays_does_not_depend_on_the_extranonce() -> None:
    bad, length = two_faced(), 15 + 4 + 1 + 8 + 1 + len(SCRIPT) + 8 + 1
    assert outputs(bad) == [SCRIPT]
    assert outputs(own_job(bad, bytes((length, 3, 0, 0)))) == [THIEF]
    wide = replace(bad, coinbase_prefix=bad.coinbase_prefix + b"\xfd", extranonce_prefix=b"\x0f" + bytes(7))
    for each in (bad, wide):  # in the other one the extranonce begins with a length of two bytes
        with pytest.raises(PayoutError, match="extranonce is not in the scriptSig"):
            check_payout(each, {SCRIPT})


@pytest.mark.parametrize("size", [0, 4, 7])
def test_a_salt_of_another_size_is_refused(size: int) -> None:
    """With an extranonce1 before it the coinbase would be longer than the one that was checked."""
    with pytest.raises(PayoutError, match="extranonce"):
        check_payout(replace(job(), extranonce_prefix=bytes(size)), {SCRIPT})


def test_a_coinbase_with_a_witness_is_refused() -> None:
    good = job()
    prefix = good.coinbase_prefix[:4] + b"\x00\x01" + good.coinbase_prefix[4:]
    suffix = good.coinbase_suffix[:-4] + b"\x01\x20" + bytes(32) + good.coinbase_suffix[-4:]
    with pytest.raises(PayoutError, match="extranonce"):
        check_payout(replace(good, coinbase_prefix=prefix, coinbase_suffix=suffix), {SCRIPT})
