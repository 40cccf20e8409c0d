"""A wrong clock deletes no records: what nodes and records say of it, and retention on a tree with misdated hours."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from solominer.records.clock import Belief, ClockCheck, records_problem
from solominer.records.evidence.verify import verify
from solominer.records.ledger.retention import Retention
from solominer.records.settings import DAY_SECS, RecorderSettings
from solominer.records.tree import Part
from solominer.work.events import NodeHealth
from tests.records.builders import HOUR, Bench, mine

YEARS = 5 * 365 * DAY_SECS
WELL = NodeHealth("node0", reachable=True, height=9, headers=9, tip_time=HOUR - 600, clock_offset_secs=0.0)
KEEP_400 = RecorderSettings(quota_bytes=1 << 40, free_bytes=0)


def check(health: NodeHealth, network: str = "mainnet", at: float = HOUR) -> ClockCheck:
    """After one look."""
    clock = ClockCheck(network)
    clock.look(at, 10.0, health)
    return clock


@pytest.mark.parametrize(
    ("health", "network", "belief"),
    [
        (WELL, "mainnet", Belief.CONFIRMED),
        (replace(WELL, clock_offset_secs=None), "mainnet", Belief.CONFIRMED),
        (replace(WELL, clock_offset_secs=-YEARS), "mainnet", Belief.CONTRADICTED),
        (replace(WELL, clock_offset_secs=3 * 3600.0), "mainnet", Belief.CONTRADICTED),
        (replace(WELL, tip_time=HOUR - YEARS), "mainnet", Belief.CONTRADICTED),
        (replace(WELL, tip_time=HOUR + 3 * 3600), "mainnet", Belief.CONTRADICTED),
        (replace(WELL, tip_time=HOUR - YEARS, initial_download=True), "mainnet", Belief.UNCONFIRMED),
        (replace(WELL, tip_time=HOUR - YEARS, headers=900), "mainnet", Belief.UNCONFIRMED),
        (replace(WELL, tip_time=0, clock_offset_secs=None), "mainnet", Belief.UNCONFIRMED),
        (replace(WELL, reachable=False), "mainnet", Belief.UNCONFIRMED),
        (WELL, "regtest", Belief.CONFIRMED),
        (replace(WELL, tip_time=HOUR - YEARS), "regtest", Belief.UNCONFIRMED),
        (replace(WELL, clock_offset_secs=None), "regtest", Belief.UNCONFIRMED),
        (replace(WELL, clock_offset_secs=-YEARS), "regtest", Belief.CONTRADICTED),
    ],
)
def test_what_one_look_says(health: NodeHealth, network: str, belief: Belief) -> None:
    assert check(health, network).belief(HOUR, 10.0) is belief


def test_a_step_after_the_look_is_noticed_by_the_monotonic_clock() -> None:
    clock = check(WELL)
    assert clock.belief(HOUR + 1000, 1010.0) is Belief.CONFIRMED
    assert clock.belief(HOUR + YEARS, 1010.0) is Belief.CONTRADICTED
    assert clock.belief(HOUR - YEARS, 1010.0) is Belief.CONTRADICTED


def test_a_node_that_is_gone_for_an_hour_confirms_nothing() -> None:
    assert check(WELL).belief(HOUR + 3700, 3710.0 + 10) is Belief.UNCONFIRMED


def test_a_tip_that_regtest_made_in_this_run_confirms_nothing() -> None:
    """Node and miner on one machine with a wrong clock: the first block of the run agrees with it."""
    clock = check(replace(WELL, tip_time=HOUR - YEARS), "regtest")
    clock.look(HOUR + 60, 70.0, replace(WELL, tip_time=HOUR + 59))
    assert clock.belief(HOUR + 60, 70.0) is Belief.UNCONFIRMED


def test_one_node_of_two_is_enough_to_contradict() -> None:
    clock = check(WELL)
    clock.look(HOUR, 10.0, replace(WELL, node="node1", clock_offset_secs=-YEARS))
    assert clock.belief(HOUR, 10.0) is Belief.CONTRADICTED
    assert "node1" in clock.problem(HOUR, 10.0)
    assert "-1825 days" in clock.problem(HOUR, 10.0)


def test_what_the_records_say() -> None:
    assert records_problem(HOUR, HOUR + 30 * DAY_SECS) == ""
    assert "-40 days" in records_problem(HOUR, HOUR + 40 * DAY_SECS)
    assert "+1825 days" in records_problem(HOUR + YEARS, HOUR)
    assert all(records_problem(odd, HOUR) == "" for odd in (None, "x", [1], {"a": 1}))


def run(bench: Bench, at: float, health: NodeHealth | None = None) -> None:
    """A short run at the time `at` by the machine's clock."""
    recorder = bench.recorder()
    recorder.open(at)
    if health is not None:
        recorder.health(at + 1, health)
    mine(bench, recorder, at + 1, shares=3)
    recorder.close(at + 60)


def ledgers(bench: Bench) -> set[str]:
    """The hours whose ledger is there."""
    return {part.path for part in bench.recorder().tree.parts("ledger")}


@pytest.mark.parametrize(
    "health",
    [None, replace(WELL, clock_offset_secs=-YEARS), replace(WELL, tip_time=HOUR - 600)],
    ids=["no node", "node right", "node equally wrong"],
)
def test_one_start_years_ahead_deletes_nothing_and_is_told(tmp_path: Path, health: NodeHealth | None) -> None:
    bench = Bench(tmp_path / "data", KEEP_400)
    run(bench, HOUR)
    run(bench, HOUR + YEARS, health)
    run(bench, HOUR + YEARS + 7200, health)
    run(bench, HOUR + 7200)
    assert Part.at(HOUR).path in ledgers(bench)
    assert len(ledgers(bench)) == 4
    assert any(code == "clock" and "1825 days" in message for _, code, message, _ in bench.alarms)
    result = verify(bench.root)
    assert result.holds, list(result.lines())


def test_a_machine_that_was_off_for_years_deletes_once_node_and_tip_confirm(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "data", KEEP_400)
    run(bench, HOUR)
    run(bench, HOUR + YEARS)
    assert len(ledgers(bench)) == 2
    run(bench, HOUR + YEARS + 3600, replace(WELL, tip_time=HOUR + YEARS))
    assert Part.at(HOUR).path not in ledgers(bench)
    assert verify(bench.root).holds


def test_the_warning_comes_once_and_ends(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "data")
    recorder = bench.recorder()
    recorder.open(HOUR)
    wrong = replace(WELL, clock_offset_secs=-7201.0)
    for second, health in enumerate([wrong, wrong, wrong, WELL, WELL]):
        bench.up += 1
        recorder.health(HOUR + second, health)
    assert recorder.flush(30)
    assert [(severity, code) for severity, code, _, _ in bench.alarms] == [("medium", "clock"), ("info", "clock")]
    recorder.close(HOUR + 9)


@pytest.mark.parametrize("wrong", [HOUR + YEARS, HOUR - 20 * YEARS // 5 * 3], ids=["ahead", "before Bitcoin"])
def test_misdated_hours_age_and_go_in_the_order_in_which_they_were_written(tmp_path: Path, wrong: int) -> None:
    bench = Bench(tmp_path / "data", RecorderSettings(keep_days=1e9))
    for at in (HOUR, HOUR + 3600, wrong, HOUR + 7200):
        run(bench, at)
    tree = bench.recorder().tree
    written = [Part.at(at).path for at in (HOUR, HOUR + 3600, wrong, HOUR + 7200)]
    for_space = Retention(tree, RecorderSettings(quota_bytes=1, free_bytes=0, keep_days=1e9))
    assert [item["part"] for item in for_space.plan(Part.at(HOUR + DAY_SECS), HOUR + 9000, set())] == written
    by_age = Retention(tree, RecorderSettings(quota_bytes=1 << 40, free_bytes=0, keep_days=1.0))
    assert by_age.plan(Part.at(HOUR + DAY_SECS), HOUR + 9000, set(), Belief.CONFIRMED) == []
    late = by_age.plan(Part.at(HOUR + DAY_SECS), HOUR + 9000 + DAY_SECS, set(), Belief.CONFIRMED)
    assert [item["part"] for item in late] == written
