"""Hash diagnostics: silent on real SHA-256d shares, each fault seen by the test made for it, memory bounded.

Shares come one by one as from a worker, from a seeded generator that stands for SHA-256d, or from SHA-256d itself.
"""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from hashlib import sha256

import numpy as np
import pytest

from solominer.insight import uniformity
from solominer.insight.uniformity import DEFAULT_ALARM_RATE, TESTS, Diagnostics, DuplicateFinder, Finding

TARGET = (1 << 224) - 1
PER_SHARE = 2.0**32


def hour(
    diagnostics: Diagnostics,
    rng: np.random.Generator,
    done: float = 1.0,
    nonce: Callable[[int], int] = lambda nonce: nonce,
    low: Callable[[int, bytes], bytes] = lambda i, data: data,
    value: Callable[[float], float] = lambda value: value,
    start: float = 0.0,
) -> dict[str, Finding]:
    """An hour of 1,000 shares to be expected; the findings by test. The callables break what they are given."""
    count = int(rng.poisson(1000 * done))
    times = np.sort(rng.random(count)) * 1000 * PER_SHARE + start
    for i, claimed in enumerate(times):
        top = int(value(float(rng.random())) * 2**96)
        hash_le = low(i, rng.bytes(16)) + top.to_bytes(16, "little")
        diagnostics.add(nonce(int(rng.integers(1 << 32))), hash_le, TARGET, float(claimed))
    findings = diagnostics.close(start + 1000 * PER_SHARE)
    assert [f.test for f in findings] == list(TESTS)
    return {f.test: f for f in findings}


def alarms(findings: dict[str, Finding]) -> set[str]:
    """The tests that raised one."""
    return {name for name, finding in findings.items() if finding.alarm}


def test_real_hashes_raise_no_alarm() -> None:
    """SHA-256d of counted headers, its first bytes taken as the share's value: the genuine article."""
    diagnostics = Diagnostics()
    for i in range(3000):
        digest = sha256(sha256(i.to_bytes(80, "big")).digest()).digest()
        other = sha256(digest).digest()
        gap = -float(np.log((int.from_bytes(other[4:12], "little") + 1) / 2**64))
        claimed = diagnostics._claimed + gap * PER_SHARE
        diagnostics.add(int.from_bytes(other[:4], "little"), digest[:28] + bytes(4), TARGET, claimed)
    findings = diagnostics.close()
    assert not [f for f in findings if f.alarm]
    assert min(f.p_value for f in findings) > 0.001
    assert [f.samples for f in findings[:7]] == [3000] * 7
    assert findings[7].samples == 2


def test_honest_hours_and_their_p_values() -> None:
    """Forty hours raise no alarm, and no p-value is small more often than it should be."""
    rng = np.random.default_rng(4)
    diagnostics = Diagnostics()
    p_values = []
    for n in range(40):
        findings = hour(diagnostics, rng, start=n * 1000 * PER_SHARE)
        assert not alarms(findings)
        p_values += [f.p_value for name, f in findings.items() if name not in ("share rate", "duplicates")]
    assert sum(p < 0.05 for p in p_values) <= 25  # 240 of them: 12 on average, more than 25 with chance 3e-4


def test_a_stuck_bit_shows() -> None:
    findings = hour(Diagnostics(), np.random.default_rng(1), nonce=lambda n: n & ~(1 << 7))
    assert alarms(findings) == {"bits", "nonce bytes"}
    assert findings["bits"].statistic == pytest.approx(findings["bits"].samples ** 0.5)


def test_bits_above_the_chunk_do_not_matter() -> None:
    assert not alarms(hour(Diagnostics(nonce_bits=18), np.random.default_rng(1), nonce=lambda n: n & 0x3FFFF))


def test_a_stuck_hash_byte_shows() -> None:
    findings = hour(
        Diagnostics(), np.random.default_rng(1), done=1.3, low=lambda i, data: data[:1] + b"\x5a" + data[2:]
    )
    assert {"bits", "hash bytes", "box dimension"} <= alarms(findings)


def test_lost_shares_near_the_target_show() -> None:
    assert "hash values" in alarms(hour(Diagnostics(), np.random.default_rng(1), value=lambda v: v * 0.85))


def test_missing_hashes_show_within_hours() -> None:
    rng = np.random.default_rng(1)
    diagnostics = Diagnostics()
    seen = [alarms(hour(diagnostics, rng, done=0.9, start=n * 1000 * PER_SHARE)) for n in range(8)]
    assert any("share rate" in found for found in seen)
    assert "share rate" in alarms(hour(Diagnostics(), rng, done=0.75))


def test_no_shares_at_all_show_once_a_target_is_known() -> None:
    diagnostics = Diagnostics()
    diagnostics.add(1, bytes(32), TARGET, PER_SHARE)
    silent = {f.test: f for f in diagnostics.close(1000 * PER_SHARE)}
    assert alarms(silent) == {"share rate"}
    nothing = Diagnostics().close(1e15)
    assert not [f for f in nothing if f.alarm]
    assert {f.p_value for f in nothing} == {1.0}


def test_a_counter_that_went_back_is_no_fault() -> None:
    rng = np.random.default_rng(6)
    diagnostics = Diagnostics()
    assert not alarms(hour(diagnostics, rng))
    assert not alarms(hour(diagnostics, rng)), "the worker was restarted and counts from zero again"


def test_the_share_rate_starts_anew_after_its_alarm() -> None:
    rng = np.random.default_rng(2)
    diagnostics = Diagnostics()
    assert "share rate" in alarms(hour(diagnostics, rng, done=0.7))
    assert not alarms(hour(diagnostics, rng, start=1000 * PER_SHARE))


def test_shares_of_changing_targets_are_judged_by_their_own() -> None:
    """An hour at one target, then one four times as hard: told of the change it is silent, misled it is not."""
    easy, hard = TARGET, (TARGET + 1) // 4 - 1

    def run(told: bool) -> set[str]:
        rng, diagnostics, claimed = np.random.default_rng(8), Diagnostics(), 0.0
        for target, shares in ((easy, 1000), (hard, 50)):
            per_share = 2.0**256 / (target + 1)
            end = claimed + shares * per_share
            while (claimed := claimed + float(rng.exponential(per_share))) < end:
                value = int(float(rng.random()) * (target >> 128)) << 128
                hash_le = rng.bytes(16) + value.to_bytes(32, "little")[16:]
                diagnostics.add(int(rng.integers(1 << 32)), hash_le, target, claimed)
            claimed = end
            if told:
                diagnostics.advance(claimed, target)
        if not told:
            diagnostics.advance(claimed + 3000 * PER_SHARE, hard)  # these were hashed for the easy target
        return alarms({f.test: f for f in diagnostics.close()})

    assert run(told=True) == set()
    assert "share rate" in run(told=False)


def test_hashes_that_are_not_to_be_judged_are_left_out() -> None:
    diagnostics = Diagnostics()
    diagnostics.add(1, bytes(32), TARGET, PER_SHARE)
    diagnostics.advance(5000 * PER_SHARE, None)
    assert not alarms({f.test: f for f in diagnostics.close()})


def test_a_repetition_found_elsewhere_is_an_alarm() -> None:
    diagnostics = Diagnostics()
    diagnostics.repeated()
    assert {f.test for f in diagnostics.close() if f.alarm} == {"duplicates"}


def test_a_sequence_that_echoes_shows_in_the_plane() -> None:
    last = [b""]

    def echo(i: int, data: bytes) -> bytes:
        if i % 2 == 0:
            last[0] = data[:2]
        return last[0] + data[2:]

    findings = hour(Diagnostics(), np.random.default_rng(3), done=1.3, low=echo)
    assert "box dimension" in alarms(findings)


def test_a_duplicate_is_an_alarm() -> None:
    diagnostics = Diagnostics()
    diagnostics.add(1, bytes(32), TARGET, PER_SHARE, duplicate=True)
    assert {f.test for f in diagnostics.close() if f.alarm} == {"duplicates"}


def test_memory_does_not_grow() -> None:
    diagnostics, finder, rng = Diagnostics(), DuplicateFinder(1 << 10), np.random.default_rng(1)

    def shares(count: int) -> None:
        for _ in range(count):
            hash_le = rng.bytes(32)
            finder.seen(hash_le, 1)
            diagnostics.add(5, hash_le, TARGET, 1.0)

    shares(2000)
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    shares(20_000)
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert after - before < 100_000


def test_the_allowance_is_divided() -> None:
    assert DEFAULT_ALARM_RATE == 1e-4
    strict, loose = Diagnostics(alarm_rate=1e-12), Diagnostics(alarm_rate=0.5)
    assert strict._allowed == pytest.approx(1e-12 / 8)
    for diagnostics in (strict, loose):
        rng = np.random.default_rng(8)
        for i in range(20):
            diagnostics.add(int(rng.integers(1 << 32)) & ~1, rng.bytes(32), TARGET, i * PER_SHARE)
    assert "bits" not in {f.test for f in strict.close() if f.alarm}
    assert "bits" in {f.test for f in loose.close() if f.alarm}


def test_box_dimension_is_what_simulation_says() -> None:
    rng = np.random.default_rng(1)
    drawn = [uniformity.box_dimension(rng.integers(0, 1 << 16, uniformity.BLOCK).tolist()) for _ in range(2000)]
    assert np.mean(drawn) == pytest.approx(uniformity.EXPECTED_DIMENSION, abs=0.0004)
    assert np.std(drawn) == pytest.approx(uniformity.DIMENSION_SD, rel=0.08)


def test_box_dimension_of_a_line_and_a_point() -> None:
    assert uniformity.box_dimension([7] * uniformity.BLOCK) == pytest.approx(0.0)
    diagonal = np.linspace(0, 65535, uniformity.BLOCK).astype(int).tolist()
    assert uniformity.box_dimension(diagonal) == pytest.approx(1.0, abs=0.15)


def test_duplicates_are_found_and_strangers_are_not() -> None:
    finder, rng = DuplicateFinder(), np.random.default_rng(1)
    shares = [rng.bytes(32) for _ in range(20_000)]
    assert not any(finder.seen(share, i % 3) is not None for i, share in enumerate(shares))
    again = [finder.seen(share, 9) for share in shares[-5000:]]
    found = [worker for worker in again if worker is not None]
    assert len(found) > 4500, "few are forgotten while the table is not full"
    expected = [i % 3 for i in range(15_000, 20_000)]
    assert all(worker in (None, owner) for worker, owner in zip(again, expected, strict=True))


def test_a_share_of_zeros_is_no_duplicate_of_an_empty_slot() -> None:
    finder = DuplicateFinder(2)
    assert finder.seen(bytes(32), 0) is None
    assert finder.seen(bytes(32), 1) == 0
    assert finder.seen(bytes(32), 2) == 1


@pytest.mark.parametrize("slots", [0, -4, 3])
def test_slots_are_a_power_of_two(slots: int) -> None:
    with pytest.raises(ValueError, match="power of two"):
        DuplicateFinder(slots)
