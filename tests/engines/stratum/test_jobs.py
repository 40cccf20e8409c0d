"""Jobs: a known block as Stratum shows it, new content each time, what is kept, and what is made again."""

from __future__ import annotations

import random

import pytest

from solominer.chain.coinbase import build_coinbase
from solominer.chain.header import Header
from solominer.chain.transaction import TxOut
from solominer.engines.stratum.jobs import PROCESS_SEQS, RUN_SEQS, JobBoard
from solominer.engines.stratum.reference import ShareCandidate
from solominer.engines.stratum.work import Audience, Job, Work, job_id_of, seq_of, swap_words
from solominer.errors import BadValue, TemplateError
from tests.data import load
from tests.engines.stratum.builders import P2PKH, P2WPKH, make_work, pay_config


def test_a_real_block_as_stratum_shows_it() -> None:
    vector = load("stratum_v1_job")
    notify, submit = vector["notify_params"], vector["submit"]
    header = Header.unpack(bytes.fromhex(vector["expected_header_hex"]))
    work = make_work(
        prevhash_le=header.prevhash_le,
        version=0x30000000,
        version_mask=0x0FFFE000,  # its bit 28 is in use, so it is not rolled
        nbits=header.nbits,
        ntime=header.ntime,
        merkle_branch=tuple(bytes.fromhex(node) for node in notify["merkle_branch"]),
    )
    job = Job(0xBF, work, Audience(), bytes.fromhex(notify["coinb1"]), bytes.fromhex(notify["coinb2"]))
    parts = [f'"{notify[key]}"' for key in ("prevhash", "coinb1", "coinb2")]
    branch = ",".join(f'"{node}"' for node in notify["merkle_branch"])
    rest = ",".join(f'"{notify[key]}"' for key in ("version", "nbits", "ntime"))
    expected = f'{{"id":null,"method":"mining.notify","params":["bf",{",".join(parts)},[{branch}],{rest},true]}}\n'
    assert job.notify(clean=True) == expected.encode()
    extranonce = bytes.fromhex(vector["extranonce1"] + vector["extranonce2"])
    share = ShareCandidate(extranonce, 0x30000000, int(submit["ntime"], 16), int(submit["nonce"], 16), 0)
    assert job.header(share).pack().hex() == vector["expected_header_hex"]


def test_swapping_words_twice_changes_nothing() -> None:
    data = random.Random(1).randbytes(32)
    assert swap_words(swap_words(data)) == data != swap_words(data)


@pytest.mark.parametrize("text", ["", "0x10", "+1", " 1", "1_0", "01", "G", "-1", "f" * 17, "\u0661"])
def test_ids_that_this_server_never_makes(text: str) -> None:
    assert seq_of(text) is None


@pytest.mark.parametrize("seq", [0, 1, 0xDEADBEEF, 2**40])
def test_ids_and_numbers(seq: int) -> None:
    assert seq_of(job_id_of(seq)) == seq


def board_with(*works: Work, **options: float) -> JobBoard:
    board = JobBoard(pay_config, 100, **options)  # type: ignore[arg-type]
    for now, work in enumerate(works):
        board.publish(work, float(now))
    return board


def test_one_job_for_all_of_an_audience_until_one_of_them_needs_another() -> None:
    board = board_with(make_work())
    first = board.job_after(-1, Audience())
    assert board.job_after(-1, Audience()) is first
    second = board.job_after(first.seq, Audience())
    assert second.seq == first.seq + 1
    assert second.prefix != first.prefix
    assert board.job_after(first.seq, Audience()) is second
    other = board.job_after(-1, Audience(P2PKH))
    assert other.seq == second.seq + 1
    assert P2PKH in other.suffix


def test_a_dropped_job_is_made_again() -> None:
    board = board_with(make_work(1, tip=1), keep_bytes=20_000)
    old = board.job_after(-1, Audience(P2PKH))
    board.publish(make_work(2, tip=2), 1.0)
    for _ in range(50):
        board.job_after(10**9, Audience())
    assert board.find(old.job_id, None) is None
    again = board.find(old.job_id, Audience(P2PKH))
    assert again is not None
    assert again is not old
    assert (again.prefix, again.suffix, again.work) == (old.prefix, old.suffix, old.work)
    assert board.find(old.job_id, None) is again


def test_changing_payouts_of_the_group_are_those_of_the_announcement() -> None:
    """A dropped job is made with what it paid, not with what the group would pay now."""
    paid = [P2WPKH]
    board = JobBoard(lambda work, audience: (TxOut(work.coinbase_value, paid[0]),), 1, keep_bytes=8_000)
    board.publish(make_work(), 0.0)
    old = board.job_after(-1, Audience(None, 255))
    paid[0] = P2PKH
    for _ in range(50):
        board.job_after(10**9, Audience(None, 750))
    again = board.find(old.job_id, Audience(None, 255))
    assert again is not None
    assert again is not old
    assert again.suffix == old.suffix


def test_work_is_kept_for_an_hour() -> None:
    board = JobBoard(pay_config, 1)
    board.publish(make_work(1, tip=1), 0.0)
    old = board.job_after(-1, Audience())
    board.publish(make_work(2, tip=2), 3599.0)
    assert board.find(old.job_id, Audience()) is old
    board.publish(make_work(3, tip=3), 3600.0)
    assert board.find(old.job_id, Audience()) is None
    assert board.oldest_seq > old.seq


def test_the_oldest_tip_goes_first_and_whole_and_the_current_work_never() -> None:
    board = JobBoard(pay_config, 1, keep_bytes=100_000)
    jobs = []
    for number, tip in enumerate([1, 1, 2, 2, 3]):
        board.publish(make_work(number, tip=tip, external_bytes=24_000), float(number))
        jobs.append(board.job_after(-1, Audience()))
    known = [board.find(job.job_id, Audience()) is not None for job in jobs]
    assert known == [False, False, True, True, True]
    board.publish(make_work(9, tip=9, external_bytes=10**9), 10.0)
    assert board.current is not None
    assert board.current.work_id == 9


def test_withdrawn_work_is_still_known() -> None:
    board = board_with(make_work())
    job = board.job_after(-1, Audience())
    board.withdraw()
    assert board.current is None
    assert board.find(job.job_id, None) is job
    assert board.tip_le == job.work.prevhash_le


def test_a_restarted_server_knows_the_jobs_of_the_earlier_run() -> None:
    board = board_with(make_work(1, tip=1), make_work(2, tip=2))
    job = board.job_after(-1, Audience())
    again = board_with(make_work(1, tip=1), make_work(2, tip=2))
    again.skip(1000)
    found = again.find(job.job_id, Audience())
    assert found is not None
    assert (found.prefix, found.work.work_id) == (job.prefix, 2)
    assert again.job_after(-1, Audience()).seq == job.seq + 1000


def test_a_job_that_fails_its_own_check_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """A builder that pays somebody else by mistake."""

    def wrong(**values: object) -> object:
        values["payouts"] = (TxOut(312_500_000, P2PKH),)
        return build_coinbase(**values)  # type: ignore[arg-type]

    monkeypatch.setattr("solominer.engines.stratum.jobs.build_coinbase", wrong)
    with pytest.raises(TemplateError, match="not the configured payouts"):
        board_with(make_work()).job_after(-1, Audience())


def test_payouts_that_do_not_sum_up_are_refused() -> None:
    board = JobBoard(lambda work, audience: (TxOut(1, P2WPKH),), 1)
    board.publish(make_work(), 0.0)
    with pytest.raises(BadValue, match="sum to 1 satoshis"):
        board.job_after(-1, Audience())


def test_a_job_that_another_process_announced_has_the_same_content_here() -> None:
    """Of the same run and of work that is known; the number is its own, so no id is announced twice."""
    works = [make_work(work_id=number) for number in (7, 8)]
    here, there, earlier = (JobBoard(pay_config, 3 * RUN_SEQS + first) for first in (0, 5 * PROCESS_SEQS, -RUN_SEQS))
    for work in works:
        for board in (here, there, earlier):
            board.publish(work, 0.0)
        audience = Audience(P2WPKH)
        announced = there.job_after(there.job_after(-1, audience).seq, audience)
        assert here.find(announced.job_id, audience) is None
        made = here.find_elsewhere(announced.job_id, audience)
        assert made is not None
        assert (made.prefix, made.suffix, made.work) == (announced.prefix, announced.suffix, work)
        assert made.seq == announced.seq - 5 * PROCESS_SEQS
        assert there.find_elsewhere(made.job_id, audience) is not None
        assert here.find_elsewhere(earlier.job_after(-1, audience).job_id, audience) is None
    for odd in (job_id_of(announced.seq + (1 << 24)), job_id_of(announced.seq - (2 << 24)), "x"):
        assert here.find_elsewhere(odd, audience) is None
