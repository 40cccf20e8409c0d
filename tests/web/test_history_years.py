"""Charts of many hours: thinned, from the roll-ups of days, and read once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from solominer.records.evidence.state import read_report
from solominer.records.tree import HOUR_SECS
from solominer.web.hours import Hours
from tests.web.serving import serving, setup_of
from tests.web.year import write_hours

HOURS = 24 * 40


def test_a_year_is_thinned_and_keeps_what_matters(tmp_path: Path, always_fresh: None) -> None:
    tree = write_hours(tmp_path, HOURS)
    with serving(setup_of(tree.root)) as served:
        year, month = served.get("history", span="1y"), served.get("history", span="30d")
        assert year["step_secs"] == 11 * HOUR_SECS
        assert HOURS / 11 <= len(year["points"]) <= HOURS / 11 + 2
        assert len(month["points"]) <= 720
        reports = [read_report(tree, part) for part in tree.parts("reports")]
        assert sum(point["shares"] or 0 for point in year["points"]) == sum(r["shares"]["found"] for r in reports if r)
        for point in year["points"]:
            if point["rate_hps"] is not None:
                assert point["rate_low_hps"] <= point["rate_hps"] <= point["rate_high_hps"]
        best = max(r["best"]["hour"]["difficulty"] for r in reports if r)
        assert max(point["best_difficulty"] or 0 for point in year["points"]) == best
        newest = month["points"][-2]
        assert newest["rate_high_hps"] == pytest.approx(1.02 * newest["rate_hps"])


def test_a_day_is_read_once_and_one_that_does_not_fit_its_hours_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = write_hours(tmp_path, 72)
    parts, days = tree.parts("reports"), sorted(tree.root.glob("reports/*/*/*/day.json"))
    hours = Hours(tree)
    points = hours.points(parts)
    assert [point.part for point in points] == parts
    changed = json.loads(days[0].read_text())
    changed["points"][0]["shares"] = 12345
    days[0].write_text(json.dumps(changed))
    assert hours.points(parts) == points
    assert [point.shares for point in Hours(tree).points(parts)].count(12345) == 1
    changed["points"].pop()
    days[0].write_text(json.dumps(changed))
    assert [point.part for point in Hours(tree).points(parts)] == parts
    monkeypatch.setattr("solominer.web.hours.MOST_DAYS", 1)
    monkeypatch.setattr("solominer.web.hours.MOST_HOURS", 5)
    bounded = Hours(tree)
    assert len(bounded.points(parts)) == 72
    assert len(bounded._days) <= 1
    assert len(bounded._hours) <= 5
