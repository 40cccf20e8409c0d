"""What an hour adds up: counters that restart, percentiles in little memory, the k best hashes, and odd lines."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from solominer.records.report.best import BestHashes
from solominer.records.report.errors_log import MAX_DISTINCT, ErrorLog, error_id, scrub
from solominer.records.report.hour import HourFold
from solominer.records.report.latency import Durations
from solominer.records.report.tally import MAX_WORKERS, Counts


def test_a_counter_that_begins_again_counts_from_zero() -> None:
    counts = Counts()
    counts.start({"cpu/0": 100}, {}, 0.0)
    counts.read({"cpu/0": 250, "cpu/1": 40}, {}, 60.0, lambda label: 10.0, 1000.0)
    counts.read({"cpu/0": 30, "cpu/1": 50}, {}, 120.0, lambda label: 10.0, 1000.0)
    assert counts.counted == 150 + 40 + 30 + 10
    assert (counts.workers["cpu/0"].counted, counts.workers["cpu/1"].counted) == (180, 50)
    assert counts.expected_shares == pytest.approx(23.0)
    assert counts.expected_blocks == pytest.approx(0.23)
    assert counts.samples == [(190, 60.0), (40, 60.0)]


def test_credited_hashes_are_summed_apart_and_bring_no_expected_shares() -> None:
    counts = Counts()
    counts.start({}, {"stratum/a": 7.0}, 0.0)
    counts.read({"cpu/0": 100}, {"stratum/a": 10.0}, 60.0, lambda label: 10.0, 0.0)
    counts.read({"cpu/0": 100}, {"stratum/a": 2.0}, 120.0, lambda label: 10.0, 0.0)  # it began again
    assert (counts.counted, counts.credited, counts.expected_shares) == (100, 5.0 * 2**32, 10.0)
    assert (counts.workers["stratum/a"].counted, counts.workers["stratum/a"].credited) == (0, 5.0 * 2**32)
    for bad in ({"a/b": -1.0}, {"a/b": "1"}, {"a/b": float("inf")}, {"a/b": True}):
        with pytest.raises(ValueError, match="credited"):
            counts.read({}, bad, 180.0, lambda label: 0.0, 0.0)  # type: ignore[arg-type]


def test_each_worker_is_held_against_a_share_target_of_its_own() -> None:
    counts = Counts()
    per_share = {"gpu/0": 1000.0, "cpu/0": 10.0}
    counts.read({"gpu/0": 5000, "cpu/0": 50}, {}, 60.0, per_share.__getitem__, 0.0)
    assert [counts.workers[label].expected_shares for label in per_share] == [5.0, 5.0]
    counts.share("gpu/0", 1000.0)
    counts.share("cpu/0", 10.0)
    assert (counts.share_hashes, counts.share_squares) == (1010.0, 1000.0**2 + 10.0**2)


def test_samples_and_workers_are_bounded_and_lose_nothing() -> None:
    counts = Counts()
    counts.start({}, {}, 0.0)
    for second in range(1, 40_001):
        counts.read({f"cpu/{second % 3000}": 1}, {}, second * 31.0, lambda label: 0.0, 0.0)
    assert len(counts.samples) <= 960
    assert len(counts.workers) <= MAX_WORKERS + 1
    assert sum(secs for _, secs in counts.samples) == pytest.approx(40_000 * 31.0)
    assert sum(tally.counted for tally in counts.workers.values()) == counts.counted


@given(st.lists(st.floats(1e-6, 1e5), min_size=1, max_size=300), st.sampled_from([50.0, 90.0, 99.0, 100.0]))
def test_percentiles_are_right_within_their_buckets(values: list[float], percent: float) -> None:
    durations = Durations()
    for value in values:
        durations.add(value)
    exact = sorted(values)[max(0, -(-len(values) * int(percent) // 100) - 1)]
    assert durations.percentile(percent) == pytest.approx(exact, rel=0.021)
    assert durations.summary()["max_secs"] == pytest.approx(max(values), abs=1e-6)


def test_durations_of_a_stepped_clock_count_as_zero_and_nonsense_is_refused() -> None:
    durations = Durations()
    durations.add(-3.0)
    assert durations.max_secs == 0.0
    with pytest.raises(ValueError, match="not a duration"):
        durations.add(float("nan"))
    assert durations.count == 1


def test_the_k_best_are_the_k_smallest_distinct() -> None:
    chance = random.Random(5)
    values = [chance.randrange(1 << 40) for _ in range(500)]
    best = BestHashes(16)
    for value in [*values, *values]:
        best.add(value, {"job": "x"}, {})
    assert [kept.value for kept in best.kept] == sorted(values)[:16]
    assert best.kth() == sorted(values)[15]
    few = BestHashes(16)
    few.add(1, {}, {})
    assert few.kth() is None


def test_errors_beyond_the_limit_are_counted_by_severity() -> None:
    log = ErrorLog()
    letters = [f"{chr(97 + n % 26)}{chr(97 + n // 26)}" for n in range(MAX_DISTINCT + 10)]
    for letter in letters:
        log.add({"id": error_id(letter, "low", ""), "severity": "low", "code": letter, "at": 1.0})
    assert log.distinct == MAX_DISTINCT
    assert log.document("regtest", "x")["other_errors"] == 10
    assert log.by_severity["low"] == MAX_DISTINCT + 10


def test_numbers_make_no_other_error_and_credentials_do_not_show() -> None:
    assert error_id("node", "low", "port 8332") == error_id("node", "low", "port 9")
    assert error_id("node", "low", "port") != error_id("node", "high", "port")
    assert scrub("at http://me:secret@host/ and zmq tcp://h:1") == "at http://***@host/ and zmq tcp://h:1"


ODD: list[dict[str, Any]] = [
    {},
    {"kind": "share"},
    {"seq": 1, "at": "x", "up": 0, "kind": "tip"},
    {"seq": 1, "at": 1, "up": 0, "kind": "share", "hash": "zz", "worker": "a", "job": "b"},
    {"seq": 1, "at": 1, "up": 0, "kind": "work", "job": "b", "nbits": "1d80ffff"},
    {"seq": 1, "at": 1, "up": 0, "kind": "counters", "counters": [1]},
    {"seq": 1, "at": 1, "up": 0, "kind": "latency", "what": "x", "secs": None},
    {"seq": 1, "at": 1, "up": 0, "kind": ["list"]},
]


def test_odd_lines_are_counted_and_do_no_harm() -> None:
    fold = HourFold()
    for entry in ODD:
        fold.add(entry)
    assert fold.unparsed == len(ODD)
    fold.add({"seq": 2, "at": 2, "up": 1, "kind": "tip"})
    assert fold.kinds["tip"] == 1


def test_memory_is_bounded_whatever_comes() -> None:
    fold = HourFold()
    for number in range(30_000):
        frame = {"seq": number, "at": number, "up": number}
        fold.add({**frame, "kind": "block_found", "hash": f"{number:064x}", "height": number})
        fold.add({**frame, "kind": f"kind{number}"})
        fold.add({**frame, "kind": "latency", "what": f"what{number}", "secs": 1.0})
    assert len(fold.blocks) == 20_000
    assert fold.blocks_found == 30_000
    assert max(len(fold.kinds), len(fold.durations)) <= 64
