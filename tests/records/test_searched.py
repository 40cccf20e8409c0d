"""What a report says of the search: plans, shares that lie elsewhere, and the tests of the hashes, in every form."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from solominer.insight.uniformity import TESTS
from solominer.records.report.hour import HourFold
from solominer.records.report.period import render
from solominer.records.report.searched import LISTED_WORKERS, MAX_PLANS, search_fragment, search_lines
from tests.records.builders import HOUR, Bench

PLAN = "ab" * 32


def entry(workers: int = 2, *, odd: str = "", **more: Any) -> dict[str, Any]:
    """A `diagnostics` entry; the last worker fails the test `odd`."""
    told = []
    for number in range(workers):
        tests: dict[str, list[Any]] = {test: [1000, 1.0, 0.4 + 0.001 * number, False] for test in TESTS}
        if odd and number == workers - 1:
            tests[odd] = [1000, 9.0, 1e-12, True]
        told.append({"worker": f"cpu/{number}", "hashes": 10**12, "tests": tests})
    fields = {"plan": PLAN, "claims": 2000, "off_plan": 0, "miscounts": 0, "window_secs": 3600.0, "workers": told}
    return {"seq": 1, "at": HOUR, "up": 1.0, "kind": "diagnostics", **fields, **more}


def test_windows_of_an_hour_are_put_together() -> None:
    fold = HourFold()
    fold.add({"seq": 0, "at": HOUR, "up": 0.0, "kind": "open", "plan": {"hash": PLAN}})
    fold.add(entry(odd="bits"))
    fold.add(entry(off_plan=3, miscounts=1))
    said = fold.searched.summary()
    assert fold.unparsed == 0
    assert (said["plans"], said["test_windows"], said["off_plan"], said["miscounts"]) == ([PLAN], 2, 3, 1)
    assert [worker["worker"] for worker in said["workers"]] == ["cpu/1", "cpu/0"], "the oddest first"
    assert said["workers"][0]["alarms"] == ["bits"]
    assert said["workers"][0]["shares"] == 2000
    assert said["min_p_value"] == 16 * 1e-12
    assert said["alarms"] == 1


def test_memory_is_bounded_and_odd_entries_do_no_harm() -> None:
    fold = HourFold()
    for number in range(20):
        fold.add({**entry(300), "plan": f"{number:064x}"})
    said = fold.searched.summary()
    assert len(said["plans"]) == MAX_PLANS
    assert len(said["workers"]) == LISTED_WORKERS
    fold.add({**entry(), "workers": [{"worker": "cpu/0"}]})
    fold.add({"seq": 2, "at": HOUR, "up": 1.0, "kind": "open", "plan": 5})
    assert fold.unparsed == 2


def test_the_text_says_what_is_odd() -> None:
    fold = HourFold()
    fold.add(entry())
    assert search_lines(fold.searched.summary()) == [
        f"plan       {PLAN[:16]}: all shares match the plan",
        "tests      of the shares' hashes: all pass (smallest p-value 1, corrected)",
    ]
    fold.add(entry(odd="share rate", off_plan=2))
    plan, tests = search_lines(fold.searched.summary())
    assert "NOT FOLLOWED: 2 shares off the plan, 0 jobs" in plan
    assert "FAILED: cpu/1 fails share rate" in tests
    assert search_lines(HourFold().searched.summary()) == ["plan       unknown: all shares match the plan"]


def test_the_page_shows_every_p_value() -> None:
    fold = HourFold()
    fold.add(entry(3, odd="duplicates"))
    html = search_fragment(fold.searched.summary())
    table = ElementTree.fromstring(html[html.index("<table") :].replace("<br>", "<br/>"))
    assert len(table.findall("tr")) == 4
    assert len(list(table.iter("circle"))) == 3 * len(TESTS)
    assert [circle.get("class") for circle in table.iter("circle")].count("b") == 1
    assert html.count("ALARM") == 1
    assert search_fragment(HourFold().searched.summary()) == ""


def test_a_sealed_hour_shows_it_in_every_form(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "data")
    recorder = bench.recorder()
    recorder.open(HOUR + 1, {"plan": {"hash": PLAN}})
    told = {key: value for key, value in entry(odd="gaps").items() if key not in ("seq", "at", "up", "kind")}
    recorder.record(HOUR + 2, "diagnostics", told)
    recorder.close(HOUR + 3)
    text = render(recorder.tree, "regtest", "latest")
    assert "FAILED: cpu/1 fails gaps" in text
    document = json.loads(render(recorder.tree, "regtest", "latest", "json"))
    assert document["search"]["plans"] == [PLAN]
    assert "ALARM" in render(recorder.tree, "regtest", "latest", "html")
    day = json.loads(render(recorder.tree, "regtest", "all", "json"))
    assert day["points"][0]["min_p_value"] == 16 * 1e-12
    assert "Are the hashes uniform?" in render(recorder.tree, "regtest", "all", "html")
