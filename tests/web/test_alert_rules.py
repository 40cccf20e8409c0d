"""Which alerts follow from ledger lines and states: pure."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from solominer.config.alerts import AlertsConfig
from solominer.views.snapshot import AlarmView, NodeView, Snapshot, WorkerView, encode
from solominer.web.alerts.conditions import RECOVERY_SECS, Conditions
from solominer.web.alerts.rules import (
    DAEMON_SECS,
    MINING_SECS,
    NODE_SECS,
    RATE_LEARNING_SECS,
    RATE_SECS,
    REPEAT_SECS,
    LedgerRules,
    StatusRules,
)
from solominer.web.alerts.state import Alert
from solominer.work.instant import Instant
from tests.web.states import snapshot

T0 = Instant(1_700_000_100.0, 1000.0)


class Watched:
    """Rules that look at a state for a while."""

    def __init__(self, **config: Any) -> None:
        self.rules = StatusRules(AlertsConfig(**config), Conditions({}, T0), T0, alarms_until=T0.wall, alarms_sent={})
        self.at = T0

    def look(self, state: Snapshot | None, secs: float, *, running: bool = True) -> list[Alert]:
        """Every second for `secs`."""
        found: list[Alert] = []
        for _ in range(round(secs) + 1):
            status = None if state is None else orjson.loads(encode(replace(state, at=self.at.wall)))
            found += self.rules.alerts(status, self.at, running=running)
            self.at += 1
        return found


def titles(alerts: list[Alert]) -> list[str]:
    return [alert.title for alert in alerts]


def test_a_daemon_that_is_gone_is_reported_once_and_so_is_its_return() -> None:
    watched = Watched()
    assert watched.look(snapshot(), 100) == []
    assert watched.look(snapshot(), DAEMON_SECS - 2, running=False) == []
    assert titles(watched.look(snapshot(), 3600, running=False)) == ["solominer is not running"]
    assert titles(watched.look(snapshot(), 3600)) == ["solominer is running again"]


def test_a_short_break_is_not_reported() -> None:
    watched = Watched()
    for _ in range(20):
        assert watched.look(snapshot(), DAEMON_SECS / 2, running=False) == []
        assert watched.look(snapshot(), 5) == []


def test_mining_that_stops_and_a_pause_that_was_wanted() -> None:
    watched = Watched()
    waiting = replace(snapshot(), status="waiting for a node")
    found = watched.look(waiting, MINING_SECS + 5)
    assert titles(found) == ["Mining has stopped"]
    assert "waiting for a node" in found[0].text
    assert titles(watched.look(snapshot(), RECOVERY_SECS + 5)) == ["Mining again"]
    assert watched.look(replace(snapshot(), status="paused: by hand"), 3600) == []


def test_each_node_is_reported_by_its_name() -> None:
    watched = Watched()
    good, bad = snapshot().nodes[0], NodeView("spare", False, False, 1, None, "off", 0.0, "connection refused")
    found = watched.look(replace(snapshot(), nodes=(good, bad)), NODE_SECS + 5)
    assert titles(found) == ["Node spare cannot be used"]
    assert found[0].text.startswith("connection refused.")
    again = watched.look(replace(snapshot(), nodes=(good, replace(bad, usable=True))), RECOVERY_SECS + 5)
    assert titles(again) == ["Node spare can be used again"]


def test_a_rate_that_falls_is_compared_with_the_usual_one() -> None:
    watched = Watched()
    assert watched.look(snapshot(), RATE_LEARNING_SECS + 100) == []
    low = replace(snapshot(), rate_hps=0.4 * snapshot().rate_hps)
    assert watched.look(low, RATE_SECS - 5) == []
    (alert,) = watched.look(low, 6 * 3600)
    assert (alert.kind, alert.title) == ("rate", "Hash rate is low: 6.00 MH/s")
    assert "15.00 MH/s" in alert.text
    assert titles(watched.look(snapshot(), RECOVERY_SECS + 5)) == ["Hash rate is back to 15.00 MH/s"]
    off = Watched(rate_low_share=0)
    assert off.look(snapshot(), RATE_LEARNING_SECS + 100) + off.look(low, 3600) == []


def test_a_wanted_lower_rate_is_no_alert() -> None:
    """Neither the rate nor the workers that may not hash: the policies' intensity, or cores reserved for others."""
    watched = Watched(offline_secs=60)
    (first,) = snapshot().workers
    second = replace(first, worker="cpu/1")
    assert watched.look(replace(snapshot(), workers=(first, second)), RATE_LEARNING_SECS + 100) == []
    second = replace(second, rate_hps=0.0, state="paused")
    assert watched.look(replace(snapshot(), rate_hps=4e6, workers=(first, second)), 6 * 3600) == []
    (alert,) = watched.look(replace(snapshot(), rate_hps=1e6, workers=(first, second)), 3600)
    assert alert.kind == "rate"
    half = replace(snapshot(), rate_hps=7e6, intensity=0.5)
    assert "rate" not in {each.kind for each in watched.look(half, 6 * 3600) if not each.recovered}


def test_a_miner_that_is_gone_is_named() -> None:
    watched = Watched(offline_secs=60)
    miner = WorkerView("stratum/rack1", 0, True, "bitaxe", 1e12, 0, 1e15, 9, connections=1)
    both = replace(snapshot(), workers=(*snapshot().workers, miner))
    watched.look(both, 10)
    (alert,) = watched.look(replace(both, workers=(*snapshot().workers, replace(miner, alive=False))), 3600)
    assert (alert.kind, alert.key, alert.title) == ("device", "stratum/rack1", "stratum/rack1 is not hashing")
    assert titles(watched.look(both, RECOVERY_SECS + 5)) == ["stratum/rack1 is hashing again"]


def test_a_node_of_a_cluster_that_was_told_to_end_is_not_missed() -> None:
    watched = Watched(offline_secs=60, rate_low_share=0)
    worker = WorkerView("cluster/rack1.cpu0", 0, True, "avx2", 1e6, 10**9, 0, 1)
    watched.look(replace(snapshot(), workers=(*snapshot().workers, worker)), 10)
    left = replace(worker, alive=False, rate_hps=0.0, state="left", gone_at=1.0)
    assert watched.look(replace(snapshot(), workers=(*snapshot().workers, left)), 3600) == []
    assert watched.look(snapshot(), 3600) == []


def test_what_was_reported_is_not_reported_again_after_a_restart() -> None:
    watched = Watched(offline_secs=60)
    watched.look(snapshot(), 10)
    gone = replace(snapshot(), workers=())
    assert titles(watched.look(gone, 100)) == ["cpu/0 is not hashing"]
    raised = watched.rules.conditions.raised
    again = Watched(offline_secs=60)
    again.rules = StatusRules(again.rules._config, Conditions(raised, T0), T0, alarms_until=T0.wall, alarms_sent={})
    assert again.look(gone, 1000) == []
    assert titles(again.look(snapshot(), RECOVERY_SECS + 5)) == ["cpu/0 is hashing again"]


def test_serious_alarms_are_sent_once_an_hour_and_with_their_recovery() -> None:
    watched = Watched()
    failing = AlarmView(T0.wall + 5, "critical", "records-failing", "the disk is full", "make room")
    low = AlarmView(T0.wall + 6, "low", "worker-died", "a worker died", "")
    (alert,) = watched.look(replace(snapshot(), alarms=(failing, low)), 100)
    assert (alert.kind, alert.title, alert.text, alert.priority) == ("records", "the disk is full", "make room", 5)
    more = replace(failing, at=T0.wall + 90)
    assert watched.look(replace(snapshot(), alarms=(failing, low, more)), 100) == []
    later = replace(failing, at=T0.wall + 5 + REPEAT_SECS)
    watched.at = Instant(later.at + 1, watched.at.mono)
    assert titles(watched.look(replace(snapshot(), alarms=(later,)), 5)) == ["the disk is full"]
    better = AlarmView(later.at + 2, "info", "records-recovered", "recording resumed", "")
    (end,) = watched.look(replace(snapshot(), alarms=(later, better)), 5)
    assert (end.title, end.recovered) == ("recording resumed", True)
    assert watched.look(replace(snapshot(), alarms=(later, better)), 100) == []


def test_alarms_of_before_the_first_start_are_not_sent() -> None:
    old = AlarmView(T0.wall - 1, "critical", "no-node", "no node", "")
    assert Watched().look(replace(snapshot(), alarms=(old,)), 100) == []


def test_alarms_are_sent_after_the_clock_was_set_back() -> None:
    watched = Watched()
    watched.look(replace(snapshot(), alarms=(AlarmView(T0.wall + 1, "high", "no-node", "no node", ""),)), 5)
    watched.at = Instant(T0.wall - 7200, watched.at.mono)
    watched.look(snapshot(), 1)
    alarm = AlarmView(watched.at.wall + 1, "high", "job-refused", "a job was refused", "")
    assert [alert.kind for alert in watched.look(replace(snapshot(), alarms=(alarm,)), 5)] == ["payout"]


@given(st.lists(st.booleans(), max_size=300), st.floats(1, 20))
def test_reports_of_a_condition_alternate(states: list[bool], after_secs: float) -> None:
    """However it flickers: first bad, then good, never the same twice; and a clock that steps changes nothing."""
    conditions, reports = Conditions({}, T0), []
    for second, bad in enumerate(states):
        at = Instant(T0.wall - 1000 * second, T0.mono + second)
        report = conditions.see("x", at, bad=bad, after_secs=after_secs)
        if report is not None:
            reports.append(report)
            assert all(state is bad for state in states[max(0, second - int(after_secs) + 1) : second])
    assert reports == [index % 2 == 0 for index in range(len(reports))]


# --- lines of the ledger -------------------------------------------------------------------------------------------

SHARE = {"kind": "share", "at": 5.0, "worker": "cpu/0", "hash": "00000000" + "11" * 28}
BETTER = {**SHARE, "hash": "0000000000" + "11" * 27}


def rules(*, is_test_chain: bool = False) -> LedgerRules:
    return LedgerRules(is_test_chain=is_test_chain, best_difficulty=5.0, nbits="17023a04")


def test_the_life_of_a_block() -> None:
    found = {
        "kind": "block_found",
        "at": 1.0,
        "height": 7,
        "hash": "ab",
        "worker": "stratum/x",
        "reward_sats": 312500000,
    }
    (alert,) = rules().alerts(found)
    assert (alert.title, alert.priority, alert.kind) == ("Block 7 found", 5, "block")
    assert "3.12500000 BTC, by stratum/x" in alert.text
    states = {
        "accepted": ["Block 7 accepted"],
        "stale": ["Block 7 orphaned"],
        "rejected": ["Block 7 rejected"],
        "sent": [],
    }
    for state, wanted in states.items():
        line = {"kind": "block_state", "at": 2.0, "height": 7, "hash": "ab", "state": state}
        assert titles(list(rules().alerts(line))) == wanted


def test_a_better_share_than_ever() -> None:
    machine = rules()
    (alert,) = machine.alerts(SHARE)
    assert (alert.kind, alert.title) == ("best_share", "New best share: 15")
    assert "the best before had 5" in alert.text
    assert list(machine.alerts(SHARE)) == []
    assert titles(list(machine.alerts(BETTER))) == ["New best share: 3.840 k"]
    first = LedgerRules(is_test_chain=False, best_difficulty=0.0, nbits="")
    assert list(first.alerts(SHARE)) == []
    assert first.best_difficulty > 0


def test_retarget_and_test_chains() -> None:
    machine = rules()
    assert list(machine.alerts({"kind": "work", "at": 1.0, "nbits": "17023a04", "height": 1})) == []
    (alert,) = machine.alerts({"kind": "work", "at": 1.0, "nbits": "17022a04", "height": 2016})
    assert (alert.kind, alert.fields["height"]) == ("retarget", 2016)
    assert "(+2." in alert.title
    lines = [SHARE, BETTER, {"kind": "work", "at": 1.0, "nbits": "207fffff", "height": 1}]
    assert [alert for line in lines for alert in rules(is_test_chain=True).alerts(line)] == []


@given(
    st.fixed_dictionaries(
        {"kind": st.sampled_from(["block_found", "block_state", "share", "work", "x"]), "at": st.floats() | st.none()},
        optional={
            name: st.none() | st.integers() | st.text(max_size=8) | st.floats()
            for name in ("height", "hash", "state", "worker", "reward_sats", "nbits")
        },
    )
)
def test_malformed_lines_raise_nothing(line: dict[str, Any]) -> None:
    list(rules().alerts(line))
