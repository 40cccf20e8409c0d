"""The throttle: pauses begin at once, end when the reason has been gone for long enough, and sensors are read."""

from __future__ import annotations

import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from solominer.config.steering import ThrottleConfig
from solominer.governor import throttle
from solominer.governor.governor import Governor
from solominer.governor.throttle import BATTERY, BUSY, HOT, USER, SensorReadings, Sensors, ThrottleRules

ALL_ON = ThrottleConfig(
    max_temperature_c=80, max_other_load=1.0, pause_on_battery=True, pause_while_active_secs=60, resume_after_secs=30
)
CALM = SensorReadings(temperature_c=50, other_load=0.1, on_battery=False, idle_secs=1000)


@pytest.mark.parametrize(
    ("readings", "reason"),
    [
        (SensorReadings(temperature_c=80.5), HOT),
        (SensorReadings(other_load=1.1), BUSY),
        (SensorReadings(on_battery=True), BATTERY),
        (SensorReadings(idle_secs=3), USER),
    ],
)
def test_each_reason_pauses_at_once_and_leaves_when_it_was_calm(readings: SensorReadings, reason: str) -> None:
    rules = ThrottleRules(ALL_ON)
    assert rules.update(0, CALM) == frozenset()
    assert rules.update(1, readings) == {reason}
    assert rules.update(2, CALM) == {reason}
    assert rules.update(31, CALM) == {reason}
    assert rules.update(32, CALM) == frozenset()


def test_calm_begins_anew_with_each_relapse() -> None:
    rules = ThrottleRules(ALL_ON)
    rules.update(0, SensorReadings(on_battery=True))
    rules.update(10, CALM)
    rules.update(30, SensorReadings(on_battery=True))
    assert rules.update(50, CALM) == {BATTERY}
    assert rules.update(80, CALM) == frozenset()


def test_heat_must_fall_clearly_below_its_bound() -> None:
    rules = ThrottleRules(ALL_ON)
    rules.update(0, SensorReadings(temperature_c=81))
    for mono in range(1, 100):
        assert rules.update(mono, SensorReadings(temperature_c=78)) == {HOT}
    rules.update(100, SensorReadings(temperature_c=75))
    assert rules.update(130, SensorReadings(temperature_c=75)) == frozenset()


def test_reasons_add_up() -> None:
    everything = SensorReadings(temperature_c=99, other_load=4, on_battery=True, idle_secs=0)
    assert ThrottleRules(ALL_ON).update(0, everything) == {HOT, BUSY, BATTERY, USER}
    assert ThrottleRules(ThrottleConfig()).update(0, everything) == frozenset()
    assert not ThrottleConfig().is_on
    assert ALL_ON.is_on


def test_what_the_machine_does_not_tell_pauses_nothing() -> None:
    assert ThrottleRules(ALL_ON).update(0, SensorReadings()) == frozenset()


def test_temperature_is_the_hottest_sensor(monkeypatch: pytest.MonkeyPatch) -> None:
    entries = {
        "cpu": [SimpleNamespace(current=61.0), SimpleNamespace(current=72.5)],
        "disk": [SimpleNamespace(current=0.0)],
    }
    monkeypatch.setattr(psutil, "sensors_temperatures", lambda: entries, raising=False)
    assert Sensors().temperature_c() == 72.5
    monkeypatch.setattr(psutil, "sensors_temperatures", dict, raising=False)
    assert Sensors().temperature_c() is None
    monkeypatch.delattr(psutil, "sensors_temperatures")
    assert Sensors().temperature_c() is None


@pytest.mark.parametrize(("plugged", "on_battery"), [(True, False), (False, True), (None, None)])
def test_battery(monkeypatch: pytest.MonkeyPatch, plugged: bool | None, on_battery: bool | None) -> None:
    monkeypatch.setattr(psutil, "sensors_battery", lambda: SimpleNamespace(power_plugged=plugged), raising=False)
    assert Sensors().on_battery() is on_battery
    monkeypatch.setattr(psutil, "sensors_battery", lambda: None, raising=False)
    assert Sensors().on_battery() is None


def test_other_load_leaves_our_own_work_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """In ten seconds all cores were busy for 25 s, of which this process and its children had 18."""
    now: dict[str, Any] = {"mono": 100.0, "busy": 1000.0, "ours": {1: 50.0, 2: 30.0}}

    class Times(tuple[float, ...]):
        idle = 5000.0
        iowait = 0.0
        guest = 0.0

    monkeypatch.setattr(psutil, "cpu_times", lambda: Times((now["busy"], 5000.0)))
    monkeypatch.setattr(throttle, "time", SimpleNamespace(monotonic=lambda: now["mono"]))
    monkeypatch.setattr(throttle, "_our_cpu_secs", lambda: now["ours"])
    sensors = Sensors()
    assert sensors.other_load() is None
    now.update(mono=110.0, busy=1025.0, ours={1: 58.0, 2: 38.0, 3: 2.0})
    assert sensors.other_load() == pytest.approx(0.7)


def test_our_own_children_are_counted() -> None:
    assert set(throttle._our_cpu_secs()) >= {psutil.Process().pid}


def test_idleness_is_that_of_the_busiest_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    users: list[Any] = [
        SimpleNamespace(terminal="null"),
        SimpleNamespace(terminal="nonexistent"),
        SimpleNamespace(terminal=None),
    ]
    monkeypatch.setattr(psutil, "users", lambda: users)
    touched = Path("/dev/null").stat().st_atime
    assert throttle.idle_secs(touched + 42) == pytest.approx(42)
    monkeypatch.setattr(psutil, "users", list)
    assert throttle.idle_secs(0) is None


def test_broken_sensors_are_told_once_and_pause_nothing(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Sensors):
        def read(self) -> SensorReadings:
            raise OSError("the sensor has gone")

    class Governed(Governor):
        def __init__(self) -> None:
            self._sensors, self._sensors_failed = Broken(), False

    governor = Governed()
    with caplog.at_level(logging.WARNING):
        assert [governor._read_sensors(), governor._read_sensors()] == [SensorReadings(), SensorReadings()]
    assert caplog.text.count("the sensor has gone") == 1


def test_reading_everything_works_on_this_machine() -> None:
    sensors = Sensors()
    sensors.read()
    load = sensors.read().other_load
    assert load is None or load >= 0
