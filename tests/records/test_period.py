"""Reports of any period add up to their hours, come from kept days where those are good, and render in three forms."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from solominer.errors import RecordsError
from solominer.records.report.page import plot
from solominer.records.report.period import hour_report, period_report, render
from solominer.records.settings import DAY_SECS
from solominer.records.tree import Tree
from tests.records.builders import HOUR, Bench, mine


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Tree:
    """Hours on 2026-11-21 (two), 2026-11-22, 2026-12-01 and 2027-01-01."""
    bench = Bench(tmp_path_factory.mktemp("period") / "data")
    for at in (HOUR, HOUR + 3600, HOUR + DAY_SECS, HOUR + 10 * DAY_SECS, HOUR + 41 * DAY_SECS):
        recorder = bench.recorder()
        recorder.open(at)
        mine(bench, recorder, at + 1)
        recorder.close(at + 100)
    return bench.recorder().tree


@pytest.mark.parametrize(
    ("period", "hours"),
    [
        ("2026/11/21", 2),
        ("2026-11-21", 2),
        ("2026-W47", 3),
        ("2026/11", 3),
        ("2026-12", 1),
        ("2026", 4),
        ("2026-W53", 1),
        ("all", 5),
    ],
)
def test_periods_add_up(tree: Tree, period: str, hours: int) -> None:
    document = period_report(tree, "regtest", period)
    assert len(document["parts"]) == len(document["points"]) == hours
    assert document["sums"]["shares"] == 20 * hours
    assert document["sums"]["hashes"] == 40 * hours
    assert document["sums"]["blocks_found"] == hours
    assert document["sums"]["errors_low"] == 2 * hours


def test_a_finished_day_is_kept_and_used(tree: Tree) -> None:
    kept = tree.root / "reports/2026/11/21/day.json"
    assert json.loads(kept.read_text()) == period_report(tree, "regtest", "2026/11/21")
    data = kept.read_text()
    try:
        kept.write_text(data.replace('"shares": 40', '"shares": 41', 1))
        assert period_report(tree, "regtest", "2026/11/21")["sums"]["shares"] == 41
        document = json.loads(data)
        document["parts"].popitem()
        kept.write_text(json.dumps(document))  # not of the hours that are there: not used
        assert period_report(tree, "regtest", "2026/11/21")["sums"]["shares"] == 40
        kept.write_text("{")
        assert period_report(tree, "regtest", "2026/11/21")["sums"]["shares"] == 40
    finally:
        kept.write_text(data)


def test_one_hour_and_the_latest(tree: Tree) -> None:
    report = hour_report(tree, "2026/11/21/08")
    assert report is not None
    assert report["sequence"] == 2
    latest = hour_report(tree, "latest")
    assert latest is not None
    assert latest["part"] == "2027/01/01/07"
    assert hour_report(tree, "2026/11/21") is None


def test_an_hour_that_was_opened_again_names_its_next_report(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "data")
    for at in (HOUR, HOUR + 200, HOUR + 400):
        recorder = bench.recorder()
        recorder.open(at)
        recorder.close(at + 100)
    tree = bench.recorder().tree
    assert "goes on    in 2026-11-21-07.2: the hour was opened again" in render(tree, "regtest", "2026-11-21-07")
    assert "goes on    in 2026-11-21-07.3:" in render(tree, "regtest", "2026-11-21-07.2")
    assert "goes on" not in render(tree, "regtest", "latest")
    assert "· 3 reports ===" in render(tree, "regtest", "2026")


def test_three_forms(tree: Tree) -> None:
    assert "blocks     4 found" in render(tree, "regtest", "2026")
    assert json.loads(render(tree, "regtest", "2026", "json"))["period"] == "2026"
    assert json.loads(render(tree, "regtest", "latest", "json"))["schema"] == "solominer-report/2"
    assert render(tree, "regtest", "latest").startswith("=== regtest 2027/01/01/07 UTC")
    for period in ("2026", "latest"):
        html = render(tree, "regtest", period, "html")
        assert html.count("<svg") == 4
        for piece in html.split("<svg")[1:]:
            ElementTree.fromstring("<svg" + piece.partition("</svg>")[0] + "</svg>")
        assert "http" not in html


@pytest.mark.parametrize("period", ["2025", "2026/11/23", "2026/11/21/09", "yesterday", "2026-W99", "2026/1"])
def test_periods_that_are_none(tree: Tree, period: str) -> None:
    with pytest.raises(RecordsError):
        render(tree, "regtest", period)


def test_nothing_yet(tmp_path: Path) -> None:
    with pytest.raises(RecordsError, match="no report yet"):
        render(Tree(tmp_path), "regtest", "latest")
    with pytest.raises(RecordsError, match="no report of all"):
        render(Tree(tmp_path), "regtest", "all")


def test_plots_break_at_gaps_and_thousands_of_points_are_thinned(tree: Tree) -> None:
    svg = plot(["a"] * 5, [[1.0, 2.0, None, 3.0, 4.0]], str)
    assert svg.count("<polyline") == 2
    assert plot(["a"], [[None]], str) == "<p>no data</p>"
    assert plot(["a", "b"], [[1.0, 1000.0]], str, log=True).count("<polyline") == 1


def test_text_is_escaped() -> None:
    assert "<b>" not in plot(["<b>", "c"], [[1.0, 2.0]], lambda value: f"<b>{value}")


@pytest.mark.parametrize(
    ("period", "what"),
    [
        ("2026-13", "there is no month 2026-13"),
        ("2026-00", "there is no month 2026-00"),
        ("2026-11-31", "there is no day 2026-11-31"),
        ("0000", "there is no year 0000"),
        ("2026-W54", "there is no week 2026-W54"),
    ],
)
def test_a_period_that_no_calendar_has(tmp_path: Path, period: str, what: str) -> None:
    with pytest.raises(RecordsError, match=what) as raised:
        render(Tree(tmp_path), "regtest", period)
    assert raised.value.what == what
    assert raised.value.todo.startswith("use 2026, 2026-11")


def test_a_period_without_reports_is_answered_by_those_there_are(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    recorder = bench.recorder()
    recorder.open(HOUR)
    recorder.close(HOUR + 60)
    for period in ("1999", "1999-01-01-00"):
        with pytest.raises(RecordsError, match="there are reports from 2026/11/21/07 to 2026/11/21/07"):
            render(recorder.tree, "regtest", period)
