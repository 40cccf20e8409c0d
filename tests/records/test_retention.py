"""Retention: old and large hours lose ledger, errors and logs, never reports, proofs or submissions, and say so."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from solominer.records.evidence.verify import verify
from solominer.records.ledger.retention import Retention
from solominer.records.settings import DAY_SECS, RecorderSettings
from solominer.records.tree import HOUR_SECS, Part
from tests.records.builders import HOUR, Bench, mine
from tests.records.standalone import standalone


def by_age(days: float) -> RecorderSettings:
    """Keep so many days, on a disk without end."""
    return RecorderSettings(keep_days=days, quota_bytes=1 << 40, free_bytes=0)


def run_days(bench: Bench, days: int) -> None:
    """One short run a day."""
    for day in range(days):
        recorder = bench.recorder()
        recorder.open(HOUR + day * DAY_SECS)
        mine(bench, recorder, HOUR + day * DAY_SECS + 1, shares=3)
        recorder.close(HOUR + day * DAY_SECS + 60)


def sections(bench: Bench, day: int) -> set[str]:
    """Which sections still have the hour of a day."""
    part = Part.at(HOUR + day * DAY_SECS)
    return {name for name in ("reports", "errors", "ledger", "submissions", "proofs", "logs")
            if (bench.root / name / part.path).is_dir()}  # fmt: skip


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        (by_age(2.5), "age"),
        (RecorderSettings(quota_bytes=12_000, free_bytes=0), "space"),
        (RecorderSettings(free_bytes=1 << 60), "space"),
    ],
    ids=["age", "quota", "free"],
)
def test_the_oldest_go_first_and_the_chain_still_verifies(tmp_path: Path, settings: RecorderSettings, why: str) -> None:
    bench = Bench(tmp_path / "data", settings)
    run_days(bench, 5)
    assert sections(bench, 0) == {"reports", "submissions", "proofs"}
    assert sections(bench, 4) == {"reports", "errors", "ledger", "submissions", "proofs", "logs"}
    newest = json.loads((bench.root / "reports" / "latest" / "report.json").read_text())
    assert {item["why"] for item in newest["retired"]} == {why}
    result, alone = verify(bench.root), standalone(bench.root)
    assert result.holds, list(result.lines())
    assert alone.holds, alone.output
    assert any("retention" in what for what in result.unchecked)
    assert verify(bench.root / "reports" / Part.at(HOUR).path).holds


def test_a_full_disk_leaves_the_hours_that_just_ended_to_be_verified(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "data", RecorderSettings(free_bytes=1 << 60))
    recorder = bench.recorder()
    recorder.open(HOUR)
    for hour in range(5):
        mine(bench, recorder, HOUR + hour * HOUR_SECS + 1, shares=3)
        recorder.tick(HOUR + (hour + 1) * HOUR_SECS + 1)
    assert recorder.flush(10)
    recorder.close(HOUR + 5 * HOUR_SECS + 2)
    kept = [part.start for part in recorder.tree.parts("ledger")]
    assert kept == [HOUR + hour * HOUR_SECS for hour in (3, 4, 5)]
    assert verify(bench.root, thorough=True).holds
    again = bench.recorder()
    again.open(HOUR + 5 * HOUR_SECS + 3)  # a crash-looping miner seals many parts an hour
    again.close(HOUR + 5 * HOUR_SECS + 4)
    assert {HOUR + 5 * HOUR_SECS, HOUR + 4 * HOUR_SECS} <= {part.start for part in again.tree.parts("ledger")}


def test_a_file_that_no_report_retired_is_missed(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "data", by_age(2.5))
    run_days(bench, 4)
    shutil.rmtree(bench.root / "ledger" / Part.at(HOUR + 2 * DAY_SECS).path)
    assert [path for path, _ in verify(bench.root).wrong] == ["ledger/2026/11/23/07/ledger.jsonl"]
    assert not standalone(bench.root).holds


def test_proofs_and_submissions_cannot_be_retired_even_if_a_report_says_so(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "data", by_age(0.5))
    run_days(bench, 2)
    shutil.rmtree(bench.root / "proofs" / Part.at(HOUR).path)
    assert not verify(bench.root).holds
    assert not standalone(bench.root).holds


def test_nothing_goes_by_default(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "data")
    run_days(bench, 2)
    assert (
        Retention(bench.recorder().tree, RecorderSettings(free_bytes=0)).plan(
            Part.at(HOUR + DAY_SECS), HOUR + DAY_SECS, set()
        )
        == []
    )


def test_a_delete_that_a_crash_kept_from_happening_is_planned_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(tmp_path / "data", by_age(2.5))
    never: Callable[..., None] = lambda tree, plan: None  # noqa: E731
    with monkeypatch.context() as patched:
        patched.setattr("solominer.records.ledger.retention.retire", never)
        run_days(bench, 4)
    assert "ledger" in sections(bench, 0)
    assert verify(bench.root).holds
    run_days(Bench(bench.data_dir, bench.settings), 1)
    recorder = bench.recorder()
    recorder.open(HOUR + 4 * DAY_SECS)
    recorder.close(HOUR + 4 * DAY_SECS + 1)
    assert sections(bench, 0) == {"reports", "submissions", "proofs"}
    assert verify(bench.root).holds
