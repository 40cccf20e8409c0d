"""What a report says of an hour with a known truth: honest workers agree with their evidence, others are flagged."""

from __future__ import annotations

import copy
import random
import re
from typing import Any

import pytest

from solominer.chain.target import expected_hashes
from solominer.records.evidence.state import Head
from solominer.records.report.formats import duration, odds, short
from solominer.records.report.hour import HourFold
from solominer.records.report.report import build_report
from solominer.records.report.text import report_text
from solominer.records.tree import Part
from tests.records.builders import HOUR

SHARE_TARGET = (1 << 224) - 1
PER_SHARE = expected_hashes(SHARE_TARGET)


def hour_of(shares: int, claim: float, *, seed: int, share_target: int = SHARE_TARGET) -> HourFold:
    """An hour of one worker that tried `shares` times the hashes of a share and claims `claim` times as many."""
    chance = random.Random(seed)
    fold, per_share = HourFold(), expected_hashes(share_target)
    frame: dict[str, Any] = {"seq": 1, "at": float(HOUR), "up": 0.0}
    fold.add({**frame, "kind": "open", "run": "r"})
    fold.add(
        {**frame, "kind": "work", "job": "r-1", "height": 5, "prevhash": "00" * 32, "nbits": "170240c3", "fees_sats": 7}
        | {"coinbase_prefix_hex": "", "extranonce1_hex": "", "coinbase_suffix_hex": "", "merkle_branch_hex": []}
        | {"share_target_hex": f"{share_target:064x}"}
    )
    found = _poisson(chance, shares)
    for number in range(found):
        share = {"hash": f"{chance.randrange(share_target + 1):064x}", "job": "r-1", "worker": "cpu/0", "kernel": "k"}
        fold.add({**frame, "up": 3600.0 * number / found, "kind": "share", **share})
    for minute in range(1, 61):
        counters = {"cpu/0": int(minute * shares * claim * per_share / 60)}
        fold.add({**frame, "up": minute * 60.0, "kind": "counters", "counters": counters})
    return fold


def _poisson(chance: random.Random, mean: int) -> int:
    at, count = chance.expovariate(1.0), 0
    while at < mean:
        at += chance.expovariate(1.0)
        count += 1
    return count


def reported(fold: HourFold, previous: dict[str, Any] | None = None) -> dict[str, Any]:
    """The report of the hour."""
    head = None if previous is None else Head(Part.parse(previous["part"]), previous["sequence"], "00" * 32)
    part = Part(HOUR if previous is None else Part.parse(previous["part"]).start + 3600)
    return build_report(
        fold, network="mainnet", tree="mainnet", part=part, why="hour", head=head, previous=previous, retired=[]
    )


def test_a_worker_that_claims_a_fifth_too_much_is_flagged_and_honest_ones_are_not() -> None:
    liars = [reported(hour_of(1000, 1.2, seed=seed)) for seed in range(40)]
    honest = [reported(hour_of(1000, 1.0, seed=seed)) for seed in range(40)]
    assert sum(report["evidence"]["mismatch"]["flagged"] for report in liars) >= 38
    assert not any(report["evidence"]["mismatch"]["flagged"] for report in honest)
    assert sum(report["hashes"]["workers"][0]["mismatch"]["flagged"] for report in liars) >= 38
    text = report_text(next(report for report in liars if report["evidence"]["mismatch"]["flagged"]))
    assert "MISMATCH: too few shares for the claimed hashes" in text
    assert "consistent with the counters" in report_text(honest[0])


def test_the_estimates_stand_beside_the_count_and_hold_it() -> None:
    reports = [reported(hour_of(1000, 1.0, seed=seed)) for seed in range(60)]
    for name in ("from_shares", "from_kth_hash"):
        inside = [r["evidence"][name]["low"] <= 1000 * PER_SHARE <= r["evidence"][name]["high"] for r in reports]
        assert sum(inside) >= 50  # 57 on average; below 50 in one of 10,000
    rate = reports[0]["hashes"]["rate_hps"]
    assert rate["low"] <= 1000 * PER_SHARE / 3600 <= rate["high"]


def vardiff_hour(shares: int, claim: float, *, seed: int) -> HourFold:
    """As hour_of, but the worker's own target gets 16 times harder halfway; beside it one whose hashes are credited."""
    chance, harder = random.Random(seed), SHARE_TARGET >> 4
    fold, frame = hour_of(0, 0.0, seed=seed), {"seq": 1, "at": float(HOUR), "up": 3600.0}
    claimed = 0.0
    for half, target in enumerate((SHARE_TARGET, harder)):
        for _ in range(_poisson(chance, shares)):
            share = {"hash": f"{chance.randrange(target + 1):064x}", "job": "r-1", "worker": "gpu/0", "kernel": "k"}
            fold.add({**frame, "kind": "share", **share, "share_target_hex": f"{target:064x}"})
        claimed += shares * claim * expected_hashes(target)
        line = {"counters": {"gpu/0": int(claimed)}, "share_targets": {"gpu/0": f"{target:064x}"}}
        line["credited"] = {"stratum/a": (half + 1) * 10 * expected_hashes(harder) / 2**32}
        fold.add({**frame, "up": 3660.0 + 60 * half, "kind": "counters", **line})
        for _ in range(10):
            share = {"hash": f"{chance.randrange(harder + 1):064x}", "job": "r-1", "worker": "stratum/a", "kernel": ""}
            fold.add({**frame, "kind": "share", **share, "share_target_hex": f"{harder:064x}"})
    return fold


def test_a_claim_is_judged_rightly_under_changing_targets_and_beside_credited_hashes() -> None:
    honest = [reported(vardiff_hour(500, 1.0, seed=seed)) for seed in range(40)]
    liars = [reported(vardiff_hour(500, 1.3, seed=seed)) for seed in range(40)]
    assert not any(report["evidence"]["mismatch"]["flagged"] for report in honest)
    assert sum(report["evidence"]["mismatch"]["flagged"] for report in liars) >= 38
    truth = 500 * 17 * PER_SHARE + 20 * 16 * PER_SHARE
    inside = [r["evidence"]["from_shares"]["low"] <= truth <= r["evidence"]["from_shares"]["high"] for r in honest]
    assert sum(inside) >= 32  # 38 on average
    report = honest[0]
    engines = report["hashes"]["engines"]
    assert engines["stratum"] == {"counted": 0, "credited": pytest.approx(320 * PER_SHARE), "shares": 20, "workers": 1}
    assert engines["gpu"]["counted"] == pytest.approx(8500 * PER_SHARE)
    workers = {worker["worker"]: worker for worker in report["hashes"]["workers"]}
    assert workers["stratum/a"]["mismatch"] is None
    assert not workers["gpu/0"]["mismatch"]["flagged"]
    assert (report["shares"]["credited"], report["shares"]["expected"]) == (20, pytest.approx(1000, abs=0.01))
    assert report["totals"]["credited_hashes"] == report["hashes"]["credited"] == pytest.approx(320 * PER_SHARE)
    text = report_text(report)
    assert "credited, 20 shares from 1 worker\n" in text
    named = copy.deepcopy(report)
    named["hashes"]["workers"][0] |= {"worker": "stratum/a-long-name", "shares": 1, "mismatch": None}
    assert re.search(r"^  stratum/a-long-name \d.*, 1 share$", report_text(named), re.MULTILINE)
    assert "20 more from workers with credited hashes" in text


def test_too_few_shares_have_no_kth_hash() -> None:
    report = reported(hour_of(3, 1.0, seed=1))
    assert report["evidence"]["kth_hash"] is None
    assert report["evidence"]["from_kth_hash"] is None
    assert report["evidence"]["from_shares"] is not None


def test_a_kth_hash_above_the_tightest_target_says_nothing() -> None:
    fold = hour_of(20, 1.0, seed=1)
    fold.tightest_share_target = SHARE_TARGET >> 8
    assert reported(fold)["evidence"]["kth_hash"] is None


def test_shares_that_kernels_do_not_tell_all_of_are_no_evidence() -> None:
    report = reported(hour_of(500, 100.0, seed=1, share_target=0x7FFFFF << 232))
    assert report["shares"]["complete"] is False
    assert report["evidence"]["mismatch"] is None
    assert report["hashes"]["workers"][0]["mismatch"] is None
    assert "share target too low; not used as evidence" in report_text(report)


def test_bests_and_totals_go_on_over_hours_and_days() -> None:
    first = reported(hour_of(50, 1.0, seed=1))
    second = reported(hour_of(40, 1.0, seed=2), first)
    assert second["sequence"] == 2
    assert second["totals"]["shares"] == first["shares"]["found"] + second["shares"]["found"]
    best = min((first["best"]["hour"], second["best"]["hour"]), key=lambda one: one["hash"])
    assert second["best"]["day"] == second["best"]["all_time"] == best
    empty = reported(HourFold(), {**second, "part": "2026/11/21/23"})
    assert empty["part"] == "2026/11/22/00"
    assert (empty["best"]["hour"], empty["best"]["day"], empty["best"]["all_time"]) == (None, None, best)
    assert "no share in this hour" in report_text(empty)


def test_the_chance_of_a_block_follows_from_the_hashes() -> None:
    report = reported(hour_of(1000, 1.0, seed=1))
    expected = 1000 * PER_SHARE / (report["network_difficulty"] * 2**256 / ((0xFFFF << 208) + 1))
    assert report["chance"]["expected_blocks"] == pytest.approx(expected, rel=1e-6)
    assert "1 in" in report_text(report)
    assert "Past work does not raise the chance" in report_text(report)


def test_words_for_numbers() -> None:
    assert [odds(0.0), odds(1e-9), odds(0.5), odds(1.0)] == ["none", "1 in 1 G", "50.0%", "100.0%"]
    assert [duration(s) for s in (0.0123, 12.34, 320, 11_520, 1_051_200)] == [
        "12.3 ms", "12.3 s", "5 min 20 s", "3 h 12 min", "12 d 4 h"]  # fmt: skip
    assert short(1.2345e9) == "1.234 G"
