"""Trees written by an older version: verifiers, reports and the next start read them; an unknown version is refused by
name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from solominer.errors import RecordsError
from solominer.records.evidence import report_chain, seal
from solominer.records.evidence.state import current_report
from solominer.records.evidence.verify import verify
from solominer.records.report.period import hour_report, period_report, render
from solominer.records.report.report import build_report
from solominer.records.report.text import report_text
from solominer.records.settings import DAY_SECS
from solominer.records.tree import Tree
from tests.records.builders import HOUR, Bench, mine
from tests.records.standalone import standalone


def as_version_1(report: dict[str, Any]) -> dict[str, Any]:
    """A report as solominer-report/1 had it."""
    report["schema"] = "solominer-report/1"
    report["shares"]["all_told"] = report["shares"].pop("complete")
    report["ledger"]["odd_lines"] = report["ledger"].pop("unparsed_lines")
    report["search"]["least_p"] = report["search"].pop("min_p_value")
    for node in report["nodes"]:
        node["looks"], node["unusable_looks"] = node.pop("samples"), node.pop("unusable_samples")
    return report


def an_hour(bench: Bench, at: float) -> None:
    recorder = bench.recorder()
    recorder.open(at)
    mine(bench, recorder, at + 1)
    recorder.close(at + 100)


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """Two hours of the older version, on two days, so that a day is rolled up too."""
    bench = Bench(tmp_path / "data")
    with monkeypatch.context() as patch:
        patch.setattr(report_chain, "build_report", lambda *args, **kwargs: as_version_1(build_report(*args, **kwargs)))
        patch.setattr(seal, "report_text", lambda report: report_text(current_report(report)))
        an_hour(bench, HOUR)
        an_hour(bench, HOUR + DAY_SECS)
    day = bench.root / "reports/2026/11/21/day.json"
    assert json.loads(day.read_text())["schema"] == "solominer-rollup/2"
    written = json.loads((bench.root / "reports/2026/11/21/07/report.json").read_text())
    assert written["schema"] == "solominer-report/1"
    assert "all_told" in written["shares"]
    return bench


def test_it_still_verifies_and_the_next_start_goes_on_with_it(bench: Bench) -> None:
    assert verify(bench.root).holds
    an_hour(bench, HOUR + 2 * DAY_SECS)
    assert not [code for severity, code, *_ in bench.alarms if severity in ("critical", "high")]
    result = verify(bench.root)
    assert result.holds, list(result.lines())
    assert standalone(bench.root).holds
    newest = json.loads((bench.root / "reports/2026/11/23/07/report.json").read_text())
    assert newest["schema"] == "solominer-report/2"
    assert newest["totals"]["reports"] == 3
    assert newest["totals"]["shares"] == 60


def test_its_reports_read_as_the_current_version(bench: Bench) -> None:
    tree = Tree(bench.root)
    report = hour_report(tree, "2026/11/21/07")
    assert report is not None
    assert report["schema"] == "solominer-report/2"
    assert report["shares"]["complete"] is False
    assert report["ledger"]["unparsed_lines"] == 0
    for form in ("text", "json", "html"):
        assert render(tree, "regtest", "2026/11/21/07", form)
        assert render(tree, "regtest", "all", form)
    day = bench.root / "reports/2026/11/21/day.json"
    document = json.loads(day.read_text())
    before = {**document, "schema": "solominer-rollup/1"}
    before["points"] = [{**point, "least_p": point.pop("min_p_value")} for point in document["points"]]
    day.write_text(json.dumps(before))
    assert period_report(tree, "regtest", "2026/11/21")["points"][0]["min_p_value"] is None


def test_an_unknown_version_is_refused_by_its_name(bench: Bench) -> None:
    file = bench.root / "reports/2026/11/21/07/report.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "schema": "solominer-report/9"}))
    with pytest.raises(RecordsError, match="solominer-report/9"):
        render(Tree(bench.root), "regtest", "2026/11/21/07")
    reasons = " ".join(reason for _, reason in verify(bench.root).wrong)
    assert "schema 'solominer-report/9', this version reads solominer-report/1 and solominer-report/2" in reasons
