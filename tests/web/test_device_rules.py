"""Which alerts follow from the states of monitored devices: pure."""

from __future__ import annotations

import pytest

from solominer.config.alerts import AlertsConfig
from solominer.config.devices import DeviceConfig
from solominer.web.alerts.conditions import RECOVERY_SECS, Conditions
from solominer.web.alerts.device_rules import DeviceRules
from solominer.web.alerts.rules import StatusRules
from solominer.web.devices import axeos
from solominer.web.devices.device import Device
from solominer.work.instant import Instant
from tests.web.fake_devices import BITAXE

T0 = Instant(1_700_000_100.0, 1000.0)
INTERVAL_SECS, IDLE_SECS = 30.0, 300.0
BACK_SECS = RECOVERY_SECS + 5


class House:
    """One device, and rules that look at it each second."""

    def __init__(self, raised: dict[str, float] | None = None) -> None:
        self.device = Device(DeviceConfig(host="10.0.0.1", name="kitchen"), offline_after=2)
        self.conditions = Conditions(raised or {}, T0)
        self.rules = DeviceRules([self.device], self.conditions, idle_secs=IDLE_SECS, interval_secs=INTERVAL_SECS)
        self.at = T0

    def says(self, **changes: object) -> None:
        self.device.take(axeos.reading(BITAXE | changes), 1.0)

    def is_gone(self) -> None:
        for _ in range(2):
            self.device.fail("it does not answer: check its power and network")

    def look(self, secs: float, *, working: bool = True) -> list[str]:
        found = []
        for _ in range(round(secs) + 1):
            found += [
                f"{alert.title}{' (recovered)' if alert.recovered else ''}"
                for alert in self.rules.alerts(self.at, working=working)
                if alert.kind == "device"
            ]
            self.at += 1
        return found


@pytest.fixture
def house() -> House:
    house = House()
    assert house.look(3600) == [], "what has not been asked yet is no problem"
    house.says()
    assert house.look(3600) == []
    return house


def test_offline_once_and_back_once(house: House) -> None:
    house.device.fail("no answer")
    assert house.look(100) == []
    house.is_gone()
    assert house.look(3600) == ["kitchen is offline"]
    house.says()
    assert house.look(3600) == ["kitchen answers again (recovered)"]


def test_offline_says_why_and_what_to_do(house: House) -> None:
    house.is_gone()
    (alert,) = house.rules.alerts(house.at, working=True)
    assert alert.text == "It does not answer: check its power and network."


def test_hot_in_two_readings(house: House) -> None:
    house.says(temp=75.4)
    assert house.look(INTERVAL_SECS) == []
    house.says(temp=60)
    assert house.look(BACK_SECS) == []
    house.says(temp=75.4)
    assert house.look(2 * INTERVAL_SECS) == ["kitchen is hot: 75 °C"]
    house.says(temp=60)
    assert house.look(BACK_SECS) == ["kitchen has cooled down: 60 °C (recovered)"]


def test_not_hashing_while_there_is_work(house: House) -> None:
    house.says(hashRate=0)
    assert house.look(2 * IDLE_SECS, working=False) == []
    assert house.look(IDLE_SECS + 5) == ["kitchen answers, but does not hash"]
    assert house.look(3600, working=False) == []
    house.says()
    assert house.look(BACK_SECS) == ["kitchen hashes again (recovered)"]


def test_one_that_is_offline_has_not_recovered_from_anything_else(house: House) -> None:
    house.says(temp=80)
    assert house.look(100) == ["kitchen is hot: 80 °C"]
    house.is_gone()
    assert house.look(3600) == ["kitchen is offline"]
    house.says(temp=80)
    assert house.look(BACK_SECS) == ["kitchen answers again (recovered)"]
    house.says()
    assert house.look(BACK_SECS) == ["kitchen has cooled down: 58 °C (recovered)"]


def test_one_that_was_offline_before_a_restart_is_not_reported_again() -> None:
    house = House({"device/monitored/kitchen/offline": 5.0})
    house.is_gone()
    assert house.look(3600) == []
    house.says()
    assert house.look(BACK_SECS) == ["kitchen answers again (recovered)"]


def test_what_is_monitored_no_more_is_forgotten_and_workers_are_not() -> None:
    house = House({"device/monitored/shed/hot": 5.0, "device/stratum/shed": 5.0})
    assert house.conditions.raised == {"device/stratum/shed": 5.0}


def test_a_monitored_device_is_no_worker() -> None:
    house = House({"device/monitored/kitchen/offline": 5.0})
    rules = StatusRules(AlertsConfig(), house.conditions, T0, alarms_until=T0.wall, alarms_sent={})
    assert rules._workers == {}
